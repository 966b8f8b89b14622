package desk

import (
	"slices"
	"strconv"

	"postern/internal/consent"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What the person took back is asked in one of these ways. All of them ask what was said here, whether or not the hub has
// heard of it. An objection takes nothing back; only what was said before holds it too.

// withdrawnBefore reports whether withdrawals taken here say all of this already. One that the hub refused says nothing, so
// that it can be taken again.
func withdrawnBefore(n *localv1.Notification, paths []string) bool {
	var before []string
	for _, w := range n.GetWithdrawals() {
		if says(w.GetAnswer(), ruleRefused) {
			continue
		}
		if len(w.GetPaths()) == 0 {
			return true
		}
		before = append(before, w.GetPaths()...)
	}
	return len(before) > 0 && len(paths) > 0 && !slices.ContainsFunc(paths, func(p string) bool { return !consent.Withdrawn(before, p) })
}

// takesBack reports whether a withdrawal takes anything back, whether the hub has heard of it, has refused it, or neither:
// the person said so. An objection takes nothing back, as what it is about does not go by permission.
func takesBack(w *localv1.TakenWithdrawal) bool {
	return !w.GetObjection() && !says(w.GetAnswer(), ruleObjection)
}

// takenBack reports whether the person took all of it back: from then on nothing of it leaves this prison by any way.
func takenBack(n *localv1.Notification) bool {
	return slices.ContainsFunc(n.GetWithdrawals(), func(w *localv1.TakenWithdrawal) bool { return takesBack(w) && len(w.GetPaths()) == 0 })
}

// back reports whether a notification was taken back, here or, as far as the hub has told, at another prison.
func back(n *localv1.Notification) bool {
	return takenBack(n) || n.GetTakenBackElsewhere() || n.GetState() == stateWithdrawn || n.GetState() == stateStopAsked
}

// partsTakenBack are the paths that the person took back one by one, of it or of what it was made from; none also where it
// was all at once, and where it goes because the safeguarding lead decided so, whatever was permitted.
func partsTakenBack(n *localv1.Notification) (paths []string) {
	if n.GetRoute() == posternv1.Route_ROUTE_DUTY {
		return nil
	}
	return partsSaid(n)
}

// WhatGoes are the sections of a notification that its decision shares and that the person did not take back, by path.
func WhatGoes(n *localv1.Notification) []string {
	taken := partsTakenBack(n)
	return slices.DeleteFunc(slices.Clone(n.GetDecision().GetPaths()), func(p string) bool { return len(taken) > 0 && consent.Withdrawn(taken, p) })
}

// partsSaid are the paths that the person took back one by one, by whatever the notification goes.
func partsSaid(n *localv1.Notification) (paths []string) {
	paths = slices.Clone(n.GetLeftOutPaths())
	for _, w := range n.GetWithdrawals() {
		if takesBack(w) {
			paths = append(paths, w.GetPaths()...)
		}
	}
	return paths
}

// childTakenBack reports whether the person took back all about one child, by its number in the notification, and the
// safeguarding lead did not decide since that it is shared.
func childTakenBack(n *localv1.Notification, number uint32) bool {
	parts := partsSaid(n)
	return number > 0 && len(parts) > 0 && consent.Withdrawn(parts, "child/"+strconv.Itoa(int(number))) && !ordered(n, number)
}

// ordered reports whether the safeguarding lead's newest decision is to share a child, by its number in the notification.
func ordered(n *localv1.Notification, number uint32) bool {
	named := lastConsidered(n, true).GetCodes().GetNotMoreDetrimental()
	return slices.ContainsFunc(inForm(n, []uint32{number}), func(f uint32) bool { return slices.Contains(named, f) })
}

// leavesNoChild reports whether a withdrawal takes back the last child of a notification of this desk: then it takes back
// all, as a notification is about children and what it says of their parent goes with them. Of another prison's, only the
// hub knows how many there are. Where another child of it may still go, what it says of their parent stays.
func leavesNoChild(n *localv1.Notification, paths []string) bool {
	if len(paths) == 0 || len(n.GetFormChildren()) == 0 {
		return false
	}
	taken := slices.Concat(partsTakenBack(n), paths)
	for i := range n.GetFormChildren() {
		if !consent.Withdrawn(taken, "child/"+strconv.Itoa(i+1)) {
			return false
		}
	}
	return true
}

// pathsWithdrawn are the parts that a decision of the hub says were withdrawn.
func pathsWithdrawn(d *posternv1.Decision) []string { return pathsOf(d, ruleWithdrawn) }

func pathsOf(d *posternv1.Decision, rule string) (paths []string) {
	for _, r := range d.GetReasons() {
		if r.GetRuleId() == rule {
			paths = append(paths, r.GetPaths()...)
		}
	}
	return paths
}

// leaveOut notes parts that were taken back elsewhere, or are known by the hub's word alone.
func leaveOut(n *localv1.Notification, paths []string) {
	n.LeftOutPaths = slices.Compact(slices.Sorted(slices.Values(slices.Concat(n.GetLeftOutPaths(), paths))))
}

// notLeftOut are those of the paths that a notification may still hold.
func notLeftOut(n *localv1.Notification, paths []string) []string {
	left := n.GetLeftOutPaths()
	return slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return len(left) > 0 && consent.Withdrawn(left, p) })
}
