package site

import (
	"strconv"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// outcomeOf is what becomes of a draft in which no child is told of: the form that is recorded, and the words for it.
func outcomeOf(draft *localv1.Draft) (heading, next string, ok bool) {
	switch desk.OutcomeOf(draft) {
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN:
		return "desk.outcome_none", "desk.outcome_none_next", true
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED:
		return "desk.outcome_declined", "desk.outcome_declined_next", true
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN:
		return "desk.outcome_later", "desk.outcome_later_next", true
	}
	return "", "", false
}

// outcome says what is recorded where nothing is sent to a council, and what happens next: no refusal is a dead end.
func (s *site) outcome(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	return s.outcomePage(draft, web.NewForm())
}

func (s *site) outcomePage(draft *localv1.Draft, f *web.Form) (web.Response, error) {
	if draft.GetSendTime() != nil {
		return web.SeeOther(sentPath(draft)), nil
	}
	heading, next, ok := outcomeOf(draft)
	if !ok {
		return web.SeeOther(draftPath(draft, "")), nil
	}
	f.Submit = "desk.record"
	f.Fields = append(f.Fields, web.Field{Name: versionField, Kind: web.Hidden, Value: strconv.FormatUint(draft.GetVersion(), 10)})
	back := "permission"
	if e := draft.GetForm().GetEnquiry(); e != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN {
		back = "children"
	}
	data := map[string]any{"Heading": heading, "Next": next, "Alarming": alarming(draft), "Person": done(draft, "person"), "Wales": s.wales(), "Numbers": draftPath(draft, "numbers"), "Who": draftPath(draft, "person") + "?to=outcome"}
	return about(draft, web.View{Template: "outcome", Form: f, Back: draftPath(draft, back), Data: data}), nil
}

// record takes the form of a draft that tells of no child. The same again leads to the same record.
func (s *site) record(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if _, _, ok := outcomeOf(draft); !ok && draft.GetSendTime() == nil {
		return web.SeeOther(draftPath(draft, "")), nil
	}
	version, _ := strconv.ParseUint(r.PostFormValue(versionField), 10, 64)
	sent, _, err := s.desk.SendDraft(r.Context(), draft.GetId(), version, r.Language)
	if f := fault.From(err); err != nil && (f.Kind == fault.Invalid || f.Reason == "DRAFT_CHANGED") {
		form := web.NewForm()
		if f.Reason == "DRAFT_CHANGED" {
			reason, fix := r.Language.Fault("desk.draft_changed", nil)
			form.Fail(fault.Field{Reason: reason, Fix: fix})
			err = form.Err()
		}
		page, again := s.outcomePage(draft, form)
		if v, ok := page.(web.View); ok && again == nil {
			return r.Again(v, err)
		}
		return page, again
	}
	if err != nil {
		return nil, err
	}
	return web.SeeOther(draftPath(sent, "recorded")), nil
}

func (s *site) wales() bool { return s.desk.Prison().GetJurisdiction() == "GB-WLS" }

// recorded says that the answer was recorded, and leads to the person's paper copy.
func (s *site) recorded(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() == nil {
		return web.SeeOther(draftPath(draft, "")), nil
	}
	heading, next, ok := outcomeOf(draft)
	if !ok {
		return web.SeeOther(draftPath(draft, "sent")), nil
	}
	data := map[string]any{"Panel": ui.Panel{Title: r.T(heading), Text: r.T("desk.recorded")}, "Next": next, "Practice": draft.GetPractice(), "Wales": s.wales(), "Slip": nil}
	if ids := draft.GetNotificationIds(); len(ids) > 0 {
		data["Slip"] = ui.Button{Text: r.T("desk.print_slip"), Href: caseAt(ids[0], "slip")}
	}
	return about(draft, web.View{Template: "recorded", Data: data}), nil
}
