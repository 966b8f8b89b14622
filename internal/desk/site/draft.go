package site

import (
	"cmp"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// fillsIn are the roles that may fill in forms.
var fillsIn = []string{receptionOfficer, resettlement, safeguardingLead, orderlyOfficer, dutyGovernor}

// question is a page of a draft: it shows what the draft says, takes the answers, and leads on. What all of them have in
// common is done once, in question.page: the draft is loaded, one that was changed meanwhile is not overwritten, the
// answers are saved before the next page is shown, and the same answers twice are one.
type question struct {
	path string // below /drafts/{draft}/, such as children/{child}/home
	name string // of the page: the id of its title, and the event of its being seen
	// form is the page's form with the answers that the draft has. It may refuse the page, as when there is no such child.
	form func(r *web.Request, draft *localv1.Draft) (*web.Form, error)
	// take puts the answers into the draft. It fails the form's fields, or returns faults; any other error stays one.
	take func(r *web.Request, f *web.Form, draft *localv1.Draft) error
	// checks are the paths of the form's fields that the page answers: their faults are found at once, by form.Check.
	checks func(r *web.Request) []string
	// view is what is shown beside the form; nil shows the form alone.
	view func(r *web.Request, draft *localv1.Draft, f *web.Form) (web.View, error)
	// next is where it leads; empty, or nil, for the next step of the journey.
	next func(r *web.Request, draft *localv1.Draft) string
}

// page is the page of a question.
func (s *site) page(q question) web.Page {
	return web.Page{Path: "/drafts/{draft}/" + q.path, Name: q.name, Roles: fillsIn,
		Get:  func(r *web.Request) (web.Response, error) { return s.ask(r, q) },
		Post: func(r *web.Request) (web.Response, error) { return s.answer(r, q) }}
}

// draft is the draft that a page is about.
func (s *site) draft(r *web.Request) (*localv1.Draft, error) {
	return s.desk.Draft(r.Context(), r.PathValue("draft"))
}

func (s *site) ask(r *web.Request, q question) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() != nil {
		return web.SeeOther(sentPath(draft)), nil
	}
	f, err := q.form(r, draft)
	if err != nil {
		return nil, err
	}
	return s.shown(r, q, draft, f)
}

// shown is the page of a question with its form, which carries the version of the draft that it shows.
func (s *site) shown(r *web.Request, q question, draft *localv1.Draft, f *web.Form) (web.View, error) {
	v := web.View{}
	if q.view != nil {
		var err error
		if v, err = q.view(r, draft, f); err != nil {
			return v, err
		}
	}
	f.Fields = append(f.Fields, web.Field{Name: versionField, Kind: web.Hidden, Value: strconv.FormatUint(draft.GetVersion(), 10)})
	v.Form = f
	if v.Back == "" {
		v.Back = before(r, draft, stepOf(r))
	}
	return about(draft, v), nil
}

// about is a page about a draft: the journal hears of which, and one for practice says so over every page.
func about(draft *localv1.Draft, v web.View) web.View {
	v.About = draft.GetId()
	if draft.GetPractice() {
		v.Banner = "desk.practice"
	}
	return v
}

const versionField = "version"

func (s *site) answer(r *web.Request, q question) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() != nil { // what was written here is in no form: that is said, and not passed over
		return sentMeanwhile(draft), nil
	}
	before := proto.CloneOf(draft)
	f, err := q.form(r, draft)
	if err != nil {
		return nil, err
	}
	f.Read(r)
	if err = q.take(r, f, draft); err == nil {
		err = s.faults(r, q, f, draft)
	}
	if err == nil {
		desk.Answered(draft, stepOf(r))
		// What was shown is what is changed: whoever saw an older version has not seen what was saved since.
		if draft.Version, err = strconv.ParseUint(r.PostFormValue(versionField), 10, 64); err != nil {
			draft.Version = before.GetVersion() // a form without the field, as of a script, is about what is there now
		}
		draft, err = s.desk.SaveDraft(r.Context(), draft)
	}
	if fault.From(err).Reason == "DRAFT_CHANGED" { // shown again with what was written, over what is there now
		reason, fix := r.Language.Fault("desk.draft_changed", nil)
		f.Fail(fault.Field{Reason: reason, Fix: fix})
		err = f.Err()
	}
	if fault.From(err).Reason == "DRAFT_SENT" { // between the reading above and the saving
		return sentMeanwhile(draft), nil
	}
	if err != nil {
		v, again := s.shown(r, q, before, f)
		if again != nil {
			return nil, again
		}
		return r.Again(v, err)
	}
	if q.next != nil {
		if to := q.next(r, draft); to != "" {
			return web.SeeOther(to), nil
		}
	}
	return web.SeeOther(after(r, draft, stepOf(r))), nil
}

// sentMeanwhile is for an answer to a form that was sent meanwhile, in another tab or by a colleague.
func sentMeanwhile(draft *localv1.Draft) web.View {
	return about(draft, web.Message{Text: "desk.sent_meanwhile_text", Link: "desk.sent_meanwhile_see", Href: sentPath(draft)}.View("desk.sent_meanwhile", http.StatusConflict))
}

// faults are what is wrong with the answers of a page: what the page itself found, and of the fields that it found nothing
// wrong with what would be found before the form is sent.
func (s *site) faults(r *web.Request, q question, f *web.Form, draft *localv1.Draft) error {
	found := fault.From(f.Err())
	if q.checks == nil {
		return fault.InvalidFields("FORM", "The form has faults.", fieldsOf(found))
	}
	checked := s.desk.DraftFaults(draft, r.Language, q.checks(r)...)
	if checked != nil && fault.KindOf(checked) != fault.Invalid {
		return checked
	}
	all := fieldsOf(found)
	for _, x := range fieldsOf(fault.From(checked)) {
		known := slices.ContainsFunc(f.Fields, func(field web.Field) bool {
			return strings.HasPrefix(x.Path, cmp.Or(field.Path, field.Name)) && slices.ContainsFunc(fieldsOf(found), func(y fault.Field) bool { return y.Path == field.Name })
		})
		if !known {
			all = append(all, x)
		}
	}
	return fault.InvalidFields("FORM", "The form has faults.", all)
}

func fieldsOf(err *fault.Error) []fault.Field {
	if err == nil {
		return nil
	}
	return err.Fields
}

// draftPath is the path of a page of a draft; the draft's own page, with its tasks, for none.
func draftPath(draft *localv1.Draft, step string) string {
	return strings.TrimSuffix("/drafts/"+draft.GetId()+"/"+step, "/")
}

// sentPath is where a draft leads that came to its end.
func sentPath(draft *localv1.Draft) string {
	if _, _, ok := outcomeOf(draft); ok {
		return draftPath(draft, "recorded")
	}
	return draftPath(draft, "sent")
}

// stepOf is the step of a draft's journey that a request is at: what stands behind the draft in its path.
func stepOf(r *web.Request) string {
	_, step, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/drafts/"), "/")
	return step
}

// said is how something is known that the person said today.
func (s *site) said() *posternv1.Provenance {
	return &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_PARENT_SAID, AsOfDate: s.today()}
}

func (s *site) today() string { return form.Today(s.now()) }
