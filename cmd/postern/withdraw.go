package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/desk"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// deskWithdrawCommand is `postern desk withdraw`.
func (a *app) deskWithdrawCommand() *cobra.Command {
	var sections []string
	var method, code string
	c := &cobra.Command{Use: "withdraw ID", Short: "Withdraw a notification, all of it or a part, when the person asks; nobody has to agree", Args: exactly(1)}
	c.Flags().StringArrayVar(&sections, "section", nil, "only this: child/2 for a child, child/2/phone for one section (may be repeated)")
	c.Flags().StringVar(&method, "method", "FACE_TO_FACE", "how the person withdraws: FACE_TO_FACE, PHONE, PAPER or OTHER")
	c.Flags().StringVar(&code, "code", "", "the code on the person's slip, when another prison sent it")
	c.RunE = func(c *cobra.Command, args []string) error {
		how, ok := plain.Value(posternv1.WithdrawalMethod(0), method)
		if !ok {
			return usage("--method is FACE_TO_FACE, PHONE, PAPER or OTHER")
		}
		return a.desk(c.Context(), func(ctx context.Context, desk localv1.DeskServiceClient) error {
			out, err := desk.WithdrawNotification(ctx, &localv1.WithdrawNotificationRequest{
				Id: args[0], Paths: sections, Method: posternv1.WithdrawalMethod(how), SlipCode: code})
			if err != nil {
				return err
			}
			if a.output == "json" {
				err = a.printJSON(plain.Map(out.GetNotification()))
			} else {
				a.printNotification(out.GetNotification())
			}
			if err == nil && refusedByHub(out.GetNotification()) {
				return exitCode(1)
			}
			return err
		})
	}
	return c
}

// refusedByHub reports whether the newest withdrawal was not accepted, such as for a wrong code.
func refusedByHub(n *localv1.Notification) bool {
	taken := n.GetWithdrawals()
	return len(taken) > 0 && says(taken[len(taken)-1].GetAnswer(), "hub_refused")
}

func says(d *posternv1.Decision, rule string) bool {
	for _, r := range d.GetReasons() {
		if r.GetRuleId() == rule {
			return true
		}
	}
	return false
}

// printWithdrawals tells what was withdrawn, and honestly what came of it.
func (a *app) printWithdrawals(n *localv1.Notification) {
	for _, w := range n.GetWithdrawals() {
		what := "all of it"
		if len(w.GetPaths()) > 0 {
			what = scopeWords(w.GetPaths())
		}
		did := "Withdrawn"
		if desk.Objects(w) {
			did = "The person objected"
		}
		a.line("  %s %s: %s (%s)", did, when(w.GetTakeTime()), what, plain.Words(plain.Enum(w.GetMethod())))
		if w.GetAnswer() == nil {
			a.line("    Safe here, and not yet at the hub: it goes by itself as soon as the hub answers. Until then the team may still get it or act on it.")
		}
		for _, r := range w.GetAnswer().GetReasons() {
			a.line("    %s", r.GetText())
		}
	}
	for _, reference := range n.GetTakenBackToo() {
		a.line("  Taken back of %s too, which tells of the same children", reference)
	}
	for _, reference := range n.GetMayStillHold() {
		a.line("  %s tells of the same children and may still hold it: postern desk withdraw %s takes it back there", reference, reference)
	}
}

// scopeWords names what was withdrawn: "child 2, child 1: phone".
func scopeWords(paths []string) string {
	words := make([]string, len(paths))
	for i, p := range paths {
		words[i] = plain.PathWords(p)
		if number, ok := strings.CutPrefix(p, "child/"); ok && !strings.Contains(number, "/") {
			words[i] = "child " + number
		}
	}
	return strings.Join(words, ", ")
}

// inboxAnswerStopCommand is `postern inbox answer-stop`.
func (a *app) inboxAnswerStopCommand() *cobra.Command {
	return &cobra.Command{
		Use: "answer-stop ID ANSWER", Args: exactly(2),
		Short: "Answer a stop request: STOPPED, RETAINED_DUTY or RETAINED_SAFEGUARDING; the prison does not hear it",
		RunE: func(c *cobra.Command, args []string) error {
			code, ok := plain.Value(posternv1.StopAnswerCode(0), args[1])
			if !ok {
				return usage("the answer is STOPPED, RETAINED_DUTY or RETAINED_SAFEGUARDING")
			}
			return a.inbox(c.Context(), func(ctx context.Context, inbox localv1.TeamServiceClient) error {
				out, err := inbox.AnswerStop(ctx, &localv1.AnswerStopRequest{Id: args[0], Answer: posternv1.StopAnswerCode(code)})
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printJSON(plain.Map(out.GetItem()))
				}
				a.line("%s  from prison %s", out.GetItem().GetReference(), prison(out.GetItem()))
				a.printStop(out.GetItem().GetStop())
				return nil
			})
		},
	}
}

// stopWords say what the team answered.
var stopWords = map[posternv1.StopAnswerCode]string{
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_UNSPECIFIED:           "Not answered yet: postern inbox answer-stop ID STOPPED, RETAINED_DUTY or RETAINED_SAFEGUARDING.",
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED:               "Answered: the team stopped.",
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_DUTY:         "Answered: the team keeps what is in its own records, under a duty of its own. It does not come back here.",
	posternv1.StopAnswerCode_STOP_ANSWER_CODE_RETAINED_SAFEGUARDING: "Answered: the team keeps what is in its own records, to safeguard a child. It does not come back here.",
}

// printStop tells a team that the person withdrew.
func (a *app) printStop(s *localv1.Stop) {
	if s == nil {
		return
	}
	if len(s.GetPaths()) == 0 {
		a.line("WITHDRAWN %s. The person withdrew their permission: please stop, and do not act on what was read here. The content is deleted.", when(s.GetReceiveTime()))
	} else {
		a.line("WITHDRAWN in part %s: %s. Please stop using it; it is deleted here.", when(s.GetReceiveTime()), scopeWords(s.GetPaths()))
	}
	a.line("%s", stopWords[s.GetAnswer()])
}

// stopMark marks a withdrawn item in the list.
func stopMark(s *localv1.Stop) string {
	switch {
	case s == nil:
		return ""
	case len(s.GetPaths()) > 0:
		return "withdrawn in part"
	}
	return "withdrawn"
}
