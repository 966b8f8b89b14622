package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	localv1 "postern/proto/postern/local/v1"
)

// logCommands are the commands of every party that follows a hub's logs.
func logCommands[P party](a *app, read func(string) (P, error)) []*cobra.Command {
	trust := func(fn func(context.Context, localv1.LogTrustServiceClient) error) func(*cobra.Command, []string) error {
		return func(c *cobra.Command, _ []string) error {
			return with(c.Context(), a, read, func(ctx context.Context, conn *grpc.ClientConn) error {
				return fn(ctx, localv1.NewLogTrustServiceClient(conn))
			})
		}
	}
	knownLog := &cobra.Command{Use: "known-log", Short: "Print the newest checkpoint seen of each of the hub's logs, and whether this party has stopped", Args: exactly(0),
		RunE: trust(a.knownLog)}
	trustLog := &cobra.Command{Use: "trust-log [FILE]", Args: atMost(1),
		Short: "Let a stopped party go on: when the hub proves its log, or from the signed checkpoint in FILE (- for standard input)"}
	trustLog.RunE = func(c *cobra.Command, args []string) error {
		checkpoints := []string{""} // ask the hub
		if len(args) > 0 {
			text, err := a.readInput(args[0])
			if err != nil {
				return err
			}
			if checkpoints, err = verify.SplitCheckpoints(string(text)); err != nil {
				return err
			}
		}
		return trust(func(ctx context.Context, s localv1.LogTrustServiceClient) error {
			return a.trustLog(ctx, s, checkpoints)
		})(c, nil)
	}
	return []*cobra.Command{knownLog, trustLog}
}

// knownLog prints the checkpoints so that they can be compared, and given to the hub's operator: to stdout nothing else.
func (a *app) knownLog(ctx context.Context, s localv1.LogTrustServiceClient) error {
	out, err := s.GetLogs(ctx, &localv1.GetLogsRequest{})
	if err != nil {
		return err
	}
	if a.output == "json" {
		m := map[string]any{"logs": followed(out.GetLogs()), "stop": nil}
		if stop := out.GetStop(); stop != nil {
			m["stop"] = map[string]any{"time": stop.GetStopTime().AsTime().Format("2006-01-02T15:04:05Z07:00"), "origin": stop.GetOrigin(), "reason": stop.GetReason(),
				"words": stop.GetWords(), "phone": stop.GetPhone(), "remembered": stop.GetRemembered(), "shown": stop.GetShown()}
		}
		return a.printJSON(m)
	}
	a.checkpoints(out.GetLogs())
	if stop := out.GetStop(); stop != nil {
		fmt.Fprintf(a.err, "STOPPED on %s, because of the log %s: %s\n", when(stop.GetStopTime()), stop.GetOrigin(), stop.GetWords())
		if stop.GetPhone() != "" {
			fmt.Fprintf(a.err, "Telephone the hub's operator: %s\n", stop.GetPhone())
		}
		if stop.GetShown() != "" {
			fmt.Fprintf(a.err, "The hub showed:\n%s", stop.GetShown())
		}
	}
	return nil
}

// checkpoints prints those of the logs that go on, and nothing else: a file for another party.
func (a *app) checkpoints(logs []*localv1.FollowedLog) {
	first := true
	for _, l := range logs {
		if l.GetEnded() {
			continue
		}
		if !first {
			a.line("")
		}
		first = false
		fmt.Fprint(a.out, l.GetCheckpoint())
	}
}

// auditWitness asks the hub, where known-log prints what is remembered.
func (a *app) auditWitness(c *cobra.Command, _ []string) error {
	return a.auditor(c.Context(), func(ctx context.Context, auditor localv1.AuditorServiceClient) error {
		out, err := auditor.Witness(ctx, &localv1.WitnessRequest{})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(map[string]any{"logs": followed(out.GetLogs())})
		}
		a.checkpoints(out.GetLogs())
		return nil
	})
}

func followed(logs []*localv1.FollowedLog) []map[string]any {
	list := make([]map[string]any, len(logs))
	for i, l := range logs {
		list[i] = map[string]any{"id": l.GetOrigin(), "size": l.GetSize(), "root": l.GetRoot(), "checkpoint": l.GetCheckpoint(), "ended": l.GetEnded()}
	}
	return list
}

func (a *app) trustLog(ctx context.Context, s localv1.LogTrustServiceClient, checkpoints []string) error {
	var out *localv1.TrustLogResponse
	for _, checkpoint := range checkpoints {
		var err error
		if out, err = s.TrustLog(ctx, &localv1.TrustLogRequest{Checkpoint: checkpoint}); err != nil {
			return err
		}
	}
	left, err := s.GetLogs(ctx, &localv1.GetLogsRequest{})
	if err != nil {
		return err
	}
	if stop := left.GetStop(); stop != nil {
		return fault.Newf(fault.Unverified, "LOG_STOPPED", "Still stopped, because of the log %s: %s Name a checkpoint of that log.", stop.GetOrigin(), stop.GetWords())
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"logs": followed(out.GetLogs())})
	}
	for _, l := range out.GetLogs() {
		if !l.GetEnded() {
			a.line("Goes on from %s, %d events, root %s", l.GetOrigin(), l.GetSize(), l.GetRoot())
		}
	}
	return nil
}
