package auditor

import (
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"time"

	"postern/internal/engine"
	"postern/internal/plain"
	"postern/policy"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	lateAfter  = 24 * time.Hour      // an acknowledgement that comes later is listed
	mostKept   = 90 * 24 * time.Hour // what was released is deleted by then
	mostListed = 200                 // rows of a table; of how many is said
)

// page is the evidence for one control. Its words are ids of the catalogue, "evidence." and a name; in JSON the name.
type page struct {
	ID           string   // of the file, and of the title
	Figures      []figure // what the logs hold
	Tables       []grid
	NotEvidenced []string // what the control asks for and the logs cannot show
	Lost         bool     // whether a log is not here that may hold more
}

// figure is one number, or something else of one line.
type figure struct {
	ID    string
	Value any
	List  string // the flags of `audit list` that list its rows; empty where it is no count of events
	Never bool   // anything but 0 is an exception
}

// grid is a table of rows.
type grid struct {
	ID   string
	Head []string // ids
	Rows [][]string
	More int // rows that are left out
}

// Status is what a page comes to.
type Status string

// What a page comes to, from best to worst; beside it stands how many exceptions there are.
const (
	Evidenced    Status = "EVIDENCED"
	InPart       Status = "IN_PART"
	None         Status = "NONE" // the logs hold no such event, and they are whole
	NotEvidenced Status = "NOT_EVIDENCED"
)

func (p page) status() Status {
	holds := slices.ContainsFunc(p.Figures, func(f figure) bool { return f.Value != uint64(0) && f.Value != "" })
	switch {
	case len(p.Figures) == 0, !holds && p.Lost:
		return NotEvidenced
	case !holds:
		return None
	case len(p.NotEvidenced) > 0:
		return InPart
	}
	return Evidenced
}

// exceptions is how many figures are not what they should be.
func (p page) exceptions() (n int) {
	for _, f := range p.Figures {
		if f.Never && f.Value != uint64(0) {
			n++
		}
	}
	return n
}

func table(id string, head []string, rows [][]string) grid {
	shown := min(len(rows), mostListed)
	return grid{ID: id, Head: head, Rows: rows[:shown], More: len(rows) - shown}
}

// pages are the pages, in the order of the contents; lost is whether a log is lost.
func (g *gathering) pages(ctx context.Context, lost bool) ([]page, error) {
	rules, err := g.rules(ctx)
	if err != nil {
		return nil, err
	}
	all := []page{g.decisions(), g.agreed(), g.basis(), rules, g.again(), g.retention(), g.withdrawals(), g.acknowledged(), g.refusals(), g.access(), people()}
	for i := range all {
		if all[i].Lost = lost; lost && len(all[i].Figures) > 0 {
			all[i].NotEvidenced = append(all[i].NotEvidenced, "evidence.no_lost")
		}
	}
	return all, nil
}

// people is what no log can show.
func people() page {
	return page{ID: "people", NotEvidenced: []string{"evidence.no_training", "evidence.no_assessment", "evidence.no_notice", "evidence.no_rights"}}
}

// counted is the number of a cell of the tally as a figure.
func (g *gathering) counted(id, by, name string) figure {
	n := g.tally.cell(by, name)
	if n == nil {
		n = &number{}
	}
	return figure{ID: id, Value: n.events, List: Flags(g.tally.lists(cell{by, name}))}
}

func (g *gathering) kind(id string, k logv1.Kind) figure { return g.counted(id, byKind, kindName(k)) }

func (g *gathering) decisions() page {
	p := page{ID: "decisions", NotEvidenced: []string{"evidence.no_telephone"}, Figures: []figure{g.kind("evidence.decided", logv1.Kind_KIND_DECIDED)}}
	for i, id := range []string{"evidence.share", "evidence.wait", "evidence.withhold", "evidence.refer"} {
		p.Figures = append(p.Figures, g.counted(id, byOutcome, plain.Enum(posternv1.Outcome(i+1))))
	}
	p.Figures = append(p.Figures, g.kind("evidence.considered", logv1.Kind_KIND_CONSIDERED), g.kind("evidence.redirected", logv1.Kind_KIND_REDIRECTED),
		figure{ID: "evidence.seed", Value: hex.EncodeToString(g.seed)})
	var rows [][]string
	for _, s := range g.sample {
		rows = append(rows, []string{s.id, utc(s.at), s.reference, s.prison, s.authority, s.outcome})
	}
	p.Tables = []grid{table("evidence.sample", []string{"evidence.event", "evidence.when", "evidence.reference", "evidence.prison", "evidence.authority", "evidence.outcome"}, rows)}
	return p
}

func (g *gathering) agreed() page {
	p := page{ID: "agreements", NotEvidenced: []string{"evidence.no_wording"}}
	shared, without := uint64(0), uint64(0)
	var rows [][]string
	for _, id := range slices.Sorted(maps.Keys(g.agreements)) {
		u := g.agreements[id]
		if shared += u.times; id == "" {
			without = u.times
			continue
		}
		rows = append(rows, []string{id, fmt.Sprint(u.times), utc(u.first), utc(u.last), u.until})
	}
	p.Figures = []figure{{ID: "evidence.shared_standard", Value: shared}, {ID: "evidence.shared_without", Value: without, Never: true},
		g.counted("evidence.lacked", byRule, "no_data_sharing_agreement")}
	p.Tables = []grid{table("evidence.by_agreement", []string{"evidence.agreement", "evidence.shared", "evidence.first", "evidence.last", "evidence.until"}, rows), g.directories()}
	return p
}

// directories are the revisions of the directory that came into force.
func (g *gathering) directories() grid {
	var rows [][]string
	for _, h := range g.of(logv1.Kind_KIND_DIRECTORY_CHANGED) {
		rows = append(rows, []string{h.id, utc(h.at), fmt.Sprint(h.number), h.what, h.caller})
	}
	return table("evidence.directories", []string{"evidence.event", "evidence.when", "evidence.number", "evidence.digest", "evidence.by"}, rows)
}

func (g *gathering) basis() page {
	var rows [][]string
	for _, at := range slices.SortedFunc(maps.Keys(g.laws), func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) }) {
		rows = append(rows, []string{at[0], at[1], fmt.Sprint(g.laws[at])})
	}
	return page{ID: "basis", NotEvidenced: []string{"evidence.no_stated"},
		Figures: []figure{{ID: "evidence.shared", Value: g.shared}, {ID: "evidence.lawless", Value: g.lawless, Never: true}},
		Tables:  []grid{table("evidence.by_law", []string{"evidence.rule", "evidence.law", "evidence.shared"}, rows)}}
}

// rules is the page on the policy: which ones decided, which one is in force, and what its tests show.
func (g *gathering) rules(ctx context.Context) (page, error) {
	p := page{ID: "policy", Figures: []figure{{ID: "evidence.policies", Value: uint64(len(g.policies))}}}
	inForce := ""
	var at time.Time
	for _, h := range g.all {
		if h.revision != "" && (h.kind == kindName(logv1.Kind_KIND_POLICY_CHANGED) || h.kind == kindName(logv1.Kind_KIND_HUB_STARTED)) && !h.at.Before(at) {
			inForce, at = h.revision, h.at
		}
	}
	for revision, u := range g.policies { // of a hub that began before it said so
		if inForce == "" || u.last.After(at) {
			inForce, at = revision, u.last
		}
	}
	if inForce == "" {
		p.NotEvidenced = append(p.NotEvidenced, "evidence.no_policy")
	} else if err := p.tested(ctx, inForce); err != nil {
		return p, err
	}
	var rows [][]string
	for _, revision := range slices.Sorted(maps.Keys(g.policies)) {
		u := g.policies[revision]
		rows = append(rows, []string{revision, fmt.Sprint(u.times), utc(u.first), utc(u.last)})
	}
	p.Tables = []grid{table("evidence.by_policy", []string{"evidence.revision", "evidence.decided", "evidence.first", "evidence.last"}, rows)}
	rows = nil
	for _, h := range g.of(logv1.Kind_KIND_POLICY_CHANGED) {
		rows = append(rows, []string{h.id, utc(h.at), h.revision, h.what, h.caller})
	}
	p.Tables = append(p.Tables, table("evidence.changes", []string{"evidence.event", "evidence.when", "evidence.revision", "evidence.digest", "evidence.by"}, rows))
	return p, nil
}

// tested runs the tests of the policy in force where this program has them: a hub serves what decides, without its tests.
func (p *page) tested(ctx context.Context, inForce string) error {
	p.Figures = append(p.Figures, figure{ID: "evidence.in_force", Value: inForce})
	if own, err := engine.Revision(policy.Bundle); err != nil || own != inForce {
		p.NotEvidenced = append(p.NotEvidenced, "evidence.no_tests")
		return err
	}
	report, err := engine.Test(ctx, policy.Bundle)
	if err != nil {
		return err
	}
	failed := uint64(len(report.Uncovered))
	for _, o := range slices.Concat(report.Rules, report.Cases) {
		if len(o.Faults) > 0 {
			failed++
		}
	}
	p.Figures = append(p.Figures, figure{ID: "evidence.tests", Value: uint64(len(report.Rules))}, figure{ID: "evidence.cases", Value: uint64(len(report.Cases))},
		figure{ID: "evidence.failed", Value: failed, Never: true})
	return nil
}

func (g *gathering) again() page {
	all := uint64(0)
	for _, n := range g.replayed {
		all += n
	}
	count := func(id string, r localv1.Replayed, never bool) figure {
		return figure{ID: id, Value: g.replayed[r], Never: never}
	}
	return page{ID: "replay", Figures: []figure{{ID: "evidence.again", Value: all}, count("evidence.same", localv1.Replayed_REPLAYED_SAME, false),
		count("evidence.differs", localv1.Replayed_REPLAYED_DIFFERS, true), count("evidence.missing", localv1.Replayed_REPLAYED_POLICY_MISSING, true),
		count("evidence.undecided", localv1.Replayed_REPLAYED_UNDECIDED, false), count("evidence.no_input", localv1.Replayed_REPLAYED_NO_INPUT, false)},
		Tables: []grid{table("evidence.differing", []string{"evidence.event", "evidence.when", "evidence.reference", "evidence.replayed"}, g.differing)}}
}
