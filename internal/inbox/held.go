package inbox

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/binary"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// Of the deliveries it has acknowledged an inbox knows the largest number up to which none is missing: a delivery says
// which one it follows, and where that one is not held, something was lost. Numbers are counted for each sent log: a hub
// that began a new one counts anew.
var originKey = []byte("held origin") // the origin of the newest delivery

func heldKey(origin string) []byte { return []byte("held " + origin) }

// note counts a delivery that is being kept, in the transaction that keeps it. Without an origin it is not counted: then
// it comes again one day, and is known by its id.
func (in *Inbox) note(tx store.Tx, d *posternv1.Delivery, origin string) error {
	if origin = in.countedUnder(d, origin); origin == "" || d.GetSequence() == 0 {
		return nil
	}
	highest, err := heldOf(tx, origin)
	if err != nil || d.GetFollowsSequence() > highest || d.GetSequence() <= highest {
		return err
	}
	if err := tx.Put(schema.InboxMeta, originKey, []byte(origin)); err != nil {
		return err
	}
	return tx.Put(schema.InboxMeta, heldKey(origin), binary.BigEndian.AppendUint64(nil, d.GetSequence()))
}

// countedUnder is the sent log under which a delivery is counted. The hub says which, since what it decided before its newest
// generation of the log keeps its receipt and is counted with the rest. One that does not say counts it under its receipt's
// log, or, of one that the received log vouches for, the sent one of the same generation. The hub gives all of an inbox's
// deliveries one row of numbers.
func (in *Inbox) countedUnder(d *posternv1.Delivery, origin string) string {
	sent := in.cfg.LogKeys.Origins()
	if slices.ContainsFunc(sent, func(o string) bool { return verify.SameLog(o, d.GetSequenceOrigin()) }) {
		return d.GetSequenceOrigin()
	}
	if slices.Contains(sent, origin) || origin == "" {
		return origin
	}
	_, generation := verify.Generation(origin)
	for _, o := range sent {
		if _, n := verify.Generation(o); n == generation {
			return o
		}
	}
	return ""
}

func heldOf(r store.Reader, origin string) (uint64, error) {
	row, err := r.Get(schema.InboxMeta, heldKey(origin))
	if err != nil || len(row) != 8 {
		return 0, err
	}
	return binary.BigEndian.Uint64(row), nil
}

// held is what the hub is told.
func (in *Inbox) held(ctx context.Context) (*posternv1.Held, error) {
	out := &posternv1.Held{}
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		origin, err := s.Get(schema.InboxMeta, originKey)
		if err != nil {
			return err
		}
		out.Origin = string(origin)
		out.HighestSequence, err = heldOf(s, out.Origin)
		return err
	})
	return out, err
}

// noteAgain counts a delivery that was kept before, when it comes under a number that is missing.
func (in *Inbox) noteAgain(ctx context.Context, d *posternv1.Delivery) error {
	event, err := verify.Receipt(d.GetReceipt(), in.cfg.AllLogs)
	if err != nil {
		return nil // not counted, and answered all the same
	}
	return store.Reserved(in.cfg.Store).Update(ctx, func(tx store.Tx) error { return in.note(tx, d, event.Origin) })
}

// had reports whether a delivery comes with our own acknowledgement of this manifest: we had it, and lost it since. Then
// it is no new sharing, and the end of its decision does not matter.
func (in *Inbox) had(d *posternv1.Delivery, event *verify.Event) bool {
	ack := &posternv1.Acknowledgement{}
	if d.GetAcknowledgement() == nil || proto.Unmarshal(d.GetAcknowledgement().GetPayload(), ack) != nil ||
		!bytes.Equal(ack.GetManifestSha256(), event.Core.GetManifestSha256()) {
		return false
	}
	// Our certificate of then may have ended since, and may be newer than the decision: when we signed does not matter.
	times := []time.Time{event.Core.GetEventTime().AsTime(), in.cfg.Clock()}
	for _, s := range d.GetAcknowledgement().GetSignatures() {
		for _, der := range s.GetCertificates()[:min(1, len(s.GetCertificates()))] {
			if leaf, err := x509.ParseCertificate(der); err == nil {
				times = append(times, leaf.NotBefore)
			}
		}
	}
	return slices.ContainsFunc(times, func(at time.Time) bool {
		party, err := envelope.VerifyStatement(d.GetAcknowledgement(), envelope.TypeAcknowledgement, in.cfg.Anchors, at)
		return err == nil && party == in.cfg.Identity.Party()
	})
}

// wasHere reports whether a delivery is of what was here before, and may have been handed over.
func (in *Inbox) wasHere(d *posternv1.Delivery) bool {
	event, err := verify.Receipt(d.GetReceipt(), in.cfg.AllLogs)
	return err == nil && in.had(d, event)
}

// StepResume tells the hub how far this inbox holds all, once after each start; it reports whether it did. An inbox that
// was restored from an older copy gets again what it lost. One that collects says so whenever it collects.
func (in *Inbox) StepResume(ctx context.Context) (bool, error) {
	if in.resumed.Load() {
		return false, nil
	}
	held, err := in.held(ctx)
	if err != nil {
		return false, err
	}
	if _, err := in.cfg.Hub.Resume(ctx, &posternv1.ResumeRequest{Held: held}); err != nil {
		return false, err
	}
	in.resumed.Store(true)
	return true, nil
}
