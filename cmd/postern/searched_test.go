package main

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// searched looks through what every script leaves, whatever it was about: in the database of no hub, in no checkpoint and
// in no log of a party is anything personal of any form that lies there. It runs when the parties have ended.
func searched(e *testscript.Env) {
	t, root := e.T(), e.WorkDir
	e.Defer(func() {
		forms, places, err := left(root)
		if err != nil {
			t.Fatal(err)
		}
		for i, where := range search(forms, places) {
			t.Fatal(forms[i].field, "of a form is in", where)
		}
	})
}

// left are the personal values of all forms below a folder, and what hubs and logs there hold.
func left(root string) (values []value, places []place, err error) {
	known := map[string]bool{}
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		folder := filepath.Base(filepath.Dir(path))
		switch {
		case folder == "forms" && filepath.Ext(path) == ".json":
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			found, err := personal(b)
			for _, v := range found {
				if !known[v.text] {
					known[v.text] = true
					values = append(values, v)
				}
			}
			return err
		case e.IsDir() && (e.Name() == "hub" || e.Name() == "hub-checkpoints") || e.IsDir() && path == filepath.Join(root, "logs"):
			found, err := readPlaces(path)
			places = append(places, found...)
			return err
		}
		return nil
	})
	return values, places, err
}

// A log has no row of digits in it that could be a birth date: not the nanoseconds of a time, nor those of a duration.
func TestNothingInALogLooksLikeABirthDate(t *testing.T) {
	var out bytes.Buffer
	(&app{err: &out}).serveLog().Info("rpc", "duration", 119960530*time.Nanosecond, "at", time.Date(2026, 11, 30, 23, 42, 28, 220230706, time.UTC))
	if regexp.MustCompile(`[0-9]{8}`).Match(out.Bytes()) || !bytes.Contains(out.Bytes(), []byte(`"duration":"119.961ms","at":"2026-11-30T23:42:28.22Z"`)) {
		t.Errorf("logged: %s", &out)
	}
}

// TestWhatAScriptLeavesIsSearched is the control: a name in a hub's folder, in a checkpoint or in a log is found, and in
// a desk's folder, where it belongs, it is not looked for.
func TestWhatAScriptLeavesIsSearched(t *testing.T) {
	root := t.TempDir()
	write := func(name, text string) {
		path := filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	write("d/forms/one.json", `{"parent": {"name": {"family_name": "Quillfeather-Nwosu"}}}`)
	write("d/desk-BLI/desk.db", "Quillfeather-Nwosu")
	for _, name := range []string{"d/hub/hub.db", "d/hub-checkpoints/sent", "logs/desk.log"} {
		write(name, "nothing")
		values, places, err := left(root)
		if err != nil || len(values) == 0 || len(search(values, places)) > 0 {
			t.Fatalf("%s: %d values, found %v, %v", name, len(values), search(values, places), err)
		}
		write(name, "so and so QUILLFEATHER-NWOSU came")
		if values, places, err = left(root); err != nil || len(search(values, places)) == 0 {
			t.Errorf("%s: a name in it is not found: %v", name, err)
		}
		write(name, "nothing")
	}
}
