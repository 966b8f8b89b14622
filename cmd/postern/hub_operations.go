package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

// hubOperations are the commands of those who keep a hub running.
func (a *app) hubOperations() []*cobra.Command {
	var resume bool
	pause := &cobra.Command{Use: "pause", Short: "Begin no delivery until --resume; submissions are decided and recorded all the same", Args: exactly(0)}
	pause.Flags().BoolVar(&resume, "resume", false, "let deliveries go on")
	pause.RunE = func(c *cobra.Command, _ []string) error { return a.hubPause(c.Context(), !resume) }
	status := &cobra.Command{Use: "status", Short: "Show the logs, what is in force, and what waits", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return a.hubStatus(c.Context()) }}
	key := &cobra.Command{Use: "new-log-key sent|received OUT", Short: "Make the next key of a log; docs/operations.md says how it comes into force", Args: exactly(2),
		RunE: func(_ *cobra.Command, args []string) error { return a.hubNewLogKey(args[0], args[1]) }}
	var known, earlier []string
	generation := &cobra.Command{Use: "new-generation DIR", Args: exactly(1),
		Short: "Open new logs that name the newest checkpoints known of the old, with keys made in DIR; docs/operations.md says when"}
	generation.Flags().StringArrayVar(&known, "known", nil, "a file with signed checkpoints that a party has seen (postern desk known-log); may be given several times")
	generation.Flags().StringArrayVar(&earlier, "earlier-key", nil, "a verifier key of an earlier generation that is in the database or among the known, or of a log whose private key is lost; may be given several times")
	generation.RunE = func(c *cobra.Command, args []string) error {
		return a.hubNewGeneration(c.Context(), args[0], known, earlier)
	}
	return []*cobra.Command{pause, status, key, generation}
}

func (a *app) hubNewGeneration(ctx context.Context, dir string, files, earlier []string) error {
	cfg, err := load(a, config.LoadHub)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	var known []string
	for _, file := range files {
		text, err := a.readInput(file)
		if err != nil {
			return err
		}
		notes, err := verify.SplitCheckpoints(string(text))
		if err != nil {
			return err
		}
		known = append(known, notes...)
	}
	n, err := cfg.NewGeneration(ctx, config.NewRuntime(a.log()), dir, known, earlier)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"log_key": map[string]any{"sent": n.SentKey, "received": n.ReceivedKey},
			"verifier_keys": []string{n.SentVKey, n.ReceivedVKey}, "follows": n.Follows})
	}
	a.line("A new generation is open. Its first event names %d checkpoint(s) of the log before it:", len(n.Follows))
	for _, checkpoint := range n.Follows {
		if head, err := verify.ReadHead(checkpoint); err == nil {
			a.line("  %s, %d events", head.Origin, head.Size)
		}
	}
	a.line("Put these under log_key and start the hub:\n  sent: %s\n  received: %s", n.SentKey, n.ReceivedKey)
	a.line("Give these to every party, for hub.log_keys, beside the ones before:\n%s\n%s", n.SentVKey, n.ReceivedVKey)
	return nil
}

func (a *app) hubPause(ctx context.Context, pause bool) error {
	return with(ctx, a, config.LoadHub, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewCourierServiceClient(conn).SetPause(ctx, &localv1.SetPauseRequest{Pause: pause})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(map[string]any{"paused": out.GetPauseTime() != nil, "pause_time": plain.Map(out)["pause_time"]})
		}
		if out.GetPauseTime() != nil {
			a.line("Deliveries are paused since %s. Resume with: postern hub pause --resume", when(out.GetPauseTime()))
		} else {
			a.line("Deliveries go on.")
		}
		return nil
	})
}

func (a *app) hubStatus(ctx context.Context) error {
	return with(ctx, a, config.LoadHub, func(ctx context.Context, conn *grpc.ClientConn) error {
		s, err := localv1.NewHubServiceClient(conn).GetStatus(ctx, &localv1.GetStatusRequest{})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(plain.Map(s))
		}
		for _, l := range s.GetLogs() {
			a.line("Log %s: %d leaves, root %s", l.GetOrigin(), l.GetSize(), l.GetRoot())
		}
		a.line("Directory %d, policy %s", s.GetDirectoryRevision(), s.GetPolicyRevision())
		if s.GetPauseTime() != nil {
			a.line("Deliveries are PAUSED since %s. Resume with: postern hub pause --resume", when(s.GetPauseTime()))
		}
		if held := s.GetHold(); held != nil {
			a.line("KEPT BACK after the loss of a hub, until %s at the latest: %d deliveries. Prisons that have not told what was withdrawn: %s.",
				when(held.GetEndTime()), held.GetWaiting(), cmp.Or(strings.Join(held.GetPrisons(), ", "), "none is in the directory"))
			a.line("Telephone each, since its desk must reach this hub; when nobody can say what it took: postern hub pause. See docs/operations.md, \"A new generation\".")
		}
		for _, q := range s.GetQueues() {
			alone := ""
			if q.GetBreaker() != "CLOSED" {
				alone = "; its inbox does not answer and is tried now and then"
			}
			a.line("%s: %d wait, the oldest since %s%s", q.GetAuthority(), q.GetWaiting(), when(q.GetOldestTime()), alone)
		}
		return nil
	})
}

func (a *app) hubNewLogKey(log, out string) error {
	cfg, err := load(a, config.LoadHub)
	if err != nil {
		return err
	}
	vkey, now, err := cfg.NewLogKey(log, out, rand.Reader)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"log": log, "key_file": out, "verifier_key": vkey, "present_verifier_key": now})
	}
	a.line("The private key is in %s. Name it under log_key.next, and give this to every party, for hub.log_keys:\n%s", out, vkey)
	a.line("The present one is, for log_key.earlier on the day that it is not used any more:\n%s", now)
	return nil
}
