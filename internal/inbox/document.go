package inbox

import (
	"encoding/json"
	"strings"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/sheet"
	localv1 "postern/proto/postern/local/v1"
)

// Document is an item with its sections by path, as it leaves for a case system and on `-o json`. A section that was not
// shared is named in not_shared and stands nowhere else: silence is never "no".
func Document(item *localv1.GetItemResponse) (map[string]any, error) {
	m := plain.Map(item)
	sections := map[string]any{}
	for _, s := range item.GetSections() {
		content, err := section.Read(s.GetPath(), s.GetContent())
		if err != nil {
			return nil, err
		}
		sections[s.GetPath()] = plain.Map(content)
	}
	delete(m, "signed_supersedes") // what is shown of these stands with the item
	delete(m, "signed_change_reason")
	m["id"], m["sections"] = item.GetItem().GetId(), sections
	return m, nil
}

// DocumentJSON is the document as JSON, indented, with a line end.
func DocumentJSON(item *localv1.GetItemResponse) ([]byte, error) {
	m, err := Document(item)
	if err != nil {
		return nil, err
	}
	b, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return nil, fault.From(err)
	}
	return append(b, '\n'), nil
}

var documentHead = []string{"reference", "prison", "child", "section", "field", "value", "known", "basis", "as_of"}

// DocumentCSV is the document as rows for a spreadsheet, one for each field that was given, and one for each section that
// was not shared or was withdrawn, whose `known` says so; one without a section is of all, or names another notification that
// puts this one right or that it puts right.
func DocumentCSV(item *localv1.GetItemResponse) ([]byte, error) {
	var rows [][]string
	begin := func(path string) []string {
		child := ""
		name := path
		if rest, ok := strings.CutPrefix(path, "child/"); ok {
			child, name, _ = strings.Cut(rest, "/")
		}
		return []string{item.GetItem().GetReference(), item.GetItem().GetPrisonId(), child, name}
	}
	for _, id := range item.GetItem().GetSupersededBy() {
		rows = append(rows, append(begin(""), "Put right by", envelope.Reference(id), "", "", ""))
	}
	if id := item.GetItem().GetSupersedes(); id != "" {
		rows = append(rows, append(begin(""), "Puts right", envelope.Reference(id), "", "", ""))
	}
	for _, s := range item.GetSections() {
		content, err := section.Read(s.GetPath(), s.GetContent())
		if err != nil {
			return nil, err
		}
		from := plain.Source(content)
		about := []string{plain.Enum(from.GetKnown()), plain.Enum(from.GetBasis()), from.GetAsOfDate()}
		lines := plain.Lines(content)
		for _, l := range lines {
			rows = append(rows, append(append(begin(s.GetPath()), l.Label, l.Value), about...))
		}
		if len(lines) == 0 {
			rows = append(rows, append(append(begin(s.GetPath()), "", ""), about...))
		}
	}
	if stop := item.GetItem().GetStop(); stop != nil {
		withdrawn := stop.GetPaths()
		if len(withdrawn) == 0 {
			withdrawn = []string{""} // all of it
		}
		for _, path := range withdrawn {
			rows = append(rows, append(begin(path), "", "", "WITHDRAWN", "", ""))
		}
	}
	for _, path := range item.GetNotShared() {
		rows = append(rows, append(begin(path), "", "", "NOT_SHARED", "", ""))
	}
	return sheet.CSV(documentHead, rows), nil
}
