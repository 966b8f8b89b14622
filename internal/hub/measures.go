package hub

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"postern/internal/delivery"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/ops"
	"postern/internal/plain"
	posternv1 "postern/proto/postern/v1"
)

// Measures is what a hub counts, for docs/operations.md to explain. Labels are authorities, codes and rule ids: never
// a notification and never a prison, so that a graph of them singles out nobody.
type Measures struct {
	metrics    *ops.Metrics
	decisions  ops.Counter   // outcome
	rules      ops.Counter   // outcome, rule
	refusals   ops.Counter   // reason
	unrecorded ops.Counter   // reason
	events     ops.Counter   // log, kind
	commits    ops.Histogram // seconds
	sends      ops.Counter   // result
	policies   ops.Counter   // result
	behind     ops.Counter   // role

	grown [2]atomic.Int64 // when each log last grew, Unix nanoseconds; 0 when not since the start
}

// NewMeasures defines a hub's counters.
func NewMeasures(m *ops.Metrics) *Measures {
	return &Measures{
		metrics:    m,
		decisions:  m.Counter("postern_decisions_total", "Decisions recorded, by outcome.", "outcome"),
		rules:      m.Counter("postern_rules_total", "Decisions in which a rule of the policy was a reason, by the outcome it led to for a child or for all.", "outcome", "rule"),
		refusals:   m.Counter("postern_refusals_total", "Statements of known parties that were refused.", "reason"),
		unrecorded: m.Counter("postern_refusals_unrecorded_total", "Refusals beyond a party's hourly budget, which made no leaf.", "reason"),
		events:     m.Counter("postern_events_total", "Leaves of the two logs, by kind: delivered, undelivered and so on.", "log", "kind"),
		commits: m.Histogram("postern_commit_seconds", "From the start of a transaction of the ledger until it is durable.",
			.001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5),
		behind:   m.Counter("postern_log_ahead_total", "Calls refused because the caller knows more of a log than this hub holds.", "role"),
		policies: m.Counter("postern_policies_total", "Policies that somebody tried to bring into force: activated or refused.", "result"),
		sends:    m.Counter("postern_sends_total", "Attempts to hand a delivery to an inbox: answered, or why not.", "result"),
	}
}

// Committed takes a durable batch of the ledger.
func (m *Measures) Committed(c ledger.Commit) {
	m.commits(c.Took.Seconds())
	for _, e := range c.Events {
		m.events(e.Log.String(), kindName(e.Kind))
		m.grown[e.Log-1].Store(c.Time.UnixNano())
	}
}

// ahead counts a caller who knows more than we do.
func (m *Measures) ahead(role string) { m.behind(strings.TrimPrefix(role, "ROLE_")) }

// decided counts a decision once, and once for each rule that was a reason in it, under the outcome it led to.
func (m *Measures) decided(d *posternv1.Decision) {
	m.decisions(plain.Enum(d.GetOutcome()))
	type reason struct{ outcome, rule string }
	seen := map[reason]bool{}
	count := func(o posternv1.Outcome, reasons []*posternv1.Reason) {
		for _, r := range reasons {
			if because := (reason{plain.Enum(o), r.GetRuleId()}); !seen[because] {
				seen[because] = true
				m.rules(because.outcome, because.rule)
			}
		}
	}
	count(d.GetOutcome(), d.GetReasons())
	for _, c := range d.GetChildren() {
		count(c.GetOutcome(), c.GetReasons())
	}
}

// sending counts what becomes of each attempt.
func (m *Measures) sending(s delivery.Sender) delivery.Sender { return sender{s, m.sends} }

type sender struct {
	delivery.Sender
	sends ops.Counter
}

// Send sends and counts.
func (s sender) Send(ctx context.Context, to identity.Party, address string, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	answer, err := s.Sender.Send(ctx, to, address, d)
	if err != nil {
		s.sends(fault.From(err).Reason)
	} else {
		s.sends("answered")
	}
	return answer, err
}

var gauges = []ops.Gauge{
	{Name: "postern_queue_length", Help: "Deliveries that wait, by authority.", Labels: []string{"authority"}},
	{Name: "postern_queue_oldest_seconds", Help: "How long the oldest delivery of an authority has waited.", Labels: []string{"authority"}},
	{Name: "postern_breaker_open", Help: "By authority for which deliveries wait: 1 while its inbox is left alone because it does not answer, 0.5 while it is tried again.", Labels: []string{"authority"}},
	{Name: "postern_dead_letters", Help: "Deliveries that were given up and can be sent again, by authority.", Labels: []string{"authority"}},
	{Name: "postern_delivery_paused", Help: "1 while deliveries are paused."},
	{Name: "postern_hold_deliveries", Help: "Deliveries kept back after the loss of a hub, until every prison has told what was withdrawn."},
	{Name: "postern_hold_prisons", Help: "After the loss of a hub: prisons that have not told yet what was withdrawn."},
	{Name: "postern_hold_seconds", Help: "After the loss of a hub: how long at most deliveries are kept back still."},
	{Name: "postern_log_size", Help: "Leaves of a log.", Labels: []string{"log"}},
	{Name: "postern_checkpoint_age_seconds", Help: "How long ago a log last grew; to the hour before its first growth after a start.", Labels: []string{"log"}},
	{Name: "postern_self_check_events", Help: "Events of the logs that the self-check has read since the start."},
	{Name: "postern_self_check_age_seconds", Help: "How long ago the self-check had last read everything; absent before the first time."},
	{Name: "postern_directory_revision", Help: "The number of the directory in force; 0 for none."},
	{Name: "postern_recipient_key_days", Help: "Whole days until an authority's recipient key ends; negative after it.", Labels: []string{"authority"}},
}

// measure reads the gauges.
func (h *Hub) measure(ctx context.Context, report ops.Report) error {
	now := h.cfg.Clock()
	d := h.directory.Load()
	report("postern_directory_revision", float64(d.Number()))
	for _, a := range d.Authorities() {
		if key, ok := d.RecipientKey(a.GetCode()); ok {
			report("postern_recipient_key_days", float64(ops.Days(key.GetExpireTime().AsTime(), now)), a.GetCode())
		}
	}
	for _, log := range []ledger.Log{ledger.Sent, ledger.Received} {
		size, _, _ := h.cfg.Ledger.Head(log)
		report("postern_log_size", float64(size), log.String())
		at := time.Unix(0, h.cfg.Measures.grown[log-1].Load())
		if at.UnixNano() == 0 {
			var err error
			if at, err = h.cfg.Ledger.Newest(ctx, log); err != nil {
				return err
			}
		}
		report("postern_checkpoint_age_seconds", ops.Since(at, now), log.String())
	}
	checked := h.selfCheck.State()
	report("postern_self_check_events", float64(checked.Events))
	if !checked.Passed.IsZero() {
		report("postern_self_check_age_seconds", ops.Since(checked.Passed, now))
	}
	paused, err := h.delivery.PausedSince(ctx)
	if err != nil {
		return err
	}
	still := 0.0
	if !paused.IsZero() {
		still = 1
	}
	report("postern_delivery_paused", still)
	if err := h.measureHold(ctx, now, report); err != nil {
		return err
	}
	queues, err := h.delivery.Status(ctx)
	for _, q := range queues {
		report("postern_queue_length", float64(q.Waiting), q.Authority)
		report("postern_queue_oldest_seconds", ops.Since(q.Oldest, now), q.Authority)
		report("postern_breaker_open", float64(q.Breaker)/2, q.Authority)
	}
	if err != nil {
		return err
	}
	letters, err := h.delivery.DeadLetters(ctx)
	parked := map[string]int{}
	for _, l := range letters {
		parked[l.Authority]++
	}
	for authority, n := range parked {
		report("postern_dead_letters", float64(n), authority)
	}
	return err
}
