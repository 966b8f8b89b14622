package inbox

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/form"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Deliver takes one delivery: follow, check, open, keep, acknowledge. A refusal is a signed report, not an error: an
// error means that the inbox could not say, and the hub tries again.
func (in *Inbox) Deliver(ctx context.Context, req *posternv1.DeliverRequest) (*posternv1.DeliverResponse, error) {
	if caller, _ := rpc.Party(ctx); caller != in.cfg.HubParty {
		// Another hub of the same authority could ask which deliveries we have.
		return nil, fault.New(fault.Denied, "NOT_OUR_HUB", "This inbox takes deliveries from its own hub only.")
	}
	return in.delivered(ctx, req.GetDelivery())
}

// delivered takes a delivery, sent or collected.
func (in *Inbox) delivered(ctx context.Context, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	if err := in.follows(ctx, d); err != nil {
		return nil, err
	}
	answer, err := in.take(ctx, d)
	if err != nil {
		return nil, err
	}
	if answer.Held, err = in.held(ctx); err != nil {
		return nil, err
	}
	known, err := in.follow.Ask()
	answer.KnownLogs = known.Known() // beside the answer that was kept: the proofs of the next delivery start here
	return answer, err
}

// follows holds the log that a delivery's receipt is from against what is known of it. A receipt that does not verify is
// left to be refused. What is wrong with the log is an error and no refusal: a refusal would end the delivery, and with a
// hub that can be trusted again it is as good as ever.
func (in *Inbox) follows(ctx context.Context, d *posternv1.Delivery) error {
	err := in.follow.Stopped()
	if event, wrong := verify.Receipt(d.GetReceipt(), in.cfg.AllLogs); err == nil && wrong == nil {
		err = in.follow.Given(ctx, d.GetConsistency(), follow.SeenIn(event))
	}
	if err == nil {
		return nil
	}
	in.deliveries(fault.From(err).Reason)
	return fault.New(fault.Unavailable, fault.From(err).Reason, "The inbox cannot take this: the hub's log is not proved to continue what the inbox has seen of it.").Because(err)
}

func (in *Inbox) take(ctx context.Context, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	if earlier, err := in.answered(ctx, d.GetDeliveryId()); err != nil || earlier != nil {
		if err == nil {
			err = in.noteAgain(ctx, d)
		}
		return earlier, err
	}
	if err := in.keyMissing(ctx, d); err != nil {
		return nil, err
	}
	if d.GetStopRequest() != nil {
		return in.stop(ctx, d)
	}
	v, origin, reason := in.check(d)
	if reason != 0 {
		return in.refuse(ctx, d, reason)
	}
	opened, reason := in.open(v)
	if reason != 0 {
		return in.refuse(ctx, d, reason)
	}
	answer, err := in.accept(ctx, d, v, opened, origin)
	if errors.Is(err, errWithdrawn) {
		return in.refuse(ctx, d, posternv1.RefusalReason_REFUSAL_REASON_WITHDRAWN)
	}
	return answer, err
}

// keyMissing says that we lack the key of the hub's log, as in the minutes after a new generation was opened. That is
// nothing against the delivery, and no refusal, which would end it: it comes again.
func (in *Inbox) keyMissing(ctx context.Context, d *posternv1.Delivery) error {
	if !in.cfg.AllLogs.Lack(d.GetReceipt()) && !in.cfg.AllLogs.Lack(d.GetFirstReceipt()) {
		return nil
	}
	in.deliveries("LOG_KEY_MISSING")
	in.cfg.Log.ErrorContext(ctx, "a delivery waits, since this inbox lacks a verifier key of the hub's log", "delivery", d.GetDeliveryId())
	return fault.New(fault.Unavailable, "LOG_KEY_MISSING", "The inbox lacks a verifier key of the hub's log. Its operator adds the key under `hub.log_keys` or `hub.received_keys`.")
}

// errWithdrawn: all of this manifest was withdrawn, so this is a late copy.
var errWithdrawn = fault.New(fault.Precondition, "WITHDRAWN", "This was withdrawn.")

// answered returns the answer to a delivery that was acknowledged before. It is signed anew: the hub judges the certificate of
// the hour in which it hears, and that of the first answer may have been renewed since.
func (in *Inbox) answered(ctx context.Context, deliveryID string) (*posternv1.DeliverResponse, error) {
	if deliveryID == "" {
		return nil, fault.InvalidFields("NO_DELIVERY_ID", "The delivery has no id.", []fault.Field{{Path: "delivery.delivery_id", Reason: "Missing.", Fix: "Give the delivery an id."}})
	}
	var row []byte
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		row, err = s.Get(schema.InboxDelivery, []byte(deliveryID))
		return err
	})
	if err != nil || row == nil {
		return nil, err
	}
	out := &posternv1.DeliverResponse{}
	if err := proto.Unmarshal(row, out); err != nil {
		return nil, fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
	}
	signed, err := envelope.SignStatement(in.cfg.Identity, envelope.TypeAcknowledgement, out.GetAcknowledgement().GetPayload())
	out.Answer = &posternv1.DeliverResponse_Acknowledgement{Acknowledgement: signed}
	return out, err
}

// check holds the delivery against the ledger and the desk: the receipt proves a recorded SHARE that is still valid,
// for this manifest and exactly these sections; the desk signed the manifest; it is for us. It returns the origin of the
// log that vouches for it too.
func (in *Inbox) check(d *posternv1.Delivery) (v *envelope.Verified, origin string, reason posternv1.RefusalReason) {
	event, as, ok := in.vouched(d)
	if !ok {
		return nil, "", posternv1.RefusalReason_REFUSAL_REASON_BAD_RECEIPT
	}
	if !in.cfg.Clock().Before(event.Core.GetValidUntilTime().AsTime()) && !in.had(d, event) {
		return nil, "", posternv1.RefusalReason_REFUSAL_REASON_STALE_DECISION
	}
	v, err := envelope.Verify(d.GetNotification(), as)
	if err != nil {
		return nil, "", posternv1.RefusalReason_REFUSAL_REASON_BAD_SIGNATURE
	}
	if !bytes.Equal(event.Core.GetManifestSha256(), v.ManifestSHA256()) ||
		!slices.EqualFunc(event.Core.GetSectionsSha256(), v.Digests(), bytes.Equal) || len(v.Digests()) == 0 {
		return nil, "", posternv1.RefusalReason_REFUSAL_REASON_BAD_RECEIPT
	}
	if to, _ := v.Recipient(); to != in.cfg.Identity.Party().ID {
		return nil, "", posternv1.RefusalReason_REFUSAL_REASON_WRONG_AUTHORITY
	}
	return v, event.Origin, 0
}

// vouched is the event that lets a delivery go, and how it is to be verified: by the desk's certificate as it was at the
// first decision, since what was rightly sent stays rightly sent. What the prison sent here is vouched for by the sent log and
// nothing else. What another team passed on is so by the received log, where its redirect is, and by the decision that it
// follows: the sections are among those that the team was sent itself.
func (in *Inbox) vouched(d *posternv1.Delivery) (event *verify.Event, as envelope.VerifyConfig, ok bool) {
	as = envelope.VerifyConfig{Audience: in.cfg.Identity.Party().Domain, Anchors: in.cfg.Anchors}
	shares := func(r *posternv1.Receipt, keys verify.Keys, kind logv1.Kind) bool {
		e, err := verify.Receipt(r, keys)
		event = e
		return err == nil && e.Kind == kind && e.Core.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
	}
	if len(d.GetNotification().GetRedirections()) == 0 {
		if ok = shares(d.GetReceipt(), in.cfg.LogKeys, logv1.Kind_KIND_DECIDED); !ok {
			return event, as, false
		}
		as.At = event.Core.GetEventTime().AsTime()
		if newest := event; d.GetFirstReceipt() != nil { // it was decided again
			ok = shares(d.GetFirstReceipt(), in.cfg.LogKeys, logv1.Kind_KIND_DECIDED) && within(newest, event)
			as.At, event = event.Core.GetEventTime().AsTime(), newest
		}
		return event, as, ok
	}
	if !shares(d.GetFirstReceipt(), in.cfg.LogKeys, logv1.Kind_KIND_DECIDED) {
		return nil, as, false
	}
	first := event
	if !shares(d.GetReceipt(), in.cfg.AllLogs, logv1.Kind_KIND_REDIRECTED) {
		return nil, as, false
	}
	as.At, as.Redirected = first.Core.GetEventTime().AsTime(), event.Core.GetEventTime().AsTime()
	return event, as, within(event, first) && bytes.Equal(event.Core.GetFollowsEvent(), first.EventID[:])
}

// within reports whether an event is about the manifest of another one, and about none but its sections.
func within(event, first *verify.Event) bool {
	return bytes.Equal(event.Core.GetManifestSha256(), first.Core.GetManifestSha256()) &&
		!slices.ContainsFunc(event.Core.GetSectionsSha256(), func(d []byte) bool {
			return !slices.ContainsFunc(first.Core.GetSectionsSha256(), func(s []byte) bool { return bytes.Equal(s, d) })
		})
}

func (in *Inbox) open(v *envelope.Verified) ([]envelope.Plain, posternv1.RefusalReason) {
	_, id := v.Recipient()
	key, ok := in.ring.key(id)
	if !ok {
		return nil, posternv1.RefusalReason_REFUSAL_REASON_KEY_UNKNOWN
	}
	opened, err := v.Open(key)
	if err != nil {
		return nil, posternv1.RefusalReason_REFUSAL_REASON_BAD_SECTION
	}
	return opened, 0
}

// accept keeps the item and the answer in one transaction and answers after it. A crash before the commit: the hub
// sends again. A crash after it: the hub sends again and gets the answer that was kept.
func (in *Inbox) accept(ctx context.Context, d *posternv1.Delivery, v *envelope.Verified, opened []envelope.Plain, origin string) (*posternv1.DeliverResponse, error) {
	answer, err := in.acknowledge(v.ManifestSHA256())
	if err != nil {
		return nil, err
	}
	if err := failpoint.Hit(failpoint.InboxChecked); err != nil {
		return nil, err
	}
	contradicted := contradictions(v, opened)
	item, err := in.item(d, v, opened, len(contradicted) > 0)
	if err != nil {
		return nil, err
	}
	report, err := in.mismatchReport(d, v, contradicted)
	if err != nil {
		return nil, err
	}
	if err := in.keep(ctx, d, v, item, answer, report, origin); err != nil {
		return nil, err
	}
	if err := failpoint.Hit(failpoint.InboxKept); err != nil {
		return nil, err
	}
	in.deliveries("taken")
	in.cfg.Log.InfoContext(ctx, "delivery acknowledged", "delivery", d.GetDeliveryId(), "reference", item.GetItem().GetReference(), "facts_mismatch", len(contradicted) > 0)
	return answer, nil
}

// contradictions names the sections whose values contradict the facts that the hub decided on.
func contradictions(v *envelope.Verified, opened []envelope.Plain) []string {
	values := map[string]proto.Message{}
	for _, s := range opened {
		values[s.Path] = s.Message
	}
	return form.CompareFacts(v.Children(), values)
}

// item is what the team sees.
func (in *Inbox) item(d *posternv1.Delivery, v *envelope.Verified, opened []envelope.Plain, mismatch bool) (*localv1.GetItemResponse, error) {
	m := v.Manifest()
	out := &localv1.GetItemResponse{
		Item: &localv1.Item{
			Id: m.GetNotificationId(), Reference: envelope.Reference(m.GetNotificationId()), PrisonId: m.GetSender().GetPrisonId(),
			ReceiveTime: timestamppb.New(in.cfg.Clock().Truncate(time.Second)), Children: uint32(len(v.Children())), ChildNumbers: numbersOf(v.Children()),
			Route: plain.Enum(m.GetOffer().GetRoute()), FactsMismatch: mismatch,
		},
		NotShared: notShared(v, opened), Decision: d.GetDecision(), Sender: m.GetSender(), Receipt: d.GetReceipt(), FirstReceipt: d.GetFirstReceipt(),
		SignedSupersedes: m.GetSupersedes(), SignedChangeReason: m.GetOffer().GetChangeReason(),
	}
	if by, ok := v.Redirector(); ok {
		out.Item.PassedOnBy = by.ID
	}
	if c := m.GetOffer().GetConsent(); c != nil {
		out.Consent, out.ConsentExpireTime = c, timestamppb.New(consent.Expiry(c)) // also where the consent names no end
	}
	for _, s := range opened {
		b, err := proto.Marshal(s.Message)
		if err != nil {
			return nil, fault.From(err)
		}
		out.Sections = append(out.Sections, &localv1.OpenedSection{Path: s.Path, Content: b})
		out.Item.Paths = append(out.Item.Paths, s.Path)
	}
	return out, nil
}

// numbersOf are the numbers of children in the form they stand in, in order.
func numbersOf(children []*posternv1.ChildFacts) (all []uint32) {
	for _, c := range children {
		all = append(all, c.GetNumber())
	}
	slices.Sort(all)
	return all
}

// notShared names every section of the form that could have come and did not, so that a team sees "Not shared" and
// never mistakes silence for "no". It says nothing of why, and nothing of children it was not sent.
func notShared(v *envelope.Verified, opened []envelope.Plain) []string {
	var out []string
	for _, s := range section.All() {
		if s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT {
			continue
		}
		numbers := []int{0}
		if s.PerChild {
			numbers = nil
			for _, c := range v.Children() {
				numbers = append(numbers, int(c.GetNumber()))
			}
		}
		for _, n := range numbers {
			path := s.Path(n)
			if !slices.ContainsFunc(opened, func(p envelope.Plain) bool { return p.Path == path }) {
				out = append(out, path)
			}
		}
	}
	return out
}

// keep writes all of it, or nothing. An item with the same manifest that is there already stays as it is: shown once.
// Whether it was withdrawn is read in the same transaction, so that a stop request is never overtaken.
func (in *Inbox) keep(ctx context.Context, d *posternv1.Delivery, v *envelope.Verified, item *localv1.GetItemResponse, answer *posternv1.DeliverResponse, report []byte, origin string) error {
	key := v.ManifestSHA256()
	sealed, err := in.seal(schema.InboxItem, key, item)
	if err != nil {
		return err
	}
	kept, err := proto.Marshal(answer)
	if err != nil {
		return fault.From(err)
	}
	in.showing.Lock()
	defer in.showing.Unlock()
	switch shown, err := in.shown(ctx, v.Manifest()); {
	case err != nil:
		return err
	case shown:
		return in.keepAnswer(ctx, d, kept, origin)
	}
	before, newer, err := in.sameID(ctx, d, v)
	switch {
	case err != nil:
		return err
	case newer:
		return in.keepAnswer(ctx, d, kept, origin)
	}
	tell, again := false, in.wasHere(d)
	reference := append(join(item.GetItem().GetReference(), item.GetItem().GetId(), ""), key...)
	err = in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		earlier, err := tx.Get(schema.InboxItem, key)
		if err != nil {
			return err
		}
		t, err := readTombstone(tx, key)
		if err != nil {
			return err
		}
		if !t.about(v.Manifest().GetNotificationId()) { // the hub said of a request about another one that it was about this
			if t, err = (tombstone{}), tx.Delete(schema.InboxTombstone, key); err != nil {
				return err
			}
		}
		if t.Whole {
			return errWithdrawn
		}
		if err := in.note(tx, d, origin); err != nil {
			return err
		}
		if err := tx.Put(schema.InboxDelivery, []byte(d.GetDeliveryId()), kept); err != nil {
			return err
		}
		if earlier != nil { // what this hub lets through is what may be passed on again
			more, err := in.addMore(tx, key, earlier, without(item, t), again)
			if err != nil {
				return err
			}
			if tell, err = in.cameAgain(tx, key, origin); err != nil || !tell && (!more || item.GetItem().GetPassedOnBy() != "") {
				return err
			}
			return in.keepSealed(tx, key, v.Signed(), t)
		}
		left := item
		if len(before) > 0 || len(t.Paths) > 0 {
			left = without(item, t)
			if err := in.takePlace(tx, left, before); err != nil {
				return err
			}
			if sealed, err = in.seal(schema.InboxItem, key, left); err != nil {
				return err
			}
		}
		if err := tx.Put(schema.InboxItem, key, sealed); err != nil {
			return err
		}
		if _, err := in.handOver(tx, came(left, key, again)); err != nil {
			return err
		}
		if item.GetItem().GetPassedOnBy() == "" {
			if err := in.keepSealed(tx, key, v.Signed(), t); err != nil {
				return err
			}
		}
		if err := putReplaces(tx, v.Manifest()); err != nil {
			return err
		}
		if err := tx.Put(schema.InboxReference, reference, []byte{1}); err != nil || report == nil {
			return err
		}
		return in.spoolReport(tx, d.GetDeliveryId(), report)
	})
	if err == nil && report != nil {
		in.wakeUp()
	}
	in.wakeOutlets()
	if tell {
		in.wakeRedirects()
	}
	return err
}

// refuse answers with a signed report. It keeps nothing: the same delivery again is checked again, and may then hold,
// as when a key was restored.
func (in *Inbox) refuse(ctx context.Context, d *posternv1.Delivery, reason posternv1.RefusalReason) (*posternv1.DeliverResponse, error) {
	in.deliveries(plain.Enum(reason))
	in.cfg.Log.ErrorContext(ctx, "delivery refused", "delivery", d.GetDeliveryId(), "reason", plain.Enum(reason))
	r := &posternv1.Report{
		DeliveryId: d.GetDeliveryId(), ManifestSha256: subject(d), ReportTime: in.now(),
		Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: reason}},
	}
	signed, err := in.sign(r)
	if err != nil {
		return nil, err
	}
	return &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Report{Report: signed}}, nil
}
