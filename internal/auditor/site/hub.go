package site

import (
	"strconv"

	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// coverage shows of each prison how many came and how many of them were asked.
func (s *site) coverage(r *web.Request) (web.Response, error) {
	out, err := s.audit.GetCoverage(r.Context(), &localv1.GetCoverageRequest{Request: &posternv1.GetCoverageRequest{}})
	if err != nil {
		return nil, err
	}
	t := ui.Table{Stack: true, Caption: r.T("audit.coverage"), CaptionClasses: "govuk-visually-hidden", FirstCellIsHeader: true}
	for i, head := range []string{"audit.prison", "audit.days", "audit.received", "audit.asked_of_received", "audit.asked_people", "audit.told",
		"audit.children", "audit.no_children", "audit.declined", "audit.not_asked"} {
		cell := ui.Cell{Text: r.T(head)}
		if i > 0 {
			cell.Format = "numeric"
		}
		t.Head = append(t.Head, cell)
	}
	for _, p := range out.GetResponse().GetPrisons() {
		row := []ui.Cell{{Text: p.GetPrisonId()}}
		for _, n := range []uint32{p.GetDaysCounted(), p.GetReceived(), p.GetAskedOfReceived(), p.GetAsked(), p.GetTold(),
			p.GetChildren(), p.GetNoChildren(), p.GetDeclined(), p.GetNotAsked()} {
			row = append(row, ui.Cell{Text: strconv.FormatUint(uint64(n), 10), Format: "numeric"})
		}
		t.Rows = append(t.Rows, row)
	}
	return web.View{Template: "coverage", Data: t, Wide: true}, nil
}
