package site

import (
	"html/template"
	"strconv"
	"strings"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// arrivals lists who came to the prison, a day a page. The day is told by how long ago it is: a date says nothing of
// anybody, but an address with one would say when somebody came.
func (s *site) arrivals(r *web.Request) (web.Response, error) {
	ago, err := strconv.Atoi(r.URL.Query().Get("ago"))
	if err != nil && r.URL.Query().Has("ago") {
		ago = -1 // no such day
	}
	day, err := s.desk.Arrivals(r.Context(), ago, r.Language)
	if err != nil {
		return nil, err
	}
	var wrong []string
	for _, f := range day.Faults {
		wrong = append(wrong, strings.TrimSpace(strings.TrimPrefix(f.Path+": ", ": ")+f.Reason+" "+f.Fix))
	}
	data := map[string]any{"Day": s.now().AddDate(0, 0, -ago), "People": s.people(r, day.People), "Faults": wrong, "Folder": day.Folder, "Days": dayLinks(r, ago), "Ago": ago}
	return web.View{Template: "arrivals", Wide: true, Back: "/", Data: data}, nil
}

// arrivalRow is somebody in a list, with what can be done next.
type arrivalRow struct {
	Name, Number, Reason string
	Stage                ui.Tag
	Href                 string // to go on
	Arrival, Again       string // to begin
	Action               string // id of the words of what can be done
	Moved                string // where it is recorded that they have moved, of somebody to be asked again
}

// movePath is where it is recorded that the person of a draft that came to its end has moved.
func movePath(draft *localv1.Draft) string {
	ids := draft.GetNotificationIds()
	if len(ids) == 0 {
		return ""
	}
	return caseAt(envelope.Reference(ids[0]), "moved")
}

func (s *site) people(r *web.Request, people []desk.Arrived) (rows []arrivalRow) {
	for _, p := range people {
		row := arrivalRow{Name: fullName(r, p.FamilyName, p.GivenName), Number: p.PrisonNumber, Reason: reasonWords(r, p.Reception.GetReason())}
		switch p.Stage {
		case desk.NotBegun:
			row.Stage, row.Arrival, row.Action = ui.Tag{Text: r.T("desk.stage_not_begun"), Classes: "govuk-tag--blue"}, p.ID, "desk.ask"
		case desk.Begun:
			row.Stage, row.Href, row.Action = ui.Tag{Text: r.T("desk.stage_draft"), Classes: "govuk-tag--yellow"}, after(r, p.Draft, ""), "desk.resume"
		case desk.AskedLater:
			row.Stage, row.Again, row.Action = ui.Tag{Text: r.T("desk.stage_again"), Classes: "govuk-tag--yellow"}, p.Draft.GetId(), "desk.ask_again"
			row.Moved = movePath(p.Draft)
		case desk.Moved:
			row.Stage, row.Href, row.Action = ui.Tag{Text: r.T("desk.stage_moved"), Classes: "govuk-tag--grey"}, sentPath(p.Draft), "desk.look"
		case desk.Asked:
			row.Stage, row.Href, row.Action = ui.Tag{Text: r.T("desk.stage_asked"), Classes: "govuk-tag--grey"}, sentPath(p.Draft), "desk.look"
		default:
			row.Stage, row.Href, row.Action = ui.Tag{Text: r.T("desk.stage_sent"), Classes: "govuk-tag--green"}, sentPath(p.Draft), "desk.look"
		}
		rows = append(rows, row)
	}
	return rows
}

func reasonWords(r *web.Request, reason posternv1.ReceptionReason) string {
	switch reason {
	case posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION:
		return r.T("desk.reason_new")
	case posternv1.ReceptionReason_RECEPTION_REASON_READMISSION:
		return r.T("desk.reason_again")
	case posternv1.ReceptionReason_RECEPTION_REASON_LICENCE_RECALL:
		return r.T("desk.reason_recall")
	case posternv1.ReceptionReason_RECEPTION_REASON_TRANSFER:
		return r.T("desk.reason_transfer")
	}
	return ""
}

// fullName is a name as lists say it: Lastname, Firstname.
func fullName(r *web.Request, family, given string) string {
	switch {
	case family == "" && given == "":
		return r.T("desk.no_name")
	case given == "" || family == "":
		return family + given
	}
	return family + ", " + given
}

// dayLinks lead to the days before and after.
func dayLinks(r *web.Request, ago int) template.HTML {
	p := ui.Pagination{LandmarkLabel: r.T("desk.other_days")}
	link := func(ago int, id string) ui.NextLink {
		return ui.NextLink{Text: r.T(id), Href: "/arrivals?ago=" + strconv.Itoa(ago)}
	}
	if ago < desk.ArrivalDays-1 {
		p.Previous = link(ago+1, "desk.day_before")
	}
	if ago > 0 {
		p.Next = link(ago-1, "desk.day_after")
	}
	return p.HTML()
}

// begin begins a draft: about somebody on the list, about somebody who could not be asked before, for practice, or about
// whoever it will be. Its first question comes next, and nothing else has to be known for it.
func (s *site) begin(r *web.Request) (web.Response, error) {
	var draft *localv1.Draft
	var err error
	switch answers := r.PostForm; {
	case answers.Get("arrival") != "":
		draft, err = s.desk.BeginArrival(r.Context(), answers.Get("arrival"))
	case answers.Get("again") != "":
		draft, err = s.desk.BeginAgain(r.Context(), answers.Get("again"))
	case answers.Get("practice") != "":
		draft, err = s.beginPractice(r)
	default:
		draft, err = s.desk.BeginDraft(r.Context(), nil)
	}
	if err != nil {
		return nil, err
	}
	return web.SeeOther(after(r, draft, "")), nil
}
