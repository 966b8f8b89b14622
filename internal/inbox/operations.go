package inbox

import (
	"context"
	"fmt"
	"slices"

	"postern/internal/ops"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
)

// Checks are what must hold for the inbox to take a delivery.
func (in *Inbox) Checks() []ops.Check {
	return []ops.Check{{Name: "database", Holds: func(ctx context.Context) error {
		return in.cfg.Store.View(ctx, func(s store.Snapshot) error {
			_, err := s.Get(schema.InboxMeta, sequenceKey)
			return err
		})
	}}, in.follow.Check()}
}

var gauges = []ops.Gauge{
	{Name: "postern_reports_length", Help: "Reports to the hub that wait to be sent."},
	{Name: "postern_reports_oldest_seconds", Help: "How long the oldest of them has waited; 0 when none does."},
	{Name: "postern_parcels_waiting", Help: "Parcels for mailboxes and case systems that wait to be handed over."},
	{Name: "postern_parcels_unclear", Help: "Parcels of which a person must say whether the case system has them."},
}

// count defines what an inbox counts and reads.
func (in *Inbox) count(m *ops.Metrics) {
	if m == nil {
		m = ops.NewMetrics()
	}
	in.deliveries = m.Counter("postern_deliveries_total", "Deliveries answered, by result: taken, or why they were refused.", "result")
	in.handed = m.Counter("postern_parcels_total", "Parcels for mailboxes and case systems, by way and by result: handed over, or why not.", "way", "result")
	m.Read(in.measure, gauges...)
}

func (in *Inbox) measure(ctx context.Context, report ops.Report) error {
	waiting, err := in.waiting(ctx)
	if err != nil {
		return err
	}
	report("postern_reports_length", float64(len(waiting)))
	age := 0.0
	for _, it := range waiting {
		age = max(age, ops.Since(it.EnqueueTime, in.cfg.Clock()))
	}
	report("postern_reports_oldest_seconds", age)
	unclear, parcels, _, err := in.unsettledParcels(ctx)
	if err != nil {
		return err
	}
	report("postern_parcels_waiting", float64(parcels))
	report("postern_parcels_unclear", float64(unclear))
	return nil
}

func (in *Inbox) waiting(ctx context.Context) (items []queue.Item, err error) {
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		items, err = in.reports.List(s)
		return err
	})
	return items, err
}

// Examine looks at database, keys and the reports that wait.
func (in *Inbox) Examine(ctx context.Context, _ *localv1.ExamineRequest) (*localv1.ExamineResponse, error) {
	waiting, err := in.waiting(ctx)
	if err != nil {
		return nil, err
	}
	handed, err := in.examineParcels(ctx)
	if err != nil {
		return nil, err
	}
	deputies, err := in.examineDeputies(ctx)
	if err != nil {
		return nil, err
	}
	return &localv1.ExamineResponse{Findings: append(append(append(ops.Examine(ctx, in.Checks()), in.follow.Findings()...),
		ops.OK("recipient keys", fmt.Sprintf("%d private keys can open deliveries", len(in.cfg.Keys))),
		examineReports(waiting)), slices.Concat(handed, deputies)...)}, nil
}

// examineReports says how many reports wait, and whether the hub refuses any.
func examineReports(waiting []queue.Item) *localv1.Finding {
	n := 0
	for _, it := range waiting {
		n += int(min(it.Refusals, 1))
	}
	if n > 0 {
		return ops.Warning("reports", fmt.Sprintf("the hub refuses %d of the %d that wait; each is tried for about four days, and after that the team telephones about a reply", n, len(waiting)),
			"After the loss of a hub this ends when the desks have told the next one. Otherwise the log names the reason: ask the hub's operator.")
	}
	return ops.OK("reports", fmt.Sprintf("%d wait to be sent to the hub", len(waiting)))
}
