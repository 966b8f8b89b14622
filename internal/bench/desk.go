package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/examples/forms"
	"postern/internal/config"
	"postern/internal/envelope"
	"postern/internal/form"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
	"postern/internal/rpc"
	posternv1 "postern/proto/postern/v1"
)

const (
	prison    = "BLI"
	authority = "E06000023"
)

// desk is the sender of all notifications, with the certificate of a desk of the demo.
type desk struct {
	identity *identity.Identity
	anchors  *identity.Anchors
	hub      identity.Party
	address  string
	keys     verify.Keys
	key      *posternv1.RecipientKey
	form     *posternv1.Form
	secret   []byte // for references
}

func openDesk(folder string) (*desk, error) {
	cfg, err := config.LoadDesk(filepath.Join(folder, "desk-"+prison+".yaml"))
	if err != nil {
		return nil, err
	}
	d := &desk{address: cfg.Hub.Address, secret: make([]byte, 32)}
	rand.Read(d.secret)
	if d.identity, err = cfg.LoadIdentity(); err != nil {
		return nil, err
	}
	if d.anchors, err = cfg.LoadAnchors(); err != nil {
		return nil, err
	}
	d.hub = identity.Party{Domain: cfg.TrustDomain, Role: posternv1.Role_ROLE_HUB, ID: cfg.Hub.Name}
	if d.keys, err = verify.NewKeys(cfg.Hub.LogKeys...); err != nil {
		return nil, err
	}
	statement, err := os.ReadFile(filepath.Join(folder, "recipient-"+authority+".signed"))
	if err != nil {
		return nil, err
	}
	signed := &posternv1.Signed{}
	if err := proto.Unmarshal(statement, signed); err != nil {
		return nil, err
	}
	if d.key, err = envelope.VerifyRecipientKey(signed, d.anchors, time.Now()); err != nil {
		return nil, err
	}
	text, err := forms.Files.ReadFile("shared_in_full.json")
	if err != nil {
		return nil, err
	}
	d.form, err = form.Decode(text)
	return d, err
}

// dial opens a connection for each client.
func (d *desk) dial() ([]*rpc.Conn, error) {
	var conns []*rpc.Conn
	for range clients {
		conn, err := rpc.Dial(rpc.ClientConfig{Address: d.address, Identity: d.identity, Anchors: d.anchors, Want: d.hub})
		if err != nil {
			return nil, err
		}
		conns = append(conns, conn)
	}
	return conns, nil
}

// family is the example family with one child and the fewest sections that help, and everything else drawn: the hour of
// the permission, the day of reception, the child's age, who had the child, what is known. No two are the same.
func (d *desk) family(r *mathrand.Rand, now time.Time) *posternv1.Form {
	f := proto.CloneOf(d.form)
	f.FormId = ""
	f.Children = f.Children[:1]
	f.PrisonNumber = fmt.Sprintf("%c%04d%cZ", 'A'+r.IntN(26), r.IntN(10000), 'A'+r.IntN(26))
	given := now.Add(-time.Duration(r.IntN(72*3600)+60) * time.Second).Truncate(time.Second)
	f.Consent.GiveTime, f.Consent.ExpireTime, f.Consent.Children = timestamppb.New(given), nil, []uint32{1}
	f.Consent.FollowsChild = r.IntN(2) == 0
	f.Consent.Sections = []string{"parent/name", "child/{n}/identity", "child/{n}/home", "child/{n}/safety"}
	for _, s := range []string{"child/{n}/relationship", "child/{n}/phone", "parent/custody", "parent/language"} {
		if r.IntN(4) == 0 {
			f.Consent.Sections = append(f.Consent.Sections, s)
		}
	}
	f.Reception.ReceiveDate = form.Today(given)
	f.Tonight.AskTime = timestamppb.New(given)
	child := f.Children[0]
	born := now.AddDate(-r.IntN(17), -r.IntN(12), -1-r.IntN(28))
	child.Identity.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: form.Today(born)}
	answers := []posternv1.Answer{posternv1.Answer_ANSWER_YES, posternv1.Answer_ANSWER_NO}
	child.Relationship.PrimaryCarerBefore = answers[r.IntN(2)]
	child.Relationship.LivedWithBefore = answers[r.IntN(2)]
	child.Relationship.ParentalResponsibility = answers[r.IntN(2)]
	child.Relationship.AgreesToEarlyHelp = 0
	return f
}

// message is a notification on its way.
type message struct {
	sealed   *posternv1.SealedNotification
	manifest *posternv1.Manifest
	children []*posternv1.ChildFacts
	hub      *posternv1.HubFacts
	paths    []string
}

// seal does for one family what a desk does: check, split, draw facts, seal to the authority's key, sign.
func (d *desk) seal(f *posternv1.Form, now time.Time) (message, error) {
	checked, err := form.Check(f, form.Env{Now: now, Article9Condition: "art9.2.g"})
	if err != nil {
		return message{}, err
	}
	newID := func() string { id, _ := envelope.NewID(rand.Reader); return id }
	p := checked.Parts(newID)[0]
	m := message{}
	m.children, m.hub = form.Facts(p, form.FactsConfig{Today: form.Today(now), DeskKey: d.secret, FirstSubmit: now})
	m.manifest = &posternv1.Manifest{
		NotificationId: newID(), Audience: d.hub.Domain, CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.AddDate(0, 1, 0)),
		Sender: &posternv1.Sender{PrisonId: prison, Unit: "Reception", StaffId: "DEMO01", StaffRole: posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER,
			ReplyTo: &posternv1.ReplyTo{Role: "Resettlement team", Phone: "01632 960100", Mailbox: "resettlement@prison.example", Hours: "Monday to Friday 8:30 to 17:00"}},
		Reception: p.Reception, NoticeVersion: p.NoticeVersion,
		Statement: &posternv1.Manifest_Offer{Offer: &posternv1.Offer{
			Route: p.Route, Authority: p.Authority, DestinationSource: posternv1.DestinationSource_DESTINATION_SOURCE_STAFF_CHOICE, Consent: p.Consent,
			LawfulBasis: &posternv1.LawfulBasis{Article6: posternv1.Article6Basis_ARTICLE6_BASIS_PUBLIC_TASK, Schedule1Paragraph: 18,
				Gateway: "ca2004.s11", Confidentiality: posternv1.Confidentiality_CONFIDENTIALITY_CONSENT}}},
	}
	draft := envelope.Draft{Manifest: m.manifest, Children: m.children, Hub: m.hub}
	for _, s := range p.Sections {
		draft.Sections = append(draft.Sections, envelope.Plain{Path: s.Path, Message: s.Message})
		m.paths = append(m.paths, s.Path)
	}
	m.sealed, err = envelope.Seal(draft, d.key, d.identity)
	return m, err
}

// sealAll makes n notifications about n families.
func (d *desk) sealAll(ctx context.Context, n int, seed uint64) ([]message, error) {
	out := make([]message, n)
	errs := make([]error, runtime.NumCPU())
	now := time.Now().Truncate(time.Second)
	var all sync.WaitGroup
	for worker := range errs {
		all.Go(func() {
			r := mathrand.New(mathrand.NewPCG(seed, uint64(worker)))
			for i := worker; i < n && errs[worker] == nil && ctx.Err() == nil; i += len(errs) {
				out[i], errs[worker] = d.seal(d.family(r, now), now)
			}
		})
	}
	all.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, ctx.Err()
}

// submit sends a notification and checks, as a desk does, that it was shared and that the receipt says so. Checking
// takes as long as the hub takes for the whole, so all but one answer in 64 are only looked at.
func (d *desk) submit(ctx context.Context, conn *rpc.Conn, i int, m message) error {
	answer, err := posternv1.NewSubmissionServiceClient(conn).Submit(ctx, &posternv1.SubmitRequest{Notification: m.sealed})
	if err != nil {
		return err
	}
	if o := answer.GetDecision().GetOutcome(); o != posternv1.Outcome_OUTCOME_SHARE {
		return fmt.Errorf("a notification that may be shared was answered %v: %v", o, answer.GetDecision())
	}
	if i%64 != 0 {
		return nil
	}
	event, err := verify.Receipt(answer.GetReceipt(), d.keys)
	if err != nil {
		return err
	}
	if sum := sha256.Sum256(m.sealed.GetManifest().GetPayload()); string(event.Core.GetManifestSha256()) != string(sum[:]) {
		return fmt.Errorf("the receipt is of another manifest")
	}
	return nil
}
