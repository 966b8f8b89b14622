package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page is what the code links today.
func TestThePageOfLicencesIsFresh(t *testing.T) {
	parts, err := find()
	if err != nil {
		t.Fatal(err)
	}
	var page, full bytes.Buffer
	if err := write(&page, parts, false); err != nil {
		t.Fatal(err)
	}
	committed, err := os.ReadFile("../../docs/licences.md")
	if err != nil {
		t.Fatal(err)
	}
	if page.String() != string(committed) {
		t.Errorf("docs/licences.md is not what is linked now: run make licences\n%s", page.String())
	}
	if err := write(&full, parts, true); err != nil {
		t.Fatal(err)
	}
	for _, p := range parts {
		if len(p.licences) == 0 || !strings.Contains(full.String(), "==== "+p.name+" "+p.version+": ") {
			t.Errorf("the texts lack %s, under %q", p.name, p.licences)
		}
	}
	release, err := os.ReadFile("../../scripts/release.sh")
	if err != nil {
		t.Fatal(err)
	}
	if want := "platforms=(" + strings.Join(platforms, " ") + ")"; !strings.Contains(string(release), want) {
		t.Errorf("scripts/release.sh has not %s", want)
	}
	if parts[0].version != "" || len(parts) < 20 {
		t.Errorf("%d parts, the first is %s", len(parts), parts[0].name)
	}
}

// A module that says nothing, or something nobody knows or has agreed to, is an error that names it.
func TestAModuleNobodyAgreedToIsRefused(t *testing.T) {
	known, err := os.ReadFile("../../LICENSE") // Apache-2.0
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		files map[string]string
		want  string
	}{
		"none":         {map[string]string{"README.md": string(known)}, "has no licence"},
		"a notice":     {map[string]string{"NOTICE": "We made it."}, "has no licence"},
		"unknown":      {map[string]string{"LICENSE": "You may look at this on Sundays, if it rains."}, "not the text of a known licence"},
		"another":      {map[string]string{"COPYING": "https://www.gnu.org/licenses/gpl-3.0-standalone.html\n"}, "nobody has agreed to"},
		"one of two":   {map[string]string{"LICENSE": string(known), "LICENSE.gpl": "https://www.gnu.org/licenses/gpl-3.0-standalone.html\n"}, "nobody has agreed to"},
		"well":         {map[string]string{"LICENSE.txt": string(known), "NOTICE": "We made it."}, ""},
		"well, spelt":  {map[string]string{"Licence": string(known)}, ""},
		"not a folder": {nil, "go mod download"},
	} {
		dir := filepath.Join(t.TempDir(), "m")
		if c.files != nil {
			if err := os.Mkdir(dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}
		for file, text := range c.files {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		p := part{name: "example.org/m"}
		err := p.read(dir)
		if c.want == "" && (err != nil || strings.Join(p.licences, " ") != "Apache-2.0" || len(p.files) != len(c.files)) {
			t.Errorf("%s: %v, %+v", name, err, p)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "example.org/m")) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}
