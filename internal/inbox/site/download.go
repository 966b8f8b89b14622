package site

import (
	"strings"

	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/plain"
	"postern/internal/sheet"
	"postern/internal/web"
)

// download is a notification as a file. The JSON is for a case system: the same document as the drop folder has, the same
// in every language. The CSV is for a person with a spreadsheet, in the language of the page: docs/decisions/0048. The name
// of the file is the reference.
func (s *site) download(r *web.Request) (web.Response, error) {
	o, err := s.open(r)
	if err != nil {
		return nil, err
	}
	f := web.File{About: o.GetItem().GetReference()}
	switch kind := r.PathValue("kind"); kind {
	case "json":
		f.Name, f.Kind = f.About+".json", "application/json"
		f.Body, err = inbox.DocumentJSON(o.GetItemResponse)
	case "csv":
		f.Name, f.Kind = f.About+".csv", "text/csv; charset=utf-8"
		f.Body = s.spreadsheet(r, o)
	default:
		return nil, fault.New(fault.NotFound, "NO_SUCH_FILE", "A notification can be had as json or as csv.")
	}
	return f, err
}

// spreadsheet is a row for each answer that was given, in the order of the page, and one for each part that was withdrawn
// or not shared, which says so: silence is never "no".
func (s *site) spreadsheet(r *web.Request, o opened) []byte {
	var head []string
	for _, id := range []string{"inbox.csv_reference", "inbox.csv_prison", "inbox.csv_child", "inbox.csv_section", "inbox.csv_field", "inbox.csv_value", "inbox.csv_known", "inbox.csv_basis", "inbox.csv_as_of"} {
		head = append(head, r.T(id))
	}
	var rows [][]string
	add := func(path string, rest ...string) {
		child, name := "", r.T("inbox.csv_all")
		if path != "" {
			name = plain.PathWordsIn(r.Language, path)
		}
		if after, ok := strings.CutPrefix(path, "child/"); ok {
			child, _, _ = strings.Cut(after, "/")
		}
		rows = append(rows, append([]string{o.GetItem().GetReference(), s.inbox.NameOf(r.Language, o.GetItem().GetPrisonId()), child, name}, rest...))
	}
	for _, path := range o.inOrder() {
		m := o.byPath[path]
		from := plain.Source(m)
		known, basis := "", ""
		if from.GetKnown() != 0 {
			known = plain.EnumIn(r.Language, from.GetKnown())
		}
		if from.GetBasis() != 0 {
			basis = plain.EnumIn(r.Language, from.GetBasis())
		}
		all := plain.LinesIn(r.Language, m)
		for _, l := range all {
			add(path, l.Label, l.Value, known, basis, from.GetAsOfDate())
		}
		if len(all) == 0 {
			add(path, "", "", known, basis, from.GetAsOfDate())
		}
	}
	if stop := o.GetItem().GetStop(); stop != nil {
		for _, path := range stop.GetPaths() {
			add(path, "", "", r.T("inbox.csv_withdrawn"), "", "")
		}
		if len(stop.GetPaths()) == 0 {
			add("", "", "", r.T("inbox.csv_withdrawn"), "", "")
		}
	}
	for _, path := range o.GetNotShared() {
		add(path, "", "", r.T("inbox.not_shared"), "", "")
	}
	return sheet.CSV(head, rows)
}
