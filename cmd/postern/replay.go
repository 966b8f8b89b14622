package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/auditor"
	"postern/internal/config"
	"postern/internal/engine"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

func (a *app) auditReplayCommand() *cobra.Command {
	var f auditor.Question
	c := &cobra.Command{Use: "replay", Short: "Decide again what was decided, each with the policy of then; exit code 3 when anything comes out otherwise", Args: exactly(0)}
	questionFlags(c, &f)
	c.RunE = func(c *cobra.Command, _ []string) error {
		r, err := a.replay(c.Context(), f, nil)
		if err != nil {
			return err
		}
		if err := a.printReplay(r, "the same"); err != nil {
			return err
		}
		if r.count[localv1.Replayed_REPLAYED_DIFFERS]+r.count[localv1.Replayed_REPLAYED_POLICY_MISSING] > 0 {
			return exitCode(3)
		}
		return nil
	}
	return c
}

func (a *app) auditWhatIfCommand() *cobra.Command {
	var f auditor.Question
	c := &cobra.Command{Use: "what-if BUNDLE", Short: "Decide what was decided with a draft of a policy, a folder, and list what would have come out otherwise", Args: exactly(1)}
	questionFlags(c, &f)
	c.RunE = func(c *cobra.Command, args []string) error {
		source, err := bundle(args[0])
		if err != nil {
			return err
		}
		draft, err := engine.Pack(source)
		if err != nil {
			return err
		}
		r, err := a.replay(c.Context(), f, draft)
		if err != nil {
			return err
		}
		return a.printReplay(r, "as they were")
	}
	return c
}

// replayed is what came of deciding again.
type replayed struct {
	all   int
	count map[localv1.Replayed]int
	other []*localv1.ReplayResponse // those that are not the same
}

// replay decides again; how far it is goes to stderr.
func (a *app) replay(ctx context.Context, f auditor.Question, draft []byte) (replayed, error) {
	r := replayed{count: map[localv1.Replayed]int{}}
	filter, err := eventFilter(f)
	if err != nil {
		return r, err
	}
	return r, with(ctx, a, config.LoadAuditor, func(ctx context.Context, conn *grpc.ClientConn) error {
		stream, err := localv1.NewReplayServiceClient(conn).Replay(ctx, &localv1.ReplayRequest{Filter: filter, Bundle: draft})
		if err != nil {
			return err
		}
		for {
			one, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			r.all++
			r.count[one.GetReplayed()]++
			if one.GetReplayed() != localv1.Replayed_REPLAYED_SAME {
				r.other = append(r.other, one)
			}
			if r.all%100 == 0 {
				fmt.Fprintf(a.err, "%d decisions made again\n", r.all)
			}
		}
	})
}

func (a *app) printReplay(r replayed, same string) error {
	if a.output == "json" {
		list := make([]map[string]any, len(r.other))
		for i, o := range r.other {
			list[i] = eventMap(o.GetEvent())
			list[i]["replayed"], list[i]["differences"] = plain.Enum(o.GetReplayed()), append([]string{}, o.GetDifferences()...)
		}
		m := map[string]any{"decisions": r.all, "not_the_same": list}
		for n := localv1.Replayed_REPLAYED_SAME; int(n) < len(localv1.Replayed_name); n++ {
			m[strings.ToLower(plain.Enum(n))] = r.count[n]
		}
		return a.printJSON(m)
	}
	for _, o := range r.other {
		e := o.GetEvent()
		a.line("%s, %s, %s, prison %s to %s: %s", e.GetEventId(), when(e.GetRecordTime()), e.GetReference(), orNone(e.GetPrisonId()), orNone(e.GetAuthority()), replayWords[o.GetReplayed()])
		a.indented(o.GetDifferences())
		if was := e.GetDecision().GetEngineVersion(); o.GetReplayed() == localv1.Replayed_REPLAYED_DIFFERS && was != o.GetEngineVersion() {
			a.line("  It was decided by %s, and now by %s.", was, o.GetEngineVersion())
		}
	}
	a.line("%d decisions made again: %d %s, %d otherwise.", r.all, r.count[localv1.Replayed_REPLAYED_SAME], same, r.count[localv1.Replayed_REPLAYED_DIFFERS])
	for _, n := range []localv1.Replayed{localv1.Replayed_REPLAYED_NO_INPUT, localv1.Replayed_REPLAYED_UNDECIDED, localv1.Replayed_REPLAYED_POLICY_MISSING} {
		if r.count[n] > 0 {
			a.line("%d not: %s.", r.count[n], replayWords[n])
		}
	}
	return nil
}

var replayWords = map[localv1.Replayed]string{
	localv1.Replayed_REPLAYED_DIFFERS:        "comes out otherwise",
	localv1.Replayed_REPLAYED_NO_INPUT:       "no policy was asked, as it had been withdrawn",
	localv1.Replayed_REPLAYED_UNDECIDED:      "the policy could not decide it then, and a person was to",
	localv1.Replayed_REPLAYED_POLICY_MISSING: "the hub does not have the policy that decided it",
}
