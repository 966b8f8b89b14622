package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func (a *app) hubCommand() *cobra.Command {
	c := a.configFlag(&cobra.Command{Use: "hub", Short: "The neutral processor between prisons and authorities"})
	dir := &cobra.Command{Use: "directory", Short: "Who takes part"}
	var number uint64
	loadDir := &cobra.Command{Use: "load FILE.yaml", Short: "Sign a directory file as the operator and bring it into force", Args: exactly(1)}
	loadDir.Flags().Uint64Var(&number, "number", 0, "the number of the revision; one more than the one in force and what desks have when left out")
	loadDir.RunE = func(c *cobra.Command, args []string) error { return a.hubDirectoryLoad(c.Context(), args[0], number) }
	dir.AddCommand(loadDir)
	c.AddCommand(serveCommand(a, "Serve the hub", config.LoadHub), dir, a.hubBackupCommand(), a.hubRestoreCommand(), a.hubCheckCommand(), a.hubPolicyCommand(), a.hubNewKeysCommand())
	c.AddCommand(a.hubOperations()...)
	c.AddCommand(a.deadLetterCommands()...)
	return c
}

func (a *app) hubDirectoryLoad(ctx context.Context, file string, number uint64) error {
	cfg, err := load(a, config.LoadHub)
	if err != nil {
		return err
	}
	operator, err := cfg.LoadOperator()
	if err != nil {
		return err
	}
	src, err := directory.ReadYAML(file)
	if err != nil {
		return err
	}
	return with(ctx, a, config.LoadHub, func(ctx context.Context, conn *grpc.ClientConn) error {
		hub := localv1.NewHubServiceClient(conn)
		if number == 0 {
			status, err := hub.GetStatus(ctx, &localv1.GetStatusRequest{})
			if err != nil {
				return err
			}
			if number, err = nextDirectory(status); err != nil {
				return err
			}
		}
		revision, entries, err := directory.Build(src, number, cfg.TrustDomain, time.Now())
		if err != nil {
			return err
		}
		signed, err := directory.Sign(operator, revision)
		if err != nil {
			return err
		}
		if err := a.warnOf(cfg, signed, entries); err != nil {
			return err
		}
		out, err := hub.LoadDirectory(ctx, &localv1.LoadDirectoryRequest{Revision: signed, Entries: entries})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(map[string]any{"number": out.GetNumber(), "entries": len(entries)})
		}
		a.line("Directory %d is in force: %d entries, recorded in the log.", out.GetNumber(), len(entries))
		return nil
	})
}

// nextDirectory is the number of a revision for which none is named: above the one in force and what desks have. After the
// loss of a hub the next one may have heard of none, and then it is for a person to say.
func nextDirectory(s *localv1.GetStatusResponse) (uint64, error) {
	number := max(s.GetDirectoryRevision(), s.GetDirectoryRevisionAtDesks())
	for _, l := range s.GetLogs() {
		if _, generation := verify.Generation(l.GetOrigin()); number == 0 && generation > 1 {
			return 0, fault.New(fault.Precondition, "DIRECTORY_NUMBER", "This hub replaces one that was lost, and no desk has told yet which directory it has. Name a number with --number, above what any desk has: its measure postern_directory_revision shows it.")
		}
	}
	return number + 1, nil
}

// warnOf names on stderr the agreements that lack signatures, and the authorities that a child may live in, by the postcode
// table, and that this directory cannot send to. Neither is a fault: it is where the manual route begins.
func (a *app) warnOf(cfg *config.Hub, signed *posternv1.Signed, entries [][]byte) error {
	anchors, err := cfg.LoadAnchors()
	if err != nil {
		return err
	}
	d, err := directory.Open(signed, entries, anchors, time.Now())
	if err != nil {
		return err
	}
	for _, u := range d.Unsigned() {
		fmt.Fprintf(a.err, "postern: %s: %s %s\n", visible(u.GetId()), u.Words(), u.Fix())
	}
	table, err := cfg.LoadPostcodes()
	if err != nil || table == nil {
		return err
	}
	codes := table.Authorities()
	if unserved := d.Unserved(codes, time.Now()); len(unserved) > 0 {
		fmt.Fprintf(a.err, "postern: nothing can be sent to %d of the %d authorities in the postcode table: %s\n", len(unserved), len(codes), strings.Join(unserved, " "))
	}
	return nil
}
