//go:build crash

package crash

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// child is a command that the kernel kills when this process ends, however that ends: an interrupted check leaves no
// party behind. A tracer that is put before it changes nothing: what it starts in its own place stays our child.
func child(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// dieWithParent does the same for this process and go test, which started it.
func dieWithParent() {
	_, _, _ = syscall.RawSyscall(syscall.SYS_PRCTL, syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0)
}

// TestAnInterruptedCheckLeavesNoProcess kills a test process that has started one, and sees both gone.
func TestAnInterruptedCheckLeavesNoProcess(t *testing.T) {
	if os.Getenv("POSTERN_CRASH_HANGS") != "" {
		sleeper := child(context.Background(), "sleep", "1h")
		if err := sleeper.Start(); err != nil {
			t.Fatal(err)
		}
		_, _ = os.Stdout.WriteString("started " + strconv.Itoa(sleeper.Process.Pid) + "\n")
		select {}
	}
	check := child(t.Context(), os.Args[0], "-test.run", "^"+t.Name()+"$")
	check.Env = append(os.Environ(), "POSTERN_CRASH_HANGS=1")
	out := must(check.StdoutPipe())(t)
	if err := check.Start(); err != nil {
		t.Fatal(err)
	}
	line := must(bufio.NewReader(out).ReadString('\n'))(t)
	pid := strings.TrimSpace(strings.TrimPrefix(line, "started "))
	if !running(pid) {
		t.Fatalf("it said %q, and no such process runs", line)
	}
	_ = check.Process.Kill()
	_ = check.Wait() // it was killed
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); running(pid); <-tick.C {
		if time.Now().After(end) {
			t.Fatal("the process that it had started goes on")
		}
	}
}

// running reports whether there is such a process, and it is not only waited for.
func running(pid string) bool {
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	_, state, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(state, "Z")
}
