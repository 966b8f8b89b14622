package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// inboxWorkCommands are `postern inbox reply` and `postern inbox outcome`.
func (a *app) inboxWorkCommands() []*cobra.Command {
	var paths []string
	reply := &cobra.Command{Use: "reply ID CODE", Args: exactly(2),
		Short: "Answer a notification: ACCEPTED_FOR_CONTACT, ALREADY_KNOWN, CANNOT_TRACE, NOT_OUR_AREA, or NEEDS_DETAIL with --section"}
	reply.Flags().StringSliceVar(&paths, "section", nil, "with NEEDS_DETAIL, a section to ask for, such as child/1/school (may be repeated)")
	reply.RunE = func(c *cobra.Command, args []string) error {
		code, ok := plain.Value(posternv1.ReplyCode(0), strings.ToUpper(args[1]))
		if !ok {
			return fault.New(fault.Invalid, "REPLY_CODE", "That is not a reply a team can give. See `postern inbox reply --help`.")
		}
		return a.teamwork(c.Context(), args[0], func(ctx context.Context, team localv1.TeamworkServiceClient) (*localv1.Work, error) {
			out, err := team.ReplyItem(ctx, &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: args[0]}, Reply: &posternv1.Reply{Code: posternv1.ReplyCode(code), Paths: paths}})
			return out.GetWork(), err
		})
	}
	outcome := &cobra.Command{Use: "outcome ID CODE", Args: exactly(2),
		Short: "Record what came of a notification, for statistics: OFFER_MADE, OFFER_ACCEPTED, OFFER_DECLINED, NOT_REACHED, ALREADY_SUPPORTED, PASSED_TO_SOCIAL_CARE, ADVICE_GIVEN"}
	outcome.RunE = func(c *cobra.Command, args []string) error {
		code, ok := plain.Value(posternv1.FamilyOutcomeCode(0), strings.ToUpper(args[1]))
		if !ok {
			return fault.New(fault.Invalid, "OUTCOME", "That is not an outcome. See `postern inbox outcome --help`.")
		}
		return a.teamwork(c.Context(), args[0], func(ctx context.Context, team localv1.TeamworkServiceClient) (*localv1.Work, error) {
			out, err := team.RecordOutcome(ctx, &localv1.RecordOutcomeRequest{Item: &localv1.Seen{Id: args[0]}, Outcome: posternv1.FamilyOutcomeCode(code)})
			return out.GetWork(), err
		})
	}
	return []*cobra.Command{reply, outcome}
}

// teamwork does something about an item and prints the work after it.
func (a *app) teamwork(ctx context.Context, id string, act func(context.Context, localv1.TeamworkServiceClient) (*localv1.Work, error)) error {
	return with(ctx, a, config.LoadInbox, func(ctx context.Context, conn *grpc.ClientConn) error {
		w, err := act(ctx, localv1.NewTeamworkServiceClient(conn))
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(plain.Map(w))
		}
		a.line("%s  recorded", visible(id))
		a.printWork(w)
		return nil
	})
}

// printWork says what the team did about an item.
func (a *app) printWork(w *localv1.Work) {
	if w.GetAssignedTo() != "" {
		a.line("With: %s", visible(w.GetAssignedTo()))
	}
	if w.GetReply() != nil {
		a.line("Answered: %s", plain.Words(plain.Enum(w.GetReply().GetCode())))
	}
	if w.GetOutcome() != 0 {
		a.line("What came of it: %s", plain.Words(plain.Enum(w.GetOutcome())))
	}
}
