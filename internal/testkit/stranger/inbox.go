package stranger

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/hpke"
	"encoding/hex"
	"errors"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

// Item is a notification as a team sees it.
type Item struct {
	ID, Reference, DeliveryID string
	Sender                    Party
	Manifest                  *pb.Manifest
	SHA256                    []byte
	Decision                  *pb.Decision
	Facts                     map[int]*pb.ChildFacts
	Sections                  map[string]proto.Message
	Mismatch                  []string // the sections that contradict the facts
	Hidden                    bool     // another one, sealed to another key, is shown in its place
	PassedOnBy                string   // the URI of the team that passed it on, if one did

	raw  *pb.SealedNotification
	keys map[string][]byte // of the sections, for passing them on
}

// Stop is a request to stop.
type Stop struct {
	DeliveryID string
	Manifest   []byte // SHA-256 of what it is about
	Paths      []string
	Found      bool // whether anything of it had come
}

// gone is what was withdrawn of a manifest, remembered for ever.
type gone struct {
	All   bool
	Paths []string
}

// done is a stored answer.
type done struct {
	answer *pb.Signed
	origin string // of the log that counts it
}

// Inbox is an early help team's endpoint.
type Inbox struct {
	pb.UnimplementedInboxServiceServer
	Me             *Self
	Trust          *Trust
	Hub            string // the URI of the hub
	Now            func() time.Time
	Sent, Received *Follower
	Mailbox        pb.MailboxServiceClient

	mu        sync.Mutex       // owns what follows
	items     map[string]*Item // by manifest digest in hex
	order     []*Item          // the same, oldest first
	done      map[string]*done // by delivery id
	gone      map[string]*gone // by manifest digest in hex
	asked     []*Stop
	numbers   map[string]uint64 // the highest up to which nothing is missing, by origin
	counting  string            // the origin in which the last delivery was counted
	pending   []*pb.ReportRequest
	keys      map[string][]byte // seeds by their ids
	current   *pb.RecipientKey
	signedKey *pb.Signed
	follow    ed25519.PrivateKey
}

// NewInbox is an inbox that holds nothing yet.
func NewInbox(me *Self, t *Trust, hub string, conn grpc.ClientConnInterface, sent, received *Follower, now func() time.Time) *Inbox {
	sent.Ask, received.Ask = asking(conn), asking(conn)
	return &Inbox{Me: me, Trust: t, Hub: hub, Mailbox: pb.NewMailboxServiceClient(conn), Sent: sent, Received: received, Now: now,
		items: map[string]*Item{}, done: map[string]*done{}, gone: map[string]*gone{},
		numbers: map[string]uint64{}, keys: map[string][]byte{}}
}

// AddKey adds a private key, as its seed of 32 bytes, that something may still be sealed to.
func (x *Inbox) AddKey(seed []byte) (string, error) {
	k, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	id := KeyID(k.PublicKey().Bytes())
	x.keys[id] = seed
	return id, nil
}

// NewKey makes the next recipient key and the statement that publishes it.
func (x *Inbox) NewKey(from, until time.Time) (*pb.Signed, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	priv, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, err
	}
	public, follow, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	b := priv.PublicKey().Bytes()
	k := &pb.RecipientKey{
		KeyId: KeyID(b), Authority: x.Me.ID, Version: x.current.GetVersion() + 1, Suite: 1, PublicKey: b, ContinuityKey: public,
		CreateTime: timestamppb.New(from), ExpireTime: timestamppb.New(until),
	}
	s, err := x.Me.Sign(TypeRecipientKey, mustMarshal(k))
	if err != nil {
		return nil, err
	}
	if x.follow != nil {
		sig := ed25519.Sign(x.follow, Encode(s.PayloadType, s.Payload))
		s.Signatures = append(s.Signatures, &pb.Signature{Signature: sig})
	}
	if x.keys[k.KeyId], err = priv.Bytes(); err != nil {
		return nil, err
	}
	x.current, x.signedKey, x.follow = k, s, follow
	return s, nil
}

// DropKey forgets a private key.
func (x *Inbox) DropKey(id string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.keys, id)
}

// Items are what the team sees, oldest first.
func (x *Inbox) Items() []*Item {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(x.order), func(it *Item) bool { return it.Hidden })
}

// Stops are the requests to stop.
func (x *Inbox) Stops() []*Stop {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.asked)
}

// refusal is a reason to refuse a delivery.
type refusal struct {
	reason pb.RefusalReason
	why    error
}

func (r *refusal) Error() string { return r.reason.String() + ": " + r.why.Error() }

func no(r pb.RefusalReason, err error) error { return &refusal{r, err} }

// Short names of the reasons.
const (
	badSignature   = pb.RefusalReason_REFUSAL_REASON_BAD_SIGNATURE
	badReceipt     = pb.RefusalReason_REFUSAL_REASON_BAD_RECEIPT
	stale          = pb.RefusalReason_REFUSAL_REASON_STALE_DECISION
	keyUnknown     = pb.RefusalReason_REFUSAL_REASON_KEY_UNKNOWN
	wrongAuthority = pb.RefusalReason_REFUSAL_REASON_WRONG_AUTHORITY
	badSection     = pb.RefusalReason_REFUSAL_REASON_BAD_SECTION
	wasWithdrawn   = pb.RefusalReason_REFUSAL_REASON_WITHDRAWN
	badStop        = pb.RefusalReason_REFUSAL_REASON_BAD_STOP_REQUEST
)

// Deliver answers the hub.
func (x *Inbox) Deliver(ctx context.Context, req *pb.DeliverRequest) (*pb.DeliverResponse, error) {
	answer, err := x.Answer(ctx, req.GetDelivery())
	if err != nil {
		return nil, err
	}
	a := &pb.DeliverResponse{KnownLogs: x.known(), Held: x.held()}
	if answer.PayloadType == TypeAcknowledgement {
		a.Answer = &pb.DeliverResponse_Acknowledgement{Acknowledgement: answer}
	} else {
		a.Answer = &pb.DeliverResponse_Report{Report: answer}
	}
	return a, nil
}

func (x *Inbox) known() []*pb.KnownLog { return append(x.Received.known(), x.Sent.known()...) }

func (x *Inbox) held() *pb.Held {
	x.mu.Lock()
	defer x.mu.Unlock()
	return &pb.Held{Origin: x.counting, HighestSequence: x.numbers[x.counting]}
}

// Answer takes a delivery: an acknowledgement, or a report that refuses it. An error says that it could not be told.
func (x *Inbox) Answer(ctx context.Context, d *pb.Delivery) (*pb.Signed, error) {
	if err := errors.Join(x.Sent.check(), x.Received.check()); err != nil {
		return nil, fault(codes.Unavailable, "unavailable", "STOPPED", "this inbox has stopped")
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if old := x.done[d.GetDeliveryId()]; old != nil {
		x.count(old.origin, d)
		return old.answer, nil
	}
	first, err := x.logs(ctx, d)
	var r *refusal
	if err != nil && !errors.As(err, &r) {
		return nil, fault(codes.Unavailable, "unavailable", "LOG", err.Error())
	}
	var about []byte
	if d.GetStopRequest() != nil {
		about = digest(d.GetStopRequest().GetPayload())
	} else {
		about = digest(d.GetNotification().GetManifest().GetPayload())
	}
	if err == nil {
		if d.GetStopRequest() != nil {
			err = x.stop(d, first)
		} else {
			err = x.take(d, first)
		}
	}
	if err != nil {
		if !errors.As(err, &r) {
			return nil, fault(codes.Internal, "internal", "INTERNAL", "")
		}
		return x.signReport(&pb.Report{DeliveryId: d.GetDeliveryId(), ManifestSha256: about,
			Report: &pb.Report_Refusal{Refusal: &pb.Refusal{Reason: r.reason}}})
	}
	s, err := x.Me.Sign(TypeAcknowledgement, acknowledgement(about))
	if err != nil {
		return nil, err
	}
	kept := &done{answer: s, origin: x.countingOrigin(first.receipt.Checkpoint.Origin)}
	x.done[d.DeliveryId] = kept
	x.count(kept.origin, d)
	return s, nil
}

// countingOrigin is the origin of the sent log of the same generation.
func (x *Inbox) countingOrigin(origin string) string {
	if n := x.Received.generation(origin); n > 0 {
		return x.Sent.Origin + origin[len(x.Received.Origin):]
	}
	return origin
}

// count keeps the highest number up to which nothing is missing.
func (x *Inbox) count(origin string, d *pb.Delivery) {
	if d.Sequence == 0 {
		return
	}
	x.counting = origin
	if h := x.numbers[origin]; d.FollowsSequence <= h && d.Sequence > h {
		x.numbers[origin] = d.Sequence
	}
}

// receipts are the receipts of a delivery, which hold.
type receipts struct {
	receipt, first *Event
	received       bool // the receipt is of the received log
}

// logs verifies the receipts and remembers their checkpoints before anything is used.
func (x *Inbox) logs(ctx context.Context, d *pb.Delivery) (*receipts, error) {
	out := &receipts{}
	bad := badReceipt
	if d.GetStopRequest() != nil {
		bad = badStop
	}
	one := func(r *pb.Receipt) (*Event, bool, error) {
		for i, f := range []*Follower{x.Sent, x.Received} {
			e, err := f.Keys.Receipt(r)
			if err != nil {
				if i == 1 {
					return nil, false, no(bad, err)
				}
				continue
			}
			return e, i == 1, f.Accept(ctx, e.Checkpoint, d.Consistency)
		}
		return nil, false, nil
	}
	var err error
	if out.receipt, out.received, err = one(d.GetReceipt()); err != nil {
		return nil, err
	}
	if d.FirstReceipt != nil {
		var received bool
		if out.first, received, err = one(d.FirstReceipt); err != nil {
			return nil, err
		}
		if received {
			return nil, no(bad, errors.New("the first receipt is of the received log"))
		}
	}
	return out, nil
}

// take checks a notification, in the order of the page, and stores it.
func (x *Inbox) take(d *pb.Delivery, r *receipts) error {
	n, e := d.GetNotification(), r.receipt
	sha := digest(n.GetManifest().GetPayload())
	at := e.Core.EventTime.AsTime()
	kind, judge := logpb.Kind_KIND_DECIDED, at
	if r.received {
		kind = logpb.Kind_KIND_REDIRECTED
		f := r.first
		if f == nil || f.Kind != logpb.Kind_KIND_DECIDED || f.Core.Outcome != pb.Outcome_OUTCOME_SHARE || !bytes.Equal(f.ID, e.Core.FollowsEvent) ||
			!bytes.Equal(f.Core.ManifestSha256, e.Core.ManifestSha256) || !within(e.Core.SectionsSha256, f.Core.SectionsSha256) {
			return no(badReceipt, errors.New("the first decision"))
		}
		judge = f.Core.EventTime.AsTime()
	}
	if e.Kind != kind || e.Core.Outcome != pb.Outcome_OUTCOME_SHARE {
		return no(badReceipt, errors.New("not a decision to share"))
	}
	if !x.hadIt(d.Acknowledgement, sha, at) && !x.Now().Before(e.Core.ValidUntilTime.AsTime()) {
		return no(stale, errors.New("no longer valid"))
	}
	c, err := (&Reader{Trust: x.Trust, Audience: x.Trust.Domain, Judge: judge, Now: at}).check(n)
	if err != nil {
		return no(badSignature, err)
	}
	offer := c.Manifest.GetOffer()
	if offer == nil {
		return no(badSignature, errors.New("no offer"))
	}
	authority, keyID := offer.Authority, offer.RecipientKeyId
	var red *pb.Redirect
	if r.received {
		if red, err = x.redirection(n, c, at); err != nil {
			return no(badSignature, err)
		}
		authority, keyID = red.Authority, red.RecipientKeyId
	} else if len(n.Redirections) > 0 {
		return no(badSignature, errors.New("a redirection that nobody decided"))
	}
	if !bytes.Equal(e.Core.ManifestSha256, sha) || !sameList(e.Core.SectionsSha256, sectionDigests(n.Sections)) || len(n.Sections) == 0 {
		return no(badReceipt, errors.New("of other sections"))
	}
	if authority != x.Me.ID {
		return no(wrongAuthority, errors.New(authority))
	}
	key := x.keys[keyID]
	if key == nil {
		return no(keyUnknown, errors.New(keyID))
	}
	it := &Item{ID: c.Manifest.NotificationId, DeliveryID: d.DeliveryId, Sender: c.Sender, Manifest: c.Manifest, SHA256: sha, Decision: d.Decision,
		Facts: c.Facts, Sections: map[string]proto.Message{}, raw: n, keys: map[string][]byte{}}
	it.Reference, _ = Reference(it.ID)
	if r.received {
		it.PassedOnBy = x.Trust.inboxURI(offer.Authority)
	}
	if err := x.open(it, key, red); err != nil {
		return no(badSection, err)
	}
	return x.store(it)
}

// hadIt says whether a delivery comes with our own acknowledgement, which we lost.
func (x *Inbox) hadIt(s *pb.Signed, sha []byte, at time.Time) bool {
	if s == nil || !bytes.Equal(s.Payload, acknowledgement(sha)) {
		return false
	}
	return x.Trust.verifyBy(s, TypeAcknowledgement, x.Me.URI, x.Now()) == nil || x.Trust.verifyBy(s, TypeAcknowledgement, x.Me.URI, at) == nil
}

// open opens every section of an item; one that does not open fails all.
func (x *Inbox) open(it *Item, seed []byte, red *pb.Redirect) error {
	offer := it.Manifest.GetOffer()
	enc, from, keyID := offer.EncapsulatedKey, x.Trust.deskURI(it.Manifest.Sender.PrisonId), offer.RecipientKeyId
	sealed := map[string]*pb.SealedSection{}
	if red != nil {
		r := it.raw.Redirections[0]
		enc, from, keyID = r.EncapsulatedKey, x.Trust.inboxURI(offer.Authority), red.RecipientKeyId
		for _, s := range r.SectionKeys {
			sealed[s.Path] = s
		}
	}
	ctx, err := Unsealing(seed, enc, it.ID, from, keyID)
	if err != nil {
		return err
	}
	for _, s := range it.raw.Sections {
		k, err := ctx.Key(s.Path)
		if err != nil {
			return err
		}
		if red != nil {
			if k, err = openUnder(k, it.ID, sealed[s.Path]); err != nil || len(k) != 32 {
				return errors.New("no section key")
			}
		}
		m, err := openSection(k, it.ID, s)
		if err != nil {
			return err
		}
		it.Sections[s.Path], it.keys[s.Path] = m, k
	}
	return nil
}

// store keeps an item, unless it was withdrawn, and compares facts with values.
func (x *Inbox) store(it *Item) error {
	id := hex.EncodeToString(it.SHA256)
	g := x.gone[id]
	if g != nil && g.All {
		return no(wasWithdrawn, errors.New("withdrawn"))
	}
	if x.items[id] != nil {
		return nil // shown once, however often it comes
	}
	if g != nil {
		it.drop(g.Paths)
	}
	m := it.Manifest
	for _, o := range x.order {
		changed := func(a *pb.Manifest, b *Item) bool {
			return a.GetOffer().GetChangeReason() == pb.ChangeReason_CHANGE_REASON_KEY_CHANGED && a.Supersedes == b.ID &&
				a.GetSender().GetPrisonId() == b.Manifest.GetSender().GetPrisonId()
		}
		it.Hidden = it.Hidden || changed(m, o) || changed(o.Manifest, it)
	}
	x.items[id], x.order = it, append(x.order, it)
	if it.Mismatch = Mismatches(it.Facts, it.Sections); len(it.Mismatch) > 0 {
		return x.pend(&pb.Report{DeliveryId: it.DeliveryID, ManifestSha256: it.SHA256,
			Report: &pb.Report_FactsMismatch{FactsMismatch: &pb.FactsMismatch{Paths: it.Mismatch}}}, nil)
	}
	return nil
}

// drop deletes what was withdrawn of an item, and all when nothing is left.
func (it *Item) drop(paths []string) {
	for _, w := range paths {
		for p := range it.Sections {
			if covers(w, p) {
				delete(it.Sections, p)
				delete(it.keys, p)
			}
		}
		it.raw.Sections = slices.DeleteFunc(it.raw.Sections, func(s *pb.SealedSection) bool { return covers(w, s.Path) })
	}
	for n := range it.Facts {
		if !slices.ContainsFunc(it.raw.Sections, func(s *pb.SealedSection) bool { _, k := rowOf(s.Path); return k == n }) {
			delete(it.Facts, n)
		}
	}
}

// stop takes a stop request: it needs nobody's agreement.
func (x *Inbox) stop(d *pb.Delivery, r *receipts) error {
	s, e, req := d.GetStopRequest(), r.receipt, &pb.StopRequest{}
	p, err := x.Trust.Verify(s, TypeStopRequest, e.Core.EventTime.AsTime())
	if err == nil {
		err = parseKnown(s.Payload, req)
	}
	switch {
	case err != nil:
	case p.Kind != KindDesk, e.Kind != logpb.Kind_KIND_STOP_ASKED, !bytes.Equal(e.Core.SubjectSha256, digest(s.Payload)),
		len(req.ManifestSha256) > 0 && !bytes.Equal(req.ManifestSha256, e.Core.ManifestSha256):
		err = errors.New("not what the log says")
	}
	if err != nil {
		return no(badStop, err)
	}
	id := hex.EncodeToString(e.Core.ManifestSha256)
	it := x.items[id]
	g := x.gone[id]
	if g == nil {
		g = &gone{}
		x.gone[id] = g
	}
	if len(req.Paths) == 0 {
		g.All = true
		x.order = slices.DeleteFunc(x.order, func(o *Item) bool { return o == it })
		delete(x.items, id)
	} else {
		g.Paths = append(g.Paths, req.Paths...)
		if it != nil {
			it.drop(req.Paths)
		}
	}
	x.asked = append(x.asked, &Stop{d.DeliveryId, e.Core.ManifestSha256, req.Paths, it != nil})
	if it == nil {
		return x.pend(&pb.Report{DeliveryId: d.DeliveryId, ManifestSha256: e.Core.ManifestSha256,
			Report: &pb.Report_StopAnswer{StopAnswer: &pb.StopAnswer{Code: pb.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}}}, nil)
	}
	return nil
}
