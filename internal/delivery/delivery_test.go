package delivery_test

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/delivery"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestASharedNotificationArrivesWithItsReceipt(t *testing.T) {
	h := newHub(t)
	var got *posternv1.Delivery
	h.listen("bristol.test:1", h.honest(func(d *posternv1.Delivery) { got = d }))
	out, ev := h.outgoing(bristol)
	event := value(h.enqueue(out, ev))(t)
	h.share(lancs) // something else for the log, and for another line

	h.pass(time.Minute)
	if !h.step() {
		t.Fatal("nothing was due")
	}
	if got.GetSequence() != 1 || got.GetDeliveryId() == "" || !proto.Equal(got.GetDecision(), out.Decision) || !proto.Equal(got.GetNotification(), out.Notification) {
		t.Errorf("delivered %v", got)
	}
	proven := value(verify.Receipt(got.GetReceipt(), h.keys))(t)
	if proven.EventID != event || proven.Kind != logv1.Kind_KIND_DECIDED || proven.Size != 2 {
		t.Errorf("receipt of event %x, kind %v, size %d; want %x, decided, the newest size 2", proven.EventID, proven.Kind, proven.Size, event)
	}

	events := h.received()
	if len(events) != 1 {
		t.Fatalf("%d events in the received log, want 1", len(events))
	}
	e := events[0]
	if e.Leaf.Kind != logv1.Kind_KIND_DELIVERED || !bytes.Equal(e.Core.GetFollowsEvent(), event[:]) || !bytes.Equal(e.Core.GetManifestSha256(), out.ManifestSHA256) ||
		e.Details.GetCaller() != "spiffe://postern.test/authority/E06000023/inbox" || e.Details.GetNotificationId() != out.NotificationID ||
		e.Details.GetDeliveryId() != got.GetDeliveryId() || e.Details.GetAuthority() != bristol {
		t.Errorf("event %v %v %v", e.Leaf.Kind, e.Core, e.Details)
	}
	updates := h.updates()
	if len(updates) != 1 || updates[0].GetNotificationId() != out.NotificationID || !bytes.Equal(updates[0].GetAcknowledgement().GetPayload(), append([]byte{0x0a, 32}, out.ManifestSHA256...)) {
		t.Errorf("updates %v", updates)
	}
	if at := updates[0].GetUpdateTime().AsTime(); !at.Equal(morning.Truncate(time.Hour)) {
		t.Errorf("update at %v, want the whole hour", at)
	}
	if _, ok := h.head(bristol); ok || h.records(schema.HubKept) != 1 || h.records(schema.HubOutboxBody) != 2 {
		t.Error("a delivered notification is still in the outbox, or was not kept with its content")
	}
}

func TestTheOutboxHoldsNoContentInClear(t *testing.T) {
	h := newHub(t)
	h.share(bristol)
	for _, ks := range schema.Hub.Keyspaces {
		must(t, h.store.View(t.Context(), func(s store.Snapshot) error {
			return s.Scan(ks, nil, nil, func(k, v []byte) (bool, error) {
				if bytes.Contains(v, []byte("canary")) || bytes.Contains(k, []byte("canary")) {
					t.Errorf("keyspace %s holds a section that the vault did not seal", ks)
				}
				return true, nil
			})
		}))
	}
}

func TestNoEntryNoRelease(t *testing.T) {
	h := newHub(t)
	out, ev := h.outgoing(bristol)
	var kept ledger.Entry
	must(t, h.ledger.Append(t.Context(), func(tx *ledger.Tx) (err error) {
		kept, err = tx.Record(ledger.Sent, ev)
		return err
	}))
	other, _ := h.outgoing(bristol)
	changed := func(change func(*delivery.Outgoing)) delivery.Outgoing {
		c := out
		c.Notification = proto.CloneOf(out.Notification)
		change(&c)
		return c
	}
	event := func(change func(*logv1.Core)) ledger.Event {
		e := ev
		e.Core = proto.CloneOf(ev.Core)
		change(e.Core)
		return e
	}
	for _, c := range []struct {
		name   string
		out    delivery.Outgoing
		ev     ledger.Event
		entry  func(own ledger.Entry) ledger.Entry
		reason string
	}{
		{"the zero entry", out, ev, func(ledger.Entry) ledger.Entry { return ledger.Entry{} }, "NO_ENTRY"},
		{"another transaction's entry", out, ev, func(ledger.Entry) ledger.Entry { return kept }, "NO_ENTRY"},
		{"another notification", other, ev, nil, "NOT_A_SHARE"},
		{"nothing", delivery.Outgoing{}, ev, nil, "NOT_A_SHARE"},
		{"no destination", changed(func(o *delivery.Outgoing) { o.Authority = "" }), ev, nil, "NOT_A_SHARE"},
		{"a section too many", changed(func(o *delivery.Outgoing) {
			o.Notification.Sections = append(o.Notification.Sections, &posternv1.SealedSection{Path: "child/1/phone", Ciphertext: []byte("x")})
		}), ev, nil, "NOT_A_SHARE"},
		{"a section twice", changed(func(o *delivery.Outgoing) { o.Notification.Sections[1] = o.Notification.Sections[0] }), ev, nil, "NOT_A_SHARE"},
		{"a section too few", changed(func(o *delivery.Outgoing) { o.Notification.Sections = o.Notification.Sections[1:] }), ev, nil, "NOT_A_SHARE"},
		{"a section under another path", changed(func(o *delivery.Outgoing) { o.Notification.Sections[0].Path = "parent/birth" }), ev, nil, "NOT_A_SHARE"},
		{"another manifest", changed(func(o *delivery.Outgoing) { o.Notification.Manifest.Payload[3] ^= 1 }), ev, nil, "NOT_A_SHARE"},
		{"a decision to wait", out, event(func(c *logv1.Core) { c.Outcome = posternv1.Outcome_OUTCOME_WAIT }), nil, "NOT_A_SHARE"},
		{"a decision for ever", out, event(func(c *logv1.Core) { c.ValidUntilTime = nil }), nil, "NOT_A_SHARE"},
		{"an event about nothing", out, event(func(c *logv1.Core) { proto.Reset(c) }), nil, "NOT_A_SHARE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			size, _, _ := h.ledger.Head(ledger.Sent)
			err := h.ledger.Append(t.Context(), func(tx *ledger.Tx) error {
				e, err := tx.Record(ledger.Sent, c.ev)
				if err != nil {
					return err
				}
				if c.entry != nil {
					e = c.entry(e)
				}
				return h.Enqueue(tx, e, c.out)
			})
			if fault.From(err).Reason != c.reason {
				t.Errorf("error %v, want %s", err, c.reason)
			}
			if after, _, _ := h.ledger.Head(ledger.Sent); after != size || h.records(schema.HubOutbox)+h.records(schema.HubOutboxBody)+h.records(schema.HubSequence) != 0 {
				t.Error("a refused release left something behind")
			}
		})
	}
	t.Run("one entry for two deliveries", func(t *testing.T) {
		err := h.ledger.Append(t.Context(), func(tx *ledger.Tx) error {
			e, err := tx.Record(ledger.Sent, ev)
			return errors.Join(err, h.Enqueue(tx, e, out), h.Enqueue(tx, e, out))
		})
		if fault.From(err).Reason != "ENTRY_USED" || h.records(schema.HubOutbox) != 0 {
			t.Errorf("error %v, %d items in the outbox", err, h.records(schema.HubOutbox))
		}
	})
}

func TestStatusCountsEachLine(t *testing.T) {
	h := newHub(t)
	if all := value(h.Status(t.Context()))(t); len(all) != 0 {
		t.Errorf("status of an empty outbox: %v", all)
	}
	h.share(lancs)
	h.pass(time.Minute)
	h.share(bristol)
	h.pass(time.Minute)
	h.share(lancs)
	all := value(h.Status(t.Context()))(t)
	if len(all) != 2 || all[0].Authority != bristol || all[0].Waiting != 1 || !all[0].Oldest.Equal(morning.Add(time.Minute)) ||
		all[1].Authority != lancs || all[1].Waiting != 2 || !all[1].Oldest.Equal(morning) {
		t.Errorf("status %v", all)
	}
}

func TestUpdatesArePagedInWholeHours(t *testing.T) {
	h := newHub(t)
	const other = desk + "s" // a longer name must not see into the shorter one's list
	must(t, h.store.Update(t.Context(), func(tx store.Tx) error {
		for i := range 5 {
			stop := &posternv1.Update_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_STOP_ASKED}}
			u := &posternv1.Update{NotificationId: string(rune('a' + i)), Update: stop}
			if err := h.Tell(tx, delivery.ByHub, desk, u, morning.Add(time.Duration(i)*25*time.Minute)); err != nil {
				return err
			}
			if err := h.Tell(tx, delivery.ByHub, other, &posternv1.Update{NotificationId: "z", Update: stop}, morning); err != nil {
				return err
			}
		}
		return nil
	}))
	must(t, h.store.View(t.Context(), func(s store.Snapshot) error {
		var ids string
		for after := uint64(0); ; {
			page, last, err := delivery.Updates(s, desk, after, 2)
			if err != nil {
				return err
			}
			if len(page) == 0 {
				if last != after {
					t.Errorf("an empty page moved from %d to %d", after, last)
				}
				break
			}
			for _, u := range page {
				ids += u.GetNotificationId()
				if at := u.GetUpdateTime().AsTime(); !at.Equal(at.Truncate(time.Hour)) {
					t.Errorf("update at %v", at)
				}
			}
			after = last
		}
		if ids != "abcde" {
			t.Errorf("updates %q, want each once and in order", ids)
		}
		return nil
	}))
}

func TestARefusedTransactionLeavesTheSequenceAlone(t *testing.T) {
	h := newHub(t)
	out, ev := h.outgoing(bristol)
	cause := errors.New("what came with it failed")
	err := h.ledger.Append(context.Background(), func(tx *ledger.Tx) error {
		e, err := tx.Record(ledger.Sent, ev)
		return errors.Join(err, h.Enqueue(tx, e, out), cause)
	})
	if !errors.Is(err, cause) {
		t.Fatal(err)
	}
	h.share(bristol)
	number := uint64(0)
	h.listen("bristol.test:1", h.honest(func(d *posternv1.Delivery) { number = d.GetSequence() }))
	if h.step(); number != 1 {
		t.Errorf("number %d, want 1: an inbox reads a gap as a loss", number)
	}
}
