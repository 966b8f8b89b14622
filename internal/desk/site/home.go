package site

import (
	"slices"
	"strconv"

	"postern/internal/desk"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
)

// begun is a draft to go on with, or somebody to ask again.
type begun struct {
	Name, Href, Draft string
	Changed           string // when it was saved last
	By                string
	Practice          bool
	Moved             string // where it is recorded that they have moved, of somebody to be asked again
}

// home shows what there is to do: who has to be asked, which drafts to go on with, what waits and what needs a decision.
func (s *site) home(r *web.Request) (web.Response, error) {
	all, err := s.desk.ListNotifications(r.Context(), &localv1.ListNotificationsRequest{})
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	count["Referred"] = len(desk.PartOf(all.GetNotifications(), toDecide()))
	for _, n := range all.GetNotifications() {
		switch n.GetState() {
		case localv1.State_STATE_QUEUED, localv1.State_STATE_WAITING:
			count["Waiting"]++
		case localv1.State_STATE_ACCEPTED, localv1.State_STATE_DELIVERED:
			count["Sent"]++
		}
	}
	row := func(id string, n int, href string) ui.SummaryRow {
		return ui.SummaryRow{Key: ui.Words{Text: r.T(id)}, Value: ui.Words{Text: ui.Link{Href: "/notifications" + href, Text: strconv.Itoa(n)}.HTML()}}
	}
	data := map[string]any{"FillsIn": false, "Counts": ui.SummaryList{Rows: []ui.SummaryRow{row("desk.count_waiting", count["Waiting"], "?show=waiting"),
		row("desk.count_referred", count["Referred"], "?show=decision"), row("desk.count_sent", count["Sent"], "?show=sent"), row("desk.count_all", len(all.GetNotifications()), "")}}}
	if who, _ := r.Person(); slices.ContainsFunc(fillsIn, who.Has) {
		if err := s.toDo(r, data); err != nil {
			return nil, err
		}
	}
	return web.View{Template: "home", Data: data}, nil
}

// toDo adds what whoever fills in forms has to do.
func (s *site) toDo(r *web.Request, data map[string]any) error {
	notBegun, err := s.desk.NotBegun(r.Context())
	if err != nil {
		return err
	}
	drafts, err := s.desk.Drafts(r.Context())
	if err != nil {
		return err
	}
	due, err := s.desk.AskAgain(r.Context())
	if err != nil {
		return err
	}
	var days []ui.Link
	count := 0
	for ago, n := range notBegun {
		if count += n; n > 0 {
			days = append(days, ui.Link{Href: "/arrivals?ago=" + strconv.Itoa(ago), Text: r.T("desk.count_of_day", "day", r.Date(s.now().AddDate(0, 0, -ago)), "count", n)})
		}
	}
	var open, again []begun
	for _, d := range drafts {
		if d.GetSendTime() == nil {
			open = append(open, s.begun(r, d))
		}
	}
	for _, d := range due {
		again = append(again, s.begun(r, d))
	}
	data["FillsIn"], data["NotBegun"], data["Drafts"], data["Again"], data["Folder"], data["Days"] = true, count, open, again, notBegun != nil, days
	return nil
}

func (s *site) begun(r *web.Request, d *localv1.Draft) begun {
	name := d.GetForm().GetParent().GetName()
	return begun{Name: fullName(r, name.GetFamilyName(), name.GetGivenName()), Href: draftPath(d, ""), Draft: d.GetId(), Practice: d.GetPractice(), By: d.GetChangeStaffId(), Moved: movePath(d),
		Changed: r.When(d.GetChangeTime().AsTime())}
}
