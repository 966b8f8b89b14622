package valve

import (
	"math/rand/v2"
	"slices"
	"time"

	"postern/internal/section"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// tick is how often everybody steps; an hour is three of them.
const (
	tick     = 20 * time.Minute
	perHour  = int(time.Hour / tick)
	lastTick = 36 * perHour
)

// plan is what all worlds of it share.
type plan struct {
	seed     uint64
	prison   string
	busy     int // an hour in which many teams say something
	families []family
	teams    map[string]*team
}

// family is one form, and what its desk is to hear of it.
type family struct {
	authority string
	taken     int // the tick at which the desk takes it
	replies   []reply
	withdrawn int      // the tick at which the person withdraws; 0 for never
	paths     []string // what of it; nothing for all
	dead      bool     // it is never delivered: the hour in which its time runs out is the hour in which it is heard
}

// reply is what a desk hears in an hour.
type reply struct {
	hour  int
	code  posternv1.ReplyCode
	paths []string
}

// team is when a team's inbox can be reached. The moment at which an acknowledgement comes is the stated exception: both
// worlds agree on it.
type team struct {
	outage [2]int // from this tick until before that one nothing gets through
	dies   int    // from this tick on nothing is acknowledged any more; never when lastTick
}

func (t *team) out(at int) bool { return at >= t.outage[0] && at < t.outage[1] || at >= t.dies }

func newPlan(seed uint64) plan {
	r := rand.New(rand.NewPCG(seed, 7))
	p := plan{seed: seed, prison: testkit.HMPParc, teams: map[string]*team{}, busy: 7 + r.IntN(6)}
	for _, code := range authorities {
		t := &team{dies: lastTick}
		p.teams[code] = t
		taken := 1 + r.IntN(2*perHour)
		if r.IntN(2) == 0 {
			t.outage = [2]int{taken, taken + 1 + r.IntN(2*perHour)}
		}
		count := 1 + r.IntN(2)
		for range count {
			p.families = append(p.families, p.family(r, code, taken))
			taken += r.IntN(perHour)
		}
		last := max(taken, t.outage[1]) + 1
		switch r.IntN(3) {
		case 0:
			// One more, which never arrives: nothing else is in the line by then.
			f := family{authority: code, taken: last + 1 + r.IntN(perHour), dead: true}
			t.dies = last
			p.families = append(p.families, f)
		case 1:
			// One that was delivered is withdrawn.
			f := &p.families[len(p.families)-1]
			f.withdrawn = last + 1 + r.IntN(4*perHour)
			if r.IntN(2) == 0 {
				f.paths = []string{[]string{"child/1/phone", "child/1", "parent/language"}[r.IntN(3)]}
			}
		}
	}
	return p
}

var authorities = []string{testkit.Bristol, testkit.Lancashire}

func (p *plan) family(r *rand.Rand, code string, taken int) family {
	f := family{authority: code, taken: taken}
	hour := (max(taken, p.teams[code].outage[1]) + 2) / perHour
	for range r.IntN(4) {
		if hour += 1 + r.IntN(5); hour < p.busy && r.IntN(2) == 0 {
			hour = p.busy
		}
		told := reply{hour: hour, code: posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT}
		if r.IntN(2) == 0 {
			told.code, told.paths = posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, someSections(r)
		}
		f.replies = append(f.replies, told)
	}
	return f
}

// someSections are sections that a team may ask for.
func someSections(r *rand.Rand) (paths []string) {
	for _, s := range section.All() {
		if s.Class != posternv1.SectionClass_SECTION_CLASS_URGENT && !slices.Contains([]string{"home", "carer", "safety", "phone"}, s.Name) && r.IntN(3) == 0 {
			paths = append(paths, s.Path(1))
		}
	}
	return paths
}
