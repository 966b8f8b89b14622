package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/auditor"
	"postern/internal/config"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

func (a *app) auditStatsCommand() *cobra.Command {
	var f auditor.Question
	c := &cobra.Command{Use: "stats", Short: "Count the events within this auditor's scope, each number with the flags of `audit list` that list its rows", Args: exactly(0)}
	questionFlags(c, &f)
	c.RunE = func(c *cobra.Command, _ []string) error {
		filter, err := eventFilter(f)
		if err != nil {
			return err
		}
		return a.evidence(c.Context(), func(ctx context.Context, evidence localv1.EvidenceServiceClient) error {
			out, err := evidence.GetStatistics(ctx, &localv1.GetStatisticsRequest{Filter: filter})
			if err != nil {
				return err
			}
			return a.printStats(out)
		})
	}
	return c
}

func (a *app) evidence(ctx context.Context, fn func(context.Context, localv1.EvidenceServiceClient) error) error {
	return with(ctx, a, config.LoadAuditor, func(ctx context.Context, conn *grpc.ClientConn) error {
		return fn(ctx, localv1.NewEvidenceServiceClient(conn))
	})
}

func (a *app) printStats(out *localv1.GetStatisticsResponse) error {
	if a.output == "json" {
		counts, durations, logs := []map[string]any{}, []map[string]any{}, []map[string]any{}
		for _, c := range out.GetCounts() {
			m := plain.Map(c)
			m["id"], m["list"] = c.GetBy()+"/"+c.GetName(), auditor.Flags(c.GetFilter())
			counts = append(counts, m)
		}
		for _, d := range out.GetDurations() {
			m := plain.Map(d)
			m["id"], m["list"] = d.GetName(), auditor.Flags(d.GetFilter())
			durations = append(durations, m)
		}
		for _, l := range out.GetLogs() {
			m := plain.Map(l)
			m["id"] = l.GetOrigin()
			logs = append(logs, m)
		}
		return a.printJSON(map[string]any{"counts": counts, "durations": durations, "logs": logs})
	}
	err := list(a, out.GetCounts(), nil, "", []string{"BY", "WHICH", "EVENTS", "NOTIFICATIONS", "LISTED BY"}, func(c *localv1.Count) []string {
		return []string{c.GetBy(), c.GetName(), fmt.Sprint(c.GetEvents()), fmt.Sprint(c.GetNotifications()), auditor.Flags(c.GetFilter())}
	})
	if err != nil {
		return err
	}
	for _, d := range out.GetDurations() {
		if d.GetMeasured() == 0 {
			a.line("From decided to %s: the log holds none, of %d notifications.", d.GetName(), d.GetNotifications())
			continue
		}
		a.line("From decided to %s: half within %s, nine of ten within %s; %d of %d notifications, the rest not yet.", d.GetName(),
			seconds(d.GetMedianSeconds()), seconds(d.GetP90Seconds()), d.GetMeasured(), d.GetNotifications())
	}
	for _, l := range out.GetLogs() {
		if l.GetLost() {
			a.line("Not counted: %s, which has ended and which the hub says that it has lost.", l.GetOrigin())
			continue
		}
		a.line("Counted at: %s, %d entries, root %s; %d of them erased or outside your scope.", l.GetOrigin(), l.GetSize(), l.GetRoot(), l.GetAbsent())
	}
	a.line("These are working counts: nothing small is hidden. Do not publish them.")
	return nil
}

func seconds(n uint64) string { return (time.Duration(n) * time.Second).String() }
