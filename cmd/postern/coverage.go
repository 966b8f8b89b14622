package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// coverageFlag adds the flag that lists prisons with how many of their people were asked, instead of events.
func coverageFlag(c *cobra.Command) *bool {
	return c.Flags().Bool("coverage", false, "per prison instead of events: how many people came, were asked, and what came of it")
}

func (a *app) auditCoverage(c *cobra.Command, prison string) error {
	return with(c.Context(), a, config.LoadAuditor, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewCoverageServiceClient(conn).GetCoverage(ctx,
			&localv1.GetCoverageRequest{Request: &posternv1.GetCoverageRequest{PrisonId: prison}})
		if err != nil {
			return err
		}
		return list(a, out.GetResponse().GetPrisons(), coverageMap, "Nobody was counted or asked yet.",
			[]string{"PRISON", "DAYS", "RECEIVED", "ASKED", "COVERAGE", "TOLD", "CHILDREN", "NONE", "DECLINED", "NOT ASKED"}, func(p *posternv1.Coverage) []string {
				return []string{p.GetPrisonId(), number(p.GetDaysCounted()), number(p.GetReceived()), number(p.GetAsked()), percent(p),
					number(p.GetTold()), number(p.GetChildren()), number(p.GetNoChildren()), number(p.GetDeclined()), number(p.GetNotAsked())}
			})
	})
}

func number(n uint32) string { return fmt.Sprint(n) }

// percent is the part of those received who were asked, on the days that were counted; without a count there is none.
// More than all of them means that a count is wrong, and shows.
func percent(c *posternv1.Coverage) string {
	if c.GetReceived() == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", 100*float64(c.GetAskedOfReceived())/float64(c.GetReceived()))
}

func coverageMap(c *posternv1.Coverage) map[string]any {
	m := plain.Map(c)
	m["id"], m["coverage"] = c.GetPrisonId(), percent(c)
	return m
}

func (a *app) deskReceptionsCommand() *cobra.Command {
	return &cobra.Command{Use: "receptions FILE.csv", Short: "Send how many people came, day by day: lines of date,received (- for standard input)",
		Args: exactly(1), RunE: func(c *cobra.Command, args []string) error {
			data, err := a.readInput(args[0])
			if err != nil {
				return err
			}
			return a.deskConn(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				out, err := localv1.NewCounterServiceClient(conn).SendReceptions(ctx,
					&localv1.SendReceptionsRequest{Csv: data, Language: string(a.language())})
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printJSON(plain.Map(out))
				}
				a.line("%d day(s) recorded, %d received.", out.GetDays(), out.GetReceived())
				return nil
			})
		}}
}
