package world

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"time"

	"postern/internal/envelope"
	hubledger "postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/mem"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// beginsToSend judges a delivery as it leaves the hub for an authority's inbox.
func (w *World) beginsToSend(to string, d *posternv1.Delivery) {
	sealed := d.GetNotification()
	sum := manifestOf(d)
	n := w.ledger.manifests[sum]
	event := w.ledger.holds(d.GetReceipt())
	if n == nil {
		w.fails("what no desk submitted is sent")
	}
	if n == nil || event == nil {
		return
	}
	again := d.GetAcknowledgement() != nil // the inbox had it, and has lost it since
	bound, kind, had := w.ledger.bound(n, sum), logv1.Kind_KIND_DECIDED, n.delivered[sum]
	if len(sealed.GetRedirections()) > 0 {
		kind, had = logv1.Kind_KIND_REDIRECTED, n.copyAt(to).delivered[sum]
		w.mayPassOn(to, n, sealed)
	} else if to != n.authority {
		w.fails("%s is sent to %s, and is for another", n.id, to)
	}
	if w.ledger.byOrder(n, sum) {
		w.ledger.overrides(n, sum)
	}
	switch {
	case event.Kind != kind || event.Core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE ||
		!bytes.Equal(event.Core.GetManifestSha256(), sum[:]):
		w.fails("%s is sent without a decision to share it", n.id)
	case again && !had:
		w.fails("%s is sent as if the team had had it", n.id)
	case !again && !w.hubNow().Before(event.Core.GetValidUntilTime().AsTime()):
		w.fails("%s is sent on a decision that was valid until %v", n.id, event.Core.GetValidUntilTime().AsTime())
	case whole(n.gone):
		w.fails("a send of %s begins after its withdrawal was acknowledged", n.id)
	case w.waitsForPrisons() && !again && whole(n.unheard):
		w.fails("a send of %s begins, and the hub has not heard from every prison what was withdrawn", n.id)
	}
	if !again {
		w.decidesBy(n.id+" is sent on a decision", event.Core.GetPolicyRevision(), w.ticks)
	}
	if _, ever := w.agreed(n.prison, to, w.ticks); !ever && bound.standard && !again {
		w.fails("%s is sent after its agreement ended", n.id)
	}
	if kind == logv1.Kind_KIND_DECIDED {
		n.began++
		n.did(seeSend, saidDone, w.sends[len(w.sends)-1], w.tick())
	}
	var digests [][]byte
	for _, s := range sealed.GetSections() {
		digests = append(digests, envelope.SectionDigest(s))
		if _, ok := bound.sections[s.GetPath()]; !ok {
			w.fails("%s of %s is sent, which may not be", s.GetPath(), n.id)
		}
		if always, _ := w.kept(n.prison, s.GetPath(), w.ticks); always && bound.standard && !again {
			w.fails("%s of %s is sent, and the policy keeps it back", s.GetPath(), n.id)
		}
		if n.sent[s.GetPath()] = n.sent[s.GetPath()] || kind == logv1.Kind_KIND_DECIDED; !n.sent[s.GetPath()] {
			w.fails("%s of %s is passed on, and its team was never sent it", s.GetPath(), n.id)
		}
		if n.holds(n.gone, s.GetPath()) || w.waitsForPrisons() && n.holds(n.unheard, s.GetPath()) {
			w.fails("a send of %s of %s begins after its withdrawal was acknowledged", s.GetPath(), n.id)
		}
	}
	slices.SortFunc(digests, bytes.Compare)
	if !slices.EqualFunc(digests, event.Core.GetSectionsSha256(), bytes.Equal) {
		w.fails("%s is sent with other sections than were recorded", n.id)
	}
	for _, c := range d.GetDecision().GetChildren() {
		if !slices.Contains(bound.children, c.GetNumber()) {
			w.fails("child %d of %s, who is not told about, is named to the team", c.GetNumber(), n.id)
		}
	}
	if due := d.GetDecision().GetDueTime(); due != nil {
		w.fails("the team of %s is told until when the prison must act: %v", n.id, due.AsTime())
	}
	for _, b := range sealed.GetFacts() {
		f := &posternv1.FactsBlock{}
		w.ledger.read(b, f)
		if c := f.GetChild(); c != nil && !slices.Contains(bound.children, c.GetNumber()) {
			w.fails("facts of child %d of %s, who is not told about, are sent", c.GetNumber(), n.id)
		}
	}
	if log, _ := w.Ledger.LogOf(event.Origin); !w.holdsLeaf(log, event.Index) {
		w.fails("%s is sent before its leaf is in the log", n.id)
	}
}

// holdsLeaf reports whether the hub has shown a log with a leaf.
func (w *World) holdsLeaf(log hubledger.Log, index uint64) bool {
	size, _, _ := w.Ledger.Head(log)
	return index < size
}

// manifestOf is the digest of a delivered notification's manifest.
func manifestOf(d *posternv1.Delivery) [32]byte {
	return sha256.Sum256(d.GetNotification().GetManifest().GetPayload())
}

func (w *World) hubNow() time.Time { return w.Clock.Now().Add(w.parties["hub"].skew) }

// tookDelivery judges an inbox's answer, and what the team sees after it.
func (w *World) tookDelivery(code string, d *posternv1.Delivery, out *posternv1.DeliverResponse) {
	if out.GetAcknowledgement() == nil {
		return
	}
	w.keeps(code, d.GetDeliveryId())
	said := &word{delivery: d.GetDeliveryId()}
	if d.GetNotification() != nil {
		said.sum = manifestOf(d)
		if said.n = w.ledger.manifests[said.sum]; said.n != nil && said.n.authority != code {
			said.n.copyAt(code).delivered[said.sum] = true
			w.count("taken from another team")
		} else if said.n != nil {
			said.n.delivered[said.sum] = true
			said.n.did(seeTaken, saidDone, w.tick(), w.tick())
		}
	}
	if s := d.GetStopRequest(); s != nil {
		stop := &posternv1.StopRequest{}
		w.ledger.read(s.GetPayload(), stop)
		said.n, said.stop, said.paths = w.ledger.notifications[stop.GetNotificationId()], true, stop.GetPaths()
		if event := w.ledger.holds(d.GetReceipt()); event != nil {
			said.sum = [32]byte(event.Core.GetManifestSha256())
		}
		if said.n != nil && said.n.authority != code {
			w.count("stop request followed to another team")
		}
	}
	if said.n != nil {
		w.ledger.gives(code, said)
	}
	w.look(code)
}

// keeps looks for an acknowledged delivery in what a crash would leave of the inbox. Looking later would be too late: what
// it lost an inbox gets again.
func (w *World) keeps(code, delivery string) {
	s, err := mem.Open(w.ctx(), mem.Config{Disk: w.parties["inbox-"+code].disk.Copy(), Schema: schema.Inbox})
	if err != nil {
		w.t.Fatal(err)
	}
	err = s.View(w.ctx(), func(s store.Snapshot) error {
		answer, err := s.Get(schema.InboxDelivery, []byte(delivery))
		if err == nil && answer == nil {
			w.fails("inbox-%s acknowledges delivery %s and its disk does not have it", code, delivery)
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
}
