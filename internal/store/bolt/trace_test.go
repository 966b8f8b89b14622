//go:build crash

package bolt_test

import (
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// step is one thing that a process did to its database file, or said.
type step struct {
	write []byte // to be at offset; nil for another kind of step
	at    int64
	size  int64 // of a truncation; -1 otherwise
	sync  bool  // everything before it is on the disk
	acked int   // a transaction that the process said was durable; 0 otherwise
}

// call is a line of strace: a thread, a call, a file, and what else was given.
var call = regexp.MustCompile(`^(\d+) +(pwrite64|fdatasync|fsync|ftruncate|write)\(\d+<([^>]*)>(?:, (.*?))?(?:\) += (-?\d+).*| <unfinished \.\.\.>)$`)

// resumed is the end of a call that another thread's line came into.
var resumed = regexp.MustCompile(`^(\d+) +<\.\.\. (fdatasync|fsync) resumed>\) += 0`)

// record runs this test binary as a child that makes transactions in a new database, and returns what it did to the file.
func record(t *testing.T, dir, child string, env ...string) []step {
	t.Helper()
	out := filepath.Join(dir, "strace")
	cmd := exec.Command("strace", "-f", "-y", "-xx", "-s", "8388608", "--seccomp-bpf", "-e", "signal=none",
		"-e", "trace=pwrite64,fdatasync,fsync,ftruncate,write", "-o", out, os.Args[0], "-test.run", "^"+child+"$")
	cmd.Env = append(os.Environ(), env...)
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("recording: %v\n%s", err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	waits := map[string]bool{} // threads in a sync of the database whose end comes on a later line
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if m := resumed.FindStringSubmatch(line); m != nil && waits[m[1]] {
			delete(waits, m[1])
			steps = append(steps, step{size: -1, sync: true})
			continue
		}
		m := call.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		file := filepath.Base(string(unhex(t, m[3])))
		switch {
		case m[2] == "write":
			if n, ok := strings.CutPrefix(string(unhex(t, m[4])), "durable "); ok {
				acked, err := strconv.Atoi(strings.TrimSpace(n))
				if err != nil {
					t.Fatal(err)
				}
				steps = append(steps, step{size: -1, acked: acked})
			}
		case !strings.HasPrefix(file, "images.db") || strings.HasSuffix(file, ".reserve"):
		case m[2] == "pwrite64":
			fields := strings.Split(m[4], ", ")
			at, err := strconv.ParseInt(fields[len(fields)-1], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step{write: unhex(t, fields[0]), at: at, size: -1})
		case m[2] == "ftruncate":
			size, err := strconv.ParseInt(m[4], 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			steps = append(steps, step{size: size})
		case m[5] == "":
			waits[m[1]] = true
		default:
			steps = append(steps, step{size: -1, sync: true})
		}
	}
	return steps
}

// unhex reads a string of strace -xx, with or without its quotes.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	s, _, _ = strings.Cut(strings.TrimPrefix(s, `"`), `"`)
	b, err := hex.DecodeString(strings.ReplaceAll(s, `\x`, ""))
	if err != nil {
		t.Fatal(fmt.Errorf("strace: %w", err))
	}
	return b
}
