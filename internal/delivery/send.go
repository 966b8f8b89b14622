package delivery

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Why a delivery cannot be sent now. It is kept: what is missing may come back.
var (
	errNoDirectory = fault.New(fault.Unavailable, "NO_DIRECTORY", "There is no directory yet.")
	errNoEndpoint  = fault.New(fault.Unavailable, "NO_ENDPOINT", "The directory does not say how to reach this authority.")
	errNoBody      = fault.New(fault.Internal, "OUTBOX_BODY", "A delivery in the outbox has lost its content.")
	errNotCovered  = fault.New(fault.Unverified, "NOT_COVERED", "The receipt does not cover what would be sent.")
	errStale       = fault.New(fault.Precondition, "STALE", "What this was decided on is not in force any more.")
	errPanicked    = fault.New(fault.Internal, "SEND_PANICKED", "The program failed over this delivery.")
)

// begin is the transaction without which no send starts: the delivery is still in the outbox, was not withdrawn or
// replaced (that takes it out), rests on what is in force, has its number, and from here on counts as begun. It returns
// what to send; queue.ErrGone when there is nothing to send any more, and errStale when it must be decided again.
//
// Whatever commits before it, the ledger's order is the truth: a withdrawal before begin leaves nothing to send, and one
// after it finds the send begun and asks the team to stop.
//
// Until `due`, if it is not zero, no other attempt begins: the answer comes by another way.
func (d *Delivery) begin(ctx context.Context, p pending, due time.Time) (*posternv1.Delivery, error) {
	out, err := d.release(ctx, p)
	if fault.KindOf(err) == fault.NotFound && err != nil {
		// We may have seen it between the commit of its batch and the moment in which that may be shown. What is appended
		// now returns after that moment.
		if err = d.cfg.Ledger.Append(ctx, func(*ledger.Tx) error { return nil }); err == nil {
			out, err = d.release(ctx, p)
		}
	}
	if err != nil {
		return nil, err
	}
	err = d.cfg.Ledger.AppendReserved(ctx, func(tx *ledger.Tx) error {
		it, about, err := readItem(tx, d.outbox, p.item)
		if err != nil {
			return err
		}
		if stale, err := d.stale(tx, about); err != nil || stale {
			return cmpErr(err, errStale)
		}
		n, err := readNumbers(tx, it.Destination)
		if err != nil {
			return err
		}
		out.FollowsSequence, out.SequenceOrigin = n.acknowledged, d.cfg.Ledger.Origin(ledger.Sent)
		// The last number given is kept for the next attempt at the same delivery. Any other takes a new one: so what an
		// inbox acknowledges comes in the order of its numbers, and a number never means two deliveries.
		if about.Number == 0 || about.Number != n.given {
			n.given++
			about.Number = n.given
			if err := n.write(tx, it.Destination); err != nil {
				return err
			}
		}
		out.Sequence = about.Number
		if about.Number != p.about.Number || !due.IsZero() {
			if it.Body, err = about.bytes(); err != nil {
				return err
			}
			if !due.IsZero() {
				it.DueTime, it.Attempts = due, it.Attempts+1
			}
			if err := d.outbox.Retry(tx, it); err != nil {
				return err
			}
		}
		if about.Stop != nil {
			return nil
		}
		name := about.releaseName(it.Destination)
		rel, ok, err := d.Release(tx, name)
		if err != nil || (ok && rel.Begun) {
			return err
		}
		return putRelease(tx, name, Release{Authority: it.Destination, Sequence: it.Sequence, DeliveryID: it.ID,
			EventID: about.EventID, Manifest: about.ManifestSHA256, Begun: true})
		// A crash just here counts as begun what was never sent: the team may be asked to stop what it never got. The
		// other way round it would never be asked.
	})
	if err != nil {
		return nil, err // out belongs to the sequencer still, when the time ran out
	}
	return out, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// stale reports whether a delivery must be decided again before it may go. What the inbox has had before is no new
// sharing, and a stop request rests on no decision.
func (d *Delivery) stale(r store.Reader, w waiting) (bool, error) {
	if w.Stop != nil || w.again() || d.cfg.Decider == nil {
		return false, nil
	}
	if !d.cfg.Clock().Before(w.ValidUntil) {
		return true, nil
	}
	now, err := d.cfg.Decider.Basis(r)
	return now != w.Basis, err
}

// numbers are those of an authority's deliveries.
type numbers struct{ given, acknowledged uint64 }

func readNumbers(r store.Reader, authority string) (n numbers, err error) {
	row, err := r.Get(schema.HubNumber, []byte(authority))
	if err == nil && len(row) == 16 {
		n = numbers{binary.BigEndian.Uint64(row), binary.BigEndian.Uint64(row[8:])}
	}
	return n, err
}

func (n numbers) write(tx store.Tx, authority string) error {
	return tx.Put(schema.HubNumber, []byte(authority), binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, n.given), n.acknowledged))
}

// send makes one attempt and returns the verified outcome, and how far the inbox says that it holds all.
func (d *Delivery) send(ctx context.Context, to identity.Party, address string, p pending, out *posternv1.Delivery) (o outcome, held *posternv1.Held, err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			// The value stays out of the log: it may be a message. Where it happened does not.
			d.cfg.Log.ErrorContext(ctx, "a delivery made the sender panic", append(p.attrs(), slog.String("panic", fmt.Sprintf("%T", panicked)), slog.String("stack", string(debug.Stack())))...)
			err = errPanicked
		}
	}()
	if err := failpoint.Hit(failpoint.DeliveryBegun); err != nil {
		return outcome{}, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.SendTimeout)
	defer cancel()
	answer, err := d.cfg.Sender.Send(ctx, to, address, out)
	if err != nil {
		return outcome{}, nil, err
	}
	d.Heard(p.item.Destination, answer.GetKnownLogs())
	if o, err = verify(answer, to, p.item.ID, p.about.subject(), d.cfg.Anchors, d.cfg.Clock()); err == nil {
		err = failpoint.Hit(failpoint.DeliveryAnswered)
	}
	return o, answer.GetHeld(), err
}

// route takes party and address from the directory of this moment and from nowhere else: an item in the outbox cannot
// say where it goes. The address is empty when the inbox collects.
func (d *Delivery) route(authority string) (to identity.Party, address string, err error) {
	dir := d.cfg.Directory()
	if dir == nil {
		return to, "", errNoDirectory
	}
	a, ok := dir.Authority(authority)
	if !ok || a.GetEndpoint() == nil {
		return to, "", errNoEndpoint
	}
	return identity.Party{Domain: dir.Domain(), Role: posternv1.Role_ROLE_INBOX, ID: authority}, a.GetEndpoint().GetAddress(), nil
}

// release makes the Delivery out of the two things that only one transaction could have written: the sealed body and
// the event in the ledger. Without either, or where they differ, there is nothing to send.
func (d *Delivery) release(ctx context.Context, p pending) (*posternv1.Delivery, error) {
	cut := d.cfg.Ledger.Cut()
	receipt, err := cut.Receipt(ctx, p.about.EventID)
	if err != nil {
		return nil, err
	}
	consistency, err := cut.Proofs(ctx, d.knownBy(p.item.Destination), ledger.Sent, ledger.Received)
	if err != nil {
		return nil, err // an inbox that knows more than we hold: this is an old copy, and it must not deliver
	}
	if p.sealed == nil {
		return nil, errNoBody
	}
	out, err := d.unseal(p.item, p.about, p.sealed)
	if err != nil {
		return nil, err
	}
	core := &logv1.Core{}
	if err := proto.Unmarshal(receipt.GetCore(), core); err != nil {
		return nil, errNotCovered.Because(err)
	}
	covered := covers(core, out.GetNotification())
	if p.about.Stop != nil {
		subject := sha256.Sum256(out.GetStopRequest().GetPayload())
		covered = bytes.Equal(subject[:], p.about.Stop) && bytes.Equal(subject[:], core.GetSubjectSha256())
	}
	if !covered || !bytes.Equal(core.GetManifestSha256(), p.about.ManifestSHA256) {
		return nil, errNotCovered
	}
	out.Receipt, out.Consistency = receipt, consistency
	first := p.about.First
	if p.about.passedOn() {
		first = p.about.PassedOn
	}
	if first != [16]byte{} {
		if out.FirstReceipt, err = cut.Receipt(ctx, first); err != nil {
			return nil, err
		}
	}
	if p.about.again() {
		out.Acknowledgement = &posternv1.Signed{}
		if err := proto.Unmarshal(p.about.Acknowledged, out.Acknowledgement); err != nil {
			return nil, errNoBody.Because(err)
		}
	}
	return out, nil
}

func (d *Delivery) unseal(it queue.Item, w waiting, sealed []byte) (*posternv1.Delivery, error) {
	body, err := d.cfg.Vault.Open(string(schema.HubOutboxBody), w.contentKey(it), sealed)
	if err != nil {
		return nil, err
	}
	delivery := &posternv1.Delivery{}
	if err := proto.Unmarshal(body, delivery); err != nil {
		return nil, errNoBody.Because(err)
	}
	return delivery, nil
}

// covers says whether an event shares, until some time, this manifest with exactly these sections: all that were
// released and no other.
func covers(core *logv1.Core, n *posternv1.SealedNotification) bool {
	manifest := sha256.Sum256(n.GetManifest().GetPayload())
	if core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || core.GetValidUntilTime() == nil || !bytes.Equal(core.GetManifestSha256(), manifest[:]) {
		return false
	}
	var held [][]byte
	for _, s := range n.GetSections() {
		held = append(held, envelope.SectionDigest(s))
	}
	released := slices.Clone(core.GetSectionsSha256())
	slices.SortFunc(held, bytes.Compare)
	slices.SortFunc(released, bytes.Compare)
	return slices.EqualFunc(held, released, bytes.Equal)
}
