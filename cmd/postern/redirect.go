package main

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// inboxRedirectCommand is `postern inbox redirect`.
func (a *app) inboxRedirectCommand() *cobra.Command {
	var children []uint
	c := &cobra.Command{Use: "redirect ID AUTHORITY", Args: exactly(2),
		Short: "Pass a notification on to the authority where the child is; it is decided anew, and the prison hears nothing of it"}
	c.Flags().UintSliceVar(&children, "child", nil, "a child who is there (may be repeated; default all of them)")
	c.RunE = func(c *cobra.Command, args []string) error {
		req := &localv1.RedirectItemRequest{Id: args[0], Authority: args[1]}
		for _, n := range children {
			req.Children = append(req.Children, uint32(n))
		}
		return with(c.Context(), a, config.LoadInbox, func(ctx context.Context, conn *grpc.ClientConn) error {
			out, err := localv1.NewRedirectServiceClient(conn).RedirectItem(ctx, req)
			if err != nil {
				return err
			}
			if a.output == "json" {
				err = a.printJSON(plain.Map(out))
			} else {
				a.line("%s  %s", out.GetReference(), passedOnWords(out.GetPassedOn()))
				a.indented(plain.Decision(out.GetDecision()))
			}
			if err == nil && !allShared(out.GetDecision()) {
				return exitCode(4)
			}
			return err
		})
	}
	return c
}

// printPassedOn says who passed an item on to this team, and to whom this team passed it on.
func (a *app) printPassedOn(i *localv1.Item) {
	if i.GetPassedOnBy() != "" {
		a.line("Passed on by the team in %s, which found the child in your area. The prison does not know: ask that team too.", i.GetPassedOnBy())
	}
	for _, p := range i.GetPassedOn() {
		a.line("%s", passedOnWords(p))
	}
}

// passedOnWords say where something stands that was passed on, and what is left to do.
func passedOnWords(p *localv1.PassedOn) string {
	to := p.GetName() + " " + p.GetAuthority()
	if len(p.GetChildren()) > 0 {
		to += ", child " + numbers(p.GetChildren())
	}
	switch p.GetState() {
	case posternv1.RedirectState_REDIRECT_STATE_SENT:
		return "Passed on " + when(p.GetPassTime()) + " to " + to + ": on its way."
	case posternv1.RedirectState_REDIRECT_STATE_DELIVERED:
		return "Passed on " + when(p.GetPassTime()) + " to " + to + ": they have it."
	case posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED:
		return "NOT passed on to " + to + ": it did not reach them. Telephone them on " + p.GetPhone() + ", or pass it on again."
	}
	return "NOT passed on to " + to + ": it may not go there. If a child needs help now, telephone them on " + p.GetPhone() + "."
}
