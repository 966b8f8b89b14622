package site

import (
	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/web"
)

// download is a notification as a file for a case system: the same bytes as the drop folder writes. The name of the file
// is the reference.
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
		f.Body, err = inbox.DocumentCSV(o.GetItemResponse)
	default:
		return nil, fault.New(fault.NotFound, "NO_SUCH_FILE", "A notification can be had as json or as csv.")
	}
	return f, err
}
