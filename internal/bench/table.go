package main

import (
	_ "embed"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/open-policy-agent/opa/v1/version"
	"google.golang.org/grpc"
)

// rest is what a person found in the profiles.
//
//go:embed rest.md
var rest string

// table is the figures as people read them.
type table struct {
	began time.Time
	load  string // of the machine before anything ran
	lines []string
	notes []string

	attacks []string // row 13, a table of its own
}

func (t *table) start() { t.began, t.load = time.Now(), loadAverage() }

// attackTable is the head of row 13.
const attackTable = `
## 13. Under attack

Honest desks submit %.0f notifications a second, whatever comes of the one before, and a call counts from when it was due.
Meanwhile the certificate of another desk is used, over real mTLS from another address of the same machine, for one attack
after the other, each as fast as the line takes it. The attacker's own work is on the same processors. Resident memory is
the hub's, and what of it is not the pages of its database. Load average of the machine before: %s; after: %s.

| attack | what is sent | sent/s | honest p50 | honest p99 | failed | resident | not the file's |
|---|---|---|---|---|---|---|---|
`

// add adds a row. The ratio is what counts; the figures beside it say where it comes from.
func (t *table) add(row int, what, ours, against string, ratio float64, goal, note string) {
	t.text(row, what, ours, against, fmt.Sprintf("**%.2f**", ratio), goal, note)
}

// text adds a row whose result is not a ratio.
func (t *table) text(row int, what, ours, against, result, goal, note string) {
	if note != "" {
		t.notes = append(t.notes, note)
		what += fmt.Sprintf(" [%d]", len(t.notes))
	}
	t.lines = append(t.lines, fmt.Sprintf("| %d | %s | %s | %s | %s | %s |", row, what, ours, against, result, goal))
}

func loadAverage() string {
	text, _ := os.ReadFile("/proc/loadavg")
	f := strings.Fields(string(text))
	if len(f) < 3 {
		return "unknown"
	}
	return strings.Join(f[:3], " ")
}

// machine says what the figures were taken on.
func machine() string {
	model := "unknown processor"
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == "model name" {
			model = strings.TrimSpace(value)
			break
		}
	}
	kernel, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return fmt.Sprintf("%s, %d processors, Linux %s, %s", model, runtime.NumCPU(), strings.TrimSpace(string(kernel)), runtime.Version())
}

func (t *table) markdown(o options) string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Benchmarks\n\nWritten by `make bench` on %s; do not edit. Each ratio is the median of %d rounds in which both sides took turns.\n\n",
		t.began.UTC().Format("2 January 2006"), o.rounds)
	fmt.Fprintf(&b, "- machine: %s\n- load average before: %s; after: %s (two of it are the benchmark's own)\n- peers: grpc-go %s, OPA %s, bbolt as in go.mod\n\n",
		machine(), t.load, loadAverage(), grpc.Version, version.Version)
	b.WriteString("| # | what | Postern | against | ratio | goal |\n|---|---|---|---|---|---|\n")
	for _, line := range t.lines {
		b.WriteString(line + "\n")
	}
	for i, note := range t.notes {
		fmt.Fprintf(&b, "\n%d. %s.", i+1, note)
	}
	if len(t.notes) > 0 {
		b.WriteString("\n")
	}
	if len(t.attacks) > 0 {
		fmt.Fprintf(&b, attackTable, honestRate, t.load, loadAverage())
		for _, line := range t.attacks {
			b.WriteString(line + "\n")
		}
	}
	b.WriteString(rest)
	return b.String()
}
