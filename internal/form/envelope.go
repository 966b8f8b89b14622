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

// PrisonNumber is a prison number as it is compared, and whether it looks like one.
func PrisonNumber(typed string) (number string, ok bool) {
	number = strings.ToUpper(strings.TrimSpace(typed))
	return number, prisonNumberShape.MatchString(number)
}

// envelope checks what every form has, whether it describes children or not.
func (c *checker) envelope() {
	f := c.form
	c.uuid("form_id", f.GetFormId())
	c.reception(f.GetReception())
	switch number := f.GetPrisonNumber(); {
	case blank(number):
		c.add("prison_number", "form.prison_number_missing")
	case !prisonNumberShape.MatchString(strings.TrimSpace(number)):
		c.add("prison_number", "form.prison_number")
	}
	if f.GetTonight() != nil && f.GetTonight().GetAnswer() == posternv1.TonightAnswer_TONIGHT_ANSWER_UNSPECIFIED {
		c.add("tonight.answer", "form.tonight")
	}
	c.lawfulBasis(f.GetLawfulBasis())
	c.code("notice_version", f.GetNoticeVersion(), "2026-09")
	c.laterDate("ask_again_date", f.GetAskAgainDate())
	if f.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED &&
		f.GetNotAskedReason() != posternv1.NotAskedReason_NOT_ASKED_REASON_UNSPECIFIED {
		c.add("not_asked_reason", "form.asked_reason")
	}
}

func (c *checker) uuid(path, id string) {
	if id != "" && !uuidShape.MatchString(id) {
		c.add(path, "form.uuid")
	}
}

func (c *checker) reception(r *posternv1.Reception) {
	if r.GetReason() == posternv1.ReceptionReason_RECEPTION_REASON_UNSPECIFIED {
		c.add("reception.reason", "form.reception_reason", "answers", answers(r.GetReason().Descriptor()))
	}
	if r.GetReceiveDate() == "" {
		c.add("reception.receive_date", "form.reception_date")
	}
	c.pastDate("reception.receive_date", r.GetReceiveDate(), 30)
}

// laterDate checks a date on which to ask again: not before the reception. It may have passed when the form is checked,
// for a form may be sent late.
func (c *checker) laterDate(path, value string) {
	t, ok := parseDate(value)
	received, known := parseDate(c.form.GetReception().GetReceiveDate())
	if ok && known && t.Before(received) {
		c.add(path, "form.date_before_reception")
	}
}

func (c *checker) lawfulBasis(b *posternv1.LawfulBasis) {
	if p := b.GetSchedule1Paragraph(); !slices.Contains([]uint32{0, 6, 18, 29, 30}, p) {
		c.add("lawful_basis.schedule1_paragraph", "form.schedule1")
	}
	c.code("lawful_basis.article9_condition", b.GetArticle9Condition(), "art9.2.g")
	c.code("lawful_basis.gateway", b.GetGateway(), "ca2004.s11")
	if b.GetArticle9Condition() == "" && c.env.Article9Condition == "" && c.special() {
		c.add("lawful_basis.article9_condition", "form.article9")
	}
}

// code checks a code that may be empty: a word without spaces.
func (c *checker) code(path, value, example string) {
	if value != "" && !codeShape.MatchString(value) {
		c.add(path, "form.code", "example", example)
	}
}

func (c *checker) calls() {
	for i, call := range c.form.GetCalls() {
		path := fmt.Sprintf("calls[%d]", i)
		if call.GetCallTime() == nil {
			c.add(path+".call_time", "form.call_time")
		}
		if call.GetResult() == posternv1.CallResult_CALL_RESULT_UNSPECIFIED {
			c.add(path+".result", "form.call_result", "answers", answers(call.GetResult().Descriptor()))
		}
		if int(call.GetChildNumber()) > len(c.form.GetChildren()) {
			c.add(path+".child_number", "form.call_child")
		}
	}
}

// enquiry checks a form that tells the outcome of asking. It has neither destination nor child data.
func (c *checker) enquiry() {
	f := c.form
	if f.GetEnquiry() == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED &&
		f.GetNotAskedReason() == posternv1.NotAskedReason_NOT_ASKED_REASON_UNSPECIFIED {
		c.add("not_asked_reason", "form.not_asked_reason", "answers", answers(f.GetNotAskedReason().Descriptor()))
	}
	for _, part := range []struct {
		path    string
		present bool
	}{
		{"children", len(f.GetChildren()) > 0},
		{"parent", f.GetParent() != nil},
		{"calls", len(f.GetCalls()) > 0},
	} {
		if part.present {
			c.add(part.path, "form.enquiry_only")
		}
	}
	if f.GetConsent() == nil {
		return
	}
	if want, ok := enquiryConsent[f.GetEnquiry()]; !ok || f.GetConsent().GetState() != want {
		c.add("consent.state", "form.enquiry_consent")
	}
	c.consentDetails(f.GetConsent())
}

// enquiryConsent is the state of a consent that agrees with an outcome of asking; where there is nothing to tell there is
// no consent either.
var enquiryConsent = map[posternv1.EnquiryOutcome]posternv1.ConsentState{
	posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN:  posternv1.ConsentState_CONSENT_STATE_NOT_ASKED,
	posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED:  posternv1.ConsentState_CONSENT_STATE_DECLINED,
	posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED: posternv1.ConsentState_CONSENT_STATE_NOT_ASKED,
}

// language checks a language tag that may be empty.
func (c *checker) language(path, tag string) {
	if tag != "" && !languageShape.MatchString(tag) {
		c.add(path, "form.language")
	}
}
