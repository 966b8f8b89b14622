package world

import (
	"slices"

	hubledger "postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/mem"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// word is an inbox's word that it has one delivery. It binds the inbox until it is put back from a copy that has it not,
// and from then on the hub that heard the word: what it does not keep any more for a reason that stands in its log, or that
// an operator can see, it gives again.
type word struct {
	delivery string
	n        *notification
	sum      [32]byte // of the manifest that it is about
	stop     bool     // it is a request to stop this
	paths    scope
	here     bool // the disk of the inbox has it
	lost     bool // the hub that it was given to has lost its disk since
}

// gives records an inbox's word. Given again it says that what was lost is there again.
func (l *ledger) gives(code string, said *word) {
	i := slices.IndexFunc(l.words[code], func(o *word) bool { return o.delivery == said.delivery })
	switch {
	case i < 0:
	case l.words[code][i].here:
		return // once more
	default:
		l.words[code] = slices.Delete(l.words[code], i, i+1) // it is the newest now
	}
	said.here = true
	l.words[code] = append(l.words[code], said)
	l.counts(code, said)
}

// counts is what follows from a word for what the team may see.
func (l *ledger) counts(code string, said *word) {
	shown, stopped := said.n.at(code)
	switch {
	case !said.stop:
		*shown = said.sum
	case said.sum == *shown || *shown == [32]byte{} && said.sum == said.n.newest:
		// Of several under one id each has its own: that of what is in view counts, and of what never came that of what would.
		*stopped = append(*stopped, said.paths)
	}
}

// at is what an authority's team sees of a notification, and what of it its inbox acknowledged to stop.
func (n *notification) at(code string) (shown *[32]byte, stopped *[]scope) {
	if n.authority == code {
		return &n.shown, &n.stopped
	}
	c := n.copyAt(code)
	return &c.shown, &c.stopped
}

// has reports whether an inbox gave its word for a notification, under any manifest, and has not lost that since.
func (l *ledger) has(code string, n *notification) bool {
	return slices.ContainsFunc(l.words[code], func(o *word) bool { return o.n == n && !o.stop && o.here })
}

// restoreInbox keeps a copy of an inbox, or puts the one that was kept in its place. What it lost comes again from the hub.
func (w *World) restoreInbox() {
	name, newer := "inbox-"+pick(w, authorities), w.rand.IntN(4) == 0
	p, old := w.parties[name], w.copies[name]
	_, code := split(name)
	if old.disk == nil || newer {
		w.copies[name] = oldCopy{p.disk.Copy(), w.behind[code]}
		return
	}
	has := w.deliveriesOn(old.disk)
	lacks := slices.ContainsFunc(w.ledger.words[code], func(o *word) bool { return o.here && !has[o.delivery] })
	if !lacks || !w.chance(w.swarm.restore) {
		return
	}
	w.say("%s is restored from an older copy", name)
	w.count("inbox restored from an older copy")
	if w.collects(code) {
		w.count("inbox that collects restored from an older copy")
	}
	w.crash(p)
	p.disk = old.disk.Copy()
	w.behind[code] = old.lost
	w.forgets(code, has)
}

// oldCopy is a copy of an inbox that somebody keeps.
type oldCopy struct {
	disk *mem.Disk
	lost bool // the hub has lost its logs since, and what the copy knows of them nobody can prove any more
}

// catchesUp has the operator of an inbox that was put back from a copy older than the loss of the hub name the checkpoints
// to go on from. It does not go on by itself: what it knows is not what the new logs begin with.
func (w *World) catchesUp(code string) {
	if !w.behind[code] || !w.runs("inbox-"+code) || !w.runs("hub") {
		return
	}
	for _, log := range []hubledger.Log{hubledger.Sent, hubledger.Received} {
		_, _, checkpoint := w.Ledger.Head(log)
		if _, err := w.Inbox(code).Log().TrustLog(w.ctx(), &localv1.TrustLogRequest{Checkpoint: checkpoint}); err != nil {
			w.say("inbox-%s cannot be told the checkpoint: %s", code, reason(err))
			return
		}
	}
	w.behind[code] = false
	w.count("an inbox told from which checkpoint to go on")
}

// forgets takes back what an inbox has lost. The other words count as they were given.
func (w *World) forgets(code string, has map[string]bool) {
	for _, o := range w.ledger.words[code] {
		shown, stopped := o.n.at(code)
		*shown, *stopped = [32]byte{}, nil
	}
	for _, o := range w.ledger.words[code] {
		if o.here = o.here && has[o.delivery]; o.here && !(o.stop && o.n.duty) { // an order undoes what was stopped before
			w.ledger.counts(code, o)
		}
	}
}

// deliveriesOn are the deliveries that a disk of an inbox has, after a crash.
func (w *World) deliveriesOn(disk *mem.Disk) map[string]bool {
	has := map[string]bool{}
	s, err := mem.Open(w.ctx(), mem.Config{Disk: disk.Copy(), Schema: schema.Inbox})
	if err != nil {
		w.t.Fatal(err)
	}
	err = s.View(w.ctx(), func(s store.Snapshot) error {
		return s.Scan(schema.InboxDelivery, nil, nil, func(id, _ []byte) (bool, error) { has[string(id)] = true; return true, nil })
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return has
}

// judgeWords looks, in the end, for each delivery that an inbox has acknowledged. It is on its disk, or was lost with an
// older copy, and then either the hub never heard that it was there, or it can say why it did not give it again.
func (w *World) judgeWords(code string) {
	has, heard, over, goes := w.deliveriesOn(w.parties["inbox-"+code].disk), map[string]bool{}, w.givenUp(), map[string]bool{}
	w.logged(func(e hubledger.Logged) {
		switch id := e.Details.GetDeliveryId(); e.Leaf.Kind {
		case logv1.Kind_KIND_DELIVERED:
			heard[id] = true
		case logv1.Kind_KIND_ERASED: // its time was over
			over[id] = true
		case logv1.Kind_KIND_DECIDED, logv1.Kind_KIND_REDIRECTED:
			goes[e.Details.GetNotificationId()+e.Details.GetAuthority()] = e.Core.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
		}
	})
	for _, o := range w.ledger.words[code] {
		n := o.n
		switch {
		case o.here && !has[o.delivery]:
			w.fails("inbox-%s acknowledged delivery %s of %s and does not have it", code, o.delivery, n.id)
		case o.here || over[o.delivery]:
		case !o.stop && whole(n.gone):
			// Of what was withdrawn whole, an inbox that was put back from an older copy gets only the request to stop.
		case !o.stop && len(n.gone) > 0 && (w.ledger.has(code, n) || !goes[n.id+code] || n.authority != code):
			// A part was withdrawn while it was on its way again: what is left of it came by another delivery, or nothing is. Of
			// what was passed on nothing comes again then.
		case heard[o.delivery]:
			w.fails("inbox-%s lost delivery %s of %s, which it had acknowledged, and the hub did not give it again", code, o.delivery, n.id)
		case o.lost:
			w.count("lost by the inbox and the hub") // no desk keeps what was delivered
		case !o.stop && n.authority == code && !w.ledger.has(code, n) && w.Desk(n.prison).Get(n.id).GetNotification().GetState() == localv1.State_STATE_DELIVERED:
			w.fails("%s ends as delivered, and its inbox lost it before the hub heard so", n.id)
		default:
			w.count("lost before the hub heard of it") // its desk knows that it was not delivered, and a person sees to it
		}
	}
}

// logged goes through what the hub's logs hold, one after the other.
func (w *World) logged(each func(hubledger.Logged)) {
	for _, log := range []hubledger.Log{hubledger.Sent, hubledger.Received} {
		size, _, _ := w.Ledger.Head(log)
		err := w.Ledger.Range(w.ctx(), w.Ledger.Origin(log), 0, size, func(e hubledger.Logged) (bool, error) { each(e); return true, nil })
		if err != nil {
			w.fails("the log cannot be read: %v", err)
		}
	}
}

// givenUp are the deliveries that the operator has among the dead letters.
func (w *World) givenUp() map[string]bool {
	list, err := w.Hub.ListDeadLetters(w.ctx(), &localv1.ListDeadLettersRequest{})
	if err != nil {
		w.t.Fatal(err)
	}
	all := map[string]bool{}
	for _, l := range list.GetDeadLetters() {
		all[l.GetId()] = true
	}
	return all
}
