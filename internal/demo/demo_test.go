package demo_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"postern/examples/forms"
	"postern/internal/config"
	"postern/internal/demo"
	"postern/internal/directory"
)

// play plays the demo once and returns what it printed.
func play(t *testing.T, dir string, asJSON bool) (string, error) {
	t.Helper()
	var out bytes.Buffer
	err := demo.Run(t.Context(), demo.Options{Dir: dir, Once: true, JSON: asJSON, Out: &out, Log: slog.New(slog.DiscardHandler)})
	return out.String(), err
}

// result is the contract of `postern demo --once -o json`, key by key.
type result struct {
	OK      *bool `json:"ok"`
	Stories []struct {
		Name  *string `json:"name"`
		OK    *bool   `json:"ok"`
		Steps []struct {
			Name   *string `json:"name"`
			OK     *bool   `json:"ok"`
			Detail *string `json:"detail"`
		} `json:"steps"`
	} `json:"stories"`
	Log *struct {
		Size *uint64 `json:"size"`
		Root *string `json:"root"`
	} `json:"log"`
}

// parse reads one JSON document that has every key of the contract and no other.
func parse(t *testing.T, text string) result {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	var r result
	if err := d.Decode(&r); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	if d.More() {
		t.Error("something follows the document")
	}
	if r.OK == nil || r.Log == nil || r.Log.Size == nil || r.Log.Root == nil || len(r.Stories) == 0 {
		t.Fatalf("a key is missing in %s", text)
	}
	for _, s := range r.Stories {
		if s.Name == nil || s.OK == nil || len(s.Steps) == 0 {
			t.Fatalf("a story lacks a key in %s", text)
		}
		for _, step := range s.Steps {
			if step.Name == nil || *step.Name == "" || step.OK == nil || step.Detail == nil {
				t.Fatalf("a step lacks a key in %s", text)
			}
		}
	}
	return r
}

func TestTheDemoHoldsAndAgainInTheSameFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	var before uint64
	for range 2 {
		text, err := play(t, dir, true)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		r := parse(t, text)
		if !*r.OK || len(r.Stories) < 4 {
			t.Errorf("ok %v, %d stories", *r.OK, len(r.Stories))
		}
		for _, s := range r.Stories {
			if !*s.OK {
				t.Errorf("%s does not hold", *s.Name)
			}
		}
		root, err := base64.StdEncoding.DecodeString(*r.Log.Root)
		if err != nil || len(root) != 32 || *r.Log.Size <= before {
			t.Errorf("log of %d leaves after %d, root %q", *r.Log.Size, before, *r.Log.Root)
		}
		before = *r.Log.Size
		everyFormIsTold(t, text)
	}
	everyConfigLoads(t, dir)
}

// everyFormIsTold holds each example form against what was played: a family that is nobody's story is held by nothing.
func everyFormIsTold(t *testing.T, text string) {
	t.Helper()
	names, err := fs.Glob(forms.Files, "*.json")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d forms: %v", len(names), err)
	}
	for _, name := range names {
		if name != "two_authorities.json" && !strings.Contains(text, name) { // that one is for the tests of what two authorities know
			t.Errorf("no story tells %s", name)
		}
	}
}

func everyConfigLoads(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
	if err != nil || len(files) != 11 { // hub, two desks, three inboxes, auditor, directory, three agreements
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, path := range files {
		var err error
		switch name := filepath.Base(path); {
		case name == "hub.yaml":
			_, err = config.LoadHub(path)
		case strings.HasPrefix(name, "desk-"):
			_, err = config.LoadDesk(path)
		case strings.HasPrefix(name, "inbox-"):
			_, err = config.LoadInbox(path)
		case name == "auditor.yaml":
			_, err = config.LoadAuditor(path)
		case strings.HasPrefix(name, "agreement-"):
			_, _, err = directory.ReadAgreement(path)
		case name != "directory.yaml":
			t.Errorf("whose is %s?", name)
		}
		if err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A step that does not hold is told, ends its story, and fails the whole; the other stories are still played.
func TestAStepThatDoesNotHoldFailsTheDemo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	if text, err := play(t, dir, false); err != nil || !strings.Contains(text, "Every step held.") || strings.Contains(text, "  NO ") {
		t.Fatalf("%v: %s", err, text)
	}
	withoutBristol(t, dir)
	text, err := play(t, dir, true)
	if !errors.Is(err, demo.ErrFailed) {
		t.Fatalf("%v: %s", err, text)
	}
	r := parse(t, text)
	if *r.OK || *r.Stories[0].OK || len(r.Stories) < 4 {
		t.Errorf("ok %v, first story %v", *r.OK, *r.Stories[0].OK)
	}
	last := r.Stories[0].Steps[len(r.Stories[0].Steps)-1]
	if *last.OK || *last.Detail == "" {
		t.Errorf("the last step of the first story is %q: %q", *last.Name, *last.Detail)
	}
	if third := r.Stories[2]; !*third.OK {
		t.Errorf("%s does not need Bristol's agreement", *third.Name)
	}
	if text, err := play(t, dir, false); !errors.Is(err, demo.ErrFailed) || !strings.Contains(text, "  NO ") || strings.Contains(text, "Every step held.") {
		t.Errorf("%v: %s", err, text)
	}
}

// withoutBristol takes Bristol's agreement out of the directory, and lets everybody begin anew with that one: parties that
// remembered the hub's logs would rightly stop.
func withoutBristol(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, "directory.yaml")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const line = "  - file: agreement-bristol.signed\n"
	if !bytes.Contains(b, []byte(line)) {
		t.Fatalf("%q is not in directory.yaml", line)
	}
	if err := os.WriteFile(path, bytes.Replace(b, []byte(line), nil, 1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, pattern := range []string{"hub/hub.db", "hub-checkpoints/newest", "desk-*/desk.db", "inbox-*/inbox.db", "auditor/known-logs.json"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(names) == 0 {
			t.Fatalf("no %s: %v", pattern, err)
		}
		for _, name := range names {
			if err := os.Remove(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// What cannot be begun is an error and no story.
func TestAFolderThatIsNotWholeIsAnError(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	if err := os.MkdirAll(filepath.Join(dir, "hub.yaml"), 0o700); err != nil { // a folder where the file should be
		t.Fatal(err)
	}
	if text, err := play(t, dir, true); err == nil || errors.Is(err, demo.ErrFailed) || text != "" {
		t.Errorf("%v: %q", err, text)
	}
}
