package world

import (
	"math/rand/v2"

	"postern/internal/store/mem"
)

// swarm says how likely each fault is in one history. Every history has some faults off and others often: a fault that
// always happens hides what needs a long time without it.
type swarm struct {
	drop, delay, double, meanwhile float64  // of a message
	hold                           float64  // of a notification on its way to a team
	disk                           float64  // of a commit
	leap                           float64  // of time going on
	skew                           float64  // of a clock set wrong
	restore                        float64  // of an inbox that is down, from an older copy
	directories, policies          float64  // of another directory, or policy
	read                           float64  // of something happening between two reads of the hub
	lose                           float64  // of the hub's disk, at each time that it could be
	collect                        []string // the authorities whose inbox collects, at first
	faults                         []mem.Fault
	weights                        []int // of the actions
}

func newSwarm(r *rand.Rand) swarm {
	level := func(often float64) float64 {
		switch n, f := r.IntN(4), r.Float64(); n {
		case 0:
			return 0
		case 1:
			return often * f / 10
		default:
			return often * f
		}
	}
	s := swarm{drop: level(0.3), delay: level(0.2), double: level(0.2), meanwhile: level(0.3), disk: level(0.06),
		leap: level(0.1), read: level(0.1),
		skew: level(1), directories: level(1), policies: level(1),
		restore: level(1), lose: level(1), hold: level(0.5)}
	for _, code := range authorities {
		if r.IntN(3) == 0 {
			s.collect = append(s.collect, code)
		}
	}
	for _, f := range []mem.Fault{mem.Full, mem.Lost, mem.Kept} {
		if r.IntN(3) > 0 {
			s.faults = append(s.faults, f)
		}
	}
	for _, a := range actions {
		s.weights = append(s.weights, r.IntN(a.weight*2)+1)
	}
	return s
}

// beforeCommit may make the party's next commit fail.
func (w *World) beforeCommit(p *party) {
	if len(w.swarm.faults) == 0 || w.Exchange == nil || !w.chance(w.swarm.disk) {
		return
	}
	f := pick(w, w.swarm.faults)
	w.count("disk: " + faultNames[f])
	w.say("%s: disk will fail: %s", p.name, faultNames[f])
	p.disk.Fail(f)
}

var faultNames = map[mem.Fault]string{mem.Full: "full", mem.Lost: "write failed", mem.Kept: "write failed but arrived"}
