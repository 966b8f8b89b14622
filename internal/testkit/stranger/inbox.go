package stranger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/rand"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Inbox is a team's inbox that keeps everything in memory.
type Inbox struct {
	posternv1.UnimplementedInboxServiceServer
	Self  *Self
	Trust *Trust
	Hub   *Hub
	Log   *Witness // of both logs
	// Sent are the keys of the log that deliveries have receipts in.
	Sent  []*LogKey
	Clock func() time.Time

	mu         sync.Mutex         // owns what follows
	seeds      map[string][]byte  // the private keys, by their ids
	continuity ed25519.PrivateKey // of the newest of them
	answers    map[string]*posternv1.DeliverResponse
	items      map[string]*Item // by manifest digest
	stops      []*Stop
	held       *posternv1.Held
}

// Item is a notification as a team has it.
type Item struct {
	NotificationID string
	Sender         Party
	Manifest       *posternv1.Manifest
	Digest         []byte // of the manifest
	Delivery       string
	PassedOnBy     string // the URI of the team that did, if one did
	Sealed         *posternv1.SealedNotification
	Decision       *posternv1.Decision
	Sections       map[string]proto.Message
	Mismatch       []string
}

// Stop is a request to stop, as a team has it.
type Stop struct {
	Manifest []byte // the digest of the manifest that it is about
	Delivery string
	Paths    []string
	Found    bool // whether anything was there to stop
}

// refusal is why we refuse.
type refusal posternv1.RefusalReason

func (r refusal) Error() string { return posternv1.RefusalReason(r).String() }

const (
	badSignature   = refusal(posternv1.RefusalReason_REFUSAL_REASON_BAD_SIGNATURE)
	badReceipt     = refusal(posternv1.RefusalReason_REFUSAL_REASON_BAD_RECEIPT)
	stale          = refusal(posternv1.RefusalReason_REFUSAL_REASON_STALE_DECISION)
	keyUnknown     = refusal(posternv1.RefusalReason_REFUSAL_REASON_KEY_UNKNOWN)
	wrongAuthority = refusal(posternv1.RefusalReason_REFUSAL_REASON_WRONG_AUTHORITY)
	badSection     = refusal(posternv1.RefusalReason_REFUSAL_REASON_BAD_SECTION)
	withdrawn      = refusal(posternv1.RefusalReason_REFUSAL_REASON_WITHDRAWN)
	badStop        = refusal(posternv1.RefusalReason_REFUSAL_REASON_BAD_STOP_REQUEST)
)

// Server is a server at which the hub of this URI delivers.
func (i *Inbox) Server(hub string) *grpc.Server {
	config := i.Trust.tls(i.Self, i.Clock, func(p Party) bool { return p.URI == hub && p.Kind == "hub" })
	s := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)), grpc.MaxRecvMsgSize(256<<10), grpc.MaxHeaderListSize(16<<10))
	posternv1.RegisterInboxServiceServer(s, i)
	return s
}

// Deliver takes a delivery.
func (i *Inbox) Deliver(ctx context.Context, q *posternv1.DeliverRequest) (*posternv1.DeliverResponse, error) {
	return i.take(ctx, q.GetDelivery())
}

func (i *Inbox) take(ctx context.Context, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.items == nil {
		i.items, i.answers = map[string]*Item{}, map[string]*posternv1.DeliverResponse{}
	}
	if a := i.answers[d.GetDeliveryId()]; a != nil {
		return i.with(a), nil
	}
	digest, err := i.open(ctx, d)
	var no refusal
	if errors.As(err, &no) {
		return i.refuse(d, digest, posternv1.RefusalReason(no))
	}
	if err != nil {
		return nil, err
	}
	signed, err := i.Self.Sign(acknowledgementType, append([]byte{0x0a, 0x20}, digest...))
	if err != nil {
		return nil, err
	}
	a := &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Acknowledgement{Acknowledgement: signed}}
	i.answers[d.GetDeliveryId()] = a
	return i.with(a), nil
}

// with is an answer with what we know and hold now.
func (i *Inbox) with(a *posternv1.DeliverResponse) *posternv1.DeliverResponse {
	a = proto.CloneOf(a)
	a.KnownLogs, a.Held = i.Log.Known(), i.held
	return a
}

func (i *Inbox) refuse(d *posternv1.Delivery, digest []byte, reason posternv1.RefusalReason) (*posternv1.DeliverResponse, error) {
	signed, err := i.report(&posternv1.Report{DeliveryId: d.GetDeliveryId(), ManifestSha256: digest,
		Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: reason}}})
	if err != nil {
		return nil, err
	}
	return i.with(&posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Report{Report: signed}}), nil
}

func (i *Inbox) report(r *posternv1.Report) (*posternv1.Signed, error) {
	r.ReportTime = timestamppb.New(i.Clock())
	b, err := proto.Marshal(r)
	if err != nil {
		return nil, err
	}
	return i.Self.Sign(reportType, b)
}

// open checks and stores a delivery; what it returns is the digest to answer about.
func (i *Inbox) open(ctx context.Context, d *posternv1.Delivery) ([]byte, error) {
	n, stop := d.GetNotification(), d.GetStopRequest()
	keys := i.Sent // what a prison sent is in the sent log, what a team passed on in the received one; a stop may be in either
	if stop != nil || len(n.GetRedirections()) > 0 {
		keys = i.Log.Keys
	}
	p, err := ReadReceipt(d.GetReceipt(), keys)
	switch {
	case err != nil && stop != nil:
		return hash(stop.GetPayload()), badStop
	case err != nil:
		return hash(n.GetManifest().GetPayload()), badReceipt
	}
	if err := i.Log.FollowNote(ctx, i.Hub, p.Checkpoint.Note, d.GetConsistency()); err != nil {
		return nil, err
	}
	if stop != nil {
		digest := hash(stop.GetPayload())
		return digest, i.stop(d, stop, p, digest)
	}
	digest := hash(n.GetManifest().GetPayload())
	decided, kind := p, logv1.Kind_KIND_DECIDED
	if len(n.GetRedirections()) > 0 {
		kind = logv1.Kind_KIND_REDIRECTED
		if decided, err = i.first(d, p); err != nil {
			return digest, badReceipt
		}
	}
	if p.Kind != kind || p.Core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		return digest, badReceipt
	}
	if !i.Clock().Before(p.Core.GetValidUntilTime().AsTime()) && !i.ours(d.GetAcknowledgement(), digest) {
		return digest, stale
	}
	var by *passed
	if kind == logv1.Kind_KIND_REDIRECTED {
		if by, err = i.Trust.readRedirect(n, p.Core.GetEventTime().AsTime()); err != nil {
			return digest, badSignature
		}
	}
	c, err := i.Trust.CheckNotification(n, decided.Core.GetEventTime().AsTime())
	if err != nil || by != nil && by.by.ID != c.Manifest.GetOffer().GetAuthority() {
		return digest, badSignature
	}
	if !bytes.Equal(p.Core.GetManifestSha256(), digest) || len(c.Sections) == 0 || !slices.EqualFunc(p.Core.GetSectionsSha256(), c.Sections, bytes.Equal) {
		return digest, badReceipt
	}
	if to := c.Manifest.GetOffer().GetAuthority(); by == nil && to != i.Self.ID || by != nil && by.GetAuthority() != i.Self.ID {
		return digest, wrongAuthority
	}
	return digest, i.unseal(d, c, by)
}

// ours says whether this is an acknowledgement of our own over a manifest.
func (i *Inbox) ours(s *posternv1.Signed, digest []byte) bool {
	who, err := i.Trust.Signer(s, acknowledgementType, i.Clock())
	return err == nil && who == i.Self.Party && bytes.Equal(s.GetPayload(), append([]byte{0x0a, 0x20}, digest...))
}

func (i *Inbox) unseal(d *posternv1.Delivery, c *Checked, by *passed) error {
	offer, n := c.Manifest.GetOffer(), d.GetNotification()
	item := &Item{c.Manifest.GetNotificationId(), c.Sender, c.Manifest, c.Digest, d.GetDeliveryId(), "", n, d.GetDecision(), map[string]proto.Message{}, nil}
	if by != nil {
		seed := i.seeds[by.GetRecipientKeyId()]
		if seed == nil {
			return keyUnknown
		}
		var err error
		if item.Sections, err = by.open(seed, item.NotificationID, n.GetSections()); err != nil {
			return badSection
		}
		item.PassedOnBy = by.by.URI
		return i.keep(d, c, item)
	}
	seed := i.seeds[offer.GetRecipientKeyId()]
	if seed == nil {
		return keyUnknown
	}
	s, err := Unsealing(seed, offer.GetEncapsulatedKey(), item.NotificationID, c.Sender.URI, offer.GetRecipientKeyId())
	if err != nil {
		return badSection
	}
	for _, sealed := range n.GetSections() {
		if item.Sections[sealed.GetPath()], err = s.Open(sealed); err != nil {
			return badSection
		}
	}
	return i.keep(d, c, item)
}

// keep stores an item as far as nothing of it was withdrawn.
func (i *Inbox) keep(d *posternv1.Delivery, c *Checked, item *Item) error {
	item.Mismatch = mismatch(c.Children, item.Sections)
	for _, s := range i.stops {
		if !bytes.Equal(s.Manifest, c.Digest) {
			continue
		}
		if len(s.Paths) == 0 {
			return withdrawn
		}
		item.drop(s.Paths)
	}
	if i.items[string(c.Digest)] == nil {
		i.items[string(c.Digest)] = item
	}
	i.count(d)
	return nil
}

// count moves the number up to which nothing is missing.
func (i *Inbox) count(d *posternv1.Delivery) {
	p, err := ReadReceipt(d.GetReceipt(), i.Sent)
	if len(d.GetNotification().GetRedirections()) > 0 {
		p, err = ReadReceipt(d.GetFirstReceipt(), i.Sent)
	}
	if err != nil {
		return
	}
	if i.held == nil || i.held.GetOrigin() != p.Checkpoint.Origin {
		i.held = &posternv1.Held{Origin: p.Checkpoint.Origin}
	}
	if d.GetFollowsSequence() <= i.held.GetHighestSequence() && d.GetSequence() > i.held.GetHighestSequence() {
		i.held.HighestSequence = d.GetSequence()
	}
}

func (it *Item) drop(paths []string) {
	for path := range it.Sections {
		for _, p := range paths {
			if path == p || strings.HasPrefix(path, p+"/") {
				delete(it.Sections, path)
			}
		}
	}
}

func (i *Inbox) stop(d *posternv1.Delivery, signed *posternv1.Signed, p *Proven, digest []byte) error {
	who, err := i.Trust.Signer(signed, stopRequestType, p.Core.GetEventTime().AsTime())
	request := &posternv1.StopRequest{}
	if err != nil || read(signed.GetPayload(), request) != nil || who.Kind != "desk" || p.Kind != logv1.Kind_KIND_STOP_ASKED ||
		!bytes.Equal(p.Core.GetSubjectSha256(), digest) {
		return badStop
	}
	of := p.Core.GetManifestSha256()
	if b := request.GetManifestSha256(); len(b) > 0 && !bytes.Equal(b, of) {
		return badStop
	}
	stop := &Stop{of, d.GetDeliveryId(), request.GetPaths(), false}
	if item := i.items[string(of)]; item != nil {
		stop.Found = true
		item.drop(stop.Paths)
		if len(stop.Paths) == 0 {
			delete(i.items, string(of))
		}
	}
	i.stops = append(i.stops, stop)
	i.count(d)
	return nil
}

// Items are what the team sees.
func (i *Inbox) Items() (all []*Item) {
	i.mu.Lock()
	defer i.mu.Unlock()
	for _, it := range i.items {
		all = append(all, it)
	}
	return all
}

// Stops are the requests to stop.
func (i *Inbox) Stops() []*Stop {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.stops)
}

// Reply answers a notification.
func (i *Inbox) Reply(ctx context.Context, it *Item, code posternv1.ReplyCode, paths ...string) error {
	return i.say(ctx, &posternv1.Report{DeliveryId: it.Delivery, ManifestSha256: it.Digest,
		Report: &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: code, Paths: paths}}})
}

// Answer answers a request to stop.
func (i *Inbox) Answer(ctx context.Context, s *Stop, code posternv1.StopAnswerCode) error {
	return i.say(ctx, &posternv1.Report{DeliveryId: s.Delivery, ManifestSha256: s.Manifest,
		Report: &posternv1.Report_StopAnswer{StopAnswer: &posternv1.StopAnswer{Code: code}}})
}

func (i *Inbox) say(ctx context.Context, r *posternv1.Report) error {
	signed, err := i.report(r)
	if err != nil {
		return err
	}
	_, err = i.send(ctx, &posternv1.ReportRequest{Signed: signed})
	return err
}

// send hands a report in and follows the log that records it.
func (i *Inbox) send(ctx context.Context, q *posternv1.ReportRequest) (*posternv1.ReportResponse, error) {
	i.mu.Lock()
	q.KnownLogs, q.Held = i.Log.Known(), i.held
	i.mu.Unlock()
	a, err := i.Hub.Mailbox.Report(ctx, q)
	if err != nil {
		return nil, err
	}
	p, err := ReadReceipt(a.GetReceipt(), i.Log.Keys)
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	return a, i.Log.FollowNote(ctx, i.Hub, p.Checkpoint.Note, a.GetConsistency())
}

// Collect fetches everything that waits at the hub.
func (i *Inbox) Collect(ctx context.Context) (int, error) {
	i.mu.Lock()
	q := &posternv1.CollectRequest{KnownLogs: i.Log.Known(), Held: i.held, UntilIdle: true}
	i.mu.Unlock()
	stream, err := i.Hub.Mailbox.Collect(ctx, q)
	if err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		c, err := stream.Recv()
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		a, err := i.take(ctx, c.GetDelivery())
		if err != nil {
			return n, err
		}
		signed := a.GetAcknowledgement()
		if signed == nil {
			signed = a.GetReport()
		}
		if _, err := i.send(ctx, &posternv1.ReportRequest{Signed: signed, DeliveryId: c.GetDelivery().GetDeliveryId()}); err != nil {
			return n, err
		}
	}
}

// mismatch is the paths of the sections that contradict what the hub decided on.
func mismatch(facts map[uint32]*posternv1.ChildFacts, sections map[string]proto.Message) (paths []string) {
	for path, m := range sections {
		_, child, err := lookup(path)
		f := facts[uint32(child)]
		if err != nil || f == nil {
			continue
		}
		bad := false
		switch m := m.(type) {
		case *posternv1.ChildCarer:
			bad = m.GetIsAdult() != f.GetCarerIsAdult()
		case *posternv1.ChildRelationship:
			bad = m.GetPrimaryCarerBefore() != f.GetPrimaryCarerBefore() || m.GetLivedWithBefore() != f.GetLivedWithBefore() ||
				m.GetParentalResponsibility() != f.GetParentalResponsibility()
		}
		for _, k := range f.GetKnown() {
			s, has := m.(interface{ GetProvenance() *posternv1.Provenance })
			bad = bad || has && k.GetPath() == path && k.GetKnown() != s.GetProvenance().GetKnown()
		}
		if bad {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// NewKey makes a recipient key and the statement that tells of it; version is from 1. The first of an authority goes into
// the directory.
func (i *Inbox) NewKey(version uint32, from, until time.Time) (*posternv1.Signed, error) {
	private, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, err
	}
	seed, err := private.Bytes()
	if err != nil {
		return nil, err
	}
	public := private.PublicKey().Bytes()
	continuity, next, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	k := &posternv1.RecipientKey{KeyId: KeyID(public), Authority: i.Self.ID, Version: version, Suite: 1, PublicKey: public,
		ContinuityKey: continuity, CreateTime: timestamppb.New(from), ExpireTime: timestamppb.New(until)}
	b, err := proto.Marshal(k)
	if err != nil {
		return nil, err
	}
	signed, err := i.Self.Sign(recipientKeyType, b)
	if err != nil {
		return nil, err
	}
	if _, err := i.AddKey(seed); err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.continuity != nil {
		over := Encode(signed.GetPayloadType(), b)
		signed.Signatures = append(signed.Signatures, &posternv1.Signature{Signature: ed25519.Sign(i.continuity, over)})
	}
	i.continuity = next
	return signed, nil
}

// AddKey takes a private key into use, and returns its id.
func (i *Inbox) AddKey(seed []byte) (string, error) {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return "", err
	}
	id := KeyID(private.PublicKey().Bytes())
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.seeds == nil {
		i.seeds = map[string][]byte{}
	}
	i.seeds[id] = seed
	return id, nil
}
