package site

import (
	"strconv"

	"postern/internal/auditor"
	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
)

// integrity is what the page of the logs shows.
type integrity struct {
	Stop     *localv1.LogStop
	Logs     []auditor.Continued
	Ended    []*localv1.FollowedLog
	Compared ui.Table
}

func compareForm(r *web.Request) *web.Form {
	f := web.NewForm(
		web.Field{Name: "with", Label: r.T("audit.compare_with"), Hint: r.T("audit.compare_with_hint"), Width: 20},
		web.Field{Name: "checkpoint", Kind: web.Lines, Label: r.T("audit.checkpoint"), Hint: r.T("audit.compare_hint"), Rows: 6},
	)
	f.Submit = "audit.compare"
	return f
}

// logs shows whether each log of the hub goes on from what this person saw last, computed as the page is made, and with
// whom it was compared.
func (s *site) logs(r *web.Request) (web.Response, error) {
	view, err := s.integrity(r, compareForm(r))
	if err != nil {
		return nil, err
	}
	return view, nil
}

func (s *site) integrity(r *web.Request, f *web.Form) (web.View, error) {
	known, err := s.audit.Log().GetLogs(r.Context(), &localv1.GetLogsRequest{})
	if err != nil {
		return web.View{}, err
	}
	shown := integrity{Stop: known.GetStop()}
	for _, l := range known.GetLogs() {
		if l.GetEnded() {
			shown.Ended = append(shown.Ended, l)
		}
	}
	if shown.Stop == nil {
		if shown.Logs, err = s.audit.Integrity(r.Context()); err != nil {
			if s.audit.Log().Stopped() == nil {
				return web.View{}, err
			}
			return s.integrity(r, f) // what was just seen has stopped this auditor
		}
	}
	compared, err := s.audit.Compared(r.Context())
	if err != nil {
		return web.View{}, err
	}
	if len(compared) > 0 {
		shown.Compared = ui.Table{Stack: true, Caption: r.T("audit.compared"), CaptionClasses: "govuk-table__caption--m"}
		for _, head := range []string{"audit.when", "audit.compare_with", "audit.log", "audit.size", "audit.compare_result"} {
			shown.Compared.Head = append(shown.Compared.Head, ui.Cell{Text: r.T(head)})
		}
	}
	for _, c := range compared {
		result := ui.Tag{Text: r.T("audit.compare_holds"), Classes: "govuk-tag--green"}
		if !c.Holds {
			result = ui.Tag{Text: r.T("audit.compare_differs"), Classes: "govuk-tag--red"}
		}
		shown.Compared.Rows = append(shown.Compared.Rows, []ui.Cell{{Text: r.When(c.Time)}, {Text: plain.Visible(c.With), Classes: "app-answer"}, {Text: c.Origin, Classes: "app-answer"},
			{Text: strconv.FormatUint(c.Size, 10), Format: "numeric"}, {Text: result.HTML()}})
	}
	return web.View{Template: "logs", Data: shown, Form: f, Wide: true}, nil
}

// compare holds a checkpoint that another party has seen against the log.
func (s *site) compare(r *web.Request) (web.Response, error) {
	f := compareForm(r)
	f.Read(r)
	f.Require("audit.compare_no_name", "with")
	f.Require("audit.compare_no_checkpoint", "checkpoint")
	if len([]rune(f.Text("with"))) > 60 {
		f.Fail(s.slip(r, "with", "audit.compare_no_name"))
	}
	err := f.Err()
	if err == nil {
		if _, err = s.audit.Compare(r.Context(), f.Text("with"), f.Text("checkpoint")+"\n"); err == nil {
			if s.audit.Log().Stopped() == nil {
				err = r.Tell("audit.compare_done")
			}
			return web.SeeOther("/logs"), err
		}
	}
	view, failed := s.integrity(r, f)
	if failed != nil {
		return nil, failed
	}
	return r.Again(view, err)
}
