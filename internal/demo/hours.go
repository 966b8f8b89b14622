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
	{"A child is named on day three", dayThree},
	{"The check is never done: on the next working day a person must decide", overdue},
}

func dayThree(t *teller) {
	t.submit("day_three_first.json", accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	first := t.sent
	number := numberOf(t.form)
	t.later("Three days pass", 3*24*time.Hour)
	t.step("She names her younger daughter, and reception sends the form anew", func() (string, error) {
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

// later lets time pass for everybody.
func (t *teller) later(name string, d time.Duration) {
	t.step(name, func() (string, error) {
		t.clock.move(d)
		return "It is now " + plain.Time(t.clock.Now()), nil
	})
}

// numberOf is the prison number of a form.
func numberOf(form []byte) string {
	var f struct {
		Number string `json:"prison_number"`
	}
	_ = json.Unmarshal(form, &f) // it was made by freshForm
	return f.Number
}
