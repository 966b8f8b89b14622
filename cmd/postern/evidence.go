package main

import (
	"context"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/internal/auditor"
	"postern/internal/ledger/archive"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

func (a *app) auditEvidenceCommand() *cobra.Command {
	var f auditor.Question
	c := &cobra.Command{Use: "evidence DIR", Short: "Write a new folder for an inspector: a page for each control on data sharing, with the logs that show it", Args: exactly(1)}
	c.Flags().StringVar(&f.Since, "since", "", "only what happened at or after this time: 2026-11-22 or 2026-11-22T09:30:00Z")
	c.Flags().StringVar(&f.Until, "until", "", "only what happened before this time; a date alone is its beginning")
	c.Flags().StringVar(&f.Prison, "prison", "", "only of this prison, such as BLI")
	c.Flags().StringVar(&f.Authority, "authority", "", "only of this authority (GSS code)")
	c.Flags().StringVar(&a.lang, "lang", "", "the language of the pages: en or cy")
	c.RunE = func(c *cobra.Command, args []string) error {
		filter, err := eventFilter(f)
		if err != nil {
			return err
		}
		dir, err := filepath.Abs(args[0])
		if err != nil {
			return err
		}
		return a.evidence(c.Context(), func(ctx context.Context, evidence localv1.EvidenceServiceClient) error {
			out, err := evidence.WriteEvidence(ctx, &localv1.WriteEvidenceRequest{Directory: dir, Filter: filter, Language: string(a.language())})
			if err != nil {
				return err
			}
			return a.printEvidence(dir, out)
		})
	}
	return c
}

func (a *app) printEvidence(dir string, out *localv1.WriteEvidenceResponse) error {
	if a.output == "json" {
		pages, logs := []map[string]any{}, []map[string]any{}
		for _, p := range out.GetPages() {
			m := plain.Map(p)
			m["id"] = p.GetName()
			pages = append(pages, m)
		}
		for _, l := range out.GetLogs() {
			m := plain.Map(l)
			m["id"] = l.GetOrigin()
			logs = append(logs, m)
		}
		return a.printJSON(map[string]any{"directory": dir, "pages": pages, "logs": logs, "manifest_sha256": out.GetManifestSha256()})
	}
	err := list(a, out.GetPages(), nil, "", []string{"PAGE", "STATUS", "EXCEPTIONS", "TITLE"}, func(p *localv1.EvidencePage) []string {
		return []string{p.GetName(), p.GetStatus(), fmt.Sprint(p.GetExceptions()), p.GetTitle()}
	})
	if err != nil {
		return err
	}
	a.line("Written and signed: %s", dir)
	return nil
}

// printPack says that evidence holds.
func (a *app) printPack(r *archive.PackReport) error {
	if a.output == "json" {
		return a.printJSON(map[string]any{"verified": true, "time": r.Time.Format("2006-01-02T15:04:05Z07:00"), "signed_by": r.By.URI(), "pages": r.Pages, "logs": verifiedLogs(r.Logs)})
	}
	a.line("Verified: %d pages of evidence, made %s by %s, and the logs beside them", len(r.Pages), plain.Time(r.Time), r.By.URI())
	return a.printVerified(r.Logs)
}
