package demo

import (
	"encoding/json"
	"time"

	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// hours are stories that need another hour or day, told one after the other on a stage with a clock of its own.
var hours = []tale{
	{"Urgent at night, and nobody answers", urgentAtNight},
	{"A child is named on day three", dayThree},
	{"The permission runs out between sending and delivery", runsOut},
	{"The check is never done: on the next working day a person must decide", overdue},
}

func urgentAtNight(t *teller) {
	t.step("It is half past nine in the evening", func() (string, error) { return t.clockAt(21, 30) })
	t.submit("urgent_at_night.json", waiting)
	t.mustDo("Nobody has telephoned: the number of the emergency duty team is shown", posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR)
	t.calls("Nobody answers", noAnswer, accepted)
	t.later("Five minutes later", 5*time.Minute)
	t.step("Nobody answers again: call the police", func() (string, error) {
		out, err := t.cases(t.prison).RecordCall(t.ctx, &localv1.RecordCallRequest{Id: t.sent.GetReference(), Result: noAnswer})
		if err != nil {
			return "", err
		}
		t.sent = out.GetNotifications()[0]
		return "", nil
	})
	t.mustDo("The desk shows the number of the police", posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE)
	t.awaitState("Without her permission, the safeguarding team has what helps tonight", delivered)
	t.reads(bristol)
}

func dayThree(t *teller) {
	t.submit("day_three_first.json", accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	first := t.sent
	number := numberOf(t.form)
	t.later("Three days pass", 3*24*time.Hour)
	t.step("She names her younger daughter, and reception sends the form anew, day_three_second.json", func() (string, error) {
		detail, err := t.take("day_three_second.json", 1, func(form map[string]any) {
			form["prison_number"], form["supersedes"] = number, first.GetFormId()
		})
		if err == nil {
			err = is(t.sent, accepted)
		}
		return detail, err
	})
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
	t.step("Both children are in it, and it says which notification it puts right", func() (string, error) {
		if t.seen.GetItem().GetChildren() != 2 || t.sent.GetSupersedes() != first.GetId() {
			return "", failed("The team has %d children.", t.seen.GetItem().GetChildren())
		}
		return first.GetReference() + " is put right by " + t.sent.GetReference(), nil
	})
}

func overdue(t *teller) {
	t.submit("gate_not_done.json", waiting)
	t.later("Nobody does the check for a week", 7*24*time.Hour)
	t.awaitState("The desk submits it again when it is due, and it needs a decision", referred)
	t.queued("It stands in the safeguarding lead's queue", &localv1.ListNotificationsRequest{Referred: true})
	t.checked("The check is done after all, and finds nothing: it goes", posternv1.Gate_GATE_NO_HOLD, accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
}

func runsOut(t *teller) {
	t.step("Bristol's inbox stops", func() (string, error) { return "", t.end(inboxParty(bristol)) })
	t.submit("consent_runs_out.json", accepted, func(form map[string]any) {
		form["consent"].(map[string]any)["expire_time"] = t.clock.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	})
	t.later("Two hours pass, and the permission has run out", 2*time.Hour)
	t.step("Bristol's inbox starts again", func() (string, error) { return "", t.start(t.ctx, inboxParty(bristol)) })
	t.step("The hub decides again before it sends, and sends nothing", func() (string, error) {
		err := t.await(func() (bool, error) {
			out, err := t.desk(t.prison).GetNotification(t.ctx, &localv1.GetNotificationRequest{Id: t.sent.GetId()})
			t.sent = out.GetNotification()
			return err == nil && t.sent.GetDecision().GetOutcome() != posternv1.Outcome_OUTCOME_SHARE, err
		})
		if err != nil {
			return "", err
		}
		return told(t.sent), nil
	})
	t.absent(bristol)
}

// later lets time pass for everybody.
func (t *teller) later(name string, d time.Duration) {
	t.step(name, func() (string, error) {
		t.clock.move(d)
		return "It is now " + plain.Time(t.clock.Now()), nil
	})
}

// clockAt lets time pass until it is this hour and minute in London.
func (t *teller) clockAt(hour, minute int) (string, error) {
	if err := t.clock.at(hour, minute); err != nil {
		return "", err
	}
	return "It is now " + plain.Time(t.clock.Now()), nil
}

// numberOf is the prison number of a form.
func numberOf(form []byte) string {
	var f struct {
		Number string `json:"prison_number"`
	}
	_ = json.Unmarshal(form, &f) // it was made by freshForm
	return f.Number
}
