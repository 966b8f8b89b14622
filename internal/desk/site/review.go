package site

import (
	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
)

// reviewForm asks what the safeguarding lead found when they looked again at what was shared urgently.
func reviewForm(r *web.Request) *web.Form {
	f := web.NewForm(web.Field{Name: "findings", Kind: web.Lines, Label: r.T("case.findings"), Hint: r.T("case.findings_hint"), Rows: 6, Most: 3000})
	f.Submit = "case.review_button"
	return f
}

func reviewView(r *web.Request, n *localv1.Notification, about *desk.About, f *web.Form) web.View {
	c := considered{N: n, Overdue: n.GetOverdue(), Why: whySo(r, n), Summary: caseSummary(r, n, about)}
	if n.GetDueTime() != nil {
		c.Until = r.When(n.GetDueTime().AsTime())
	}
	c.Filled, _ = sections(r, n, about)
	return web.View{Template: "review", Form: f, Data: c, Back: "/decisions", About: n.GetReference()}
}

func (s *site) review(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	if !desk.ActionsOf(n).Review {
		return web.SeeOther(here(r)), nil // somebody has looked, or there is nothing to look at
	}
	return reviewView(r, n, about, reviewForm(r)), nil
}

// doReview records what was found. The same again changes nothing.
func (s *site) doReview(r *web.Request) (web.Response, error) {
	n, about, err := s.caseOf(r)
	if err != nil {
		return nil, err
	}
	f := reviewForm(r)
	f.Read(r)
	f.Require("case.say_findings", "findings")
	if err = f.Err(); err == nil {
		_, err = s.desk.Review(r.Context(), &localv1.ReviewRequest{Id: n.GetId(), Findings: f.Text("findings")})
	}
	if fault.From(err).Reason == "ENDED" {
		return web.SeeOther(here(r)), nil // a colleague was first, and its page says so
	}
	if err != nil {
		return r.Again(reviewView(r, n, about, f), inWords(r, err, map[string]string{"findings": "case.say_findings"}))
	}
	if err := r.Tell("case.reviewed"); err != nil {
		return nil, err
	}
	return web.SeeOther(here(r)), nil
}
