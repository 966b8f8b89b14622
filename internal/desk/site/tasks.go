package site

import (
	"html/template"
	"slices"

	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// step is one step of a draft's journey: a page that asks something.
type step struct {
	path  string // below the draft, such as children/1/home
	text  string // id of the words by which the list of tasks calls it
	child int    // whom it is about; 0 for nobody in particular
}

// steps is the journey of a draft in order, as far as its answers so far lead: the one place where the order stands.
func steps(draft *localv1.Draft) []step {
	if urgent(draft) {
		return urgentSteps(draft)
	}
	if byDuty(draft) {
		return append([]step{{path: "person", text: "desk.person"}}, childSteps(draft)...)
	}
	all := []step{{path: "tonight", text: "desk.tonight"}, {path: "person", text: "desk.person"}, {path: "children", text: "desk.children"}}
	if draft.GetForm().GetEnquiry() == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN {
		all = append(all, step{path: "permission", text: "desk.permission"})
	}
	if draft.GetForm().GetConsent().GetState() == posternv1.ConsentState_CONSENT_STATE_GIVEN {
		all = append(all, childSteps(draft)...)
	}
	return all
}

// done reports whether a step was answered.
func done(draft *localv1.Draft, path string) bool { return slices.Contains(draft.GetAnswered(), path) }

// after is the page after a step that was answered: where somebody came to change one answer, what they came from;
// otherwise the next step without an answer, an earlier one if no later one lacks it, and in the end the tasks.
func after(r *web.Request, draft *localv1.Draft, path string) string {
	switch r.URL.Query().Get("to") {
	case "check":
		return draftPath(draft, "check")
	case "tasks":
		return draftPath(draft, "")
	case "outcome":
		return draftPath(draft, "outcome")
	}
	all := steps(draft)
	at := slices.IndexFunc(all, func(x step) bool { return x.path == path })
	for _, x := range slices.Concat(all[at+1:], all[:at+1]) {
		if !done(draft, x.path) {
			return draftPath(draft, x.path)
		}
	}
	return draftPath(draft, "")
}

// before is where the back link of a step leads: to what somebody came from, or the step before; from the first to the
// tasks.
func before(r *web.Request, draft *localv1.Draft, path string) string {
	if r.URL.Query().Has("to") {
		return after(r, draft, path)
	}
	all := steps(draft)
	if at := slices.IndexFunc(all, func(x step) bool { return x.path == path }); at > 0 {
		return draftPath(draft, all[at-1].path)
	}
	return draftPath(draft, "")
}

// tasks shows what a draft still needs.
func (s *site) tasks(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	if draft.GetSendTime() != nil {
		return web.SeeOther(sentPath(draft)), nil
	}
	data := map[string]any{"Ends": draft.GetExpireTime().AsTime(), "List": taskList(r, draft), "Next": goOn(r, draft), "Drop": draftPath(draft, "drop")}
	return about(draft, web.View{Template: "tasks", Back: "/", Data: data}), nil
}

// goOn is the button that leads to the first step without an answer; nothing when all have one.
func goOn(r *web.Request, draft *localv1.Draft) template.HTML {
	to := after(r, draft, "")
	if to == draftPath(draft, "") {
		return ""
	}
	return ui.Button{Text: r.T("desk.go_on"), Href: to}.HTML()
}

func taskList(r *web.Request, draft *localv1.Draft) ui.TaskList {
	list := ui.TaskList{IDPrefix: "task"}
	for _, x := range steps(draft) {
		item := ui.Task{Title: ui.Words{Text: r.T(x.text)}, Href: draftPath(draft, x.path) + "?to=tasks"}
		if x.child > 0 {
			item.Hint = &ui.Hint{Text: r.T("desk.child_number", "number", x.child)}
		}
		if done(draft, x.path) {
			item.Status = ui.TaskStatus{Text: r.T("desk.task_done")}
		} else {
			item.Href = draftPath(draft, x.path) // and on to the next
			item.Status = ui.TaskStatus{Tag: &ui.Tag{Text: r.T("desk.task_todo"), Classes: "govuk-tag--blue"}}
		}
		list.Items = append(list.Items, item)
	}
	return list
}

// dropping asks whether a draft is to be erased.
func (s *site) dropping(r *web.Request) (web.Response, error) {
	draft, err := s.draft(r)
	if err != nil {
		return nil, err
	}
	f := web.NewForm()
	f.Submit = "desk.drop_do"
	return about(draft, web.View{Template: "drop", Form: f, Back: draftPath(draft, "")}), nil
}

// drop erases a draft. One that is gone already is dropped.
func (s *site) drop(r *web.Request) (web.Response, error) {
	if err := s.desk.DropDraft(r.Context(), r.PathValue("draft")); err != nil {
		return nil, err
	}
	if err := r.Tell("desk.dropped"); err != nil {
		return nil, err
	}
	return web.SeeOther("/"), nil
}
