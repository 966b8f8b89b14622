package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/config"
	"postern/internal/envelope"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/rpc"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// What the events of row 9 say: of so many prisons and authorities, over ten years, each rule and outcome by itself and not
// with the other, so that every filter has something to find, and two together may have nothing.
const (
	searchPrisons     = 120
	searchAuthorities = 150
	searchRules       = 40
	once              = "bench_once" // a rule that is in one event of all, a quarter of the way up
)

var (
	searchOutcomes = []posternv1.Outcome{posternv1.Outcome_OUTCOME_SHARE, posternv1.Outcome_OUTCOME_WAIT, posternv1.Outcome_OUTCOME_WITHHOLD, posternv1.Outcome_OUTCOME_REFER_TO_PERSON}
	searchStart    = time.Date(2016, 1, 1, 0, 0, 0, 0, time.UTC)
)

const searchYears = 10 * 365 * 24 * time.Hour

func searchPrison(i int) string    { return fmt.Sprintf("%c%c%c", 'A'+i/26%26, 'A'+i%26, 'Q') }
func searchAuthority(i int) string { return fmt.Sprintf("E%08d", 6_000_000+i) }
func searchRule(i int) string      { return fmt.Sprintf("bench_rule_%d", i) }

// searchEvent is the i-th of n events: nine of ten are decisions.
func searchEvent(i, n int, id string) ledger.Event {
	d := &posternv1.Decision{Outcome: searchOutcomes[i%len(searchOutcomes)], Children: []*posternv1.ChildDecision{{Number: 1,
		Reasons: []*posternv1.Reason{{RuleId: searchRule(i % searchRules), Text: "The parent gave permission to tell this team about this child."}}}}}
	if i == n/4 {
		d.Reasons = []*posternv1.Reason{{RuleId: once}}
	}
	kind := logv1.Kind_KIND_DECIDED
	if i%10 == 9 {
		kind = logv1.Kind_KIND_WITHDRAWN
	}
	return ledger.Event{Kind: kind, Time: searchStart.Add(time.Duration(float64(searchYears) * float64(i) / float64(n))),
		Core:    &logv1.Core{Outcome: d.GetOutcome()},
		Details: &logv1.Details{NotificationId: id, Authority: searchAuthority(i % searchAuthorities), Decision: d, Sender: &posternv1.Sender{PrisonId: searchPrison(i % searchPrisons)}}}
}

// fillSearch writes n events by the code that writes them when a hub runs, and indexes them as it does.
func (b *bench) fillSearch(folder string, n int) (last string, err error) {
	l, end, err := openLedger(b.ctx, folder)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, end()) }()
	const each = 50
	var next atomic.Int64
	ids := make([]string, n)
	for i := range ids {
		if ids[i], err = envelope.NewID(rand.Reader); err != nil {
			return "", err
		}
	}
	err = concurrently(16, (n+each-1)/each, func() error {
		from := int(next.Add(each)) - each
		if from%100_000 == 0 {
			b.say("%d events", from)
		}
		return l.Append(b.ctx, func(tx *ledger.Tx) error {
			for i := from; i < min(n, from+each); i++ {
				if _, err := tx.Record(ledger.Sent, searchEvent(i, n, ids[i])); err != nil {
					return err
				}
			}
			return nil
		})
	})
	for worked := true; worked && err == nil; {
		worked, err = l.StepIndex(b.ctx)
	}
	return ids[n/4], err
}

// question is a filter of an auditor.
type question struct {
	name   string
	filter func(id string) *posternv1.EventFilter // of a notification a quarter of the way up
}

func window(from, days int) (a, b *timestamppb.Timestamp) {
	start := searchStart.Add(searchYears / 100 * time.Duration(from))
	return timestamppb.New(start), timestamppb.New(start.AddDate(0, 0, days))
}

var questions = []question{
	{"everything", func(string) *posternv1.EventFilter { return nil }},
	{"prison", func(string) *posternv1.EventFilter { return &posternv1.EventFilter{PrisonId: searchPrison(7)} }},
	{"authority", func(string) *posternv1.EventFilter { return &posternv1.EventFilter{Authority: searchAuthority(31)} }},
	{"outcome", func(string) *posternv1.EventFilter { return &posternv1.EventFilter{Outcome: searchOutcomes[3]} }},
	{"rule", func(string) *posternv1.EventFilter { return &posternv1.EventFilter{RuleId: searchRule(11)} }},
	{"kind", func(string) *posternv1.EventFilter { return &posternv1.EventFilter{Kind: "withdrawn"} }},
	{"time: a day in the middle", func(string) *posternv1.EventFilter {
		a, b := window(50, 1)
		return &posternv1.EventFilter{StartTime: a, EndTime: b}
	}},
	{"time: before the first event", func(string) *posternv1.EventFilter {
		return &posternv1.EventFilter{EndTime: timestamppb.New(searchStart.Add(-time.Hour))}
	}},
	{"prison and authority", func(string) *posternv1.EventFilter {
		return &posternv1.EventFilter{PrisonId: searchPrison(7), Authority: searchAuthority(37)}
	}},
	{"time and kind", func(string) *posternv1.EventFilter {
		a, b := window(20, 30)
		return &posternv1.EventFilter{StartTime: a, EndTime: b, Kind: "withdrawn"}
	}},
	{"rule and outcome that never go together", func(string) *posternv1.EventFilter {
		return &posternv1.EventFilter{RuleId: searchRule(11), Outcome: searchOutcomes[0]}
	}},
	{"prison that nobody is", func(string) *posternv1.EventFilter { return &posternv1.EventFilter{PrisonId: "ZZZ"} }},
	{"rule that is in one event of all", func(string) *posternv1.EventFilter { return &posternv1.EventFilter{RuleId: once} }},
	{"notification", func(id string) *posternv1.EventFilter { return &posternv1.EventFilter{Notification: id} }},
}

// searched is a hub that is asked, with what the calls took.
type searched struct {
	id   string // of a notification in its log
	hub  *hub
	conn *rpc.Conn
}

func (s *searched) close() error { return errors.Join(s.conn.Close(), s.hub.stop()) }

// searchSide fills a log, starts its hub and connects as the auditor.
func (b *bench) searchSide(name string, n int) (s *searched, err error) {
	folder, err := b.makeFolder(name)
	if err != nil {
		return nil, err
	}
	s = &searched{}
	if s.id, err = b.fillSearch(folder, n); err != nil {
		return nil, err
	}
	cfg, err := config.LoadAuditor(filepath.Join(folder, "auditor.yaml"))
	if err != nil {
		return nil, err
	}
	own, err := cfg.LoadIdentity()
	if err != nil {
		return nil, err
	}
	anchors, err := cfg.LoadAnchors()
	if err != nil {
		return nil, err
	}
	if s.hub, err = b.startHub(folder); err != nil {
		return nil, err
	}
	s.conn, err = rpc.Dial(rpc.ClientConfig{Address: cfg.Hub.Address, Identity: own, Anchors: anchors,
		Want: identity.Party{Domain: cfg.TrustDomain, Role: posternv1.Role_ROLE_HUB, ID: cfg.Hub.Name}})
	if err != nil {
		return nil, errors.Join(err, s.hub.stop())
	}
	return s, nil
}

// ask asks a question for its first page, and returns how long that took and whether the hub says to go on from there.
func (s *searched) ask(ctx context.Context, q question, token string) (took time.Duration, out *posternv1.ListEventsResponse, err error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	start := time.Now()
	out, err = posternv1.NewAuditServiceClient(s.conn).ListEvents(ctx, &posternv1.ListEventsRequest{Filter: q.filter(s.id), PageSize: 25, PageToken: token})
	return time.Since(start), out, err
}

// calls is how many calls come to the first event or to the end.
func (s *searched) calls(ctx context.Context, q question) (n, found int, err error) {
	for token := ""; ; {
		_, out, err := s.ask(ctx, q, token)
		if n++; err != nil || len(out.GetEvents()) > 0 || out.GetNextPageToken() == "" {
			return n, len(out.GetEvents()), err
		}
		token = out.GetNextPageToken()
	}
}

// search measures row 9: the first page of each question an auditor asks, over a long log and over a short one. Each is
// a whole call over mutual TLS, with the event that somebody asked.
func (b *bench) search() (err error) {
	short, err := b.searchSide("search-short", shortLog)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, short.close()) }()
	long, err := b.searchSide("search-long", b.opts.entries)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, long.close()) }()
	const calls = 40
	for _, q := range questions {
		var ratio []float64
		var all [2][]time.Duration
		for round := range b.opts.rounds + 1 {
			var took [2][]time.Duration
			for range calls {
				for i, s := range []*searched{short, long} {
					d, _, err := s.ask(b.ctx, q, "")
					if err != nil {
						return fmt.Errorf("%s: %w", q.name, err)
					}
					took[i] = append(took[i], d)
				}
			}
			if round == 0 {
				continue
			}
			ratio = append(ratio, quantile(took[1], 0.5).Seconds()/quantile(took[0], 0.5).Seconds())
			all[0], all[1] = append(all[0], took[0]...), append(all[1], took[1]...)
		}
		n, found, err := long.calls(b.ctx, q)
		if err != nil {
			return err
		}
		figures := func(d []time.Duration) string {
			return fmt.Sprintf("p50 %.2f ms, p99 %.1f ms", 1e3*quantile(d, 0.5).Seconds(), 1e3*quantile(d, 0.99).Seconds())
		}
		b.say("%s: %s; with the short log %s; %d calls to %d events", q.name, figures(all[1]), figures(all[0]), n, found)
		b.table.add(9, fmt.Sprintf("audit search over %d events, first page; %s (%d in %d calls)", b.opts.entries, q.name, found, n), figures(all[1]),
			fmt.Sprintf("over %d: %s", shortLog, figures(all[0])), median(ratio), "≤ 2; p99 ≤ 10 ms", "")
	}
	return nil
}
