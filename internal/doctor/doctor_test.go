package doctor_test

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
	"postern/internal/demo"
	"postern/internal/doctor"
	localv1 "postern/proto/postern/local/v1"
)

// folder is the folder of a demo that was played once; nobody serves.
func folder(t *testing.T) func(...string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, demo.Run(t.Context(), demo.Options{Dir: dir, Once: true, Out: io.Discard, Log: slog.New(slog.DiscardHandler)}))
	return func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func examine(t *testing.T, file string, later time.Duration) *doctor.Report {
	t.Helper()
	return doctor.Run(t.Context(), doctor.Options{Config: file, Log: slog.New(slog.DiscardHandler),
		Clock: func() time.Time { return time.Now().Add(later) }})
}

// has fails unless the report has a finding of the check and level with the words.
func has(t *testing.T, r *doctor.Report, check string, level localv1.Level, words string) {
	t.Helper()
	for _, f := range r.Findings {
		if f.GetCheck() == check && f.GetLevel() == level && strings.Contains(f.GetWords()+" "+f.GetFix(), words) {
			return
		}
	}
	t.Errorf("no %s %s with %q in %v", level, check, words, r.Findings)
}

const (
	ok      = localv1.Level_LEVEL_OK
	warning = localv1.Level_LEVEL_WARNING
	problem = localv1.Level_LEVEL_PROBLEM
)

// serve serves a party of the demo until the test ends.
func serve(t *testing.T, p interface {
	Build(context.Context, config.Runtime) (*config.Service, error)
}) {
	t.Helper()
	s, err := p.Build(t.Context(), config.NewRuntime(slog.New(slog.DiscardHandler)))
	check(t, err)
	run, running := s.Run, make(chan struct{})
	s.Run = func(ctx context.Context) error { close(running); return run(ctx) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	<-running
}

func TestDoctor(t *testing.T) {
	file := folder(t)

	// Nobody serves: the hub is looked at by building it for a moment, the desk's hub does not answer.
	r := examine(t, file("hub.yaml"), 0)
	has(t, r, "process", warning, "postern hub serve --config")
	has(t, r, "log sent", ok, " leaves")
	has(t, r, "inbox E06000023", problem, "does not answer at 127.0.0.1:")
	if r.Unreachable || r.Problems() < 2 || r.Party != "hub" {
		t.Errorf("%d problems, %v", r.Problems(), r)
	}
	r = examine(t, file("desk-BLI.yaml"), 0)
	has(t, r, "hub", problem, "does not answer")
	if !r.Unreachable || r.Problems() != 0 {
		t.Errorf("an unreachable hub and %d other problems: %v", r.Problems(), r.Findings)
	}

	c, err := config.LoadHub(file("hub.yaml"))
	check(t, err)
	serve(t, c)
	r = examine(t, file("inbox-E06000023.yaml"), 0)
	has(t, r, "hub", ok, "proved who it is")
	has(t, r, "clock", ok, "agrees")
	has(t, r, "recipient key", ok, "holds until")
	if r.Problems() != 0 || r.Unreachable {
		t.Errorf("%v", r.Findings)
	}

	// A clock that is wrong, here or there, is told with by how much.
	has(t, examine(t, file("auditor.yaml"), 20*time.Second), "clock", warning, "differ by 20")
	has(t, examine(t, file("auditor.yaml"), -2*time.Minute), "clock", problem, "differ by 2m")

	// Somebody else than the hub behind its address.
	edit(t, file("auditor.yaml"), "name: demo", "name: other")
	r = examine(t, file("auditor.yaml"), 0)
	has(t, r, "hub", problem, "did not prove to be spiffe://demo.postern.example/hub/other")
	if r.Unreachable || r.Problems() == 0 {
		t.Errorf("it answers, and is somebody else: %v", r.Findings)
	}

	// What ends, ends: certificate, recipient key, anchor.
	has(t, examine(t, file("hub.yaml"), 61*24*time.Hour), "certificate", warning, "days")
	has(t, examine(t, file("hub.yaml"), 84*24*time.Hour), "certificate", problem, "postern ca issue")
	has(t, examine(t, file("hub.yaml"), 0), "revocation prison", ok, "holds until")
	has(t, examine(t, file("hub.yaml"), 84*24*time.Hour), "revocation prison", warning, "postern ca renew")
	has(t, examine(t, file("hub.yaml"), 91*24*time.Hour), "revocation prison", problem, "Everybody the anchor vouches for is refused")
	has(t, examine(t, file("hub.yaml"), 91*24*time.Hour), "certificate", problem, "ended on")
	has(t, examine(t, file("hub.yaml"), 4*366*24*time.Hour+350*24*time.Hour), "anchor hub", warning, "next certificate")

	// Files: missing, readable by others, a folder, not the party's own.
	check(t, os.Chmod(file("hub", "sent.key"), 0o640))
	r = examine(t, file("hub.yaml"), 0)
	has(t, r, "file log_key.sent", problem, "mode 640")
	has(t, r, "file log_key.sent", problem, "chmod 600 "+file("hub", "sent.key"))
	check(t, os.Chmod(file("hub", "sent.key"), 0o600))
	check(t, os.Rename(file("desk-BLI", "reference.key"), file("elsewhere")))
	has(t, examine(t, file("desk-BLI.yaml"), 0), "file reference_key", problem, "does not exist")
	check(t, os.Mkdir(file("desk-BLI", "reference.key"), 0o700))
	has(t, examine(t, file("desk-BLI.yaml"), 0), "file reference_key", problem, "a folder, not a file")
	check(t, os.Rename(file("inbox-E06000023", "recipient"), file("recipient-away")))
	check(t, os.Mkdir(file("inbox-E06000023", "recipient"), 0o700))
	has(t, examine(t, file("inbox-E06000023.yaml"), 0), "recipient key", problem, "Restore the key folder")
	edit(t, file("desk-BLI.yaml"), "certificate: desk-BLI/cert.pem", "certificate: auditor/cert.pem")
	edit(t, file("desk-BLI.yaml"), "key: desk-BLI/key.pem", "key: auditor/key.pem")
	r = examine(t, file("desk-BLI.yaml"), 0)
	has(t, r, "certificate", problem, "This is the certificate of /auditor/demo; a desk needs /prison/…/desk. Correct identity.")
	if slices.ContainsFunc(r.Findings, func(f *localv1.Finding) bool { return f.GetCheck() == "database" }) {
		t.Errorf("the same is said again: %v", r.Findings)
	}
	edit(t, file("hub.yaml"), "certificate: operator/cert.pem", "certificate: auditor/cert.pem")
	edit(t, file("hub.yaml"), "key: operator/key.pem", "key: auditor/key.pem")
	has(t, examine(t, file("hub.yaml"), 0), "operator", problem, "This is the certificate of /auditor/demo; an operator needs /operator/…. Correct operator.")
	edit(t, file("desk-PRI.yaml"), "key: desk-PRI/key.pem", "key: auditor/key.pem")
	has(t, examine(t, file("desk-PRI.yaml"), 0), "certificate", problem, "")

	// What pages, arrivals and access logs need is looked at like the rest.
	edit(t, file("inbox-E06000023.yaml"), "web:\n", "web:\n  logo: nowhere.svg\n")
	has(t, examine(t, file("inbox-E06000023.yaml"), 0), "file web.logo", problem, "nowhere.svg does not exist")
	edit(t, file("desk-PRI.yaml"), "arrivals: desk-PRI/arrivals", "arrivals: desk-PRI/nowhere")
	has(t, examine(t, file("desk-PRI.yaml"), 0), "file arrivals", problem, "nowhere does not exist")
	edit(t, file("auditor.yaml"), "access_logs:\n", "access_logs:\n  - nowhere/access\n")
	has(t, examine(t, file("auditor.yaml"), 0), "file access_logs", warning, "Copy what the site handed over to ")

	// A data folder that is not there is not made.
	check(t, os.RemoveAll(file("desk-PRI")))
	has(t, examine(t, file("desk-PRI.yaml"), 0), "file data", warning, "mount its disk or restore")
	if _, err := os.Stat(file("desk-PRI")); err == nil {
		t.Error("looking made the data folder")
	}
}

// The folder of the vault is not there: its disk is not mounted, or a machine is being put together again.
func TestTheDoctorMakesNoKey(t *testing.T) {
	file := folder(t)
	for _, party := range []string{"hub", "desk-BLI", "inbox-E06000023"} {
		vault, config := file(party, "vault"), file(party+".yaml")
		check(t, os.Rename(vault, vault+"-away"))
		r := examine(t, config, 0)
		has(t, r, "file vault", problem, "Mount the disk")
		has(t, r, "database", problem, "put them back")
		if _, err := os.Stat(vault); err == nil {
			t.Errorf("looking made the vault of %s", party)
		}
		check(t, os.Mkdir(vault, 0o700))
		has(t, examine(t, config, 0), "file vault", problem, "Mount the disk")
		if made, _ := os.ReadDir(vault); len(made) > 0 {
			t.Errorf("looking made %v", made)
		}
		check(t, os.Remove(vault))
		check(t, os.Rename(vault+"-away", vault))
		for _, f := range examine(t, config, 0).Findings {
			if f.GetCheck() == "file vault" || f.GetCheck() == "database" && f.GetLevel() == problem {
				t.Errorf("every key is back: %v", f)
			}
		}
	}
}

func TestAConfigurationThatCannotBeUsed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.yaml")
	r := examine(t, path, 0)
	has(t, r, "config", problem, "hub.yaml cannot be read")
	check(t, os.WriteFile(path, []byte("log_key: {sent: a}\ncolour: blue\n"), 0o600))
	r = examine(t, path, 0)
	has(t, r, "config", problem, "colour")
	has(t, r, "config", problem, "log_key.received: Missing. Give it a value.")
	if r.Problems() < 5 || r.Party != "hub" { // each is a line of its own, and its fix the next
		t.Errorf("%v", r)
	}
	for _, f := range r.Findings {
		if strings.Contains(f.GetWords(), "\n") || f.GetFix() == "" {
			t.Errorf("not one line with a fix: %v", f)
		}
	}
}

func edit(t *testing.T, path, old, replacement string) {
	t.Helper()
	b, err := os.ReadFile(path)
	check(t, err)
	if !strings.Contains(string(b), old) {
		t.Fatalf("%q is not in %s", old, path)
	}
	check(t, os.WriteFile(path, []byte(strings.Replace(string(b), old, replacement, 1)), 0o600))
}
