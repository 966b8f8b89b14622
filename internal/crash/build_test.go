//go:build crash

package crash

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// scratch is the folder of this test process: its programs and worlds.
func scratch() string {
	return filepath.Join(os.TempDir(), fmt.Sprintf("postern-crash-%d", os.Getpid()))
}

func TestMain(m *testing.M) {
	dieWithParent()
	if err := os.MkdirAll(scratch(), 0o700); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if code == 0 {
		_ = os.RemoveAll(scratch()) // what failed is kept to be looked at
	}
	os.Exit(code)
}

// release is the program as it is released, built once.
var release = sync.OnceValues(func() (string, error) { return build("") })

// armed is the program with its fail-points.
var armed = sync.OnceValues(func() (string, error) { return build("failpoint") })

func build(tags string) (string, error) {
	out := filepath.Join(scratch(), "postern"+tags)
	text, err := exec.Command("go", "build", "-buildvcs=false", "-tags", tags, "-o", out, "postern/cmd/postern").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("building postern: %w\n%s", err, text)
	}
	return out, nil
}

// spent reports whether no more than so much of the time of go test's -timeout is left to a soak: it then ends with what it
// has done. The small counts are always made in full.
func spent(t *testing.T, left time.Duration) bool {
	end, bounded := t.Deadline()
	return os.Getenv("POSTERN_SOAK") == "1" && bounded && time.Until(end) < left
}

// must returns the first of two results, when the second is nil.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
