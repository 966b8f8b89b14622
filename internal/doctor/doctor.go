// Package doctor looks at a party from all sides, as somebody would who is called at night: its configuration and
// files, certificate and clock, disk, database and what is in it, the hub it calls and the inboxes it is to reach.
//
// It guarantees that whatever it reports as a problem says what to do, in words that hold no person's data and no
// secret; and that looking changes nothing of what the party holds. A party that serves is asked over its control
// socket; one that does not is built for a moment in this process, which does what a start would do and no more.
//
// It does not repair, and it sees only what this machine can see: that the hub answers here does not say that it
// answers at another prison.
package doctor

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ops"
	localv1 "postern/proto/postern/local/v1"
)

// Options say what to examine.
type Options struct {
	Config string // the configuration file of the party
	Clock  func() time.Time
	Log    *slog.Logger
}

// Report is what was found.
type Report struct {
	Party       string // hub, desk, inbox or audit; empty when the file does not tell
	Findings    []*localv1.Finding
	Unreachable bool // the hub does not answer
}

// Problems counts what does not work, but for a hub that does not answer.
func (r *Report) Problems() int {
	n := 0
	for _, f := range r.Findings {
		if f.GetLevel() == localv1.Level_LEVEL_PROBLEM && !(r.Unreachable && f.GetCheck() == hubCheck) {
			n++
		}
	}
	return n
}

// hubCheck names the finding about the hub a party calls.
const hubCheck = "hub"

// examination is one run.
type examination struct {
	Options
	config.Party
	identity *identity.Identity
	anchors  *identity.Anchors
	report   *Report
}

func (e *examination) add(findings ...*localv1.Finding) {
	e.report.Findings = append(e.report.Findings, findings...)
}

// wait bounds every question to another machine.
const wait = 5 * time.Second

// Run examines a party. What it finds wrong is in the report and is no error.
func Run(ctx context.Context, o Options) *Report {
	e := &examination{Options: o, report: &Report{}}
	data, err := os.ReadFile(o.Config)
	if err != nil {
		e.add(ops.Problem("config", "The file "+filepath.Base(o.Config)+" cannot be read.", "Check its name and who may read it."))
		return e.report
	}
	e.report.Party = config.KindOf(data)
	if e.Party, err = config.Load(o.Config, data); err != nil {
		e.add(ops.Faults("config", err)...)
		return e.report
	}
	e.add(ops.OK("config", "complete, for postern "+e.Kind()))
	e.files()
	e.certificate()
	e.disk()
	e.checkpoints()
	e.upstream(ctx)
	e.inside(ctx)
	return e.report
}

// upstream asks the hub.
func (e *examination) upstream(ctx context.Context) {
	up, err := e.Upstream()
	if err != nil {
		e.add(ops.Faults(hubCheck, err)...)
		return
	}
	if up.Address == "" || e.identity == nil {
		return
	}
	found, err := e.probe(ctx, hubCheck, up.Party, up.Address)
	e.report.Unreachable = fault.KindOf(err) == fault.Unavailable || fault.KindOf(err) == fault.Deadline
	e.add(found...)
	if e.report.Unreachable || err != nil {
		return
	}
	e.logKeys(ctx, up)
	if c, ok := e.Party.(*config.Inbox); ok {
		e.enrolment(ctx, c, up)
	}
}

// peers asks the parties that this one calls by the directory, a few at a time, and keeps their order.
func (e *examination) peers(ctx context.Context, peers []*localv1.Peer) {
	found := make([][]*localv1.Finding, len(peers))
	var wg sync.WaitGroup
	places := make(chan struct{}, 8)
	for i, p := range peers {
		wg.Go(func() {
			places <- struct{}{}
			defer func() { <-places }()
			to, err := identity.ParseURI(p.GetUri())
			if err != nil {
				found[i] = ops.Faults("inbox", err)
				return
			}
			found[i], _ = e.probe(ctx, "inbox "+to.ID, to, p.GetAddress())
		})
	}
	wg.Wait()
	e.add(slices.Concat(found...)...)
}
