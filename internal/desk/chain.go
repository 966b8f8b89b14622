package desk

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A chain is a form, the forms that put it right, and all notifications of these. A team may have two of them that tell of
// the same children, and the person's slip names whichever it was printed for.

// link is a notification of a chain, with the form that it was made of.
type link struct {
	*localv1.Notification
	form *posternv1.Form
}

// namesIn are the ids by which a notification hangs together with others of its chain.
func namesIn(n *localv1.Notification) []string {
	all := []string{n.GetId(), n.GetFormId(), n.GetSupersedes(), n.GetSupersededBy()}
	return slices.DeleteFunc(all, func(id string) bool { return id == "" })
}

// chain loads a notification and all others of its chain, the one that was named first.
func (d *Desk) chain(s store.Snapshot, id string) (all []link, err error) {
	var rest []*localv1.Notification
	err = s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
		n := &localv1.Notification{}
		err := d.unseal(schema.DeskNotification, string(key), sealed, n)
		rest = append(rest, n)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	known := map[string]bool{id: true}
	for more := true; more; {
		more = false
		rest = slices.DeleteFunc(rest, func(n *localv1.Notification) bool {
			names := namesIn(n)
			if !slices.ContainsFunc(names, func(name string) bool { return known[name] }) {
				return false
			}
			for _, name := range names {
				known[name] = true
			}
			all, more = append(all, link{n, &posternv1.Form{}}), true
			return true
		})
	}
	first := slices.IndexFunc(all, func(l link) bool { return l.GetId() == id })
	if first < 0 {
		return nil, notHere
	}
	all[0], all[first] = all[first], all[0]
	for _, l := range all {
		if l.GetFormId() == "" {
			continue // another prison has it
		}
		if l.GetErasure() != nil {
			proto.Merge(l.form, asForm(l.GetErasure()))
			continue
		}
		if err := d.loadIfThere(s, schema.DeskForm, l.GetFormId(), l.form); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// leads reports whether a notification leads to another of its chain, in any number of steps.
func leads(chain []link, from, to link, step func(*localv1.Notification) string) bool {
	for from.GetId() != to.GetId() {
		i := slices.IndexFunc(chain, func(l link) bool { return l.GetId() == step(from.Notification) })
		if i < 0 {
			return false
		}
		from = chain[i]
	}
	return true
}

// alsoThere says what a withdrawal of these paths of a notification, or of all of it where there are none, takes back of
// another of its chain, by the numbers there; touched is false for nothing. sure is false where the other may tell of a child
// whom the withdrawal names, and nobody can say under which number.
func alsoThere(chain []link, n, other link, paths []string) (there []string, touched, sure bool) {
	switch {
	case other.GetAuthority() == "":
		return nil, false, true // an enquiry tells of no child
	case other.GetFormId() != n.GetFormId():
		return byChild(n, other, paths)
	case leads(chain, other, n, func(x *localv1.Notification) string { return x.GetFollows() + x.GetReseals() }), // it has one of them, or none
		leads(chain, n, other, (*localv1.Notification).GetReseals):
		numbers := make([]uint32, len(other.GetFormChildren()))
		for i, child := range other.GetFormChildren() {
			numbers[i] = uint32(slices.Index(n.GetFormChildren(), child) + 1)
		}
		there, touched = pathsThere(paths, numbers)
		return there, touched, true
	}
	return nil, false, true // it is about other children, or what this one goes on from
}

// byChild is alsoThere for a notification of another form, which numbers its children anew. A child is known again by name
// and birth alone. One who is not may be one whose name was put right, or who is new: with all of a notification all about
// them is taken back too, and with a part of it nothing is by a guess.
func byChild(n, other link, paths []string) (there []string, touched, sure bool) {
	same := sameChildren(n.form, other.form)
	unknown := func(child uint32) bool { // whether the other form does not know a child of this one, by its number in the form
		return !slices.Contains(slices.Collect(maps.Values(same)), child)
	}
	numbers := make([]uint32, len(other.GetFormChildren()))
	var mine, strange, others bool // whether it tells of children of n; of some whom n's form does not know; of others of that form
	var children []string
	for i, child := range other.GetFormChildren() {
		known, found := same[child]
		numbers[i] = uint32(slices.Index(n.GetFormChildren(), known) + 1)
		if found && numbers[i] == 0 {
			others = true
			continue
		}
		mine, strange = mine || found, strange || !found
		children = append(children, "child/"+strconv.Itoa(i+1))
	}
	switch {
	case !mine && !(strange && slices.ContainsFunc(n.GetFormChildren(), unknown)):
		return nil, false, true
	case len(paths) > 0:
		guessed := false
		there, touched = pathsThere(paths, numbers)
		for i, child := range n.GetFormChildren() {
			whole := "child/" + strconv.Itoa(i+1)
			named := slices.ContainsFunc(paths, func(p string) bool { return p == whole || strings.HasPrefix(p, whole+"/") })
			guessed = guessed || named && strange && unknown(child)
		}
		return there, touched, !guessed
	case others:
		return children, true, true
	}
	return nil, true, true
}

// sameChildren are the children whom two forms of one parent know by the same name and birth, each once: by the numbers of
// the one form, the numbers in the other.
func sameChildren(of, in *posternv1.Form) map[uint32]uint32 {
	only := func(f *posternv1.Form, child *posternv1.Child) (number uint32) {
		for i, c := range f.GetChildren() {
			if form.SameChild(c.GetIdentity(), child.GetIdentity()) {
				if number > 0 {
					return 0
				}
				number = uint32(i + 1)
			}
		}
		return number
	}
	out := map[uint32]uint32{}
	for i, child := range in.GetChildren() {
		if number := only(of, child); number > 0 && only(in, child) > 0 {
			out[uint32(i+1)] = number
		}
	}
	return out
}

// withdrawFurther takes the same withdrawal for all of the chain that it takes back too. What the desk carries over by itself
// does not reach a form to which the person agreed after they took this back. A crash before it is mended by withdrawing
// again, which changes nothing else; what was sealed again, the step that seals carries it over to as well.
func (d *Desk) withdrawFurther(ctx context.Context, id string, req *localv1.WithdrawNotificationRequest, by Staff) error {
	var chain []link
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		chain, err = d.chain(s, id)
		return err
	})
	if err != nil {
		return err
	}
	n := chain[0]
	for _, other := range chain[1:] {
		there, touched, _ := alsoThere(chain, n, other, req.GetPaths())
		if touched && len(there) > 0 { // of what it was made without there is nothing to take back
			there = notLeftOut(other.Notification, there)
			touched = len(there) > 0
		}
		if !touched || d.carries(by) && other.GetFormId() != n.GetFormId() && agreedAfter(other, lastTakenBack(n.Notification)) {
			continue
		}
		if _, _, err := d.withdrawOne(ctx, &localv1.WithdrawNotificationRequest{Id: other.GetId(), Paths: there, Method: req.GetMethod()}, by); err != nil {
			return err
		}
	}
	return nil
}

// agreedAfter reports whether the person agreed to a notification after a time, or it was made after that without asking.
func agreedAfter(l link, at time.Time) bool {
	if given := l.form.GetConsent().GetGiveTime(); given != nil && l.GetRoute() <= posternv1.Route_ROUTE_STANDARD {
		return given.AsTime().After(at)
	}
	return l.GetCreateTime().AsTime().After(at)
}

// lastTakenBack is when the person last took permission back of a notification, all of it or a part, here or elsewhere. What
// the desk carried over was said of another one.
func lastTakenBack(n *localv1.Notification) time.Time {
	last := n.GetTakenBackElsewhereTime().AsTime()
	for _, w := range n.GetWithdrawals() {
		if at := w.GetTakeTime().AsTime(); takesBack(w) && !w.GetCarried() && at.After(last) {
			last = at
		}
	}
	return last
}

// addChain adds, to a notification as it is shown, what became in the other forms of its chain of what the person took back.
func (d *Desk) addChain(s store.Snapshot, n *localv1.Notification) error {
	n.TakenBackToo, n.MayStillHold = nil, nil
	paths, last, whole := partsSaid(n), n.GetTakenBackElsewhereTime().AsTime(), back(n)
	for _, w := range n.GetWithdrawals() { // an objection too: another may go by permission
		if at := w.GetTakeTime().AsTime(); at.After(last) {
			last = at
		}
		paths, whole = append(paths, w.GetPaths()...), whole || len(w.GetPaths()) == 0
	}
	if len(paths) == 0 && !whole {
		return nil
	}
	if whole {
		paths = nil
	}
	chain, err := d.chain(s, n.GetId())
	if err != nil {
		return err
	}
	for _, other := range chain[1:] {
		there, touched, sure := alsoThere(chain, chain[0], other, paths)
		if other.GetFormId() == n.GetFormId() || !touched && sure || agreedAfter(other, last) {
			continue
		}
		if touched && sure && withdrawnThere(other.Notification, there) {
			n.TakenBackToo = append(n.TakenBackToo, other.GetReference())
		} else if !back(other.Notification) {
			n.MayStillHold = append(n.MayStillHold, other.GetReference())
		}
	}
	return nil
}

// withdrawnThere reports whether all of this was taken back of a notification, or was never in it. An objection takes
// nothing back.
func withdrawnThere(n *localv1.Notification, paths []string) bool {
	if n.GetRoute() > posternv1.Route_ROUTE_STANDARD {
		return false
	}
	left := notLeftOut(n, paths)
	return back(n) || len(paths) > 0 && len(left) == 0 || withdrawnBefore(n, left)
}
