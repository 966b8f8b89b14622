package auditor

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/internal/fault"
	"postern/internal/ledger/archive"
	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// WriteEvidence writes a folder for an inspector: the logs as `audit export` takes them, a page on each control of the
// regulator's code made from what they hold, and a contents page, all signed. What a log cannot show is said not to be evidenced. The
// folder is made under another name and renamed, so that there is all of it or none. Nothing is in it that is outside the auditor's scope.
func (a *Auditor) WriteEvidence(ctx context.Context, req *localv1.WriteEvidenceRequest) (_ *localv1.WriteEvidenceResponse, err error) {
	dir := req.GetDirectory()
	if !filepath.IsAbs(dir) {
		return nil, fault.New(fault.Invalid, "BAD_FOLDER", "Name the folder by its whole path.")
	}
	if a.cfg.Identity == nil || a.cfg.Anchors == nil || a.cfg.Clock == nil {
		return nil, fault.New(fault.Precondition, "NO_IDENTITY", "This auditor has no certificate to sign evidence with.")
	}
	if _, err := os.Lstat(dir); !errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Precondition, "EVIDENCE_THERE", "There is something by the name of the folder. Evidence is always new: name a folder that is not there.")
	}
	made, err := os.MkdirTemp(filepath.Dir(dir), ".evidence-*") // mode 0700: it is pseudonymous, and still personal data
	if err != nil {
		return nil, unwritable(err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }() // nothing, when it was renamed
	out, err := a.evidence(ctx, made, req.GetFilter(), words.Language(req.GetLanguage()))
	if err != nil {
		return nil, err
	}
	if err := os.Rename(made, dir); err != nil {
		return nil, unwritable(err)
	}
	return out, synced(filepath.Dir(dir))
}

func unwritable(err error) error {
	return fault.New(fault.Unavailable, "EVIDENCE_WRITE", "The evidence cannot be written. Is the folder above there, is there space, and may you write there?").Because(err)
}

// evidence fills a folder.
func (a *Auditor) evidence(ctx context.Context, dir string, filter *posternv1.EventFilter, lang words.Language) (*localv1.WriteEvidenceResponse, error) {
	known, err := a.follow.GetLogs(ctx, nil)
	if err != nil {
		return nil, err
	}
	seed := make([]byte, 16)
	_, _ = rand.Read(seed) // never fails
	g := a.gathers(ctx, filter, seed)
	logs, err := a.exported(ctx, filepath.Join(dir, archive.PackLogs), g)
	if err != nil {
		return nil, err
	}
	manifest, err := os.ReadFile(filepath.Join(dir, archive.PackLogs, "manifest.json"))
	if err != nil {
		return nil, unwritable(err)
	}
	pages, err := g.pages(ctx, slices.ContainsFunc(logs, (*localv1.CountedLog).GetLost))
	if err != nil {
		return nil, err
	}
	c := contents{Lang: lang, Made: utc(a.cfg.Clock()), By: a.cfg.Identity.Party().URI(), About: Flags(filter), Logs: logs, Digest: sha(manifest), Pages: pages, Before: map[string]uint64{}}
	for _, l := range known.GetLogs() {
		c.Before[l.GetOrigin()] = l.GetSize()
	}
	files, err := c.files()
	if err != nil {
		return nil, err
	}
	question, err := json.Marshal(plain.Map(filter))
	if err != nil {
		return nil, fault.From(err)
	}
	signed, err := archive.Pack{Question: question, Manifest: manifest, Files: files}.Seal(a.cfg.Identity, a.cfg.Clock())
	if err != nil {
		return nil, err
	}
	files[archive.PackName] = signed
	for name, data := range files {
		if err := write(filepath.Join(dir, name), data); err != nil {
			return nil, err
		}
	}
	out := &localv1.WriteEvidenceResponse{Logs: logs, ManifestSha256: c.Digest}
	for _, p := range pages {
		out.Pages = append(out.Pages, &localv1.EvidencePage{Name: p.ID, Title: c.T("evidence.title_" + p.ID), Status: string(p.status()), Exceptions: uint32(p.exceptions())})
	}
	return out, synced(dir)
}

// exported exports the logs into a folder, and gathers what they hold on the way. Nothing of that may be believed on an error.
func (a *Auditor) exported(ctx context.Context, dir string, g *gathering) (_ []*localv1.CountedLog, err error) {
	w, err := archive.Open(ctx, dir, archive.Config{Keys: a.cfg.LogKeys, Anchors: a.cfg.Anchors, Each: entries(g.take)})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, w.Close()) }()
	progress := &localv1.ExportResponse{}
	if err := a.fetch(ctx, w, progress, func() error { return nil }); err != nil {
		return nil, err
	}
	report, err := w.Commit(a.cfg.Identity, a.cfg.Clock())
	if err != nil {
		return nil, err
	}
	return counted(report, progress), nil
}

// sha is the SHA-256 of a file, in hex.
func sha(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// write writes a new file, durably.
func write(name string, data []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return unwritable(err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return unwritable(err)
	}
	return nil
}

// synced makes the names in a folder durable.
func synced(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return unwritable(err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return unwritable(err)
	}
	return nil
}

// contents are the pages with what all of them say.
type contents struct {
	Lang     words.Language
	Made, By string
	About    string // the flags of the question; empty for all in scope
	Logs     []*localv1.CountedLog
	Before   map[string]uint64 // what the auditor knew of each log before
	Digest   string            // of the export's manifest
	Pages    []page
	Page     *page // the one that is shown; nil for the contents
}

//go:embed evidence.html
var evidencePage string

// files are the pages by name: for people in the language, and for machines.
func (c contents) files() (map[string][]byte, error) {
	t, err := template.New("").Parse(evidencePage)
	if err != nil {
		return nil, fault.From(err)
	}
	all := map[string][]byte{}
	add := func(name string, p *page, v any) error {
		shown := c
		shown.Page = p
		var out bytes.Buffer
		if err := t.Execute(&out, shown); err != nil {
			return fault.From(err)
		}
		data, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			return fault.From(err)
		}
		all[name+".html"], all[name+".json"] = out.Bytes(), append(data, '\n')
		return nil
	}
	var list []map[string]any
	for i, p := range c.Pages {
		list = append(list, map[string]any{"id": p.ID, "status": p.status(), "exceptions": p.exceptions()})
		if err := add(p.ID, &c.Pages[i], p.machine()); err != nil {
			return nil, err
		}
	}
	logs := []map[string]any{}
	for _, l := range c.Logs {
		m := plain.Map(l)
		m["id"], m["known_before"] = l.GetOrigin(), c.Before[l.GetOrigin()]
		logs = append(logs, m)
	}
	return all, add("index", nil, map[string]any{"made": c.Made, "by": c.By, "about": c.About, "pages": list, "logs": logs, "manifest_sha256": c.Digest})
}

// machine is a page as JSON: names that depend on no language, and the figures under theirs.
func (p page) machine() map[string]any {
	figures, tables, not := []map[string]any{}, []map[string]any{}, []string{}
	for _, f := range p.Figures {
		m := map[string]any{"id": short(f.ID), "value": f.Value}
		if f.List != "" {
			m["list"] = f.List
		}
		if f.Never {
			m["exception"] = f.Value != uint64(0)
		}
		figures = append(figures, m)
	}
	for _, t := range p.Tables {
		rows := []map[string]string{}
		for _, cells := range t.Rows {
			row := map[string]string{}
			for i, cell := range cells {
				row[short(t.Head[i])] = cell
			}
			rows = append(rows, row)
		}
		tables = append(tables, map[string]any{"id": short(t.ID), "rows": rows, "left_out": t.More})
	}
	for _, id := range p.NotEvidenced {
		not = append(not, short(id))
	}
	return map[string]any{"id": p.ID, "status": p.status(), "exceptions": p.exceptions(), "figures": figures, "tables": tables, "not_evidenced": not}
}

func short(id string) string { return strings.TrimPrefix(id, "evidence.") }

// T is a text of the page's language; names and values to fill in follow.
func (c contents) T(id string, pairs ...any) string {
	args := words.Args{}
	for i := 0; i+1 < len(pairs); i += 2 {
		args[fmt.Sprint(pairs[i])] = pairs[i+1]
	}
	return c.Lang.Text(id, args)
}

// Status is what a page comes to, in words.
func (c contents) Status(p page) string {
	return map[Status]string{Evidenced: c.T("evidence.status_evidenced"), InPart: c.T("evidence.status_in_part"), None: c.T("evidence.status_none"),
		NotEvidenced: c.T("evidence.status_not_evidenced")}[p.status()]
}

// Exceptions is how many figures of a page are not what they should be.
func (c contents) Exceptions(p page) int { return p.exceptions() }

// Known is how much of a log the auditor knew before.
func (c contents) Known(origin string) uint64 { return c.Before[origin] }

// Wrong reports whether a figure is an exception.
func (c contents) Wrong(f figure) bool { return f.Never && f.Value != uint64(0) }

// Title is the title of a page, or of the contents.
func (c contents) Title() string {
	if c.Page == nil {
		return c.T("evidence.contents")
	}
	return c.T("evidence.title_" + c.Page.ID)
}
