package stranger

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"slices"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

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
		if e, _, err := x.receipt(d.GetReceipt()); err == nil {
			x.count(x.countingOrigin(e.Checkpoint.Origin), d)
		}
		return old, nil
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
	x.done[d.DeliveryId] = s
	x.count(x.countingOrigin(first.receipt.Checkpoint.Origin), d)
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
	if d.SequenceOrigin != "" {
		origin = d.SequenceOrigin
	}
	if h := x.numbers[origin]; d.FollowsSequence <= h && d.Sequence > h {
		x.counting, x.numbers[origin] = origin, d.Sequence
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
		e, received, err := x.receipt(r)
		if errors.Is(err, errNoKey) {
			return nil, false, err // it may come
		}
		if err != nil {
			return nil, false, no(bad, err)
		}
		f := x.Sent
		if received {
			f = x.Received
		}
		return e, received, f.Accept(ctx, e.Checkpoint, d.Consistency)
	}
	var err error
	if out.receipt, out.received, err = one(d.GetReceipt()); err != nil || d.FirstReceipt == nil {
		return out, err
	}
	var received bool
	if out.first, received, err = one(d.FirstReceipt); err == nil && received {
		err = no(bad, errors.New("the first receipt is of the received log"))
	}
	return out, err
}

// receipt checks a receipt of either log, and says whether it is of the received one.
func (x *Inbox) receipt(r *pb.Receipt) (*Event, bool, error) {
	e, sent := x.Sent.Keys.Receipt(r)
	if sent == nil {
		return e, false, nil
	}
	e, err := x.Received.Keys.Receipt(r)
	if errors.Is(sent, errNoKey) {
		err = sent
	}
	return e, true, err
}

// take checks a notification, in the order of the page, and stores it.
func (x *Inbox) take(d *pb.Delivery, r *receipts) error {
	n, e := d.GetNotification(), r.receipt
	sha := digest(n.GetManifest().GetPayload())
	at := e.Core.EventTime.AsTime()
	kind, judge := logpb.Kind_KIND_DECIDED, at
	passedOn := len(n.GetRedirections()) > 0
	if passedOn != r.received {
		return no(badReceipt, errors.New("of the other log"))
	}
	if passedOn {
		kind = logpb.Kind_KIND_REDIRECTED
	}
	if f := r.first; passedOn || f != nil {
		if f == nil || f.Kind != logpb.Kind_KIND_DECIDED || f.Core.Outcome != pb.Outcome_OUTCOME_SHARE || passedOn && !bytes.Equal(f.ID, e.Core.FollowsEvent) ||
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
	c, err := (&Reader{Trust: x.Trust, Audience: x.Trust.Domain, Now: judge, Whole: passedOn}).check(n)
	if err != nil {
		return no(badSignature, err)
	}
	offer := c.Manifest.GetOffer()
	if offer == nil {
		return no(badSignature, errors.New("no offer"))
	}
	authority, keyID := offer.Authority, offer.RecipientKeyId
	var red *pb.Redirect
	if passedOn {
		if red, err = x.redirection(n, c, at); err != nil {
			return no(badSignature, err)
		}
		authority, keyID = red.Authority, red.RecipientKeyId
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
	it := &Item{ID: c.Manifest.NotificationId, DeliveryID: d.DeliveryId, Sender: c.Sender, Manifest: c.Manifest, SHA256: sha, Facts: c.Facts, Sections: map[string]proto.Message{}, raw: n, keys: map[string][]byte{},
		generation: max(x.Sent.generation(e.Checkpoint.Origin), x.Received.generation(e.Checkpoint.Origin)), index: e.Index}
	if passedOn {
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
	times := []time.Time{x.Now(), at}
	if len(s.Signatures) == 1 && len(s.Signatures[0].Certificates) > 0 {
		if leaf, err := x509.ParseCertificate(s.Signatures[0].Certificates[0]); err == nil {
			times = append(times, leaf.NotBefore)
		}
	}
	return slices.ContainsFunc(times, func(at time.Time) bool { return x.Trust.verifyBy(s, TypeAcknowledgement, x.Me.URI, at) == nil })
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
		if o.ID == it.ID && o.Sender == it.Sender { // the later decision under one id counts
			it.Hidden, o.Hidden = it.Hidden || o.after(it), o.Hidden || it.after(o)
		}
	}
	x.items[id], x.order = it, append(x.order, it)
	if it.Mismatch = Mismatches(it.Facts, it.Sections); len(it.Mismatch) > 0 {
		return x.pend(&pb.Report{DeliveryId: it.DeliveryID, NotificationId: it.ID, ManifestSha256: it.SHA256,
			Report: &pb.Report_FactsMismatch{FactsMismatch: &pb.FactsMismatch{Paths: it.Mismatch}}})
	}
	return nil
}

// after says whether an item was shared after another: in a later generation of its log, or at a later leaf.
func (it *Item) after(o *Item) bool {
	return it.generation > o.generation || it.generation == o.generation && it.index > o.index
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
	asked := e.Core.EventTime.AsTime()
	if f := r.first; f != nil && f.Kind == logpb.Kind_KIND_WITHDRAWN && bytes.Equal(f.ID, e.Core.FollowsEvent) {
		asked = f.Core.EventTime.AsTime()
	}
	p, err := x.Trust.Verify(s, TypeStopRequest, asked)
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
	name := req.NotificationId
	if it != nil {
		name = it.ID
	}
	x.asked = append(x.asked, &Stop{d.DeliveryId, name, e.Core.ManifestSha256, req.Paths, it != nil})
	if it == nil {
		return x.pend(&pb.Report{DeliveryId: d.DeliveryId, NotificationId: name, ManifestSha256: e.Core.ManifestSha256,
			Report: &pb.Report_StopAnswer{StopAnswer: &pb.StopAnswer{Code: pb.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}}})
	}
	return nil
}
