package main

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/envelope"
	inboxes "postern/internal/inbox"
	"postern/internal/plain"
	"postern/internal/section"
	localv1 "postern/proto/postern/local/v1"
)

func (a *app) inboxCommand() *cobra.Command {
	c := a.configFlag(&cobra.Command{Use: "inbox", Short: "The early help side: receive and read notifications"})
	c.AddCommand(serveCommand(a, "Serve the inbox: receive deliveries and acknowledge them", config.LoadInbox),
		&cobra.Command{Use: "list", Short: "List what the team has received, newest first", Args: exactly(0), RunE: a.inboxList},
		&cobra.Command{Use: "show ID", Short: "Show one notification, by its id or reference", Args: exactly(1), RunE: a.inboxShow},
		a.inboxAnswerStopCommand(), a.inboxRedirectCommand(), a.inboxOutletsCommand(), a.inboxNewKeyCommand())
	c.AddCommand(a.inboxKeyCommands()...)
	c.AddCommand(a.inboxWorkCommands()...)
	c.AddCommand(logCommands(a, config.LoadInbox)...)
	return c
}

func (a *app) inbox(ctx context.Context, fn func(context.Context, localv1.TeamServiceClient) error) error {
	return with(ctx, a, config.LoadInbox, func(ctx context.Context, conn *grpc.ClientConn) error {
		return fn(ctx, localv1.NewTeamServiceClient(conn))
	})
}

func (a *app) inboxList(c *cobra.Command, _ []string) error {
	return a.inbox(c.Context(), func(ctx context.Context, inbox localv1.TeamServiceClient) error {
		out, err := inbox.ListItems(ctx, &localv1.ListItemsRequest{})
		if err != nil {
			return err
		}
		return list(a, out.GetItems(), func(i *localv1.Item) map[string]any { return plain.Map(i) },
			"Nothing has come yet.", []string{"REFERENCE", "RECEIVED", "PRISON", "CHILDREN", "ROUTE", "STOP", "ID"}, func(i *localv1.Item) []string {
				return []string{i.GetReference(), when(i.GetReceiveTime()), prison(i), plainNumber(i.GetChildren()), i.GetRoute(), stopMark(i.GetStop()), i.GetId()}
			})
	})
}

func (a *app) inboxShow(c *cobra.Command, args []string) error {
	return a.inbox(c.Context(), func(ctx context.Context, inbox localv1.TeamServiceClient) error {
		out, err := inbox.GetItem(ctx, &localv1.GetItemRequest{Id: args[0]})
		if err != nil {
			return err
		}
		if a.output == "json" {
			m, err := inboxes.Document(out)
			if err != nil {
				return err
			}
			return a.printJSON(m)
		}
		return a.printItem(out)
	})
}

// prison is the code of the sending prison, and its name where that is known.
func prison(i *localv1.Item) string {
	if i.GetPrisonName() == "" {
		return i.GetPrisonId()
	}
	return i.GetPrisonId() + " (" + i.GetPrisonName() + ")"
}

// printItem prints what a duty worker needs, how to make contact safely first.
func (a *app) printItem(out *localv1.GetItemResponse) error {
	i := out.GetItem()
	a.line("%s  from prison %s, received %s", i.GetReference(), prison(i), when(i.GetReceiveTime()))
	a.line("Not a risk assessment. Check your own records first.")
	for _, id := range i.GetSupersededBy() {
		a.line("WARNING: a newer one puts this right. Read that one before you do anything: %s", envelope.Reference(id))
	}
	if i.GetSupersedes() != "" {
		a.line("This puts right an earlier one that you have too: %s", envelope.Reference(i.GetSupersedes()))
	}
	a.printStop(i.GetStop())
	a.printPassedOn(i)
	a.printWork(i.GetWork())
	whole := i.GetStop() != nil && len(i.GetStop().GetPaths()) == 0
	if i.GetWork().GetUnheardTime() != nil && !whole {
		a.line("The prison did NOT hear the answer, and will not. Telephone them. Then answer again, or record what came of it.")
	}
	if i.GetFactsMismatch() {
		a.line("Some facts the decision rested on do not agree with what is written here. Ask the prison.")
	}
	for _, safetyFirst := range []bool{true, false} {
		for _, s := range out.GetSections() {
			sec, _ := section.Lookup(s.GetPath())
			if (sec.Name == "safety") != safetyFirst {
				continue
			}
			m, err := section.Read(s.GetPath(), s.GetContent())
			if err != nil {
				return err
			}
			a.line("%s (%s)", plain.PathWords(s.GetPath()), plain.Provenance(m))
			for _, l := range plain.Lines(m) {
				a.line("    %s: %s", l.Label, visible(l.Value))
			}
		}
	}
	if !whole {
		a.line("Not shared: %s", pathList(out.GetNotShared()))
	}
	if out.GetConsentExpireTime() != nil {
		a.line("Permission until: %s", when(out.GetConsentExpireTime()))
	}
	r := out.GetSender().GetReplyTo()
	a.line("Questions: %s, %s, %s (%s)", r.GetRole(), r.GetPhone(), r.GetMailbox(), r.GetHours())
	return nil
}
