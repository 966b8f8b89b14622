package demo

import (
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"postern/internal/fault"
)

// A visitor finds the three sites where the demo says, and may be whomever they choose.
func TestTheSitesAreWhereTheDemoSays(t *testing.T) {
	f, err := prepare(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), f, slog.New(slog.DiscardHandler), &clock{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	for i, personas := range [][]string{{"DEMO11", "DEMO12", "DEMO13", "DEMO14", "DEMO15", "DEMO16"}, {"DEMO21", "DEMO22"}, {"DEMO31"}} {
		address := s.addresses()[i]
		if !strings.Contains(s.siteLines(), address+"\n") {
			t.Errorf("%s is not among what is said:\n%s", address, s.siteLines())
		}
		answer, err := http.Get(address)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), "Nobody here is real") || strings.Contains(string(body), "Guided tour") {
			t.Errorf("%s answers %d", address, answer.StatusCode)
		}
		for _, id := range personas {
			if !strings.Contains(string(body), `value="`+id+`"`) {
				t.Errorf("%s does not offer %s", address, id)
			}
		}
	}
}

func TestAMachineWithoutABrowserIsToldSo(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if err := browse(t.Context(), "http://127.0.0.1:1/"); fault.From(err).Reason != "NO_BROWSER" || !strings.Contains(err.Error(), "Open the address of the tour yourself") {
		t.Errorf("got %v", err)
	}
}

// What opens addresses on this system is given the address of the tour, and nothing else.
func TestTheTourIsHandedToTheSystemsBrowser(t *testing.T) {
	dir := t.TempDir()
	opened := filepath.Join(dir, "opened")
	if err := syscall.Mkfifo(opened, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\necho \"$#\" \"$1\" >'" + opened + "'\n"
	if err := os.WriteFile(filepath.Join(dir, "xdg-open"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	if err := browse(t.Context(), "http://127.0.0.1:1/"); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(opened) // waits until the script writes
	if err != nil || string(got) != "1 http://127.0.0.1:1/\n" {
		t.Errorf("the opener got %q, %v", got, err)
	}
}
