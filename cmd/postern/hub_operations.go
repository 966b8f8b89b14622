package main

import (
	"context"
	"crypto/rand"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
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
	return []*cobra.Command{pause, status, key}
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
	vkey, err := cfg.NewLogKey(log, out, rand.Reader)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"log": log, "key_file": out, "verifier_key": vkey})
	}
	a.line("The private key is in %s. Name it under log_key.next, and give this to every party, for hub.log_keys:\n%s", out, vkey)
	return nil
}
