package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

// auditProve prints the receipt file of an event.
func (a *app) auditProve(c *cobra.Command, args []string) error {
	return a.auditor(c.Context(), func(ctx context.Context, auditor localv1.AuditorServiceClient) error {
		out, err := auditor.GetProof(ctx, &localv1.GetProofRequest{Id: args[0]})
		if err != nil {
			return err
		}
		_, err = a.out.Write(verify.MarshalFile(out.GetReceipt()))
		return err
	})
}

// auditExport brings a folder up to date. How far it is goes to stderr.
func (a *app) auditExport(c *cobra.Command, args []string) error {
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	return a.auditor(c.Context(), func(ctx context.Context, auditor localv1.AuditorServiceClient) error {
		stream, err := auditor.Export(ctx, &localv1.ExportRequest{Directory: dir})
		if err != nil {
			return err
		}
		for {
			now, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return fault.New(fault.Unavailable, "EXPORT_ENDED", "The export ended before it was complete. Run it again.")
			}
			if err != nil {
				return err
			}
			if now.GetDone() {
				return a.printExport(dir, now.GetLogs())
			}
			if log := now.GetLogs()[len(now.GetLogs())-1]; log.GetWritten() < log.GetSize() {
				fmt.Fprintf(a.err, "%s: %d of %d\n", log.GetOrigin(), log.GetWritten(), log.GetSize())
			}
		}
	})
}

func (a *app) printExport(dir string, logs []*localv1.ExportedLog) error {
	if a.output == "json" {
		list := make([]map[string]any, len(logs))
		for i, l := range logs {
			list[i] = map[string]any{"id": l.GetOrigin(), "folder": l.GetFolder(), "old_size": l.GetOldSize(), "size": l.GetSize(),
				"absent": l.GetAbsent(), "root": l.GetRoot(), "lost": l.GetLost()}
		}
		return a.printJSON(map[string]any{"directory": dir, "logs": list})
	}
	a.line("Exported and signed: %s", dir)
	for _, l := range logs {
		if l.GetLost() {
			a.line("  %s: ended; the hub says that it has lost it or its end, and %d entries of it are here", l.GetOrigin(), l.GetSize())
			continue
		}
		a.line("  %s: %d entries in %s, %d of them new; %d without a body", l.GetOrigin(), l.GetSize(), l.GetFolder(), l.GetSize()-l.GetOldSize(), l.GetAbsent())
	}
	return nil
}

func (a *app) auditVerifyCommand() *cobra.Command {
	var checkpoints []string
	c := &cobra.Command{Use: "verify DIR|FILE", Short: "Verify an exported folder, a folder with evidence, an extract (ZIP) or a receipt file offline", Args: exactly(1)}
	c.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "a file with signed checkpoints from elsewhere that the folder must continue (postern desk known-log); may be given several times")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := load(a, config.LoadAuditor)
		if err != nil {
			return err
		}
		keys, err := cfg.LogKeys()
		if err != nil {
			return err
		}
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			return a.verifyExport(c.Context(), args[0], cfg, keys, checkpoints)
		}
		if len(checkpoints) > 0 {
			return usage("--checkpoint is for a folder; a receipt carries its own")
		}
		if filepath.Ext(args[0]) == ".zip" {
			return a.verifyExtract(args[0], cfg, keys)
		}
		return a.verifyReceipt(args[0], keys)
	}
	return c
}

// verifyExport checks a folder with the log keys and anchors of the configuration, and nothing else: no network.
func (a *app) verifyExport(ctx context.Context, dir string, cfg *config.Auditor, keys verify.Keys, checkpoints []string) error {
	against := archive.Config{Keys: keys}
	var err error
	if against.Anchors, err = cfg.LoadAnchors(); err != nil {
		return err
	}
	for _, name := range checkpoints {
		text, err := a.readInput(name)
		if err != nil {
			return err
		}
		notes, err := verify.SplitCheckpoints(string(text))
		if err != nil {
			return err
		}
		for _, n := range notes {
			head, err := verify.Checkpoint(n, keys)
			if err != nil {
				return err
			}
			against.Known = append(against.Known, head)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fault.New(fault.Precondition, "EXPORT_FOLDER", "The folder cannot be opened.").Because(err)
	}
	defer root.Close()
	if _, err := root.Stat(archive.PackName); err == nil {
		pack, err := archive.VerifyPack(ctx, root.FS(), against)
		if err != nil {
			return err
		}
		return a.printPack(pack)
	}
	report, err := archive.Verify(ctx, root.FS(), against)
	if err != nil {
		return err
	}
	return a.printVerified(report)
}

// verifyExtract checks an extract as the auditor's site makes it.
func (a *app) verifyExtract(name string, cfg *config.Auditor, keys verify.Keys) error {
	anchors, err := cfg.LoadAnchors()
	if err != nil {
		return err
	}
	data, err := a.readForeign(name)
	if err != nil {
		return err
	}
	r, err := archive.VerifyExtract(data, archive.Config{Keys: keys, Anchors: anchors})
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"verified": true, "time": r.Time.Format("2006-01-02T15:04:05Z07:00"), "signed_by": r.By.URI(), "events": r.Events})
	}
	a.line("Verified: %d events, taken out %s by %s, each with a receipt that holds", r.Events, plain.Time(r.Time), r.By.URI())
	return nil
}

// readForeign is readInput of what somebody else gave us, as far as an extract may go: of a named pipe that nobody writes to
// it is nothing, and of what does not end more than anything that is verified may have.
func (a *app) readForeign(name string) ([]byte, error) {
	from := a.in
	if name != "-" {
		f, err := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return nil, noFile(name, err)
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, archive.MaxExtract+1))
	if err != nil {
		return nil, noFile(name, err)
	}
	return b, nil
}

func (a *app) printVerified(r *archive.Report) error {
	if a.output == "json" {
		return a.printJSON(map[string]any{"verified": true, "time": r.Time.Format("2006-01-02T15:04:05Z07:00"), "signed_by": r.By.URI(), "logs": verifiedLogs(r), "lost": append([]string{}, r.Lost...)})
	}
	a.line("Verified: exported %s by %s", plain.Time(r.Time), r.By.URI())
	for _, l := range r.Logs {
		a.line("  %s: %d entries, root %s, %d without a body", l.Origin, l.Size, base64.StdEncoding.EncodeToString(l.Root[:]), l.Absent)
		if l.Ended > l.Size {
			a.line("    its end is not here: a later log says that it had %d entries", l.Ended)
		}
	}
	for _, origin := range r.Lost {
		a.line("  %s: ended; nothing of it is here", origin)
	}
	return nil
}

func verifiedLogs(r *archive.Report) []map[string]any {
	list := make([]map[string]any, len(r.Logs))
	for i, l := range r.Logs {
		list[i] = map[string]any{"id": l.Origin, "folder": l.Folder, "size": l.Size, "absent": l.Absent, "ended": l.Ended,
			"root": base64.StdEncoding.EncodeToString(l.Root[:])}
	}
	return list
}
