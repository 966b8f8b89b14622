package main

import (
	"time"

	"github.com/spf13/cobra"

	"postern/internal/doctor"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

func (a *app) doctorCommand() *cobra.Command {
	return a.configFlag(&cobra.Command{Use: "doctor", Short: "Look at a party from all sides, and name the fix of what is wrong", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := a.configPath()
			if err != nil {
				return err
			}
			r := doctor.Run(c.Context(), doctor.Options{Config: path, Clock: time.Now, Log: a.log()})
			if err := a.printReport(r); err != nil {
				return err
			}
			switch {
			case r.Problems() > 0:
				return exitCode(1)
			case r.Unreachable:
				return exitCode(5)
			}
			return nil
		}})
}

func (a *app) printReport(r *doctor.Report) error {
	if a.output == "json" {
		findings := make([]map[string]any, len(r.Findings))
		for i, f := range r.Findings {
			findings[i] = plain.Map(f)
		}
		return a.printJSON(map[string]any{"party": r.Party, "ok": r.Problems() == 0 && !r.Unreachable, "findings": findings})
	}
	for _, f := range r.Findings {
		a.line("%-8s %-22s %s", levelWords[f.GetLevel()], f.GetCheck(), visible(f.GetWords()))
		if f.GetFix() != "" {
			a.line("%-8s %-22s -> %s", "", "", visible(f.GetFix()))
		}
	}
	return nil
}

var levelWords = map[localv1.Level]string{
	localv1.Level_LEVEL_OK: "ok", localv1.Level_LEVEL_WARNING: "warning", localv1.Level_LEVEL_PROBLEM: "PROBLEM",
}
