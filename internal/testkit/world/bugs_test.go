package world

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"postern/internal/testkit"
)

var (
	kill        = flag.Bool("kill", false, "build the program with each seeded bug in turn, and see it caught")
	keepScars   = flag.Bool("update", false, "with -kill: write what caught each bug into docs/scars.md")
	memory      = flag.String("memory", os.TempDir(), "with -kill: a folder for what the simulated hubs sync")
	killHistory = flag.Int("kill-seeds", 600, "with -kill: play at most so many histories for a bug")
)

const root = "../../.."

// bug is one seeded bug: a page of bugs/, which says what is wrong, what must catch it, and which lines of the program
// become which others. No file of the program holds a trace of it: it exists in the overlay of one build.
type bug struct {
	name, what string
	by         string // "world", or a package and the name of its test
	edits      []testkit.Edit
}

func readBugs(t *testing.T) []bug {
	files, err := filepath.Glob("bugs/*.txt")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d bugs: %v", len(files), err)
	}
	var all []bug
	for _, name := range files {
		a, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b := bug{name: strings.TrimSuffix(filepath.Base(name), ".txt")}
		what, by, ok := strings.Cut(strings.TrimSpace(string(a.Comment)), "\ncaught by: ")
		if !ok || len(a.Files)%2 != 0 {
			t.Fatalf("%s: say what is wrong, and \"caught by: \" what, and give each place right and wrong", name)
		}
		b.what, b.by = what, by
		for i := 0; i < len(a.Files); i += 2 {
			right, wrong := a.Files[i], a.Files[i+1]
			path, ok := strings.CutSuffix(right.Name, ": right")
			if !ok || wrong.Name != path+": wrong" {
				t.Fatalf("%s: %s is not followed by what is wrong there", name, right.Name)
			}
			b.edits = append(b.edits, testkit.Edit{File: path, Right: string(right.Data), Wrong: string(wrong.Data)})
		}
		all = append(all, b)
	}
	return all
}

// Every seeded bug stands on the page of scars, and fits the program as it is. With -kill each is built, and
// must be caught by what it names; one that is not shows a hole in the net.
func TestSeededBugs(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(root, "docs/scars.md"))
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex // owns said and rows: two bugs are built and played at a time
	said, rows := map[string]string{}, map[string]string{}
	all := readBugs(t)
	t.Run("each", func(t *testing.T) {
		for _, b := range all {
			t.Run(b.name, func(t *testing.T) {
				if !*kill {
					if row := []byte("| `" + b.name + "` | " + b.what + " | "); !bytes.Contains(page, row) {
						t.Errorf("docs/scars.md has no row that begins\n%s", row)
					}
					testkit.Overlay(t, root, t.TempDir(), b.name, b.edits) // it fits the program as it is
					return
				}
				t.Parallel()
				dir := t.TempDir()
				caught, by := b.kill(t, dir, testkit.Overlay(t, root, dir, b.name, b.edits))
				mu.Lock()
				defer mu.Unlock()
				if said[b.name] = by; !caught {
					said[b.name] = "NOT CAUGHT"
					t.Fatalf("not caught by %s: %s", b.by, b.what)
				}
				rows[b.name] = fmt.Sprintf("| `%s` | %s | %s |", b.name, b.what, seeds.ReplaceAllString(by, "the world: "))
			})
		}
	})
	if !*kill {
		if n := bytes.Count(page, []byte("\n| `")) - bytes.Count(page, []byte("\n| `Seal`")); n < len(all) {
			t.Errorf("docs/scars.md has %d rows of bugs; there are %d", n, len(all))
		}
		return
	}
	for _, b := range all {
		fmt.Printf("bugs: %-30s %s\n", b.name, said[b.name])
	}
	fmt.Printf("bugs: %d of %d caught\n", len(rows), len(all))
	if *keepScars && !t.Failed() {
		writeRows(t, page, all, rows)
	}
}

// kill builds and runs what must catch the bug, and says what did.
func (b bug) kill(t *testing.T, dir, overlay string) (caught bool, by string) {
	if b.by != "world" {
		pkg, name, _ := strings.Cut(b.by, " ")
		out, err := run("test", "-vet=off", "-overlay", overlay, "-count=1", "-run", "^"+name+"$", "./"+pkg)
		if !bytes.Contains(out, []byte("--- FAIL: "+name)) {
			t.Logf("%s", out)
			return false, ""
		}
		return err != nil, "`" + name + "` of " + pkg
	}
	binary := filepath.Join(dir, "world.test")
	if out, err := run("test", "-vet=off", "-overlay", overlay, "-c", "-o", binary, "./internal/testkit/world"); err != nil {
		t.Fatalf("with the bug it does not build: %v\n%s", err, out)
	}
	play := exec.Command(binary, "-test.run", "^TestWorld$", "-test.timeout", "10m", "-seeds", fmt.Sprint(*killHistory))
	play.Env = append(os.Environ(), "TMPDIR="+*memory)
	play.Dir = filepath.Join(root, "internal/testkit/world")
	out, err := play.CombinedOutput()
	m := found.FindSubmatch(out)
	// A bug that makes the program panic is caught by whatever runs it, and shows nothing of the oracle.
	if err == nil || m == nil || bytes.HasPrefix(m[2], []byte("panic: ")) {
		t.Logf("%s", out[max(0, len(out)-3000):])
		return false, ""
	}
	return true, fmt.Sprintf("the world, seed %s: %s", m[1], shorten(string(m[2])))
}

// seeds names the history in a finding: it is printed, and not kept, since another action in the world makes other histories.
var seeds = regexp.MustCompile(`^the world, seed \d+: `)

// found is the line in which a history reports what the oracle found.
var found = regexp.MustCompile(`seed (\d+) of commit \S+: (.*)`)

// shorten keeps what the first finding says in any history: no ids, lists or times.
func shorten(s string) string {
	for _, end := range []string{"; ", ": [", " until ", ": due ", ". ", ": it has "} {
		s, _, _ = strings.Cut(s, end)
	}
	s = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|"E[^ ]*"`).ReplaceAllString(s, "a notification")
	return strings.ReplaceAll(s, "|", "/")
}

func run(args ...string) ([]byte, error) {
	c := exec.Command("go", args...)
	c.Dir = root
	return c.CombinedOutput()
}

// writeRows replaces the kill matrix of the page.
func writeRows(t *testing.T, page []byte, all []bug, rows map[string]string) {
	const head = "| seeded bug | what it does | caught by |\n|---|---|---|\n"
	before, after, ok := bytes.Cut(page, []byte(head))
	_, after, more := bytes.Cut(after, []byte("\n\n"))
	if !ok || !more {
		t.Fatal("docs/scars.md has no kill matrix to write, or nothing after it")
	}
	out := string(before) + head
	for _, b := range all {
		out += rows[b.name] + "\n"
	}
	out += "\n" + string(after)
	if err := os.WriteFile(filepath.Join(root, "docs/scars.md"), []byte(out), 0o644); err != nil {
		t.Fatal(err)
	}
}
