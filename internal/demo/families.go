package demo

import (
	"slices"

	"google.golang.org/protobuf/proto"

	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The states and results that the stories speak of.
const (
	waiting   = localv1.State_STATE_WAITING
	withheld  = localv1.State_STATE_WITHHELD
	referred  = localv1.State_STATE_REFERRED
	accepted  = localv1.State_STATE_ACCEPTED
	delivered = localv1.State_STATE_DELIVERED
	closed    = localv1.State_STATE_CLOSED

	answered = posternv1.CallResult_CALL_RESULT_ANSWERED
	noAnswer = posternv1.CallResult_CALL_RESULT_NO_ANSWER
	police   = posternv1.CallResult_CALL_RESULT_EMERGENCY_999
)

// families are stories that hold at any hour.
var families = []tale{
	{"Siblings in two authorities: neither learns of the other", siblings},
	{"A child is found in another authority: the team passes it on", foundElsewhere},
	{"A child who is not born yet", unborn},
	{"Nobody knows who has the child: a call first, then it goes as priority", carerUnknown},
	{"The carer is under 18: the first call is not answered", carerUnder18},
	{"A mother alone with two children", motherAlone},
	{"The parent says no: the safeguarding lead considers it", declined},
	{"The parent says no, and the duty to share is considered in England", dutyEngland},
	{"A doubt about capacity, and sharing is considered in Wales", dutyWales},
	{"The public-protection check is not done; cleared, it goes by itself", gateCleared},
	{"Public protection holds it", gateHeld},
	{"Half a postcode, and staff who know the place", postcodeUnknown},
	{"The authority takes no part yet: the manual route", noRecipient},
	{"The same form twice, filled in anew", twice},
}

func unborn(t *teller) {
	t.submit("unborn.json", accepted, dueInMonths(t, 4))
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
	t.step("The team reads when the child is expected, and no age", func() (string, error) {
		var identity posternv1.ChildIdentity
		for _, s := range t.seen.GetSections() {
			if s.GetPath() == "child/1/identity" {
				if err := proto.Unmarshal(s.GetContent(), &identity); err != nil {
					return "", err
				}
			}
		}
		if identity.GetDueDate() == "" || identity.GetDateOfBirth() != "" {
			return "", failed("The team does not read a due date.")
		}
		return "", nil
	})
}

func carerUnknown(t *teller) {
	t.submit("carer_unknown.json", waiting)
	t.mustDo("Reception is given the number for this hour", posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR)
	t.queued("It stands in the list of what waits, with the time it is due", &localv1.ListNotificationsRequest{Waiting: true})
	t.calls("Reception telephones, and the duty worker answers", answered, accepted)
	t.step("It goes as one to be looked at first", func() (string, error) {
		if !t.sent.GetDecision().GetPriority() {
			return "", failed("It is like any other to the team.")
		}
		return "", hasReason(t.sent.GetDecision(), "carer_absent")
	})
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
}

func carerUnder18(t *teller) {
	t.submit("carer_under_18.json", waiting)
	t.calls("Nobody answers the telephone: it goes on waiting", noAnswer, waiting)
	t.calls("Reception calls the police", police, accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	t.step("The calls are at the desk, with time and number", func() (string, error) {
		if len(t.sent.GetCalls()) != 2 || t.sent.GetCalls()[1].GetNumber() != "999" {
			return "", failed("The desk holds %d calls.", len(t.sent.GetCalls()))
		}
		return "", nil
	})
}

func motherAlone(t *teller) {
	t.submit("mother_alone_two_children.json", accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
	t.once(bristol)
}

func declined(t *teller) {
	t.submit("declined.json", referred)
	t.mustDo("The prison must still think about the children", posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY)
	t.queued("It stands in the safeguarding lead's queue", &localv1.ListNotificationsRequest{Referred: true})
	t.considers("The safeguarding lead decides that nothing is sent", &localv1.ConsiderRequest{
		Reasons: "The children live with their father, who has a family worker already.",
		Codes:   &posternv1.Consideration{Relevant: posternv1.Answer_ANSWER_NO, ParentTold: posternv1.Answer_ANSWER_YES},
	}, withheld)
	t.step("That is a record of its own, and holds no word of why", func() (string, error) {
		return t.lastEvent("considered", "family worker")
	})
}

func dutyEngland(t *teller) {
	t.submit("declined.json", referred)
	enquiry := ""
	t.step("The safeguarding lead fills in the form duty_england.json by the duty route, from what the prison holds", func() (string, error) {
		enquiry = t.sent.GetId()
		detail, err := t.take("duty_england.json", 1, func(form map[string]any) { form["supersedes"] = t.sent.GetReference() })
		if err == nil {
			err = is(t.sent, accepted)
		}
		return detail, err
	})
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
	t.step("The refusal is answered: nothing is left to consider", func() (string, error) {
		out, err := t.desk(t.prison).GetNotification(t.ctx, &localv1.GetNotificationRequest{Id: enquiry})
		if err != nil {
			return "", err
		}
		return "", is(out.GetNotification(), closed)
	})
	t.audited()
}

func dutyWales(t *teller) {
	t.prison = hmpParc
	t.submit("duty_wales.json", referred)
	t.considers("The safeguarding lead decides to share, and names what", &localv1.ConsiderRequest{
		Share: true, Reasons: "The grandmother asked for help with the school run, and he may not have understood the question.",
		Codes: &posternv1.Consideration{
			Relevant: posternv1.Answer_ANSWER_YES, HelpsFunction: "sswbwa2014.s17", NotMoreDetrimental: []uint32{1}, ParentTold: posternv1.Answer_ANSWER_YES,
			Paths: []string{"parent/name", "child/1/identity", "child/1/relationship", "child/1/home", "child/1/carer", "child/1/safety"},
		},
	}, accepted)
	t.step("In Wales that is a public task, not the duty of England", func() (string, error) {
		return "", hasReason(t.sent.GetDecision(), "public_task_considered")
	})
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bridgend)
}

func gateCleared(t *teller) {
	t.submit("gate_not_done.json", waiting)
	t.checked("The public-protection team finds nothing: it goes by itself", posternv1.Gate_GATE_NO_HOLD, accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
	t.once(bristol)
	t.audited()
}

func gateHeld(t *teller) {
	t.submit("gate_on_hold.json", waiting)
	t.checked("The public-protection team holds it: a person must decide", posternv1.Gate_GATE_HOLD, referred)
	t.queued("It stands in the safeguarding lead's queue", &localv1.ListNotificationsRequest{Referred: true})
	t.absent(bristol)
}

func postcodeUnknown(t *teller) {
	t.submit("postcode_unknown.json", accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
}

func noRecipient(t *teller) {
	t.submit("no_recipient.json", referred)
	t.mustDo("The prison is told what to do instead", posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE)
	t.step("A request for support is printed, with what she agreed to and no more", func() (string, error) {
		out, err := t.cases(t.prison).GetRequestForSupport(t.ctx, &localv1.GetRequestForSupportRequest{Id: t.sent.GetReference()})
		if err != nil {
			return "", err
		}
		var paths []string
		for _, s := range out.GetSections() {
			paths = append(paths, s.GetPath())
		}
		if !slices.Contains(paths, "child/1/home") || slices.Contains(paths, "parent/birth") {
			return "", failed("The print has other sections than she agreed to.")
		}
		return "To " + out.GetFrontDoor() + ", " + out.GetPhoneNumber() + ": " + names(paths), nil
	})
	t.step("Reception says how it was sent, to whom and when", func() (string, error) {
		out, err := t.cases(t.prison).CloseManual(t.ctx, &localv1.CloseManualRequest{
			Id: t.sent.GetId(), How: localv1.ManualRoute_MANUAL_ROUTE_SECURE_MAIL, To: "Children's Advice and Duty Service"})
		if err != nil {
			return "", err
		}
		return "", is(out.GetNotification(), closed)
	})
}

func twice(t *teller) {
	t.submit("mother_alone_two_children.json", accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	first := t.sent.GetReference()
	t.step("A colleague fills in the same once more", func() (string, error) {
		form, err := edited(t.form, func(form map[string]any) { delete(form, "form_id") })
		if err != nil {
			return "", err
		}
		t.form = form
		detail, err := t.handIn(1)
		if err == nil {
			err = is(t.sent, withheld)
		}
		if err == nil && t.sent.GetSameAs() != first {
			err = failed("The desk points to %q, not to the first.", t.sent.GetSameAs())
		}
		return detail + "\nThe first is " + first, err
	})
	t.absent(bristol)
}

// dueInMonths sets the day on which an unborn child is due.
func dueInMonths(t *teller, months int) func(map[string]any) {
	return func(form map[string]any) {
		for _, child := range form["children"].([]any) {
			child.(map[string]any)["identity"].(map[string]any)["due_date"] = t.clock.Now().AddDate(0, months, 0).Format("2006-01-02")
		}
	}
}

// hasReason checks that a decision rests on a rule, for all or for a child.
func hasReason(d *posternv1.Decision, rule string) error {
	reasons := slices.Clone(d.GetReasons())
	for _, c := range d.GetChildren() {
		reasons = append(reasons, c.GetReasons()...)
	}
	if !slices.ContainsFunc(reasons, func(r *posternv1.Reason) bool { return r.GetRuleId() == rule }) {
		return failed("The decision does not rest on %s.", rule)
	}
	return nil
}
