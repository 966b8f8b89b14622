package main

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/config"
	"postern/internal/desk"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func (a *app) casework(ctx context.Context, fn func(context.Context, localv1.CaseworkServiceClient) error) error {
	return with(ctx, a, config.LoadDesk, func(ctx context.Context, conn *grpc.ClientConn) error {
		return fn(ctx, localv1.NewCaseworkServiceClient(conn))
	})
}

// deskGateCommand is `postern desk gate`.
func (a *app) deskGateCommand() *cobra.Command {
	return &cobra.Command{
		Use: "gate ID NO_HOLD|HOLD", Args: exactly(2),
		Short: "Set the public-protection check of a form; what waited for it goes by itself (role PUBLIC_PROTECTION)",
		RunE: func(c *cobra.Command, args []string) error {
			gate, ok := plain.Value(posternv1.Gate(0), args[1])
			if g := posternv1.Gate(gate); !ok || g != posternv1.Gate_GATE_NO_HOLD && g != posternv1.Gate_GATE_HOLD {
				return usage("the result of the check is NO_HOLD or HOLD")
			}
			return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
				out, err := desk.SetGate(ctx, &localv1.SetGateRequest{Id: args[0], Gate: posternv1.Gate(gate)})
				return a.printCase(out.GetNotifications(), err)
			})
		},
	}
}

// deskCallCommand is `postern desk call`.
func (a *app) deskCallCommand() *cobra.Command {
	req := &localv1.RecordCallRequest{}
	var at string
	c := &cobra.Command{Use: "call ID RESULT", Args: exactly(2),
		Short: "Record a telephone call about a notification: ANSWERED, NO_ANSWER or EMERGENCY_999; what waited for it goes by itself"}
	c.Flags().StringVar(&at, "at", "", "when it was made, such as 2026-11-22T18:05:00Z (default now)")
	c.Flags().StringVar(&req.Number, "number", "", "the number that was called (default the front door's at that hour)")
	c.Flags().StringVar(&req.Who, "who", "", "the name or the team of whoever answered")
	c.Flags().StringVar(&req.Reference, "reference", "", "the reference that the front door gave")
	c.Flags().Uint32Var(&req.ChildNumber, "child", 0, "the child it was about (default all of them)")
	c.RunE = func(c *cobra.Command, args []string) error {
		result, ok := plain.Value(posternv1.CallResult(0), args[1])
		if !ok || result == 0 {
			return usage("the result of a call is ANSWERED, NO_ANSWER or EMERGENCY_999")
		}
		var err error
		if req.CallTime, err = instant("--at", at); err != nil {
			return err
		}
		req.Id, req.Result = args[0], posternv1.CallResult(result)
		return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
			out, err := desk.RecordCall(ctx, req)
			return a.printCase(out.GetNotifications(), err)
		})
	}
	return c
}

// deskConsiderCommand is `postern desk consider`.
func (a *app) deskConsiderCommand() *cobra.Command {
	var decision, relevant, told, reasons string
	var children []uint
	codes := &posternv1.Consideration{}
	c := &cobra.Command{Use: "consider ID", Args: exactly(1),
		Short: "Record what the safeguarding lead decided on the duty to share, and why (role SAFEGUARDING_LEAD)"}
	c.Flags().StringVar(&decision, "decision", "", "SHARE or NOT_SHARE")
	c.Flags().StringVar(&relevant, "relevant", "", "whether it matters to a child's welfare: YES or NO")
	c.Flags().StringVar(&codes.HelpsFunction, "helps", "", "the code of the authority's function that it helps, such as ca1989.s17")
	c.Flags().UintSliceVar(&children, "child", nil, "a child about whom telling is not more detrimental than not telling (may be repeated)")
	c.Flags().StringArrayVar(&codes.Paths, "section", nil, "a section to share, such as child/1/home (may be repeated)")
	c.Flags().StringVar(&told, "parent-told", "", "whether the person was told: YES or NO")
	c.Flags().StringVar(&reasons, "reasons", "", "the file with the reasons in words, - for standard input; they stay in the prison")
	c.RunE = func(c *cobra.Command, args []string) error {
		if decision != "SHARE" && decision != "NOT_SHARE" {
			return usage("--decision is SHARE or NOT_SHARE")
		}
		for _, answer := range []struct {
			flag, text string
			to         *posternv1.Answer
		}{{"--relevant", relevant, &codes.Relevant}, {"--parent-told", told, &codes.ParentTold}} {
			if answer.text != "YES" && answer.text != "NO" {
				return usage(answer.flag + " is YES or NO")
			}
			n, _ := plain.Value(posternv1.Answer(0), answer.text)
			*answer.to = posternv1.Answer(n)
		}
		if reasons == "" {
			return usage("--reasons is missing: name the file with the reasons in words, or - for standard input")
		}
		words, err := a.readInput(reasons)
		if err != nil {
			return err
		}
		for _, n := range children {
			codes.NotMoreDetrimental = append(codes.NotMoreDetrimental, uint32(n))
		}
		return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
			out, err := desk.Consider(ctx, &localv1.ConsiderRequest{Id: args[0], Share: decision == "SHARE", Codes: codes, Reasons: string(words)})
			return a.printCase(out.GetNotifications(), err)
		})
	}
	return c
}

// deskReviewCommand is `postern desk review`.
func (a *app) deskReviewCommand() *cobra.Command {
	var findings string
	c := &cobra.Command{Use: "review ID", Args: exactly(1),
		Short: "Record that the safeguarding lead looked again at what was shared urgently, and what they found (role SAFEGUARDING_LEAD)"}
	c.Flags().StringVar(&findings, "findings", "", "the file with what was found in words, - for standard input; it stays in the prison")
	c.RunE = func(c *cobra.Command, args []string) error {
		if findings == "" {
			return usage("--findings is missing: name the file with what was found in words, or - for standard input")
		}
		words, err := a.readInput(findings)
		if err != nil {
			return err
		}
		return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
			out, err := desk.Review(ctx, &localv1.ReviewRequest{Id: args[0], Findings: string(words)})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(plain.Map(out.GetNotification()))
			}
			a.printNotification(out.GetNotification())
			return nil
		})
	}
	return c
}

// deskMovedCommand is `postern desk moved`.
func (a *app) deskMovedCommand() *cobra.Command {
	return &cobra.Command{Use: "moved ID PRISON", Args: exactly(2),
		Short: "Record that the person has moved to another prison, by its id in the directory, or OTHER; this prison's own for somebody who is back",
		RunE: func(c *cobra.Command, args []string) error {
			return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
				out, err := desk.RecordMove(ctx, &localv1.RecordMoveRequest{Id: args[0], PrisonId: args[1]})
				if err != nil {
					return err
				}
				if a.output == "json" {
					all := make([]map[string]any, len(out.GetNotifications()))
					for i, n := range out.GetNotifications() {
						all[i] = plain.Map(n)
					}
					return a.printJSON(all)
				}
				for _, n := range out.GetNotifications() {
					a.printNotification(n)
				}
				return nil
			})
		},
	}
}

// deskCloseObjectionsCommand is `postern desk read-objections`.
func (a *app) deskCloseObjectionsCommand() *cobra.Command {
	return &cobra.Command{Use: "read-objections ID", Args: exactly(1),
		Short: "Record that the safeguarding lead has read what the person objected to (role SAFEGUARDING_LEAD)",
		RunE: func(c *cobra.Command, args []string) error {
			return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
				out, err := desk.CloseObjections(ctx, &localv1.CloseObjectionsRequest{Id: args[0]})
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printJSON(plain.Map(out.GetNotification()))
				}
				a.printNotification(out.GetNotification())
				return nil
			})
		},
	}
}

// deskCloseManualCommand is `postern desk close-manual`.
func (a *app) deskCloseManualCommand() *cobra.Command {
	var how, to, at string
	c := &cobra.Command{Use: "close-manual ID", Args: exactly(1), Short: "Close the manual route: how the request for support was sent, to whom and when"}
	c.Flags().StringVar(&how, "how", "", "PHONE, POST, SECURE_MAIL, PORTAL or BY_HAND")
	c.Flags().StringVar(&to, "to", "", "the team it was sent to")
	c.Flags().StringVar(&at, "when", "", "when it was sent, such as 2026-11-22T18:05:00Z (default now)")
	c.RunE = func(c *cobra.Command, args []string) error {
		route, ok := plain.Value(localv1.ManualRoute(0), how)
		if !ok || route == 0 {
			return usage("--how is PHONE, POST, SECURE_MAIL, PORTAL or BY_HAND")
		}
		when, err := instant("--when", at)
		if err != nil {
			return err
		}
		return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
			out, err := desk.CloseManual(ctx, &localv1.CloseManualRequest{Id: args[0], How: localv1.ManualRoute(route), To: to, SendTime: when})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(plain.Map(out.GetNotification()))
			}
			a.printNotification(out.GetNotification())
			return nil
		})
	}
	return c
}

// championWords name a champion and how to reach them.
func championWords(c *posternv1.Champion) string {
	return strings.Join(slices.DeleteFunc([]string{c.GetRole(), c.GetPhone(), c.GetMailbox()}, func(s string) bool { return s == "" }), ", ")
}

// instant reads the time of a flag; none for an empty one.
func instant(flag, text string) (*timestamppb.Timestamp, error) {
	if text == "" {
		return nil, nil
	}
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return nil, usage(flag + " is a time such as 2026-11-22T18:05:00Z")
	}
	return timestamppb.New(t), nil
}

// printCase prints what became of a notification and of those that go with it. The exit code says, as after `desk submit`,
// whether a child is still not shared; what a person decided is not to be asked again.
func (a *app) printCase(all []*localv1.Notification, err error) error {
	if err != nil {
		return err
	}
	if a.output == "json" {
		out := make([]map[string]any, len(all))
		for i, n := range all {
			out[i] = plain.Map(n)
		}
		err = a.printJSON(out)
	} else {
		for _, n := range all {
			a.printNotification(n)
		}
	}
	for _, n := range all {
		left := n.GetDecision() != nil && !n.GetResubmitting() && !allShared(n.GetDecision()) && len(n.GetFollowups()) == 0
		if err == nil && left && !decidedByLead(n) {
			return exitCode(4)
		}
	}
	return err
}

func decidedByLead(n *localv1.Notification) bool {
	all := n.GetConsiderations()
	return len(all) > 0 && !all[len(all)-1].GetShare()
}

// withTasks is a decision with what a person has to do by now in the place of what they had to do then.
func withTasks(n *localv1.Notification) *posternv1.Decision {
	d := &posternv1.Decision{}
	proto.Merge(d, n.GetDecision())
	d.Obligations = nil
	for _, t := range n.GetTasks() {
		d.Obligations = append(d.Obligations, &posternv1.Obligation{
			Kind: t.GetKind(), ChildNumber: t.GetChildNumber(), DueTime: t.GetDueTime(),
			PhoneNumber: strings.TrimSpace(t.GetName() + " " + t.GetPhoneNumber())})
	}
	return d
}

// printCasework tells what happened at the desk since the form was taken.
func (a *app) printCasework(n *localv1.Notification) {
	if n.GetOverdue() {
		a.line("  OVERDUE since %s", when(n.GetDueTime()))
	} else if n.GetDueTime() != nil {
		a.line("  Due: %s", when(n.GetDueTime()))
	}
	if c := n.GetChampion(); c != nil {
		a.line("  Whom to ask there: %s", championWords(c))
	}
	if n.GetResubmitting() {
		a.line("  Submitted again; what follows is the decision before.")
	}
	if g := n.GetGate(); g != nil {
		a.line("  Public-protection check %s: %s", when(g.GetSetTime()), plain.Words(plain.Enum(g.GetGate())))
	}
	for _, c := range n.GetCalls() {
		a.line("  Call %s to %s: %s", when(c.GetCallTime()), c.GetNumber(), plain.Words(plain.Enum(c.GetResult())))
	}
	for _, c := range n.GetConsiderations() {
		what := "decided not to share"
		if c.GetShare() {
			what = "decided to share " + pathList(c.GetCodes().GetPaths())
		}
		a.line("  The safeguarding lead %s %s; why is kept here.", what, when(c.GetCodes().GetConsiderTime()))
	}
	if v := n.GetReview(); v != nil {
		a.line("  The safeguarding lead reviewed what was shared %s; what they found is kept here.", when(v.GetReviewTime()))
	}
	if m := n.GetMove(); m != nil {
		a.line("  Moved to another prison, recorded %s: %s", when(m.GetRecordTime()), cmp.Or(strings.TrimSpace(visible(m.GetPrisonName())+" "+m.GetPrisonId()), "not in the directory"))
	}
	if desk.NotAskedHere(n) {
		a.line("  %s", a.language().Text("case.next_moved", nil))
	}
	if desk.ActionsOf(n).Read {
		a.line("  %s", a.language().Text("case.objection_unread", nil))
	}
	if m := n.GetManual(); m != nil {
		a.line("  Sent by hand %s: %s, to %s", when(m.GetSendTime()), plain.Words(plain.Enum(m.GetHow())), visible(m.GetTo()))
	}
	if n.GetSameAs() != "" {
		a.line("  The same was sent before: %s", n.GetSameAs())
	}
}
