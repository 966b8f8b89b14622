package site

import (
	"cmp"
	"slices"

	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// bundle is the sections of a bundle: those that are enough to get in touch, or everything that can be agreed to.
func bundle(everything bool) (patterns []string) {
	for _, x := range section.All() {
		if x.Class == posternv1.SectionClass_SECTION_CLASS_MINIMUM || everything && x.Class == posternv1.SectionClass_SECTION_CLASS_PERMITTED {
			patterns = append(patterns, x.Pattern)
		}
	}
	return patterns
}

// permission has the script to read aloud, and asks what the person agrees to tell, in two bundles: what is read and what
// is asked are one thing to whoever sits there. What is known is not asked: who took it, when, under
// which law and which notice.
func (s *site) permission() question {
	return question{path: "permission", name: "desk.permission", form: permissionForm,
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			f.Require("desk.permission_say", "answer")
			draft.Form.NoticeVersion = noticeVersion
			c := &posternv1.Consent{Notice: s.heard(f), Method: chosen[posternv1.ConsentMethod](f, "method"),
				CapacityConcern: slices.Contains(f.Choices("doubts"), "capacity"), GrantorUnder_18: slices.Contains(f.Choices("doubts"), "under_18")}
			switch answer := f.Text("answer"); answer {
			case "everything", "contact", "adjust":
				f.Require("desk.understood_say", "understood")
				c.State, c.Understood = posternv1.ConsentState_CONSENT_STATE_GIVEN, chosen[posternv1.ConsentUnderstood](f, "understood")
				if c.Sections = bundle(answer != "contact"); answer == "adjust" && bundleOf(draft) == "adjust" {
					c.Sections = draft.GetForm().GetConsent().GetSections() // as they were adjusted before
				}
			case "no":
				c.State = posternv1.ConsentState_CONSENT_STATE_DECLINED
			default:
				c.State = posternv1.ConsentState_CONSENT_STATE_NOT_ASKED
			}
			var err error
			draft.Form.Consent, err = s.desk.Consented(r.Context(), c)
			return err
		},
		checks: func(*web.Request) []string { return []string{"consent.method", "consent.understood", "consent.notice"} },
		view: func(r *web.Request, draft *localv1.Draft, f *web.Form) (web.View, error) {
			return web.View{Template: "permission", Data: map[string]any{"Script": s.script(r), "Open": otherwise(f)}}, nil
		},
		next: func(r *web.Request, draft *localv1.Draft) string {
			switch {
			case draft.GetForm().GetConsent().GetState() != posternv1.ConsentState_CONSENT_STATE_GIVEN:
				return draftPath(draft, "outcome")
			case r.PostFormValue("answer") == "adjust":
				return draftPath(draft, "permission/adjust")
			}
			return ""
		},
	}
}

func permissionForm(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
	f := web.NewForm(
		web.Field{Name: "answer", Path: "consent.state", Kind: web.One, Label: r.T("desk.permission_ask"), Hint: r.T("desk.permission_hint"), Options: []web.Option{
			{Value: "everything", Text: r.T("desk.permission_everything"), Hint: r.T("desk.permission_everything_hint")},
			{Value: "contact", Text: r.T("desk.permission_contact"), Hint: r.T("desk.permission_contact_hint")},
			{Value: "adjust", Text: r.T("desk.permission_adjust"), Hint: r.T("desk.permission_adjust_hint")}, r.Or(),
			{Value: "no", Text: r.T("desk.permission_no"), Hint: r.T("desk.permission_no_hint")},
			{Value: "later", Text: r.T("desk.permission_later"), Hint: r.T("desk.permission_later_hint")}}},
		web.Field{Name: "understood", Path: "consent.understood", Kind: web.One, Label: r.T("desk.understood"), Hint: r.T("desk.understood_hint"), Inline: true,
			Options: []web.Option{{Value: "YES", Text: r.T("desk.tonight_yes")}, {Value: "NO", Text: r.T("desk.tonight_no")}}},
		web.Field{Name: "doubts", Path: "consent.capacity_concern", Kind: web.Many, Label: r.T("desk.doubts"), Hint: r.T("desk.doubts_hint"), Options: []web.Option{
			{Value: "capacity", Text: r.T("desk.doubts_capacity")}, {Value: "under_18", Text: r.T("desk.doubts_under_18")}}},
		web.Field{Name: "method", Path: "consent.method", Kind: web.List, Label: r.T("desk.method"), Options: []web.Option{
			{Value: "FACE_TO_FACE", Text: r.T("desk.method_face")}, {Value: "PHONE", Text: r.T("desk.method_phone")},
			{Value: "VIDEO", Text: r.T("desk.method_video")}, {Value: "PAPER", Text: r.T("desk.method_paper")}}})
	c := draft.GetForm().GetConsent()
	f.Fields = append(f.Fields, heardFields(r, c.GetNotice())...)
	f.Set("answer", bundleOf(draft))
	f.Set("understood", plain.Enum(c.GetUnderstood()))
	f.Set("method", cmp.Or(plain.Enum(c.GetMethod()), "FACE_TO_FACE"))
	var doubts []string
	if c.GetCapacityConcern() {
		doubts = append(doubts, "capacity")
	}
	if c.GetGrantorUnder_18() {
		doubts = append(doubts, "under_18")
	}
	f.Set("doubts", doubts...)
	return f, nil
}

// otherwise reports whether the person heard it or was asked in another way than most, so that the answers to that are in
// sight, and with them any fault they have.
func otherwise(f *web.Form) bool {
	return f.Text("language") == "other" || f.Text("method") != "FACE_TO_FACE" || len(f.Choices("doubts")) > 0 || !slices.Equal(f.Choices("how"), []string{"aloud"})
}

// bundleOf is the answer of a draft to what may be told; empty while there is none.
func bundleOf(draft *localv1.Draft) string {
	c := draft.GetForm().GetConsent()
	switch c.GetState() {
	case posternv1.ConsentState_CONSENT_STATE_GIVEN:
		for answer, everything := range map[string]bool{"everything": true, "contact": false} {
			if slices.Equal(c.GetSections(), bundle(everything)) {
				return answer
			}
		}
		return "adjust"
	case posternv1.ConsentState_CONSENT_STATE_DECLINED:
		return "no"
	case posternv1.ConsentState_CONSENT_STATE_NOT_ASKED:
		return "later"
	}
	return ""
}

// why is for what each section is needed, by its name.
var why = [...]struct{ pattern, text, why string }{
	{"parent/name", "desk.tell_name", "desk.tell_name_why"},
	{"child/{n}/identity", "desk.tell_identity", "desk.tell_identity_why"},
	{"child/{n}/relationship", "desk.tell_relationship", "desk.tell_relationship_why"},
	{"child/{n}/home", "desk.tell_home", "desk.tell_home_why"},
	{"child/{n}/carer", "desk.tell_carer", "desk.tell_carer_why"},
	{"child/{n}/phone", "desk.tell_phone", "desk.tell_phone_why"},
	{"child/{n}/school", "desk.tell_school", "desk.tell_school_why"},
	{"child/{n}/knowledge", "desk.tell_knowledge", "desk.tell_knowledge_why"},
	{"child/{n}/needs", "desk.tell_needs", "desk.tell_needs_why"},
	{"child/{n}/worker", "desk.tell_worker", "desk.tell_worker_why"},
	{"parent/birth", "desk.tell_birth", "desk.tell_birth_why"},
	{"parent/custody", "desk.tell_custody", "desk.tell_custody_why"},
	{"parent/language", "desk.tell_language", "desk.tell_language_why"},
	{"parent/wishes", "desk.tell_wishes", "desk.tell_wishes_why"},
}

const (
	homePattern   = "child/{n}/home"
	safetyPattern = "child/{n}/safety" // travels with the home, so nobody is asked about it alone
)

// adjust lets the person take sections out, each with what it is needed for.
func (s *site) adjust() question {
	return question{path: "permission/adjust", name: "desk.adjust",
		form: func(r *web.Request, draft *localv1.Draft) (*web.Form, error) {
			f := web.NewForm(web.Field{Name: "contact", Path: "consent.sections", Kind: web.Many, Label: r.T("desk.adjust_contact"), Hint: r.T("desk.adjust_contact_hint")},
				web.Field{Name: "more", Kind: web.Many, Label: r.T("desk.adjust_more")})
			agreed := draft.GetForm().GetConsent().GetSections()
			for _, x := range why {
				i := 1
				if slices.Contains(bundle(false), x.pattern) {
					i = 0
				}
				f.Fields[i].Options = append(f.Fields[i].Options, web.Option{Value: x.pattern, Text: r.T(x.text), Hint: r.T(x.why)})
				if slices.Contains(agreed, x.pattern) {
					f.Fields[i].Values = append(f.Fields[i].Values, x.pattern)
				}
			}
			return f, nil
		},
		take: func(r *web.Request, f *web.Form, draft *localv1.Draft) error {
			if draft.GetForm().GetConsent().GetState() != posternv1.ConsentState_CONSENT_STATE_GIVEN {
				return nil // taken back in another tab: there is nothing to adjust
			}
			chosen := slices.Concat(f.Choices("contact"), f.Choices("more"))
			if slices.Contains(chosen, homePattern) {
				chosen = append(chosen, safetyPattern)
			}
			draft.Form.Consent.Sections = nil
			for _, pattern := range bundle(true) { // in the order of the form, and nothing that is no section
				if slices.Contains(chosen, pattern) {
					draft.Form.Consent.Sections = append(draft.Form.Consent.Sections, pattern)
				}
			}
			if len(draft.Form.Consent.Sections) == 0 {
				reason, fix := r.Language.Fault("desk.adjust_say", nil)
				f.Fail(fault.Field{Path: "contact", Reason: reason, Fix: fix})
			}
			return nil
		},
		next: func(r *web.Request, draft *localv1.Draft) string { return after(r, draft, "permission") },
	}
}
