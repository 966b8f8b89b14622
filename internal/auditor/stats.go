package auditor

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// GetStatistics counts the events that fit, in both logs as they are at their newest checkpoints. Each number has the
// question that lists its rows. Whoever asks may see the rows one by one, so nothing is suppressed; what is published is
// another matter. Reading the logs is an event at the hub, as any export.
func (a *Auditor) GetStatistics(ctx context.Context, req *localv1.GetStatisticsRequest) (*localv1.GetStatisticsResponse, error) {
	t := newTally(req.GetFilter())
	logs, err := a.whole(ctx, t.add)
	if err != nil {
		return nil, err
	}
	return &localv1.GetStatisticsResponse{Counts: t.all(), Durations: t.durations(), Logs: logs}, nil
}

// What a number is counted by.
const (
	byKind, byOutcome, byRoute, byRule, byPrison, byAuthority = "kind", "outcome", "route", "rule", "prison", "authority"
)

// sections are these, in the order in which they are shown.
var sections = []string{byKind, byOutcome, byRoute, byRule, byPrison, byAuthority}

// looks is the kind of event that is not counted unless it is asked for: every look at its rows would add to them.
const looks = "disclosed_to_auditor"

// cell is one number.
type cell struct{ by, name string }

// number is how many events, and about which notifications.
type number struct {
	events        uint64
	notifications map[uint32]struct{}
}

// tally counts the events that fit a filter.
type tally struct {
	filter *posternv1.EventFilter
	of     string // the kind of event that is counted by outcome, route, rule, prison and authority
	cells  map[cell]*number

	ids                        map[string]uint32 // of notifications, in the order in which they were met
	decided                    map[uint32]bool   // those with a decision that fits
	first, delivered, answered map[uint32]time.Time
}

func newTally(f *posternv1.EventFilter) *tally {
	t := &tally{filter: f, of: cmp.Or(f.GetKind(), "decided"), cells: map[cell]*number{}, ids: map[string]uint32{}, decided: map[uint32]bool{},
		first: map[uint32]time.Time{}, delivered: map[uint32]time.Time{}, answered: map[uint32]time.Time{}}
	// Of what is few and known by name, none is a number too.
	for _, kind := range Kinds() {
		t.cell(byKind, kind)
	}
	for n := int32(1); posternv1.Outcome_name[n] != ""; n++ {
		t.cell(byOutcome, plain.Enum(posternv1.Outcome(n)))
	}
	for n := int32(1); posternv1.Route_name[n] != ""; n++ {
		t.cell(byRoute, plain.Enum(posternv1.Route(n)))
	}
	return t
}

// cell is the number of a name; nil when the filter asks for another one, so that no filter would list these rows.
func (t *tally) cell(by, name string) *number {
	at := cell{by, name}
	if t.cells[at] == nil && t.lists(at) != nil {
		t.cells[at] = &number{notifications: map[uint32]struct{}{}}
	}
	return t.cells[at]
}

// lists is the filter that lists the rows of a number; nil when none does.
func (t *tally) lists(at cell) *posternv1.EventFilter {
	f := &posternv1.EventFilter{}
	if t.filter != nil {
		f = proto.CloneOf(t.filter)
	}
	kind, free := t.of, true
	narrow := func(field *string) {
		free = *field == "" || *field == at.name
		*field = at.name
	}
	switch at.by {
	case byKind:
		kind, free = at.name, f.GetKind() == at.name || f.GetKind() == "" && at.name != looks
	case byOutcome:
		n, ok := plain.Value(posternv1.Outcome(0), at.name)
		free = ok && n > 0 && (f.Outcome == 0 || f.Outcome == posternv1.Outcome(n))
		f.Outcome = posternv1.Outcome(n)
	case byRoute:
		n, ok := plain.Value(posternv1.Route(0), at.name)
		free = ok && n > 0 && (f.Route == 0 || f.Route == posternv1.Route(n))
		f.Route = posternv1.Route(n)
	case byRule:
		narrow(&f.RuleId)
	case byPrison:
		narrow(&f.PrisonId)
	case byAuthority:
		narrow(&f.Authority)
	}
	if !free || at.name == "" {
		return nil
	}
	f.Kind = kind
	return f
}

// id is the number of the notification that an event is about; false for none.
func (t *tally) id(e entry) (uint32, bool) {
	if e.GetNotificationId() == "" {
		return 0, false
	}
	n, ok := t.ids[e.GetNotificationId()]
	if !ok {
		n = uint32(len(t.ids))
		t.ids[e.GetNotificationId()] = n
	}
	return n, true
}

// add counts one event. Events may come in any order.
func (t *tally) add(e entry) error {
	id, about := t.id(e)
	fits := e.fits(t.filter)
	if about {
		t.time(id, e, fits)
	}
	if !fits {
		return nil
	}
	count := func(by, name string) {
		if n := t.cell(by, name); n != nil {
			n.events++
			if about {
				n.notifications[id] = struct{}{}
			}
		}
	}
	count(byKind, e.GetKind())
	if e.GetKind() != t.of {
		return nil
	}
	count(byOutcome, plain.Enum(e.GetDecision().GetOutcome()))
	count(byRoute, e.route())
	count(byPrison, e.GetPrisonId())
	count(byAuthority, e.GetAuthority())
	for _, rule := range e.rules() {
		count(byRule, rule)
	}
	return nil
}

// time keeps when a notification was first decided, delivered and answered, as far as this event says it.
func (t *tally) time(id uint32, e entry, fits bool) {
	switch {
	case e.GetKind() == kindName(logv1.Kind_KIND_DECIDED):
		earliest(t.first, id, e)
		if fits {
			t.decided[id] = true
		}
	case e.arrived():
		earliest(t.delivered, id, e)
	case e.answers():
		earliest(t.answered, id, e)
	}
}

// arrived reports whether an inbox acknowledged a notification, not a stop request.
func (e entry) arrived() bool {
	return e.GetKind() == kindName(logv1.Kind_KIND_DELIVERED) && len(e.core.GetSubjectSha256()) == 0
}

// answers reports whether a team replied about contact, and not on what came of it.
func (e entry) answers() bool {
	_, reply := plain.Value(posternv1.ReplyCode(0), e.details.GetRefusal())
	return e.GetKind() == kindName(logv1.Kind_KIND_REPLIED) && reply
}

func earliest(times map[uint32]time.Time, id uint32, e entry) {
	at := e.GetRecordTime().AsTime()
	if before, ok := times[id]; !ok || at.Before(before) {
		times[id] = at
	}
}

// all are the numbers: by kind in the order of kinds, by outcome and route in theirs, the rest by name.
func (t *tally) all() (all []*localv1.Count) {
	cells := slices.SortedFunc(maps.Keys(t.cells), func(a, b cell) int {
		return cmp.Or(cmp.Compare(slices.Index(sections, a.by), slices.Index(sections, b.by)), cmp.Compare(a.rank(), b.rank()), cmp.Compare(a.name, b.name))
	})
	for _, c := range cells {
		n := t.cells[c]
		all = append(all, &localv1.Count{By: c.by, Name: c.name, Events: n.events, Notifications: uint64(len(n.notifications)), Filter: t.lists(c)})
	}
	return all
}

// rank is the place of a name in its section, where it has one.
func (c cell) rank() int {
	switch c.by {
	case byKind:
		return slices.Index(Kinds(), c.name)
	case byOutcome:
		n, _ := plain.Value(posternv1.Outcome(0), c.name)
		return int(n)
	case byRoute:
		n, _ := plain.Value(posternv1.Route(0), c.name)
		return int(n)
	}
	return 0
}

// durations are how long the notifications with a decision that fits took, as far as the log holds it, also where the end came
// after the time that was asked for: of the latest ones the slow would be missing.
func (t *tally) durations() (all []*localv1.Duration) {
	decided := t.lists(cell{byKind, "decided"})
	if decided == nil {
		return nil
	}
	for _, d := range []struct {
		name string
		ends map[uint32]time.Time
	}{{"delivered", t.delivered}, {"answered", t.answered}} {
		took := t.took(d.ends)
		all = append(all, &localv1.Duration{Name: d.name, Notifications: uint64(len(t.decided)), Measured: uint64(len(took)),
			MedianSeconds: within(took, 50), P90Seconds: within(took, 90), Filter: decided})
	}
	return all
}

// took is how long it was to the end of those that have one, in whole seconds, the shortest first.
func (t *tally) took(ends map[uint32]time.Time) (all []uint64) {
	for id := range t.decided {
		if end, ok := ends[id]; ok {
			all = append(all, uint64(max(0, end.Sub(t.first[id]))/time.Second))
		}
	}
	slices.Sort(all)
	return all
}

// within is the time within which so many of a hundred came: one of those measured, the nearest rank. 0 for none.
func within(sorted []uint64, percent int) uint64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[(len(sorted)*percent+99)/100-1]
}
