package world

import (
	"bytes"
	"flag"
	"fmt"
	"maps"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"postern/internal/testkit"
)

var (
	oneSeed  = flag.Uint64("seed", 0, "play this one history")
	howMany  = flag.Int("seeds", 0, "play so many histories, from the first")
	fromSeed = flag.Uint64("from", 1, "the first history to play")
)

// actionsPerHistory is how long a history is.
const actionsPerHistory = 250

// TestWorld plays histories. One that fails prints its seed, which plays it again.
func TestWorld(t *testing.T) {
	first, n := *fromSeed, *howMany
	if n == 0 {
		n = testkit.N(8, 5000)
	}
	if *oneSeed != 0 {
		first, n = *oneSeed, 1
	}
	total := counts{happened: map[string]int{}}
	for seed := first; seed < first+uint64(n); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t, seed)
			w.run()
			total.add(w.counts)
		})
		if t.Failed() {
			break // the first failing history is enough to read
		}
	}
	// On stdout, as a figure and not as a test's log: it is what a run of many is made for.
	fmt.Printf("world: %d histories, %d actions, %d messages, %.0f simulated hours\n", total.histories, total.steps, total.messages, total.hours)
	for _, what := range slices.Sorted(maps.Keys(total.happened)) {
		fmt.Printf("world: %8d  %s\n", total.happened[what], what)
	}
}

func (c *counts) add(d counts) {
	c.histories++
	c.steps, c.messages, c.hours = c.steps+d.steps, c.messages+d.messages, c.hours+d.hours
	for what, n := range d.happened {
		c.happened[what] += n
	}
}

// report fails the test with all that is needed to see why and to play it again.
func (w *World) report() {
	if len(w.wrong) == 0 {
		if *oneSeed != 0 {
			w.t.Logf("the history:\n%s", w.trace.Bytes())
		}
		return
	}
	lines := strings.SplitAfter(w.trace.String(), "\n")
	if *oneSeed == 0 {
		lines = lines[max(0, len(lines)-60):]
	}
	w.t.Errorf("seed %d of commit %s: %s\n\nThe end of the history:\n%s\nTo play it again: go test ./internal/testkit/world -run '^TestWorld$' -v -seed %d",
		w.seed, commit(), strings.Join(w.wrong, "; "), strings.Join(lines, ""), w.seed)
}

// commit is what was tested; a copy without git is "unknown".
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// A seed is the whole history: played twice, every message is the same to the last byte.
func TestASeedPlaysAgain(t *testing.T) {
	for seed := uint64(1); seed <= uint64(testkit.N(2, 50)); seed++ {
		var first []byte
		for round := range 2 {
			t.Run(fmt.Sprintf("%d round %d", seed, round+1), func(t *testing.T) {
				w := newWorld(t, seed)
				w.run()
				if round == 0 {
					first = bytes.Clone(w.trace.Bytes())
				} else if !bytes.Equal(first, w.trace.Bytes()) {
					t.Errorf("the second time, seed %d went another way:\n%s", seed, difference(first, w.trace.Bytes()))
				}
			})
		}
	}
}

// difference is where two histories part.
func difference(a, b []byte) string {
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Sprintf("%s\n%s\n%s", bytes.Join(x[max(0, i-3):i], []byte("\n")), x[i], y[i])
		}
	}
	return fmt.Sprintf("one ends after %d lines, the other after %d", len(x), len(y))
}
