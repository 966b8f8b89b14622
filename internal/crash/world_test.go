//go:build crash

package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"

	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
)

// patience is how long a world waits for what must happen. A loaded machine needs seconds; a fault needs for ever.
const patience = 60 * time.Second

// The parties of a world by the names of their configurations. The auditor does not serve: its commands run once.
const (
	hub        = "hub"
	deskBLI    = "desk-BLI"
	deskPRI    = "desk-PRI"
	bristol    = "inbox-E06000023"
	lancashire = "inbox-E10000017"
)

var (
	desks   = []string{deskBLI, deskPRI}
	inboxes = []string{bristol, lancashire}
	all     = []string{hub, bristol, lancashire, deskBLI, deskPRI}
)

// world is all parties on one folder, each a process of its own.
type world struct {
	t       testing.TB
	dir     string
	binary  string
	parties map[string]*party
}

// party is a process that serves, or did.
type party struct {
	cmd   *exec.Cmd
	conn  *grpc.ClientConn
	ready chan struct{} // closed when it says that it serves
	gone  chan struct{} // closed when it has ended
	err   error         // how; read after gone
}

// newWorld makes a folder with the demo's parties and starts none of them. Every world has a loopback address of its
// own, so that no connection of another one takes a killed party's port before it is back.
func newWorld(t testing.TB, n int, binary string) *world {
	t.Helper()
	w := &world{t: t, dir: filepath.Join(scratch(), fmt.Sprintf("%s-%d", strings.ReplaceAll(t.Name(), "/", "-"), n)), binary: binary, parties: map[string]*party{}}
	w.prepare()
	address := fmt.Sprintf("127.%d.%d.%d:", 1+n%250, 1+os.Getpid()%250, 1+n/250%250)
	files := must(filepath.Glob(filepath.Join(w.dir, "*.yaml")))(t)
	for _, f := range files {
		w.edit(f, `127\.0\.0\.1:`, address)
		w.edit(f, `(?m)^  base_seconds: .*`, "  base_seconds: 0.02")
		w.edit(f, `(?m)^  max_seconds: .*`, "  max_seconds: 0.2")
		w.edit(f, `(?m)^poll_seconds: .*`, "poll_seconds: 0.02")
	}
	w.loadDirectory()
	t.Cleanup(w.close)
	return w
}

// prepare makes the folder as the demo does, and ends the demo before its stories: hub.yaml is the last that it writes.
func (w *world) prepare() {
	w.t.Helper()
	demo := child(context.Background(), w.binary, "demo", "--dir", w.dir)
	if err := demo.Start(); err != nil {
		w.t.Fatal(err)
	}
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(patience); ; <-tick.C {
		if text, err := os.ReadFile(w.config(hub)); err == nil && len(text) > 0 {
			break
		}
		if time.Now().After(end) {
			w.t.Error("the demo makes no folder")
			break
		}
	}
	_ = demo.Process.Kill()
	_ = demo.Wait() // it was killed
	w.wipe()
}

// wipe removes all that parties have written, and leaves configurations, certificates and keys.
func (w *world) wipe() {
	w.t.Helper()
	for _, written := range []string{"*/*.db*", "*/vault", "hub-checkpoints/*"} {
		for _, path := range must(filepath.Glob(filepath.Join(w.dir, written)))(w.t) {
			if err := os.RemoveAll(path); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// loadDirectory brings the demo's directory into force once more.
func (w *world) loadDirectory(flags ...string) {
	w.t.Helper()
	w.run(append([]string{"hub", "--config", w.config(hub), "directory", "load", filepath.Join(w.dir, "directory.yaml")}, flags...)...)
}

// edit replaces a pattern in a file.
func (w *world) edit(file, pattern, text string) {
	w.t.Helper()
	b := must(os.ReadFile(file))(w.t)
	if err := os.WriteFile(file, regexp.MustCompile(pattern).ReplaceAll(b, []byte(text)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) config(name string) string { return filepath.Join(w.dir, name+".yaml") }

// run runs a command of postern and returns what it printed; a command that fails ends the test.
func (w *world) run(args ...string) []byte {
	w.t.Helper()
	out, err := w.try(args...)
	if err != nil {
		w.t.Fatal(err)
	}
	return out
}

func (w *world) try(args ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	cmd := child(ctx, w.binary, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("postern %s: %w\n%s%s", strings.Join(args, " "), err, out, said.Bytes())
	}
	return out, nil
}

// start starts parties and waits until each serves.
func (w *world) start(names ...string) {
	w.t.Helper()
	for _, name := range names {
		w.launch(name, nil)
	}
	for _, name := range names {
		w.await(name)
	}
}

// launch starts a party; wrapper is put before its command line, env after the environment of this process.
func (w *world) launch(name string, env []string, wrapper ...string) *party {
	w.t.Helper()
	command, _, _ := strings.Cut(name, "-")
	args := append(wrapper, w.binary, command, "serve", "--config", w.config(name), "-v")
	p := &party{cmd: child(context.Background(), args[0], args[1:]...), ready: make(chan struct{}), gone: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	log := must(os.OpenFile(w.log(name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))(w.t)
	said := &watch{log: log, serving: p.ready}
	p.cmd.Stdout, p.cmd.Stderr = log, said
	if err := p.cmd.Start(); err != nil {
		w.t.Fatal(errors.Join(err, log.Close()))
	}
	w.parties[name] = p
	go func() {
		p.err = errors.Join(p.cmd.Wait(), log.Close())
		close(p.gone)
	}()
	return p
}

func (w *world) log(name string) string { return filepath.Join(w.dir, name+".log") }

// watch keeps what a party logs and closes serving when it says that it serves: its sockets are open then.
type watch struct {
	log     *os.File
	last    []byte // what came before, in case the word is cut in two
	serving chan struct{}
	said    bool
}

// Write adds to the log.
func (s *watch) Write(b []byte) (int, error) {
	if !s.said {
		s.last = append(s.last, b...)
		if s.said = bytes.Contains(s.last, []byte(`"msg":"serving"`)); s.said {
			s.last = nil
			close(s.serving)
		}
	}
	return s.log.Write(b)
}

// await waits until a launched party serves, and connects to its control socket.
func (w *world) await(name string) {
	w.t.Helper()
	if err := w.serves(name); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) serves(name string) error {
	p := w.parties[name]
	select {
	case <-p.ready:
	case <-p.gone:
		return fmt.Errorf("%s ended before it served: %w\n%s", name, p.err, w.tail(name))
	case <-time.After(patience):
		return fmt.Errorf("%s does not serve\n%s", name, w.tail(name))
	}
	conn, err := rpc.DialLocal(filepath.Join(w.dir, name, "control.sock"))
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", name, err, w.tail(name))
	}
	p.conn = conn
	return nil
}

// tail is the end of what a party logged.
func (w *world) tail(name string) string {
	b, _ := os.ReadFile(w.log(name))
	if len(b) > 4096 {
		b = b[len(b)-4096:]
	}
	return string(b)
}

// kill ends parties with SIGKILL, all at one moment, and waits until they are gone.
func (w *world) kill(names ...string) {
	w.t.Helper()
	for _, name := range names {
		_ = w.parties[name].cmd.Process.Kill()
	}
	for _, name := range names {
		w.bury(name)
	}
}

// end ends parties with SIGTERM; each must end well.
func (w *world) end(names ...string) {
	w.t.Helper()
	for _, name := range names {
		if p := w.parties[name]; w.stop(name) != nil {
			w.t.Errorf("%s ended with %v\n%s", name, p.err, w.tail(name))
		}
	}
}

// stop ends a party with SIGTERM and returns how it ended.
func (w *world) stop(name string) error {
	w.t.Helper()
	p := w.parties[name]
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	w.bury(name)
	return p.err
}

// bury waits until a party is gone.
func (w *world) bury(name string) {
	w.t.Helper()
	p := w.parties[name]
	select {
	case <-p.gone:
	case <-time.After(patience):
		w.t.Fatalf("%s does not end\n%s", name, w.tail(name))
	}
	if p.conn != nil {
		_ = p.conn.Close()
	}
	delete(w.parties, name)
}

// close kills what is left, looks for names where none may be, and removes the folder of a world in which everything held.
func (w *world) close() {
	for name := range w.parties {
		_ = w.parties[name].cmd.Process.Kill()
		<-w.parties[name].gone
	}
	found, err := names(w.dir, words(w.t))
	if err != nil {
		w.t.Error(err)
	}
	for _, f := range found {
		w.t.Errorf("a name: %s", f)
	}
	if !w.t.Failed() {
		_ = os.RemoveAll(w.dir)
	} else {
		w.t.Logf("the folder of the world: %s", w.dir)
	}
}

func (w *world) desk(name string) localv1.DeskServiceClient {
	return localv1.NewDeskServiceClient(w.parties[name].conn)
}

func (w *world) inbox(name string) localv1.TeamServiceClient {
	return localv1.NewTeamServiceClient(w.parties[name].conn)
}

// inboxOf is the inbox of an authority; "" for none of these.
func inboxOf(authority string) string {
	i := slices.IndexFunc(inboxes, func(name string) bool { return strings.HasSuffix(name, authority) })
	if authority == "" || i < 0 {
		return ""
	}
	return inboxes[i]
}
