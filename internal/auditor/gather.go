package auditor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"time"

	"postern/internal/engine"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// happening is what the pages of evidence need of an event: codes and times, nobody's name, and no member of staff.
type happening struct {
	id, follows, kind           string
	at                          time.Time
	reference                   string
	prison, authority, outcome  string
	caller, why, revision, what string // what is the digest of the subject
	number                      uint64 // of a directory
	fits, arrived               bool
}

// sampled is an event of a random sample, by its place in it.
type sampled struct {
	rank [sha256.Size]byte
	happening
}

// sampleSize is how many decisions a sample has.
const sampleSize = 25

// gathering is what evidence is made of. It takes the events of whole logs in any order.
type gathering struct {
	ctx    context.Context
	tally  *tally
	replay replay
	filter *posternv1.EventFilter

	all        []happening // but what was disclosed
	seed       []byte      // of the sample; the auditor's, so that no hub knows what will be looked at
	sample     []sampled
	agreements map[string]*used // the shared decisions of the standard route, by the agreement that they rest on; "" for none
	laws       map[[2]string]uint64
	lawless    uint64
	shared     uint64
	policies   map[string]*used
	replayed   map[localv1.Replayed]uint64
	differing  [][]string
	looks      map[string]*used // by auditor
	newest     time.Time
}

// used is how often something was used, and when.
type used struct {
	times       uint64
	first, last time.Time
	until       string // the last day that was named
}

func use[K comparable](all map[K]*used, key K, at time.Time) *used {
	u := all[key]
	if u == nil {
		u = &used{first: at, last: at}
		all[key] = u
	}
	u.times++
	if at.Before(u.first) {
		u.first = at
	}
	if at.After(u.last) {
		u.last = at
	}
	return u
}

func (a *Auditor) gathers(ctx context.Context, f *posternv1.EventFilter, seed []byte) *gathering {
	return &gathering{ctx: ctx, tally: newTally(f), replay: replay{a: a}, filter: f, seed: seed, agreements: map[string]*used{}, laws: map[[2]string]uint64{},
		policies: map[string]*used{}, replayed: map[localv1.Replayed]uint64{}, looks: map[string]*used{}}
}

// take takes one event.
func (g *gathering) take(e entry) error {
	at := e.GetRecordTime().AsTime()
	if at.After(g.newest) {
		g.newest = at
	}
	fits := e.fits(g.filter)
	if e.GetKind() == looks {
		if fits {
			use(g.looks, e.details.GetCaller(), at)
		}
		return nil
	}
	h := happening{id: e.GetEventId(), follows: hex.EncodeToString(e.core.GetFollowsEvent()), kind: e.GetKind(), at: at, reference: e.GetReference(),
		prison: e.GetPrisonId(), authority: e.GetAuthority(), outcome: plain.Enum(e.GetDecision().GetOutcome()), caller: e.details.GetCaller(),
		why: e.details.GetRefusal(), revision: e.core.GetPolicyRevision(), what: hex.EncodeToString(e.core.GetSubjectSha256()),
		number: e.details.GetDirectoryRevision(), fits: fits, arrived: e.arrived()}
	g.all = append(g.all, h)
	if err := g.tally.add(e); err != nil || !fits {
		return err
	}
	if e.GetDecision().GetPolicyRevision() != "" {
		if err := g.decided(e, h); err != nil {
			return err
		}
	}
	if h.kind == kindName(logv1.Kind_KIND_DECIDED) {
		g.draw(h)
	}
	return nil
}

// decided takes a decision that a policy made.
func (g *gathering) decided(e entry, h happening) error {
	use(g.policies, e.GetDecision().GetPolicyRevision(), h.at)
	out, err := g.replay.again(g.ctx, e.Event, e.details)
	if err != nil {
		return err
	}
	if g.replayed[out.GetReplayed()]++; !slices.Contains([]localv1.Replayed{localv1.Replayed_REPLAYED_SAME, localv1.Replayed_REPLAYED_UNDECIDED, localv1.Replayed_REPLAYED_NO_INPUT}, out.GetReplayed()) {
		g.differing = append(g.differing, []string{h.id, utc(h.at), h.reference, plain.Enum(out.GetReplayed())})
	}
	if e.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || len(e.details.GetInput()) == 0 {
		return nil
	}
	in, err := engine.ParseInput(e.details.GetInput())
	if err != nil {
		return err
	}
	g.shared++
	if in.Route == plain.Enum(posternv1.Route_ROUTE_STANDARD) {
		id := in.Agreement.ID
		if !in.Agreement.InForce {
			id = ""
		}
		if u := use(g.agreements, id, h.at); in.Agreement.EndDate > u.until {
			u.until = in.Agreement.EndDate
		}
	}
	if !g.law(e.GetDecision()) {
		g.lawless++
	}
	return nil
}

// law counts the rules by which something was shared, each with the law it stands for, and reports whether one names any.
func (g *gathering) law(d *posternv1.Decision) (named bool) {
	once := map[[2]string]bool{}
	count := func(reasons []*posternv1.Reason) {
		for _, r := range reasons {
			if at := [2]string{r.GetRuleId(), r.GetLaw()}; !once[at] {
				once[at] = true
				g.laws[at]++
				named = named || r.GetLaw() != ""
			}
		}
	}
	count(d.GetReasons())
	for _, c := range d.GetChildren() {
		if c.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
			count(c.GetReasons())
		}
	}
	return named
}

// draw puts a decision into the sample when it is among those whose SHA-256, behind the seed, is smallest.
func (g *gathering) draw(h happening) {
	s := sampled{sha256.Sum256(append(slices.Clone(g.seed), h.id...)), h}
	i, _ := slices.BinarySearchFunc(g.sample, s, func(a, b sampled) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	if g.sample = slices.Insert(g.sample, i, s); len(g.sample) > sampleSize {
		g.sample = g.sample[:sampleSize]
	}
}

// of are the happenings of some kinds that fit, the newest first.
func (g *gathering) of(kinds ...logv1.Kind) (found []happening) {
	for _, h := range g.all {
		if h.fits && slices.ContainsFunc(kinds, func(k logv1.Kind) bool { return kindName(k) == h.kind }) {
			found = append(found, h)
		}
	}
	slices.SortStableFunc(found, func(a, b happening) int { return b.at.Compare(a.at) })
	return found
}

// after are the happenings of a kind, by the event that they follow, the earliest of each; also those that do not fit.
func (g *gathering) after(kind logv1.Kind) map[string]happening {
	first := map[string]happening{}
	for _, h := range g.all {
		if was, ok := first[h.follows]; h.kind == kindName(kind) && h.follows != "" && (!ok || h.at.Before(was.at)) {
			first[h.follows] = h
		}
	}
	return first
}

// utc is a moment as evidence writes it, in either language.
func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }
