package outlet_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/outlet"
)

func TestHook(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out")
	run := func(timeout time.Duration, script string) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // who asked is gone: the command runs to its end all the same
		return outlet.Hook{Command: []string{"/bin/sh", "-c", script, "hook", out}, Timeout: timeout}.Run(ctx, parcel(5))
	}
	if err := run(time.Minute, `cat > "$1"; echo "$POSTERN_PARCEL $POSTERN_KIND $POSTERN_REFERENCE $HOME" >> "$1"`); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	if want := "{}\n05ab" + strings.Repeat("0", 28) + " NOTIFICATION PN-7K3F-9Q2M \n"; err != nil || string(b) != want {
		t.Errorf("it was given %q, %v", b, err)
	}
	if err := run(time.Minute, "exit 0"); err != nil {
		t.Errorf("one that reads nothing and has it: %v", err)
	}
	for _, script := range []string{"echo Quillfeather >&2; exit 1", "exit 75"} {
		if err := run(time.Minute, script); fault.From(err).Reason != "HOOK" || strings.Contains(err.Error()+errors.Unwrap(err).Error(), "Quillfeather") {
			t.Errorf("%q: %v", script, err)
		}
	}
	for _, script := range []string{"kill -9 $$", "kill -TERM $$"} {
		if err := run(time.Minute, script); !errors.Is(err, outlet.ErrUnclear) {
			t.Errorf("%q: %v", script, err)
		}
	}
	// What it started ends with it.
	if err := run(50*time.Millisecond, `sleep 1000 & wait`); !errors.Is(err, outlet.ErrUnclear) {
		t.Errorf("one that takes too long: %v", err)
	}
	if err := (outlet.Hook{Command: []string{"/there/is/no/such/command"}, Timeout: time.Minute}).Run(t.Context(), parcel(6)); fault.From(err).Reason != "HOOK" {
		t.Errorf("one that is not there: %v", err)
	}
}
