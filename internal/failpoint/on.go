//go:build failpoint

package failpoint

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The environment of a build with fail-points.
const (
	// Armed says what happens where: POINT=ACTION@N, with commas between several. ACTION is kill, error or delay; N is at
	// which hit, from 1. Each happens once, a delay at that hit and every later one.
	Armed = "POSTERN_FAILPOINT"
	// Record names a file to which a line is added for every action that happens: the point, a space, the action.
	Record = "POSTERN_FAILPOINT_RECORD"
)

// delay is long enough for another process to come between.
const delay = 150 * time.Millisecond

// plan is what this process is to do at its points.
type plan struct {
	mu     sync.Mutex // owns hits, and writes to record
	hits   map[Point]int
	action map[Point]string
	at     map[Point]int
	record *os.File
}

// theEnvironment is the plan of this process. A mistake in it ends the process: a test that arms nothing proves nothing.
var theEnvironment = sync.OnceValue(func() *plan {
	p := &plan{hits: map[Point]int{}, action: map[Point]string{}, at: map[Point]int{}}
	known := map[Point]bool{}
	for _, point := range All() {
		known[point] = true
	}
	if text := os.Getenv(Armed); text != "" {
		for one := range strings.SplitSeq(text, ",") {
			name, rest, _ := strings.Cut(one, "=")
			action, at, _ := strings.Cut(rest, "@")
			n, err := strconv.Atoi(at)
			if !known[Point(name)] || err != nil || action != "kill" && action != "error" && action != "delay" {
				panic("failpoint: " + Armed + " has " + one)
			}
			p.action[Point(name)], p.at[Point(name)] = action, n
		}
	}
	if file := os.Getenv(Record); file != "" {
		var err error
		if p.record, err = os.OpenFile(file, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err != nil {
			panic("failpoint: " + err.Error())
		}
	}
	return p
})

// Hit says that the process is at a point, and does what the environment says. Its error is to be treated as one of
// what the process is about to do there.
func Hit(point Point) error {
	p := theEnvironment()
	p.mu.Lock()
	p.hits[point]++
	n, action, at := p.hits[point], p.action[point], p.at[point]
	if action != "" && n == at && p.record != nil {
		fmt.Fprintln(p.record, point, action)
	}
	p.mu.Unlock()
	switch {
	case action == "kill" && n == at:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	case action == "error" && n == at:
		return fmt.Errorf("failpoint: %s", point)
	case action == "delay" && n >= at:
		time.Sleep(delay)
	}
	return nil
}
