package main

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func (a *app) deskCommand() *cobra.Command {
	c := a.configFlag(&cobra.Command{Use: "desk", Short: "The prison side: submit forms and follow them"})
	c.PersistentFlags().StringVar(&a.lang, "lang", "", "the language of what people read: en or cy; that of LANG when left out")
	c.AddCommand(serveCommand(a, "Serve the desk: send what is queued, fetch updates, keep the directory", config.LoadDesk),
		&cobra.Command{Use: "submit FORM.json", Short: "Submit a form (- for standard input)", Args: exactly(1), RunE: a.deskSubmit},
		&cobra.Command{Use: "status ID", Short: "Show one notification, by its id or reference", Args: exactly(1), RunE: a.deskStatus},
		a.deskListCommand(),
		a.deskWithdrawCommand(), a.deskGateCommand(), a.deskCallCommand(), a.deskConsiderCommand(), a.deskReviewCommand(), a.deskMovedCommand(), a.deskCloseObjectionsCommand(),
		a.deskRequestCommand(), a.deskCloseManualCommand(),
		a.deskTonightCommand(), a.deskSlipCommand(), a.deskReceptionsCommand(),
		&cobra.Command{Use: "receipt ID", Short: "Print the receipt of a decision, a file that `postern audit verify` checks", Args: exactly(1), RunE: a.deskReceipt})
	c.AddCommand(a.deskNewKeyCommand(), a.deskSubjectCommand(), a.deskSubjectCopiesCommand())
	c.AddCommand(a.deskKeyCommands()...)
	c.AddCommand(logCommands(a, config.LoadDesk)...)
	return c
}

func (a *app) desk(ctx context.Context, fn func(context.Context, localv1.DeskServiceClient) error) error {
	return a.deskConn(ctx, func(ctx context.Context, conn *grpc.ClientConn) error {
		return fn(ctx, localv1.NewDeskServiceClient(conn))
	})
}

func (a *app) deskConn(ctx context.Context, fn func(context.Context, *grpc.ClientConn) error) error {
	return with(ctx, a, config.LoadDesk, fn)
}

func (a *app) deskSubmit(c *cobra.Command, args []string) error {
	data, err := a.readInput(args[0])
	if err != nil {
		return err
	}
	return a.deskConn(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
		// Before anything else, and whatever is wrong with the form: a child may be alone.
		tonight, err := a.tonightOf(ctx, conn, data)
		if err != nil {
			return err
		}
		out, err := localv1.NewDeskServiceClient(conn).SubmitForm(ctx, &localv1.SubmitFormRequest{FormJson: data, Language: string(a.language())})
		if err != nil {
			return errors.Join(err, a.printTonightAlone(tonight))
		}
		if err := a.printSubmitted(out, tonight); err != nil {
			return err
		}
		for _, n := range out.GetNotifications() {
			if d := n.GetDecision(); d != nil && !allShared(d) {
				return exitCode(4)
			}
		}
		return nil
	})
}

// allShared reports whether every child of a decision was shared.
func allShared(d *posternv1.Decision) bool {
	for _, c := range d.GetChildren() {
		if c.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE {
			return false
		}
	}
	return d.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
}

func (a *app) printSubmitted(out *localv1.SubmitFormResponse, tonight *localv1.TonightResponse) error {
	if a.output == "json" {
		notifications := []map[string]any{}
		for _, n := range out.GetNotifications() {
			notifications = append(notifications, submitted(n))
		}
		return a.printJSON(withTonight(map[string]any{"form_id": out.GetFormId(), "notifications": notifications}, tonight))
	}
	a.line("%s", a.language().Text("desk.form", words.Args{"id": out.GetFormId()}))
	for _, n := range out.GetNotifications() {
		a.printNotification(n)
	}
	return nil
}

// submitted is a notification as `desk submit -o json` prints it.
func submitted(n *localv1.Notification) map[string]any {
	m := map[string]any{"id": n.GetId(), "reference": n.GetReference(), "authority": n.GetAuthority(), "state": plain.Enum(n.GetState()), "decision": nil}
	if n.GetDecision() != nil {
		m["decision"] = plain.Map(n.GetDecision())
	}
	return m
}

func (a *app) printNotification(n *localv1.Notification) {
	to := "no destination (an enquiry)"
	if n.GetElsewhere() {
		to = "somebody, by another prison; its withdrawal was taken here"
	} else if n.GetAuthority() != "" {
		to = n.GetAuthorityName() + " " + n.GetAuthority()
	}
	a.line("%s  to %s", n.GetReference(), to)
	lang := a.language()
	state := desk.StandsIn(lang, n)
	if n.GetElsewhere() && refusedByHub(n) {
		state = "not withdrawn: the hub did not accept it"
	}
	a.line("  %s", lang.Text("desk.state", words.Args{"state": state}))
	if n.GetSlipCode() != "" {
		a.line("  %s", lang.Text("desk.slip_code", words.Args{"code": n.GetSlipCode()}))
	}
	if e := n.GetErasure(); e != nil {
		a.line("  %s", lang.Text("desk.erased", words.Args{"date": plain.Date(lang, e.GetEraseTime().AsTime())}))
	}
	a.printCasework(n)
	a.printWithdrawals(n)
	if desk.ActionsOf(n).Unasked {
		a.line("  %s", lang.Text("case.next_unasked", nil))
	}
	switch {
	case n.GetState() == localv1.State_STATE_WITHDRAWN:
		a.indented(plain.ToDoIn(lang, withTasks(n).GetObligations()))
	case n.GetState() == localv1.State_STATE_STOP_ASKED && n.GetElsewhere():
	case n.GetState() == localv1.State_STATE_STOP_ASKED:
		a.line("  May have reached the team: %s", pathList(n.GetDecision().GetPaths()))
		a.indented(plain.ToDoIn(lang, withTasks(n).GetObligations()))
	case n.GetDecision() != nil:
		if personDecided(n) {
			a.line("  %s", lang.Text("desk.by_the_rules", nil))
		}
		a.indented(plain.DecisionIn(lang, withTasks(n)))
		if goes := desk.WhatGoes(n); len(goes) > 0 {
			a.line("  %s", lang.Text("desk.goes", words.Args{"sections": pathListIn(lang, goes)}))
		}
	}
	if n.GetSupersedes() != "" {
		a.line("  %s", lang.Text("desk.puts_right", words.Args{"reference": envelope.Reference(n.GetSupersedes())}))
	}
	if desk.Reconsidered(n) {
		a.line("  %s", lang.Text("case.next_duty_again", nil))
	}
	if n.GetResealedBy() != "" {
		a.line("  The team's key had changed: sealed again, and sent as %s", envelope.Reference(n.GetResealedBy()))
	}
	for _, f := range n.GetFollowups() {
		a.line("  Goes on by itself as %s: child %s", envelope.Reference(f.GetId()), numbers(f.GetChildNumbers()))
	}
	if n.GetSupersededBy() != "" {
		a.line("  Put right by %s", envelope.Reference(n.GetSupersededBy()))
	}
	if c := n.GetReply().GetCode(); n.GetReply() != nil && c != posternv1.ReplyCode_REPLY_CODE_STOP_ASKED && c != posternv1.ReplyCode_REPLY_CODE_UNDELIVERED {
		a.line("  The team replied: %s", plain.Words(plain.Enum(n.GetReply().GetCode())))
	}
}

// personDecided reports whether a person has ended since what the rules had decided: then that is not what holds now.
func personDecided(n *localv1.Notification) bool {
	considered := n.GetConsiderations()
	return n.GetManual() != nil || len(considered) > 0 && !considered[len(considered)-1].GetShare()
}

func (a *app) deskStatus(c *cobra.Command, args []string) error {
	return a.desk(c.Context(), func(ctx context.Context, desk localv1.DeskServiceClient) error {
		out, err := desk.GetNotification(ctx, &localv1.GetNotificationRequest{Id: args[0]})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(plain.Map(out.GetNotification()))
		}
		a.printNotification(out.GetNotification())
		a.printChildren(out.GetChildren())
		return nil
	})
}

// printChildren names the children of a notification by the numbers that a withdrawal of a part has.
func (a *app) printChildren(names []string) {
	for i, name := range names {
		id := "case.child_named"
		if name == "" {
			id = "case.child_number"
		}
		a.line("  %s", a.language().Text(id, words.Args{"number": i + 1, "name": visible(name)}))
	}
}

func (a *app) deskListCommand() *cobra.Command {
	var waiting, referred bool
	c := &cobra.Command{Use: "list", Short: "List the notifications of this desk, newest first", Args: exactly(0)}
	c.Flags().BoolVar(&waiting, "waiting", false, "only those that wait for something")
	c.Flags().BoolVar(&referred, "referred", false, "only those that need a decision")
	c.RunE = func(c *cobra.Command, _ []string) error {
		req := &localv1.ListNotificationsRequest{}
		if waiting {
			req.Waiting, req.States = true, append(req.States, localv1.State_STATE_WAITING, localv1.State_STATE_QUEUED)
		}
		if referred {
			req.Referred, req.States = true, append(req.States, localv1.State_STATE_REFERRED, localv1.State_STATE_UNDELIVERED)
		}
		return a.desk(c.Context(), func(ctx context.Context, desk localv1.DeskServiceClient) error {
			out, err := desk.ListNotifications(ctx, req)
			if err != nil {
				return err
			}
			return list(a, out.GetNotifications(), func(n *localv1.Notification) map[string]any { return plain.Map(n) },
				"Nothing here.", []string{"REFERENCE", "STATE", "AUTHORITY", "TAKEN", "DUE", "ID"}, func(n *localv1.Notification) []string {
					return []string{n.GetReference(), plain.Enum(n.GetState()), n.GetAuthority(), when(n.GetCreateTime()), dueWords(n), n.GetId()}
				})
		})
	}
	return c
}

// dueWords say until when something is due, that it is overdue, or that its form was erased.
func dueWords(n *localv1.Notification) string {
	if e := n.GetErasure(); e != nil {
		return "erased " + when(e.GetEraseTime())
	}
	if n.GetOverdue() {
		return "OVERDUE " + when(n.GetDueTime())
	}
	return when(n.GetDueTime())
}

// numbers lists numbers: "1, 2".
func numbers(all []uint32) string {
	words := make([]string, len(all))
	for i, n := range all {
		words[i] = strconv.Itoa(int(n))
	}
	return strings.Join(words, ", ")
}

func (a *app) deskReceipt(c *cobra.Command, args []string) error {
	return a.desk(c.Context(), func(ctx context.Context, desk localv1.DeskServiceClient) error {
		out, err := desk.GetNotification(ctx, &localv1.GetNotificationRequest{Id: args[0]})
		if err != nil {
			return err
		}
		if out.GetReceipt() == nil {
			return fault.New(fault.Precondition, "NO_RECEIPT", "There is no receipt to show: the hub has not answered, or a colleague still checks the form. `postern desk status` says more.")
		}
		if a.output == "json" {
			return a.printJSON(plain.Map(out.GetReceipt()))
		}
		_, err = a.out.Write(verify.MarshalFile(out.GetReceipt()))
		return err
	})
}

// readInput reads a file, or standard input for "-".
func (a *app) readInput(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(a.in)
	}
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, noFile(name, err)
	}
	return b, nil
}

func noFile(name string, err error) error {
	return fault.Newf(fault.NotFound, "NO_FILE", "The file %s cannot be read. Check its name.", name).Because(err)
}
