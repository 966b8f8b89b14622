package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

// deadLetterCommands are for what the hub has given up delivering.
func (a *app) deadLetterCommands() []*cobra.Command {
	letters := &cobra.Command{Use: "dead-letters", Short: "List the deliveries that were given up, and why", Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error { return a.hubDeadLetters(c.Context()) }}
	requeue := &cobra.Command{Use: "requeue ID", Short: "Send again what was given up, by the id or reference of the notification", Args: exactly(1),
		RunE: func(c *cobra.Command, args []string) error { return a.hubRequeue(c.Context(), args[0]) }}
	return []*cobra.Command{letters, requeue}
}

func (a *app) hubDeadLetters(ctx context.Context) error {
	return with(ctx, a, config.LoadHub, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewDeadLetterServiceClient(conn).ListDeadLetters(ctx, &localv1.ListDeadLettersRequest{})
		if err != nil {
			return err
		}
		return a.printDeadLetters(out.GetDeadLetters(), "Nothing was given up.")
	})
}

func (a *app) hubRequeue(ctx context.Context, id string) error {
	return with(ctx, a, config.LoadHub, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewDeadLetterServiceClient(conn).Requeue(ctx, &localv1.RequeueRequest{Id: id})
		if err != nil {
			return err
		}
		if a.output != "json" {
			a.line("Sent again:")
		}
		return a.printDeadLetters(out.GetDeadLetters(), "")
	})
}

func (a *app) printDeadLetters(letters []*localv1.DeadLetter, empty string) error {
	head := []string{"REFERENCE", "AUTHORITY", "WHAT", "REASON", "TRIED", "GIVEN UP", "DELETED ON"}
	return list(a, letters, func(l *localv1.DeadLetter) map[string]any { return plain.Map(l) }, empty, head, func(l *localv1.DeadLetter) []string {
		what := "notification"
		if l.GetStopRequest() {
			what = "stop request"
		}
		return []string{l.GetReference(), l.GetAuthority(), what, l.GetReason(), fmt.Sprint(l.GetAttempts()), when(l.GetParkTime()), when(l.GetEraseTime())}
	})
}
