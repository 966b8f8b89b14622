package valve

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"testing"

	"postern/internal/testkit"
)

var (
	onePlan  = flag.Uint64("plan", 0, "play this one plan")
	fromPlan = flag.Uint64("from", 1, "the first plan to play")
	howMany  = flag.Int("pairs", 0, "compare so many pairs of worlds")
)

// worldsOfAPlan are the quiet one and those that are compared with it.
const worldsOfAPlan = 11

// A prison cannot tell two worlds apart that agree on what may flow back and in which hours.
func TestTwoWorlds(t *testing.T) {
	pairs := *howMany
	if pairs == 0 {
		pairs = testkit.N(20, 10_000)
	}
	first := *fromPlan
	if *onePlan != 0 {
		first, pairs = *onePlan, worldsOfAPlan-1
	}
	happened, compared, size := map[string]int{}, 0, 0
	for seed := first; compared < pairs && !t.Failed(); seed++ {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			p := newPlan(seed)
			var quiet []byte
			for number := range uint64(worldsOfAPlan) {
				t.Run(fmt.Sprint(number), func(t *testing.T) {
					w := play(t, p, number)
					for what, n := range w.happened {
						happened[what] += n
					}
					if number == 0 {
						quiet = w.heard.Bytes()
						size += len(quiet)
						return
					}
					compared++
					if d := difference(quiet, w.heard.Bytes()); d != "" {
						t.Fatalf("the prison can tell world %d of plan %d from its quiet one: %s\nTo play it again: go test ./internal/testkit/valve -run '^TestTwoWorlds$' -plan %d", number, seed, d, seed)
					}
				})
			}
		})
	}
	fmt.Printf("valve: %d pairs, %d bytes in a quiet world's transcript on the average\n", compared, size*(worldsOfAPlan-1)/max(1, compared))
	for _, what := range slices.Sorted(maps.Keys(happened)) {
		fmt.Printf("valve: %8d  %s\n", happened[what], what)
	}
}

// Worlds that were told apart once, and are not any more.
func TestWorldsThatWereOnceToldApart(t *testing.T) {
	for _, of := range []struct{ seed, number uint64 }{
		{99, 1}, {99, 7}, {1122, 8}, // two withdrawals in one tick, the first of what was passed on
	} {
		var heard [2][]byte
		for i, number := range [...]uint64{0, of.number} {
			t.Run(fmt.Sprint(of.seed, number), func(t *testing.T) { heard[i] = play(t, newPlan(of.seed), number).heard.Bytes() })
		}
		if d := difference(heard[0], heard[1]); d != "" {
			t.Errorf("the prison can tell world %d of plan %d from its quiet one: %s", of.number, of.seed, d)
		}
	}
}
