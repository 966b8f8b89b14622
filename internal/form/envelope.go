package form

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	posternv1 "postern/proto/postern/v1"
)

var (
	uuidShape         = regexp.MustCompile(`^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$`)
	prisonNumberShape = regexp.MustCompile(`^[A-Za-z][0-9]{4}[A-Za-z]{2}$`)
	languageShape     = regexp.MustCompile(`^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8}){0,3}$`) // BCP 47, without its rarities
	codeShape         = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._()-]*$`)
)

// envelope checks what every form has, whether it describes children or not.
func (c *checker) envelope() {
	f := c.form
	c.uuid("form_id", f.GetFormId())
	c.reception(f.GetReception())
	switch number := f.GetPrisonNumber(); {
	case blank(number):
		c.add("prison_number", "The prison number is missing.",
			"Give it, such as A1234BC. It stays in the prison: with it the person can ask what was sent.")
	case !prisonNumberShape.MatchString(strings.TrimSpace(number)):
		c.add("prison_number", "This is not a prison number.", "Write a letter, four digits and two letters, such as A1234BC.")
	}
	if f.GetTonight() != nil && f.GetTonight().GetAnswer() == posternv1.TonightAnswer_TONIGHT_ANSWER_UNSPECIFIED {
		c.add("tonight.answer", "The first question has no answer.",
			"Say whether any child could be alone tonight, or with someone under 18: TONIGHT_ANSWER_YES, TONIGHT_ANSWER_NO or TONIGHT_ANSWER_NOT_SURE.")
	}
	switch f.GetRoute() {
	case posternv1.Route_ROUTE_URGENT, posternv1.Route_ROUTE_DUTY:
		c.add("route", "This version cannot send by this route yet.",
			"Telephone the front door of the authority where the child lives now, and note the call in your own records.")
	}
	if f.GetUrgency() != nil && f.GetRoute() != posternv1.Route_ROUTE_URGENT {
		c.add("urgency", "The urgent section belongs to the urgent route only.",
			"Remove it. If a child may be in danger now, telephone the front door of the authority where the child lives.")
	}
	c.lawfulBasis(f.GetLawfulBasis())
	c.code("notice_version", f.GetNoticeVersion(), "2026-09")
	c.laterDate("ask_again_date", f.GetAskAgainDate())
	if f.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED &&
		f.GetNotAskedReason() != posternv1.NotAskedReason_NOT_ASKED_REASON_UNSPECIFIED {
		c.add("not_asked_reason", "A reason is given for not asking, but the form says that the person was asked.", "Remove the reason.")
	}
}

func (c *checker) uuid(path, id string) {
	if id != "" && !uuidShape.MatchString(id) {
		c.add(path, "This is not a UUID.", "Leave it out and one is made, or write it as in 0d3e8a52-6f1b-4c7d-9a20-5b8c1e4f7a36.")
	}
}

func (c *checker) reception(r *posternv1.Reception) {
	if r.GetReason() == posternv1.ReceptionReason_RECEPTION_REASON_UNSPECIFIED {
		c.add("reception.reason", "The reason for the reception is missing.", "Use one of "+answers(r.GetReason().Descriptor())+".")
	}
	if r.GetReceiveDate() == "" {
		c.add("reception.receive_date", "The date of reception is missing.", "Write the date as year, month and day, such as 2026-11-22.")
	}
	c.pastDate("reception.receive_date", r.GetReceiveDate(), 30)
}

// laterDate checks a date on which to ask again: not before the reception. It may have passed when the form is checked,
// for a form may be sent late.
func (c *checker) laterDate(path, value string) {
	t, ok := c.date(path, value)
	received, known := parseDate(c.form.GetReception().GetReceiveDate())
	if ok && known && t.Before(received) {
		c.add(path, "This date is before the day of reception.", "Check the year, month and day.")
	}
}

func (c *checker) lawfulBasis(b *posternv1.LawfulBasis) {
	if p := b.GetSchedule1Paragraph(); !slices.Contains([]uint32{0, 6, 18, 29, 30}, p) {
		c.add("lawful_basis.schedule1_paragraph", "This paragraph is not a condition for this sharing.",
			"Use 6 (statutory), 18 (safeguarding), 29 (consent) or 30 (vital interests), or leave it out.")
	}
	c.code("lawful_basis.article9_condition", b.GetArticle9Condition(), "art9.2.g")
	c.code("lawful_basis.gateway", b.GetGateway(), "ca2004.s11")
}

// code checks a code that may be empty: a word without spaces.
func (c *checker) code(path, value, example string) {
	if value != "" && !codeShape.MatchString(value) {
		c.add(path, "This is not a code.", "Use letters, digits, dots, brackets and hyphens, such as "+example+".")
	}
}

func (c *checker) calls() {
	for i, call := range c.form.GetCalls() {
		path := fmt.Sprintf("calls[%d]", i)
		if call.GetCallTime() == nil {
			c.add(path+".call_time", "The time of the call is missing.", "Write the time as in 2026-11-22T18:05:00Z.")
		}
		if call.GetResult() == posternv1.CallResult_CALL_RESULT_UNSPECIFIED {
			c.add(path+".result", "It is not said how the call ended.", "Use one of "+answers(call.GetResult().Descriptor())+".")
		}
		if int(call.GetChildNumber()) > len(c.form.GetChildren()) {
			c.add(path+".child_number", "There is no child with this number.", "Children count from 1; 0 means all of them.")
		}
	}
}

// enquiry checks a form that tells the outcome of asking. It has neither destination nor child data.
func (c *checker) enquiry() {
	f := c.form
	switch f.GetEnquiry() {
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN:
		c.add("enquiry", "This version cannot record this outcome yet.",
			"If the person agreed, leave enquiry out and describe the children. If not, use ENQUIRY_OUTCOME_DECLINED.")
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN:
		c.add("enquiry", "This version cannot record this outcome yet.", "Note in your own records that there are no children. Nothing needs to be sent.")
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED:
		c.add("enquiry", "This version cannot record this outcome yet.", "Note in your own records when to ask again, and ask then.")
	}
	const why, fix = "A form about a refusal tells nothing else.", "Remove it, or remove enquiry if the person agreed."
	for _, part := range []struct {
		path    string
		present bool
	}{
		{"children", len(f.GetChildren()) > 0},
		{"parent", f.GetParent() != nil},
		{"calls", len(f.GetCalls()) > 0},
	} {
		if part.present {
			c.add(part.path, why, fix)
		}
	}
	if f.GetConsent() == nil {
		return
	}
	if f.GetConsent().GetState() != posternv1.ConsentState_CONSENT_STATE_DECLINED {
		c.add("consent.state", "The form says that the person declined, but the consent says something else.",
			"Use CONSENT_STATE_DECLINED or leave the consent out; if the person agreed, remove enquiry.")
	}
	c.consentDetails(f.GetConsent())
}

// language checks a language tag that may be empty.
func (c *checker) language(path, tag string) {
	if tag != "" && !languageShape.MatchString(tag) {
		c.add(path, "This is not a language tag.", "Use a short code such as cy for Welsh, en for English or pl for Polish.")
	}
}
