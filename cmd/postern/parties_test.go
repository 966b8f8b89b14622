package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// patience is how long a script waits for what must happen; a slow machine needs seconds, a fault needs for ever.
const patience = 30 * time.Second

// parties are the parties that serve in one script, each a process of its own, in the order they started.
type parties struct {
	env     []string
	log     string // the folder where each party's stdout and stderr are kept, across restarts
	serving []*process
}

// process is one `postern PARTY serve`.
type process struct {
	name  string
	cmd   *exec.Cmd
	ready chan struct{} // closed when it says that it serves: its sockets are open then
	ended chan struct{} // closed when it has ended and all it wrote is kept
	err   error         // how it ended; read after ended
}

type partiesKey struct{}

func newParties(e *testscript.Env) error {
	p := &parties{env: e.Vars, log: filepath.Join(e.WorkDir, "logs")}
	e.Values[partiesKey{}] = p
	e.Defer(func() {
		for _, left := range p.serving {
			_ = left.cmd.Process.Kill() // the script failed before it could stop them
			<-left.ended
		}
	})
	return os.Mkdir(p.log, 0o755)
}

func partiesOf(ts *testscript.TestScript) *parties { return ts.Value(partiesKey{}).(*parties) }

// start PARTY... starts parties by the names of their configurations, such as desk-BLI, with -v, and waits until each
// serves.
func start(ts *testscript.TestScript, neg bool, names []string) {
	affirm(ts, neg, "start")
	p := partiesOf(ts)
	for _, name := range names {
		started, err := p.start(ts, name)
		ts.Check(err)
		select {
		case <-started.ready:
		case <-started.ended:
			ts.Fatalf("%s did not start (%v):\n%s", name, started.err, ts.ReadFile(p.logFile(name)))
		case <-time.After(patience):
			ts.Fatalf("%s does not serve:\n%s", name, ts.ReadFile(p.logFile(name)))
		}
	}
}

func (p *parties) logFile(name string) string { return filepath.Join(p.log, name+".log") }

func (p *parties) start(ts *testscript.TestScript, name string) (*process, error) {
	command, _, _ := strings.Cut(name, "-")
	if command == "auditor" {
		command = "audit"
	}
	binary, err := lookPath(ts)
	if err != nil {
		return nil, err
	}
	s := &process{name: name, ready: make(chan struct{}), ended: make(chan struct{})}
	s.cmd = exec.Command(binary, command, "serve", "--config", name+".yaml", "-v")
	s.cmd.Dir, s.cmd.Env = ts.MkAbs("."), p.env
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // an interrupted check leaves no process
	kept, err := os.OpenFile(p.logFile(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, err
	}
	stderr, err := s.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	s.cmd.Stdout = kept
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	p.serving = append(p.serving, s)
	go s.watch(stderr, kept)
	return s, nil
}

// lookPath finds the postern that testscript made, in the script's own PATH.
func lookPath(ts *testscript.TestScript) (string, error) {
	first, _, _ := strings.Cut(ts.Getenv("PATH"), string(filepath.ListSeparator))
	return exec.LookPath(filepath.Join(first, "postern"))
}

// watch keeps what the process writes and sees when it says that it serves.
func (s *process) watch(stderr io.Reader, kept *os.File) {
	serving := sync.OnceFunc(func() { close(s.ready) })
	lines := bufio.NewReader(stderr)
	for {
		line, err := lines.ReadString('\n')
		_, writeErr := kept.WriteString(line)
		if strings.Contains(line, `"msg":"serving"`) {
			serving()
		}
		if err := errors.Join(err, writeErr); err != nil {
			break
		}
	}
	s.err = errors.Join(s.cmd.Wait(), kept.Close())
	close(s.ended)
}

// end PARTY... ends parties with SIGTERM; without names all, the last one started first. Each must end in 20 seconds,
// with exit code 0: it finished what it had begun. It is not called "stop": that is testscript's own word, which ends the
// whole script as passed.
func end(ts *testscript.TestScript, neg bool, names []string) {
	affirm(ts, neg, "end")
	p := partiesOf(ts)
	if len(names) == 0 {
		for _, s := range slices.Backward(p.serving) {
			names = append(names, s.name)
		}
	}
	for _, name := range names {
		s := p.take(ts, name)
		asked := time.Now()
		ts.Check(s.cmd.Process.Signal(syscall.SIGTERM))
		select {
		case <-s.ended:
			if s.err != nil {
				ts.Fatalf("%s ended with %v:\n%s", name, s.err, ts.ReadFile(p.logFile(name)))
			}
			took(ts, name+" ended", asked)
		case <-time.After(20 * time.Second):
			_ = s.cmd.Process.Kill()
			<-s.ended
			ts.Fatalf("%s did not end within 20 seconds of SIGTERM:\n%s", name, ts.ReadFile(p.logFile(name)))
		}
	}
}

// crash PARTY... ends parties with SIGKILL: they finish nothing.
func crash(ts *testscript.TestScript, neg bool, names []string) {
	affirm(ts, neg, "crash")
	for _, name := range names {
		s := partiesOf(ts).take(ts, name)
		ts.Check(s.cmd.Process.Kill())
		<-s.ended
	}
}

// take removes a party from those that serve. One that has ended by itself is an error.
func (p *parties) take(ts *testscript.TestScript, name string) *process {
	i := slices.IndexFunc(p.serving, func(s *process) bool { return s.name == name })
	if i < 0 {
		ts.Fatalf("%s was not started", name)
	}
	s := p.serving[i]
	select {
	case <-s.ended:
		ts.Fatalf("%s has ended by itself: %v\n%s", name, s.err, ts.ReadFile(p.logFile(name)))
	default:
	}
	p.serving = slices.Delete(p.serving, i, i+1)
	return s
}

func affirm(ts *testscript.TestScript, neg bool, word string) {
	if neg {
		ts.Fatalf("%s knows no !", word)
	}
}

// codeFrom is the exit code of a command that was run.
func codeFrom(err error) (int, error) {
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		return exit.ExitCode(), nil
	}
	return 0, fmt.Errorf("the command could not be run: %w", err)
}
