// Package accesslog keeps on disk who saw which page of a site, and when.
//
// It guarantees that a page was recorded and synced before somebody who is signed in sees it: web.Site shows nothing that
// Viewed could not keep.
// A file a month, a line of JSON a page, in the shape of the audit events of HMPPS, so that it can be sent on as it is. A
// line says who by their id as staff and about what by its reference: no name, and nothing of what the page said. Months
// older than Config.Keep are removed. It does not judge who may see what, and a line that a crash cut off is skipped by
// whoever reads; the page that it was about had not been shown.
package accesslog

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/fault"
	"postern/internal/web"
)

// Config is what a log needs.
type Config struct {
	Dir     string // made when it is not there, mode 0700
	Service string // which site, such as desk-BLI
	Keep    int    // how many months before this one stay
	Clock   func() time.Time
}

// Event is that somebody saw a page, or did what its form does.
type Event struct {
	What    string    `json:"what"` // PAGE_VIEW, or PAGE_SENT for a form
	When    time.Time `json:"when"`
	Who     string    `json:"who"` // the id as staff
	Roles   []string  `json:"roles,omitempty"`
	Page    string    `json:"page"` // its name
	Status  int       `json:"status"`
	Subject string    `json:"subjectId,omitempty"` // the reference of what was seen
	Request string    `json:"correlationId"`
	Service string    `json:"service"`
}

// Log is the access log of one site; it is the web.Journal of it.
type Log struct {
	cfg Config

	mu    sync.Mutex // owns all below
	month string     // whose file is open
	file  *os.File
	torn  bool // the last line may have no end
}

const (
	ending    = ".jsonl"
	monthName = "2006-01"
)

// Open makes the folder. Months that are too old go when the first page of a month is seen.
func Open(cfg Config) (*Log, error) {
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, errKeep(err)
	}
	return &Log{cfg: cfg}, nil
}

func errRead(err error) error {
	return fault.New(fault.Precondition, "ACCESS_LOG_READ", "A folder with who saw which page cannot be read. Check that it is there and who may read it.").Because(err)
}

func errKeep(err error) error {
	return fault.New(fault.Unavailable, "ACCESS_LOG", "Who saw a page cannot be recorded. Is the disk of the data folder full?").Because(err)
}

// Viewed records a page that somebody who is signed in saw. Others see only pages that show nothing of anybody, and
// could fill the disk.
func (l *Log) Viewed(_ context.Context, v web.Viewing) error {
	if v.Person == "" {
		return nil
	}
	e := Event{What: "PAGE_VIEW", When: v.At.UTC(), Who: v.Person, Roles: v.Roles, Page: v.Page, Status: v.Status, Subject: v.About,
		Request: v.Request, Service: l.cfg.Service}
	if v.Method == "POST" {
		e.What = "PAGE_SENT"
	}
	line, err := json.Marshal(e)
	if err != nil {
		return errKeep(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.turn(e.When.Format(monthName)); err != nil {
		return errKeep(err)
	}
	if l.torn {
		line = append([]byte{'\n'}, line...)
	}
	l.torn = true // a crash or an error just here leaves half a line, which the next one ends
	if _, err := l.file.Write(append(line, '\n')); err != nil {
		return errKeep(err)
	}
	l.torn = false
	if err := l.file.Sync(); err != nil {
		return errKeep(err)
	}
	return nil
}

// turn opens the file of a month. It needs mu.
func (l *Log) turn(month string) error {
	if l.file != nil && l.month == month {
		return nil
	}
	if err := l.prune(); err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(l.cfg.Dir, month+ending), os.O_CREATE|os.O_APPEND|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if l.file != nil {
		_ = l.file.Close() // every line of it was synced
	}
	l.file, l.month = f, month
	last := make([]byte, 1)
	size, err := f.Seek(0, io.SeekEnd)
	if err == nil && size > 0 {
		_, err = f.ReadAt(last, size-1)
		l.torn = last[0] != '\n'
	}
	return err
}

// prune removes months that are too old, as seen from the newest before this one in which a page was seen: a clock that is years
// ahead removes none for the rest of its month, nor does it once it is set right.
func (l *Log) prune() error {
	months, err := l.months()
	now := slices.IndexFunc(months, func(m string) bool { return m >= l.cfg.Clock().UTC().Format(monthName) })
	if now < 0 {
		now = len(months)
	}
	if now == 0 {
		return err
	}
	last, _ := time.Parse(monthName, months[now-1]) // months has no others
	oldest := last.AddDate(0, 1-l.cfg.Keep, 0).Format(monthName)
	for _, m := range months[:now] {
		if m < oldest {
			err = errors.Join(err, os.Remove(filepath.Join(l.cfg.Dir, m+ending)))
		}
	}
	return err
}

// months lists the months that have a file, the oldest first.
func (l *Log) months() ([]string, error) { return monthsIn(l.cfg.Dir) }

func monthsIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	var months []string
	for _, e := range entries {
		m, ok := strings.CutSuffix(e.Name(), ending)
		if _, err := time.Parse(monthName, m); ok && err == nil {
			months = append(months, m)
		}
	}
	slices.Sort(months)
	return months, err
}

// Events are the events that are kept, the oldest first. A line that cannot be read is left out.
func (l *Log) Events() iter.Seq2[Event, error] {
	return func(yield func(Event, error) bool) {
		months, err := l.months()
		for _, m := range months {
			if err != nil || !l.read(m, yield) {
				break
			}
		}
		if err != nil {
			yield(Event{}, errRead(err))
		}
	}
}

func (l *Log) read(month string, yield func(Event, error) bool) bool {
	return readMonth(filepath.Join(l.cfg.Dir, month+ending), yield)
}

// readMonth reads the file of a month, until yield wants no more.
func readMonth(path string, yield func(Event, error) bool) bool {
	f, err := os.Open(path)
	if err != nil {
		return yield(Event{}, errRead(err))
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e Event
		if json.Unmarshal(lines.Bytes(), &e) == nil && e.What != "" && !yield(e, nil) {
			return false
		}
	}
	return lines.Err() == nil || yield(Event{}, errRead(lines.Err()))
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
