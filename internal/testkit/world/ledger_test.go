package world

import (
	"bytes"
	"crypto/sha256"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/mem"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// ledger stands outside the system: what each party has acknowledged to whom, as seen on the wire and at the counters.
// What a party promised here it must keep, whatever happens to it.
type ledger struct {
	w             *World
	forms         map[string]family
	order         []string // of forms
	notifications map[string]*notification
	takenOrder    []string                  // ids that a desk has acknowledged, or made by itself of what waited
	checked       map[string]posternv1.Gate // what somebody said that the check of a form found
	called        map[string]bool           // forms about which somebody telephoned
	manifests     map[[32]byte]*notification
	checkpoints   []verify.Head                  // all that anybody was shown
	leaves        []promised                     // all receipts that anybody was given
	collected     map[string]*posternv1.Delivery // what was handed to inboxes that collect, by delivery
}

// promised is a leaf that somebody holds a receipt for.
type promised struct {
	origin string
	index  uint64
	leaf   []byte
}

// notification is what is known of one from outside.
type notification struct {
	id, prison, authority string
	expectation
	since     int64               // when it was first submitted
	made      time.Time           // when its form was taken
	restored  bool                // its team's inbox was restored from an older copy
	expired   bool                // a statement about it was so old when it came that the hub refused it
	taken     bool                // its desk said that it has it
	asked     []scope             // withdrawals that a desk acknowledged
	tried     bool                // somebody began to withdraw of it, whatever came of that
	gone      []scope             // withdrawals that the hub acknowledged
	elsewhere []scope             // those of them that another prison took
	unheard   []scope             // such ones that a hub took which lost its disk
	decision  *posternv1.Decision // the hub's first answer
	before    *posternv1.Decision // that of a hub before it, which lost its disk
	began     int                 // sends of it seen on the wire
	delivered map[[32]byte]bool   // manifests of it that the team acknowledged
	shown     [32]byte            // the last of them
	ops       []porcupine.Operation
	answers   map[[32]byte]lineAnswer // what was answered to each manifest of it
	first     [32]byte                // the manifest that was submitted first
	newest    [32]byte                // the manifest that was decided on last
	form      string
	numbers   []uint32 // of its children in the form
	stopped   []scope  // stop requests that the team's inbox acknowledged
}

// scope is what a withdrawal takes back: all when it is empty.
type scope []string

func (s scope) holds(path string) bool {
	return len(s) == 0 || slices.ContainsFunc(s, func(p string) bool { return path == p || strings.HasPrefix(path, p+"/") })
}

func (n *notification) holds(scopes []scope, path string) bool {
	return slices.ContainsFunc(scopes, func(s scope) bool { return s.holds(path) })
}

func whole(scopes []scope) bool {
	return slices.ContainsFunc(scopes, func(s scope) bool { return len(s) == 0 })
}

func newLedger(w *World) *ledger {
	return &ledger{w: w, forms: map[string]family{}, notifications: map[string]*notification{}, manifests: map[[32]byte]*notification{}, collected: map[string]*posternv1.Delivery{},
		checked: map[string]posternv1.Gate{}, called: map[string]bool{}}
}

// taken is a desk's word to its staff.
func (l *ledger) taken(prison string, ids []string) {
	for _, id := range ids {
		n := l.notification(prison, id)
		l.learn(n)
		if !n.taken {
			n.taken = true
			l.takenOrder = append(l.takenOrder, id)
		}
	}
}

// withdrawn is a desk's word that a withdrawal is on its way. Another prison's may come before the hub knows the
// notification, and is then refused.
func (l *ledger) withdrawn(prison string, n *notification, paths []string) {
	if prison == n.prison {
		n.asked = append(n.asked, paths)
	}
}

// notification is what is known of a desk's notification.
func (l *ledger) notification(prison, id string) *notification {
	if l.notifications[id] == nil {
		l.notifications[id] = &notification{id: id, prison: prison, made: l.w.Clock.Now(), delivered: map[[32]byte]bool{}, answers: map[[32]byte]lineAnswer{}}
	}
	return l.notifications[id]
}

// fresh reports whether the permission is so new that it cannot have run out.
func (n *notification) fresh(w *World) bool { return w.Clock.Now().Sub(n.made) < 24*time.Hour }

// learn finds out from the desk's own record of which form and for whom a notification is, once the desk can be asked,
// and reports whether that is known.
func (l *ledger) learn(n *notification) bool {
	if n.form == "" && l.w.runs("desk-"+n.prison) {
		at := l.w.Desk(n.prison).Get(n.id).GetNotification()
		n.authority, n.form, n.numbers = at.GetAuthority(), at.GetFormId(), at.GetFormChildren()
	}
	if n.form == "" {
		return false
	}
	n.expectation = l.expect(l.forms[n.form], n.authority, n.numbers)
	return true
}

// asked sees every request as it leaves its sender.
func (l *ledger) asked(from, _, method string, request []byte) {
	switch method {
	case "Report":
		req := &posternv1.ReportRequest{}
		l.read(request, req)
		if d := l.collected[req.GetDeliveryId()]; d != nil && req.GetSigned().GetPayloadType() == envelope.TypeAcknowledgement {
			_, code := split(from)
			l.w.tookDelivery(code, d, &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Acknowledgement{Acknowledgement: req.GetSigned()}})
		}
	case "Submit":
		m, sum := l.submitted(request)
		if m.GetOffer() != nil {
			_, prison := split(from)
			n := l.notification(prison, m.GetNotificationId())
			if l.manifests[sum] = n; n.since == 0 {
				n.since, n.first = l.w.tick(), sum
			}
			if l.learn(n); !slices.Contains(l.takenOrder, n.id) {
				l.takenOrder, n.tried = append(l.takenOrder, n.id), true // the desk made it of what waited; some of that may be withdrawn
			}
		}
	case "Deliver":
		d := l.delivery(request)
		if d.GetStopRequest() != nil {
			return
		}
		l.w.beginsToSend(d)
	}
}

// handedOver sees a delivery as it leaves the hub for an inbox that collects.
func (l *ledger) handedOver(answer []byte) {
	out := &posternv1.CollectResponse{}
	l.read(answer, out)
	d := out.GetDelivery()
	l.collected[d.GetDeliveryId()] = d
	if d.GetStopRequest() == nil {
		l.w.beginsToSend(d)
	}
}

// onItsWay is held for a delivery that an inbox collects: the person may withdraw while it travels.
func (l *ledger) onItsWay(answer []byte) {
	out := &posternv1.CollectResponse{}
	l.read(answer, out)
	if n := l.manifests[manifestOf(out.GetDelivery())]; n != nil && l.w.chance(0.1) {
		l.w.changesMind(n)
	}
}

// hubLost forgets what the hub had shown of its logs: they are gone with its disk. What anybody promised stands. Of what
// another prison withdrew the next hub begins no send while it waits for the prisons; after that it holds again when it has
// heard of it.
func (l *ledger) hubLost() {
	l.checkpoints, l.leaves = nil, nil
	for _, id := range slices.Sorted(maps.Keys(l.notifications)) {
		n := l.notifications[id]
		for _, s := range n.elsewhere {
			i := slices.IndexFunc(n.gone, func(g scope) bool { return slices.Equal(g, s) })
			n.gone = slices.Delete(n.gone, i, i+1)
			n.unheard = append(n.unheard, s)
		}
		n.elsewhere, n.answers = nil, map[[32]byte]lineAnswer{}
		if n.decision != nil {
			n.decision, n.before = nil, n.decision
		}
		n.asked = append(n.asked, l.promisedElsewhere(n)...)
		n.did(seeLoss, saidDone, l.w.tick(), l.w.tick())
	}
}

// promisedElsewhere is what another prison's desk has told its staff that the hub took.
func (l *ledger) promisedElsewhere(n *notification) (all []scope) {
	for _, prison := range prisons {
		if prison == n.prison || !l.w.runs("desk-"+prison) {
			continue
		}
		at, err := l.w.Desk(prison).Local.GetNotification(l.w.ctx(), &localv1.GetNotificationRequest{Id: n.id})
		if err != nil {
			continue
		}
		for _, w := range at.GetNotification().GetWithdrawals() {
			if w.GetAnswer() != nil && !says(w.GetAnswer(), "hub_refused") {
				all = append(all, w.GetPaths())
			}
		}
	}
	return all
}

// answered sees every answer as it leaves whoever answers, also one that is lost on the way.
func (l *ledger) answered(from, to, method string, request, answer []byte, err error, call int64) {
	if method == "Submit" {
		out := &posternv1.SubmitResponse{}
		l.read(answer, out)
		l.statement(request, out, err, call)
	}
	if err != nil {
		return
	}
	switch method {
	case "Submit":
		out := &posternv1.SubmitResponse{}
		l.read(answer, out)
		m, sum := l.submitted(request)
		l.decided(from, m, sum, out)
	case "ListUpdates":
		out := &posternv1.ListUpdatesResponse{}
		l.read(answer, out)
		l.sees(out.GetCheckpoint())
	case "Report":
		out := &posternv1.ReportResponse{}
		l.read(answer, out)
		l.holds(out.GetReceipt())
	case "Deliver":
		_, code := split(to)
		out := &posternv1.DeliverResponse{}
		l.read(answer, out)
		l.w.tookDelivery(code, l.delivery(request), out)
	}
}

// decided is the hub's answer to a statement: from now on it may not be forgotten.
func (l *ledger) decided(from string, m *posternv1.Manifest, sum [32]byte, out *posternv1.SubmitResponse) {
	event := l.holds(out.GetReceipt())
	if event == nil {
		return
	}
	if !bytes.Equal(event.Core.GetManifestSha256(), sum[:]) {
		l.w.fails("the answer to %s has the receipt of another", m.GetNotificationId())
	}
	if m.GetConsidered() != nil || says(out.GetDecision(), "objection_recorded") {
		return
	}
	if wd := m.GetWithdrawal(); wd != nil {
		n := l.notifications[wd.GetWithdraws()]
		if n == nil { // what goes on of a notification was taken back before it was ever submitted
			_, prison := split(from)
			n = l.notification(prison, wd.GetWithdraws())
			l.learn(n)
		}
		if !n.standard {
			return // what did not go by permission is not undone
		}
		n.gone = append(n.gone, wd.GetPaths())
		if from != "desk-"+n.prison {
			n.elsewhere = append(n.elsewhere, wd.GetPaths())
		}
		return
	}
	n := l.notifications[m.GetNotificationId()]
	if n.decision == nil || sum != n.newest && n.decision.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
		n.decision, n.newest = out.GetDecision(), sum
		l.w.compare(n)
	}
}

// holds checks a receipt and remembers what it promises.
func (l *ledger) holds(r *posternv1.Receipt) *verify.Event {
	event, err := verify.Receipt(r, l.w.LogKeys())
	if err != nil {
		l.w.fails("a receipt that does not hold was given: %v", err)
		return nil
	}
	l.leaves = append(l.leaves, promised{event.Origin, event.Index, r.GetLeaf()})
	l.checkpoints = append(l.checkpoints, event.Head)
	return event
}

func (l *ledger) sees(checkpoint string) {
	head, err := verify.Checkpoint(checkpoint, l.w.LogKeys())
	if err != nil {
		l.w.fails("a checkpoint that does not hold was shown: %v", err)
		return
	}
	l.checkpoints = append(l.checkpoints, head)
}

func (l *ledger) submitted(request []byte) (*posternv1.Manifest, [32]byte) {
	req, m := &posternv1.SubmitRequest{}, &posternv1.Manifest{}
	l.read(request, req)
	payload := req.GetNotification().GetManifest().GetPayload()
	l.read(payload, m)
	return m, sha256.Sum256(payload)
}

func (l *ledger) delivery(request []byte) *posternv1.Delivery {
	req := &posternv1.DeliverRequest{}
	l.read(request, req)
	return req.GetDelivery()
}

func (l *ledger) read(b []byte, m proto.Message) {
	if err := proto.Unmarshal(b, m); err != nil {
		l.w.t.Fatalf("seed %d: %T cannot be read: %v", l.w.seed, m, err)
	}
}

// compare holds the hub's first decision against what the oracle expects. Once it expects less or nothing, because of a
// withdrawal, only the bound counts.
func (w *World) compare(n *notification) {
	if n.authority == "" {
		return
	}
	var extra, missing []string
	for _, p := range n.decision.GetPaths() {
		if _, ok := n.sections[p]; !ok {
			extra = append(extra, p)
		}
	}
	for p := range n.sections {
		if !slices.Contains(n.decision.GetPaths(), p) {
			missing = append(missing, p)
		}
	}
	slices.Sort(missing)
	if len(extra) > 0 {
		w.fails("decided to share of %s what may not be: %v", n.id, extra)
	}
	always, ever := w.agreed(n.prison, n.authority, n.since)
	if !ever && n.standard && len(n.decision.GetPaths()) > 0 {
		w.fails("decided to share %s without an agreement", n.id)
	}
	if len(missing) > 0 && n.plain && !n.tried && always && w.swarm.skew == 0 && n.fresh(w) {
		w.fails("decided not to share of %s what may be: %v (%v)", n.id, missing, n.decision)
	}
}

// beginsToSend judges a delivery as it leaves the hub.
func (w *World) beginsToSend(d *posternv1.Delivery) {
	sealed := d.GetNotification()
	sum := manifestOf(d)
	n := w.ledger.manifests[sum]
	event := w.ledger.holds(d.GetReceipt())
	switch {
	case n == nil:
		w.fails("what no desk submitted is sent")
		return
	case event == nil:
		return
	case event.Kind != logv1.Kind_KIND_DECIDED || event.Core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE ||
		!bytes.Equal(event.Core.GetManifestSha256(), sum[:]):
		w.fails("%s is sent without a decision to share it", n.id)
	case d.GetAcknowledgement() != nil && !n.delivered[sum]:
		w.fails("%s is sent as if the team had had it", n.id)
	case d.GetAcknowledgement() == nil && !w.hubNow().Before(event.Core.GetValidUntilTime().AsTime()):
		w.fails("%s is sent on a decision that was valid until %v", n.id, event.Core.GetValidUntilTime().AsTime())
	case whole(n.gone):
		w.fails("a send of %s begins after its withdrawal was acknowledged", n.id)
	case w.waitsForPrisons() && d.GetAcknowledgement() == nil && whole(n.unheard):
		w.fails("a send of %s begins, and the hub has not heard from every prison what was withdrawn", n.id)
	}
	if _, ever := w.agreed(n.prison, n.authority, w.ticks); !ever && n.standard && d.GetAcknowledgement() == nil {
		w.fails("%s is sent after its agreement ended", n.id)
	}
	n.began++
	n.did(seeSend, saidDone, w.sends[len(w.sends)-1], w.tick())
	var digests [][]byte
	for _, s := range sealed.GetSections() {
		digests = append(digests, envelope.SectionDigest(s))
		if _, ok := n.sections[s.GetPath()]; !ok {
			w.fails("%s of %s is sent, which may not be", s.GetPath(), n.id)
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
		if !slices.Contains(n.children, c.GetNumber()) {
			w.fails("child %d of %s, who is not told about, is named to the team", c.GetNumber(), n.id)
		}
	}
	if due := d.GetDecision().GetDueTime(); due != nil {
		w.fails("the team of %s is told until when the prison must act: %v", n.id, due.AsTime())
	}
	for _, b := range sealed.GetFacts() {
		f := &posternv1.FactsBlock{}
		w.ledger.read(b, f)
		if c := f.GetChild(); c != nil && !slices.Contains(n.children, c.GetNumber()) {
			w.fails("facts of child %d of %s, who is not told about, are sent", c.GetNumber(), n.id)
		}
	}
	if size, _, _ := w.Ledger.Head(1); event.Index >= size {
		w.fails("%s is sent before its leaf is in the log", n.id)
	}
}

// isAbout reports whether a stop request is about what the team has of a notification; of what it never had, about what it
// would have.
func (l *ledger) isAbout(d *posternv1.Delivery, n *notification) bool {
	event := l.holds(d.GetReceipt())
	if n.shown == ([32]byte{}) {
		return event != nil && bytes.Equal(event.Core.GetManifestSha256(), n.newest[:])
	}
	return event != nil && bytes.Equal(event.Core.GetManifestSha256(), n.shown[:])
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
	if d.GetNotification() != nil {
		sum := manifestOf(d)
		if n := w.ledger.manifests[sum]; n != nil {
			n.delivered[sum], n.shown = true, sum
			n.did(seeTaken, saidDone, w.tick(), w.tick())
		}
	}
	if s := d.GetStopRequest(); s != nil {
		stop := &posternv1.StopRequest{}
		w.ledger.read(s.GetPayload(), stop)
		// Of several under one id each has its own: that of what is in view counts.
		if n := w.ledger.notifications[stop.GetNotificationId()]; n != nil && w.ledger.isAbout(d, n) {
			n.stopped = append(n.stopped, stop.GetPaths())
		}
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
