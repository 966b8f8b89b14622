package site

import (
	"strconv"

	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
)

// home shows how many notifications are in which state.
func (s *site) home(r *web.Request) (web.Response, error) {
	all, err := s.desk.ListNotifications(r.Context(), &localv1.ListNotificationsRequest{})
	if err != nil {
		return nil, err
	}
	waiting, referred := 0, 0
	for _, n := range all.GetNotifications() {
		switch n.GetState() {
		case localv1.State_STATE_QUEUED, localv1.State_STATE_WAITING:
			waiting++
		case localv1.State_STATE_REFERRED, localv1.State_STATE_UNDELIVERED:
			referred++
		}
	}
	row := func(id string, n int) ui.SummaryRow {
		return ui.SummaryRow{Key: ui.Words{Text: r.T(id)}, Value: ui.Words{Text: strconv.Itoa(n)}}
	}
	return web.View{Template: "home", Data: ui.SummaryList{Rows: []ui.SummaryRow{
		row("desk.count_waiting", waiting), row("desk.count_referred", referred), row("desk.count_all", len(all.GetNotifications())),
	}}}, nil
}
