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
	localv1 "postern/proto/postern/local/v1"
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
	considered    map[string][]considered   // what a safeguarding lead ordered to be shared, by form and authority
	manifests     map[[32]byte]*notification
	checkpoints   []verify.Head                  // all that anybody was shown
	leaves        []promised                     // all receipts that anybody was given
	collected     map[string]*posternv1.Delivery // what was handed to inboxes that collect, by delivery
	words         map[string][]*word             // what inboxes have acknowledged, in the order in which it counts, by authority
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
	numbers   []uint32                     // of its children in the form
	stopped   []scope                      // stop requests that the team's inbox acknowledged
	sent      map[string]bool              // the sections that were ever sent to the team
	copies    map[string]*passedOn         // what its team passed on, by authority
	replied   bool                         // the team said something of it
	duty      bool                         // the safeguarding lead ordered it to be shared under its own id
	ordered   bool                         // and the hub has decided on that
	rung      bool                         // it is urgent, and somebody telephoned about it
	lost      bool                         // a hub that it was submitted to has lost its disk
	routes    map[[32]byte]posternv1.Route // of each of its manifests
	askedAt   map[[32]byte]int64           // when each was submitted first
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
	return &ledger{w: w, forms: map[string]family{}, notifications: map[string]*notification{}, manifests: map[[32]byte]*notification{}, collected: map[string]*posternv1.Delivery{}, words: map[string][]*word{},
		checked: map[string]posternv1.Gate{}, called: map[string]bool{}, considered: map[string][]considered{}}
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
		l.notifications[id] = &notification{id: id, prison: prison, made: l.w.Clock.Now(), delivered: map[[32]byte]bool{}, answers: map[[32]byte]lineAnswer{},
			sent: map[string]bool{}, copies: map[string]*passedOn{}, routes: map[[32]byte]posternv1.Route{}, askedAt: map[[32]byte]int64{}}
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
	for sum := range n.routes {
		n.duty = n.duty || l.byOrder(n, sum)
	}
	if n.duty {
		n.expectation = n.expectation.or(l.ordered(n))
	}
	return true
}

// asked sees every request as it leaves its sender.
func (l *ledger) asked(from, to, method string, request []byte) {
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
			if n.askedAt[sum] == 0 {
				n.askedAt[sum], n.routes[sum] = l.w.tick(), m.GetOffer().GetRoute()
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
		_, code := split(to)
		l.w.beginsToSend(code, d)
	}
}

// handedOver sees a delivery as it leaves the hub for an inbox that collects.
func (l *ledger) handedOver(to string, answer []byte) {
	out := &posternv1.CollectResponse{}
	l.read(answer, out)
	d := out.GetDelivery()
	l.collected[d.GetDeliveryId()] = d
	if d.GetStopRequest() == nil {
		_, code := split(to)
		l.w.beginsToSend(code, d)
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
	for _, words := range l.words {
		for _, o := range words {
			o.lost = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.notifications)) {
		n := l.notifications[id]
		for _, s := range n.elsewhere {
			i := slices.IndexFunc(n.gone, func(g scope) bool { return slices.Equal(g, s) })
			n.gone = slices.Delete(n.gone, i, i+1)
			n.unheard = append(n.unheard, s)
		}
		n.elsewhere, n.answers, n.lost = nil, map[[32]byte]lineAnswer{}, n.since > 0
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
		_, prison := split(from)
		l.w.hears(prison, out.GetUpdates())
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
	if m.GetConsidered() != nil {
		return
	}
	if says(out.GetDecision(), "objection_recorded") {
		if n := l.notifications[m.GetWithdrawal().GetWithdraws()]; n != nil && n.standard {
			l.w.fails("a withdrawal of %s, which went by permission, is taken for an objection", n.id)
		}
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
		l.overrides(n, sum)
		n.ordered = n.ordered || l.byOrder(n, sum) // an answer of before may come once more after it
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
	bound, since := w.ledger.bound(n, n.newest), n.askedAt[n.newest]
	for _, p := range n.decision.GetPaths() {
		if _, ok := bound.sections[p]; !ok {
			extra = append(extra, p)
		}
		if always, _ := w.kept(n.prison, p, since); always && bound.standard {
			w.fails("decided to share %s of %s, which the policy keeps back", p, n.id)
		}
	}
	due := bound // what must go: of what is ordered, that, whatever the form's own lead named
	if w.ledger.byOrder(n, n.newest) {
		due = w.ledger.ordered(n)
	}
	for p := range due.sections {
		if _, ever := w.kept(n.prison, p, since); !ever && !slices.Contains(n.decision.GetPaths(), p) {
			missing = append(missing, p)
		}
	}
	w.decidesBy(n.id+" is decided", n.decision.GetPolicyRevision(), since)
	slices.Sort(missing)
	if len(extra) > 0 {
		w.fails("decided to share of %s what may not be: %v", n.id, extra)
	}
	always, ever := w.agreed(n.prison, n.authority, n.since)
	if !ever && bound.standard && len(n.decision.GetPaths()) > 0 {
		w.fails("decided to share %s without an agreement", n.id)
	}
	// What is ordered to be shared rests on nothing that may fail, but that somebody can receive it.
	sure := n.plain && !n.tried && always && w.swarm.skew == 0 || w.ledger.byOrder(n, n.newest) && len(w.ledger.considered[n.key()]) == 1
	if len(missing) > 0 && sure && n.fresh(w) {
		w.fails("decided not to share of %s what may be: %v (%v)", n.id, missing, n.decision)
	}
}
