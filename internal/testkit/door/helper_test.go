package door_test

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/hub"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// The parties beside those of testkit's cast.
const (
	hubPath      = "/hub/main"
	otherHub     = "/hub/other"
	operator     = "/operator/main"
	scopedPath   = "/auditor/preston" // sees HMP Parc and Lancashire only
	unnamedPath  = "/auditor/unnamed" // has a certificate, and is not in the hub's configuration
	deskBLI      = "/prison/BLI/desk"
	deskPRI      = "/prison/PRI/desk"
	deskBWI      = "/prison/BWI/desk" // not in the directory
	inboxBristol = "/authority/E06000023/inbox"
	inboxLancs   = "/authority/E10000017/inbox"
	inboxWrexham = "/authority/W06000006/inbox" // not enrolled
)

// doors are a hub and the inbox of Bristol that listen, and all that they turn away.
type doors struct {
	*testkit.Exchange
	t          *testing.T
	hub, inbox string // addresses
	inboxAt    *testkit.Inbox

	mu     sync.Mutex // guards what follows
	issued map[string]*identity.Identity
	away   map[string]int
}

// budget is of refusals that become leaves: more than any test here makes.
const budget = 1_000_000

func openDoors(t *testing.T, limits rpc.Limits, edits ...func(*testkit.Config)) *doors {
	t.Helper()
	d := &doors{t: t, issued: map[string]*identity.Identity{}, away: map[string]int{}}
	scopes := map[string]hub.Scope{"ig": {All: true}, "preston": {Prisons: []string{"PRI"}, Authorities: []string{testkit.Lancashire}}}
	d.Exchange = testkit.NewExchange(t, append([]func(*testkit.Config){func(c *testkit.Config) {
		c.RefusalBudget, c.Hub = budget, func(h *hub.Config) { h.Auditors = scopes }
	}}, edits...)...)
	d.inboxAt = d.Inbox(testkit.Bristol)
	d.hub = d.serve(hubPath, limits, d.Hub.Refused, func(r grpc.ServiceRegistrar) {
		posternv1.RegisterSubmissionServiceServer(r, d.Hub)
		posternv1.RegisterMailboxServiceServer(r, d.Hub)
		posternv1.RegisterDirectoryServiceServer(r, d.Hub)
		posternv1.RegisterAuditServiceServer(r, d.Hub)
		posternv1.RegisterCoverageServiceServer(r, d.Hub)
	})
	d.inbox = d.serve(inboxBristol, limits, nil, func(r grpc.ServiceRegistrar) { posternv1.RegisterInboxServiceServer(r, d.inboxAt.Inbox) })
	return d
}

func (d *doors) serve(path string, limits rpc.Limits, refused func(context.Context, identity.Party, string, error), register func(grpc.ServiceRegistrar)) string {
	d.t.Helper()
	s := must(rpc.NewServer(rpc.ServerConfig{Identity: d.as(path), Anchors: d.Anchors(), Clock: d.Clock.Now, Limits: limits, Refused: refused,
		Count: func(what string) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.away[what]++
		}}))(d.t)
	register(s)
	lis := d.Listen()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	d.t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			d.t.Error(err)
		}
	})
	return lis.Addr().String()
}

func (d *doors) turnedAway(what string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.away[what]
}

// as is the identity of a party of the cast or beside it.
func (d *doors) as(path string) *identity.Identity {
	d.t.Helper()
	switch path {
	case otherHub, scopedPath, unnamedPath:
	default:
		return d.Identity(path)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.issued[path] == nil {
		d.issued[path] = d.Issue(path, testkit.Now.AddDate(0, -1, 0), 400)
	}
	return d.issued[path]
}

// dial connects a party to the hub or to the inbox.
func (d *doors) dial(path, address string) *rpc.Conn {
	d.t.Helper()
	want := d.Identity(hubPath).Party()
	if address == d.inbox {
		want = d.Identity(inboxBristol).Party()
	}
	c := must(rpc.Dial(rpc.ClientConfig{Address: address, Identity: d.as(path), Anchors: d.Anchors(), Want: want, Clock: d.Clock.Now}))(d.t)
	d.t.Cleanup(func() { _ = c.Close() })
	return c
}

// submit submits at the service interface, as the desk of a prison.
func (d *doors) submit(prison string, n *posternv1.SealedNotification) {
	d.t.Helper()
	must(d.Submission(prison).Submit(d.t.Context(), &posternv1.SubmitRequest{Notification: n}))(d.t)
}

// statement seals a statement without sections, as a desk would.
func (d *doors) statement(path string, set func(*posternv1.Manifest)) *posternv1.SealedNotification {
	d.t.Helper()
	i, now := d.as(path), d.Clock.Now()
	m := &posternv1.Manifest{NotificationId: newID(d.t), Audience: testkit.Domain, CreateTime: timestamppb.New(now),
		ExpireTime: timestamppb.New(now.AddDate(0, 0, 30)), Sender: &posternv1.Sender{PrisonId: i.Party().ID, StaffId: "TEST01"}}
	set(m)
	return must(envelope.Seal(envelope.Draft{Manifest: m}, nil, i))(d.t)
}

func (d *doors) withdrawal(path, id string, edits ...func(*posternv1.Withdrawal)) *posternv1.SealedNotification {
	w := &posternv1.Withdrawal{Withdraws: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}
	for _, edit := range edits {
		edit(w)
	}
	return d.statement(path, func(m *posternv1.Manifest) { m.Statement = &posternv1.Manifest_Withdrawal{Withdrawal: w} })
}

func (d *doors) considered(path, id string) *posternv1.SealedNotification {
	return d.statement(path, func(m *posternv1.Manifest) {
		m.Statement = &posternv1.Manifest_Considered{Considered: &posternv1.Considered{Considers: id, Consideration: &posternv1.Consideration{}}}
	})
}

// report signs a report as the inbox at a path.
func (d *doors) report(path string, r *posternv1.Report) *posternv1.Signed {
	d.t.Helper()
	r.ReportTime = timestamppb.New(d.Clock.Now())
	return must(envelope.SignStatement(d.as(path), envelope.TypeReport, must(proto.Marshal(r))(d.t)))(d.t)
}

func accepted(id string, manifest []byte) *posternv1.Report {
	return &posternv1.Report{NotificationId: id, ManifestSha256: manifest, Report: &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT}}}
}

// shared is a notification that went from a prison to an authority, with all that names it.
type shared struct {
	prison   string
	id       string
	manifest []byte
	event    string // 32 hex digits
}

func (d *doors) share(prison, authority string) shared {
	d.t.Helper()
	n := d.Seal(prison, formtest.New(authority))[0]
	d.submit(prison, n)
	sum := sha256.Sum256(n.GetManifest().GetPayload())
	s := shared{prison: prison, manifest: sum[:]}
	for _, e := range d.events(logv1.Kind_KIND_DECIDED) {
		if string(e.Core.GetManifestSha256()) == string(sum[:]) {
			s.event, s.id = hex.EncodeToString(e.Leaf.EventID[:]), e.Details.GetNotificationId()
			if e.Details.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
				d.t.Fatalf("it was not shared: %v", e.Details.GetDecision())
			}
		}
	}
	return s
}

// events are the events of a kind, newest first; all for 0.
func (d *doors) events(kind logv1.Kind) (all []ledger.Logged) {
	d.t.Helper()
	_, err := d.Ledger.Events(d.t.Context(), "", 1<<30, func(e ledger.Logged) (bool, error) {
		if kind == 0 || e.Leaf.Kind == kind {
			all = append(all, e)
		}
		return true, nil
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all
}

func (d *doors) marshal(m proto.Message) []byte {
	d.t.Helper()
	return must(proto.Marshal(m))(d.t)
}

func newID(t testing.TB) string { return must(envelope.NewID(rand.Reader))(t) }

func randomBytes(n int) []byte {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails
	return b
}

func soon(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:]
}

// newIDOf is an id that nobody has, from a test's own randomness.
func newIDOf(r *mathrand.Rand) string {
	b := make([]byte, 16)
	for i := range b {
		b[i] = byte(r.UintN(256))
	}
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
