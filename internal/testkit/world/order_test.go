package world

import (
	"context"
	"slices"

	"postern/internal/fault"
	"postern/internal/section"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// considered is what a safeguarding lead ordered to be shared, by the numbers of the form.
type considered struct {
	children []uint32
	paths    []string
	at       int64 // when
}

// key names what of a form is for one authority. Whatever goes on of it under another id has the same.
func (n *notification) key() string { return n.form + " " + n.authority }

// consider is the safeguarding lead, who decides that nothing is sent, or what is, whatever was permitted.
func (w *World) consider() {
	share, few := w.rand.IntN(3) > 0, w.rand.IntN(2) == 0
	n := w.ofAForm()
	if n == nil {
		return
	}
	req := &localv1.ConsiderRequest{Id: n.id, Share: share, Reasons: "The family is known and helped.", Codes: &posternv1.Consideration{
		Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES}}
	var order considered
	if share {
		order = w.order(n, req, few)
	}
	did, err := w.atTheCounter(n.prison, func(ctx context.Context) error {
		if key := n.key(); share { // whatever is answered: it may have been taken
			w.ledger.considered[key] = append(w.ledger.considered[key], order)
		}
		_, err := w.Desk(n.prison).Consider(ctx, req)
		return err
	})
	if !did {
		return
	}
	n.tried = true // it may not go any more, or otherwise, whatever was answered
	w.say("desk-%s: %s is considered, to be shared %v: %s", n.prison, n.id[:8], share, reason(err))
	switch {
	case err == nil && share:
		w.count("considered, and shared")
	case err == nil:
		w.count("considered, and not shared")
	case share && !uncertain(err): // refused, and so not taken
		key := n.key()
		w.ledger.considered[key] = slices.Delete(w.ledger.considered[key], len(w.ledger.considered[key])-1, len(w.ledger.considered[key]))
	}
	if fault.KindOf(err) == fault.Invalid && err != nil {
		w.fails("a consideration of %s cannot be recorded: %v", n.id, fault.From(err).Fields)
	}
}

// order draws what is to be shared: one child, or all, with what is needed to find them.
func (w *World) order(n *notification, req *localv1.ConsiderRequest, few bool) (o considered) {
	o.at = w.tick()
	req.Codes.Relevant, req.Codes.HelpsFunction = posternv1.Answer_ANSWER_YES, "ca1989.s17"
	one := w.rand.IntN(len(n.numbers)+1) % max(1, len(n.numbers))
	req.Codes.Paths, o.paths = []string{"parent/name"}, []string{"parent/name"}
	for i, number := range n.numbers {
		if few && i != one {
			continue
		}
		o.children = append(o.children, number)
		req.Codes.NotMoreDetrimental = append(req.Codes.NotMoreDetrimental, uint32(i+1))
		for _, name := range []string{"identity", "home", "safety"} {
			s, _ := section.ByPattern("child/{n}/" + name)
			req.Codes.Paths, o.paths = append(req.Codes.Paths, s.Path(i+1)), append(o.paths, s.Path(int(number)))
		}
	}
	return o
}

// byOrder reports whether a manifest says what a safeguarding lead ordered, and not only what its form did. One that was
// submitted before the order, and is told to the next hub after it, does not.
func (l *ledger) byOrder(n *notification, sum [32]byte) bool {
	return n.routes[sum] == posternv1.Route_ROUTE_DUTY && slices.ContainsFunc(l.considered[n.key()], func(o considered) bool { return o.at < n.askedAt[sum] })
}

// bound is what may be shared by one manifest of a notification.
func (l *ledger) bound(n *notification, sum [32]byte) expectation {
	e := l.expect(l.forms[n.form], n.authority, n.numbers)
	if !l.byOrder(n, sum) {
		return e
	}
	if l.forms[n.form].form.GetRoute() == posternv1.Route_ROUTE_DUTY {
		return e.or(l.ordered(n))
	}
	return l.ordered(n)
}

// ordered is what may be shared of a notification because it was ordered.
func (l *ledger) ordered(n *notification) expectation {
	e := expectation{sections: map[string]*posternv1.Child{}}
	if n.authority == testkit.Wrexham {
		return e
	}
	form := l.forms[n.form].form
	for _, o := range l.considered[n.key()] {
		for i, number := range n.numbers {
			if !slices.Contains(o.children, number) {
				continue
			}
			if !slices.Contains(e.children, uint32(i+1)) {
				e.children = append(e.children, uint32(i+1))
			}
			for _, s := range section.All() {
				if s.PerChild && slices.Contains(o.paths, s.Path(int(number))) {
					e.sections[s.Path(i+1)] = form.GetChildren()[number-1]
				}
				if !s.PerChild && slices.Contains(o.paths, s.Pattern) {
					e.sections[s.Pattern] = nil
				}
			}
		}
	}
	return e
}

// or is what may be shared by either.
func (e expectation) or(o expectation) expectation {
	out := expectation{children: slices.Clone(e.children), sections: map[string]*posternv1.Child{}}
	for _, number := range o.children {
		if !slices.Contains(out.children, number) {
			out.children = append(out.children, number)
		}
	}
	for _, one := range []expectation{e, o} {
		for path, child := range one.sections {
			out.sections[path] = child
		}
	}
	return out
}

// overrides is what follows from an order that the hub has decided on: what was withdrawn before does not stand in its way.
func (l *ledger) overrides(n *notification, sum [32]byte) {
	if l.byOrder(n, sum) {
		n.gone, n.elsewhere, n.unheard, n.stopped = nil, nil, nil, nil
	}
}

// judgeOrder looks whether what was ordered came to the hub: where a person would still read that it needs a decision, it
// was lost.
func (w *World) judgeOrder(n *notification, at *localv1.Notification) {
	all := at.GetConsiderations()
	if len(all) == 0 || !all[len(all)-1].GetShare() || n.decision == nil {
		return
	}
	if s := at.GetState(); (s == localv1.State_STATE_REFERRED || s == localv1.State_STATE_WAITING) && !at.GetShared() && !n.ordered {
		w.fails("%s was ordered to be shared, and the hub never heard", n.id)
	}
}
