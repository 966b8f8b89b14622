// Package demo plays Postern with all parties on one machine: real certificates, real TLS over loopback, real sealing,
// policy, database and log, and invented families.
//
// It guarantees that a story is "ok" only when every step was checked at the party concerned, through the same control
// sockets and files that the commands use. It is no test of load, faults or attacks, and its certificate authority and
// keys lie in one folder, which no real exchange would do.
package demo

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"

	"postern/internal/fault"
	localv1 "postern/proto/postern/local/v1"
)

// Options say how the demo runs.
type Options struct {
	Dir  string       // the demo's folder, kept; empty for a temporary one
	Once bool         // play the stories and end
	Open bool         // show the guided tour in the visitor's browser
	JSON bool         // print the result as JSON
	Out  io.Writer    // where the account goes
	Log  *slog.Logger // where the parties log
}

// Step is one checked step of a story.
type Step struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
}

// Story is one family's story.
type Story struct {
	Name  string `json:"name"`
	OK    bool   `json:"ok"`
	Steps []Step `json:"steps"`
}

// Log is the newest checkpoint of the sent log.
type Log struct {
	Size uint64 `json:"size"`
	Root string `json:"root"` // base64
}

// Result is what `postern demo --once -o json` prints.
type Result struct {
	OK      bool    `json:"ok"`
	Stories []Story `json:"stories"`
	Log     Log     `json:"log"`
}

// ErrFailed says that a step did not hold; the account says which.
var ErrFailed = fault.New(fault.Unverified, "DEMO_FAILED", "A step of the demo did not hold.")

// Run plays the demo. Without Once it stays up until ctx ends.
func Run(ctx context.Context, o Options) (err error) {
	dir := o.Dir
	if dir == "" {
		if dir, err = ownFolder(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	f, err := prepare(dir)
	if err != nil {
		return err
	}
	if !o.Once {
		if err := f.listenForTour(); err != nil {
			return err
		}
	}
	s, err := open(ctx, f, o.Log, &clock{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	out := o.Out
	if o.JSON {
		out = io.Discard
	}
	result, err := s.play(ctx, out)
	if err != nil {
		return err
	}
	if o.JSON {
		e := json.NewEncoder(o.Out)
		e.SetIndent("", "  ")
		if err := e.Encode(result); err != nil {
			return err
		}
	}
	if !result.OK {
		return ErrFailed
	}
	if o.Once {
		return nil
	}
	invite(o.Out, dir, s.tourAddress(), s.siteLines())
	if o.Open {
		if err := browse(ctx, s.tourAddress()); err != nil {
			fmt.Fprintf(o.Out, "%s\n", fault.From(err).Message)
		}
	}
	return s.guide(ctx)
}

// play tells every story and then asks the hub for its log.
func (s *stage) play(ctx context.Context, out io.Writer) (Result, error) {
	result := Result{OK: true}
	tell := func(s *stage, tales ...tale) {
		for _, t := range tales {
			t.name = fmt.Sprintf("%d. %s", len(result.Stories)+1, t.name)
			story := s.tell(ctx, out, t)
			result.Stories = append(result.Stories, story)
			result.OK = result.OK && story.OK
		}
	}
	tell(s, stories...)
	tell(s, families...)
	if err := elsewhen(ctx, s.log, func(later *stage) { tell(later, hours...) }); err != nil {
		return result, err
	}
	tell(s, tale{"Nobody's name is at the hub", nobodysName})
	status, err := localv1.NewHubServiceClient(s.parties["hub"].conn).GetStatus(ctx, &localv1.GetStatusRequest{})
	if err != nil {
		return result, err
	}
	sent := status.GetLogs()[0]
	result.Log = Log{Size: sent.GetSize(), Root: sent.GetRoot()}
	fmt.Fprintf(out, "The log %s holds %d events, root %s.\n", sent.GetOrigin(), sent.GetSize(), sent.GetRoot())
	if result.OK {
		fmt.Fprintln(out, "Every step held.")
	}
	return result, nil
}

// ownFolder makes a folder for a while.
func ownFolder() (string, error) {
	dir, err := os.MkdirTemp("", "postern-demo-")
	if err != nil {
		return "", fault.Newf(fault.Precondition, "TEMP_FOLDER", "No folder can be made in %s. Set TMPDIR to a folder that is there and may be written in.", os.TempDir()).Because(err)
	}
	return dir, nil
}

// elsewhen sets up all parties once more in a folder of their own, which is removed, for stories that need another hour
// or day: what is kept in the demo's folder stays in step with the clock on the wall.
func elsewhen(ctx context.Context, log *slog.Logger, fn func(*stage)) (err error) {
	dir, err := ownFolder()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	f, err := prepare(dir)
	if err != nil {
		return err
	}
	s, err := open(ctx, f, log, &clock{})
	if err != nil {
		return err
	}
	fn(s)
	return s.close()
}

// invite says what to try while the parties are up.
func invite(out io.Writer, dir, tour, siteLines string) {
	fmt.Fprintf(out, `
All parties are up; stop them with Ctrl-C. A guided tour in six steps, in a browser:

  %[3]s

Or each site by itself, as whomever you choose:

%[2]s
Or in another terminal, from the same checkout:

  go run ./cmd/postern desk  --config %[1]s/desk-BLI.yaml list
  go run ./cmd/postern inbox --config %[1]s/inbox-E06000023.yaml list
  go run ./cmd/postern audit --config %[1]s/auditor.yaml list

Take a reference (PN-....-....) from a list and say "desk status", "inbox show" or "audit show" with it.
Change a form in %[1]s/forms, remove its form_id, and send it:

  go run ./cmd/postern desk  --config %[1]s/desk-BLI.yaml submit %[1]s/forms/shared_in_full.json

Nobody in the forms exists.
`, dir, siteLines, tour)
}
