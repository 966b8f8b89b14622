package valve

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"

	"postern/internal/testkit"
)

var leaks = flag.Bool("leaks", false, "build the program with the leaks, and see each caught")

const root = "../../.."

// leakPairs are the pairs in which each leak must show: 30 plans. The rarest, of the order, shows in one plan of four.
const leakPairs = 300

var parted = regexp.MustCompile(`the prison can tell world (\d+) of plan (\d+)`)

// Every kind of leak is caught. Without -leaks it only looks whether the leaks fit the program as it is.
func TestEveryKindOfLeakIsCaught(t *testing.T) {
	page, err := txtar.ParseFile("testdata/leaks.txtar")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	overlay := testkit.Overlay(t, root, dir, "testdata/leaks.txtar", editsOf(t, page))
	names := regexp.MustCompile(`(?m)^([a-z ]+): `).FindAllSubmatch(page.Comment, -1)
	if len(names) < 11 {
		t.Fatalf("%d leaks", len(names))
	}
	if !*leaks {
		return
	}
	binary := filepath.Join(dir, "valve.test")
	build := exec.Command("go", "test", "-vet=off", "-overlay", overlay, "-c", "-o", binary, "./internal/testkit/valve")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("with the leaks it does not build: %v\n%s", err, out)
	}
	play := func(leak string) ([]byte, error) {
		c := exec.Command(binary, "-test.run", "^TestTwoWorlds$", "-pairs", fmt.Sprint(leakPairs))
		c.Env = append(os.Environ(), "POSTERN_LEAK="+leak)
		return c.CombinedOutput()
	}
	// The control of the control: the same build with no leak switched on lets nobody tell the worlds apart.
	if out, err := play(""); err != nil {
		t.Fatalf("without a leak: %v\n%s", err, out[max(0, len(out)-2000):])
	}
	for _, name := range names {
		out, err := play(string(name[1]))
		m := parted.FindSubmatch(out)
		if err == nil || m == nil {
			t.Errorf("the leak %q is not caught in %d pairs: %v\n%s", name[1], leakPairs, err, out[max(0, len(out)-500):])
			continue
		}
		fmt.Printf("valve: leak %-10s caught in world %s of plan %s\n", name[1], m[1], m[2])
	}
}

// editsOf is the page as edits: pairs of the right lines of a file and what leaks there.
func editsOf(t *testing.T, page *txtar.Archive) (edits []testkit.Edit) {
	for i := 0; i+1 < len(page.Files); i += 2 {
		right, wrong := page.Files[i], page.Files[i+1]
		name, ok := strings.CutSuffix(right.Name, ": right")
		if !ok || wrong.Name != name+": wrong" {
			t.Fatalf("%s is not followed by what leaks there", right.Name)
		}
		edits = append(edits, testkit.Edit{File: name, Right: string(right.Data), Wrong: string(wrong.Data)})
	}
	return edits
}
