package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/rpc"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
)

func (a *app) hubBackupCommand() *cobra.Command {
	return &cobra.Command{Use: "backup OUT", Short: "Copy the database to a new file, while the hub serves or not, and check the copy",
		Args: exactly(1), RunE: func(c *cobra.Command, args []string) error { return a.hubBackup(c.Context(), args[0]) }}
}

func (a *app) hubBackup(ctx context.Context, out string) error {
	cfg, err := load(a, config.LoadHub)
	if err != nil {
		return err
	}
	if out, err = filepath.Abs(out); err != nil {
		return fault.From(err)
	}
	err = with(ctx, a, config.LoadHub, func(ctx context.Context, conn *grpc.ClientConn) error {
		_, err := localv1.NewHubServiceClient(conn).Backup(ctx, &localv1.BackupRequest{Path: out})
		return err
	})
	if err != nil {
		return err
	}
	report, err := cfg.CheckCopy(ctx, config.NewRuntime(a.log()), out)
	if err != nil {
		return errors.Join(err, os.Remove(out)) // nobody may come to rely on it
	}
	if a.output == "json" {
		return a.printJSON(reportMap(report, map[string]any{"path": out}))
	}
	a.line("Copied and checked: %s", out)
	a.line("  %s", reportLine(report))
	a.line("  It holds no keys. Keep copies of the vault folder and of the log keys, elsewhere.")
	return nil
}

func (a *app) hubRestoreCommand() *cobra.Command {
	force := false
	c := &cobra.Command{Use: "restore IN", Short: "Put a backup in the place of the database of a hub that is stopped", Args: exactly(1)}
	c.Flags().BoolVar(&force, "force", false, "also over a database that is whole and newer")
	c.RunE = func(c *cobra.Command, args []string) error { return a.hubRestore(c.Context(), args[0], force) }
	return c
}

func (a *app) hubRestore(ctx context.Context, in string, force bool) error {
	cfg, err := load(a, config.LoadHub)
	if err != nil {
		return err
	}
	if conn, err := rpc.DialLocal(cfg.Socket()); err == nil {
		return errors.Join(fault.New(fault.Precondition, "SERVING", "The hub is serving. Stop it, then restore."), conn.Close())
	} else if fault.KindOf(err) != fault.Unavailable {
		return err
	}
	r, err := cfg.RestoreDatabase(ctx, config.NewRuntime(a.log()), in, force)
	if err != nil {
		return found(err)
	}
	if a.output == "json" {
		return a.printJSON(reportMap(r.DatabaseReport, map[string]any{"aside": r.Aside, "signs": r.Behind == "", "behind": r.Behind}))
	}
	a.line("Restored: %s", reportLine(r.DatabaseReport))
	if r.Aside != "" {
		a.line("  The replaced file is kept as %s.", r.Aside)
	}
	if r.Behind != "" {
		a.line("  The hub will not start on this copy by itself. %s", r.Behind)
		a.line("  Events after the copy were signed and shown, and a log that went on without them would be a second, false")
		a.line("  history. If there is no newer copy, an operator opens a new generation, which says so for everyone to")
		a.line("  see; desks then send again what the copy lacks. See Restore in docs/operations.md.")
	}
	return nil
}

func (a *app) hubCheckCommand() *cobra.Command {
	return &cobra.Command{Use: "check", Short: "Read every record of the database and recompute both logs", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return a.hubCheck(c.Context()) }}
}

// hubCheck asks the hub that serves; when none does it reads the file itself, without building a hub, which damage may
// prevent. It needs no process of its own for that: nothing is mapped or believed before every page was accounted for.
func (a *app) hubCheck(ctx context.Context) error {
	cfg, err := load(a, config.LoadHub)
	if err != nil {
		return err
	}
	out, err := a.check(ctx, cfg)
	if err != nil {
		return err
	}
	if a.output == "json" {
		err = a.printJSON(map[string]any{"ok": out.GetFault() == "", "records": out.GetRecords(), "bytes": out.GetBytes(), "fault": out.GetFault()})
	} else if out.GetFault() == "" {
		a.line("Whole: %d records, %d bytes, both logs.", out.GetRecords(), out.GetBytes())
	} else {
		a.line("NOT WHOLE. %s", out.GetFault())
	}
	if err == nil && out.GetFault() != "" {
		return exitCode(3)
	}
	return err
}

func (a *app) check(ctx context.Context, cfg *config.Hub) (*localv1.CheckResponse, error) {
	conn, err := rpc.DialLocal(cfg.Socket())
	if err == nil {
		out, err := localv1.NewHubServiceClient(conn).Check(ctx, &localv1.CheckRequest{})
		return out, errors.Join(err, conn.Close())
	}
	if fault.KindOf(err) != fault.Unavailable {
		return nil, err
	}
	report, err := cfg.CheckDatabase(ctx, config.NewRuntime(a.log()))
	out := &localv1.CheckResponse{Records: report.Records, Bytes: uint64(report.Bytes)}
	if found(err) != nil && fault.KindOf(found(err)) == fault.Unverified {
		out.Fault, err = err.Error(), nil
	}
	return out, err
}

// found makes what a check found exit code 3, whatever kind of fault it is to a server; other errors stay as they are.
func found(err error) error {
	f := fault.From(err)
	reasons := []string{store.ErrCorrupt.Reason, "STORE_NOT_A_DATABASE", "STORE_OTHER_KIND", "LEDGER_SHORTER", "LEDGER_FORKED"}
	if err == nil || !slices.Contains(reasons, f.Reason) {
		return err
	}
	return fault.New(fault.Unverified, f.Reason, f.Message).Because(err)
}

func reportLine(r config.DatabaseReport) string {
	return fmt.Sprintf("%d records, %d bytes; the sent log has %d events, the received log %d.", r.Records, r.Bytes, r.Sent, r.Received)
}

func reportMap(r config.DatabaseReport, more map[string]any) map[string]any {
	more["records"], more["bytes"], more["sent"], more["received"] = r.Records, r.Bytes, r.Sent, r.Received
	return more
}
