package auditor

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"postern/internal/fault"
	"postern/internal/rpc"
)

const (
	maxSearches = 50 // of one auditor
	maxName     = 60 // characters
	maxCompared = 100
)

// Search is a question that an auditor keeps, under a name of their own.
type Search struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Query string `json:"query"` // as the page of decisions takes it
}

// Address is where the page of decisions answers the question.
func (s Search) Address() string { return "/?" + s.Query }

// Comparison is that an auditor held a checkpoint of another party against the log.
type Comparison struct {
	Time   time.Time `json:"time"`
	Who    string    `json:"who"`  // the auditor
	With   string    `json:"with"` // whose checkpoint it was, as the auditor said
	Origin string    `json:"origin"`
	Size   uint64    `json:"size"`
	Holds  bool      `json:"holds"`
}

// Visit is the checkpoint of a log that somebody saw last.
type Visit struct {
	Time       time.Time `json:"time"`
	Checkpoint string    `json:"checkpoint"`
}

// notes is what is remembered for the people who audit, and never leaves this auditor. It is lost with its file, and
// nothing that is proved rests on it.
type notes struct {
	Searches map[string][]Search         `json:"searches,omitempty"` // by staff id
	Visits   map[string]map[string]Visit `json:"visits,omitempty"`   // by staff id and origin
	Compared []Comparison                `json:"compared,omitempty"` // the newest first
}

// record is the file of the notes.
type record struct {
	path string

	mu sync.Mutex // owns the file
}

// errNotes says that the notes cannot be used.
func errNotes(err error) error {
	return fault.New(fault.Unavailable, "AUDITOR_NOTES", "What is kept for the auditors of this site cannot be read or written. Check the disk and the file notes.json.").Because(err)
}

func (r *record) read() (notes, error) {
	var n notes
	b, err := os.ReadFile(r.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return n, errNotes(err)
	default:
		if err := json.Unmarshal(b, &n); err != nil {
			return n, errNotes(err)
		}
	}
	return n, nil
}

// change reads the notes, changes them, and replaces the file: a crash leaves the old one or the new one.
func (r *record) change(change func(*notes) error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" {
		return fault.New(fault.Precondition, "NO_NOTES", "This auditor has no place to keep anything.")
	}
	n, err := r.read()
	if err != nil {
		return err
	}
	if err := change(&n); err != nil {
		return err
	}
	b, err := json.Marshal(n)
	if err != nil {
		return errNotes(err)
	}
	f, err := os.CreateTemp(filepath.Dir(r.path), "notes-*.new") // mode 0600
	if err != nil {
		return errNotes(err)
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), r.path)
	}
	if err != nil {
		return errNotes(errors.Join(err, os.Remove(f.Name())))
	}
	return nil
}

// look reads the notes; none where nothing is kept.
func (r *record) look() (notes, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.path == "" {
		return notes{}, nil
	}
	return r.read()
}

// whoever is the id of who acts; what comes by the control socket is the operator's.
func whoever(ctx context.Context) string {
	if p, ok := rpc.LocalPerson(ctx); ok {
		return p.ID
	}
	return "operator"
}

// Searches are what the caller has saved, by name.
func (a *Auditor) Searches(ctx context.Context) ([]Search, error) {
	n, err := a.record.look()
	mine := n.Searches[whoever(ctx)]
	slices.SortFunc(mine, func(x, y Search) int { return strings.Compare(strings.ToLower(x.Name), strings.ToLower(y.Name)) })
	return mine, err
}

// SaveSearch keeps a question for the caller. One of the same name is replaced.
func (a *Auditor) SaveSearch(ctx context.Context, name, query string) error {
	if name == "" || utf8.RuneCountInString(name) > maxName || len(query) > 2000 {
		return fault.InvalidFields("BAD_SEARCH", "The search cannot be saved.", []fault.Field{{Path: "name",
			Reason: "A search needs a name of at most 60 characters.", Fix: "Give it a short one."}})
	}
	return a.record.change(func(n *notes) error {
		who := whoever(ctx)
		rest := slices.DeleteFunc(n.Searches[who], func(s Search) bool { return s.Name == name })
		if len(rest) >= maxSearches {
			return fault.New(fault.Precondition, "SEARCHES_FULL", "You have saved 50 searches. Delete one that you no longer need.")
		}
		if n.Searches == nil {
			n.Searches = map[string][]Search{}
		}
		n.Searches[who] = append(rest, Search{ID: strings.ToLower(rand.Text()[:10]), Name: name, Query: query})
		return nil
	})
}

// DeleteSearch forgets one of the caller's searches. One that is not there is forgotten already.
func (a *Auditor) DeleteSearch(ctx context.Context, id string) error {
	return a.record.change(func(n *notes) error {
		if mine, any := n.Searches[whoever(ctx)]; any {
			n.Searches[whoever(ctx)] = slices.DeleteFunc(mine, func(s Search) bool { return s.ID == id })
		}
		return nil
	})
}
