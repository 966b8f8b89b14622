package main

import (
	"bytes"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// installation is what docs/install.md builds: a folder for each machine, with nothing in it but what the page made there
// or carried there.
type installation struct {
	t         *testing.T
	dir       string
	names     *strings.Replacer // the example's hosts, as they are here
	seen      map[string]string // what each machine printed last
	reference string            // of the notification, once it was printed
}

var machines = []string{"anchors", "hub", "prison", "authority", "auditor"}

// newInstallation makes the machines, and the examples with loopback ports that are free in the place of their hosts.
func newInstallation(t *testing.T) *installation {
	t.Helper()
	in := &installation{t: t, dir: t.TempDir(), seen: map[string]string{}}
	hub, inbox := freePort(t), freePort(t)
	in.names = strings.NewReplacer("hub.exchange.example:8443", hub, "inbox.council.example:8443", inbox)
	for _, m := range machines {
		in.must(os.Mkdir(in.at(m), 0o700))
	}
	in.must(os.CopyFS(in.at("examples"), os.DirFS("../../examples")))
	files, err := filepath.Glob(in.at("examples", "install", "*.yaml"))
	in.must(err)
	for _, file := range files {
		listen := map[string]string{"hub.yaml": hub, "inbox.yaml": inbox}[filepath.Base(file)]
		b, err := os.ReadFile(file)
		in.must(err)
		text := strings.NewReplacer("0.0.0.0:8443", listen, "127.0.0.1:9464", freePort(t), "# deliver_to: [10.20.0.0/16]", "deliver_to: [127.0.0.0/8]").Replace(in.names.Replace(string(b)))
		in.must(os.WriteFile(file, []byte(text), 0o644))
	}
	return in
}

func freePort(t *testing.T) string {
	t.Helper()
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer lis.Close()
	return lis.Addr().String()
}

func (in *installation) must(err error) {
	in.t.Helper()
	if err != nil {
		in.t.Fatal(err)
	}
}

func (in *installation) at(parts ...string) string {
	return filepath.Join(append([]string{in.dir}, parts...)...)
}

// run runs one line of the page on a machine, and keeps what it prints.
func (in *installation) run(machine, line string) error {
	c := exec.Command("bash", "-euc", reference.ReplaceAllString(line, in.reference))
	c.Dir, c.Env = in.at(machine), append(os.Environ(), "EXAMPLES="+in.at("examples"), "GORACE=atexit_sleep_ms=0")
	var out, errOut bytes.Buffer
	c.Stdout, c.Stderr = &out, &errOut
	err := c.Run()
	in.seen[machine] = out.String() + errOut.String()
	if r := printed.FindString(out.String()); r != "" {
		in.reference = r
	}
	return err
}

var (
	reference = regexp.MustCompile(`PN-\.\.\.\.-\.\.\.\.`)
	printed   = regexp.MustCompile(`PN-[0-9A-Z]{4}-[0-9A-Z]{4}`)
	serves    = regexp.MustCompile(`^postern (hub|desk|inbox) serve --config \S+$`)
	looks     = regexp.MustCompile(`^postern (doctor|\S+ (list|show|check)) `) // may be asked again: what it asks of others takes a moment
)

// step runs a line until it succeeds and prints what the page says; only what looks is run again.
func (in *installation) step(machine, line string, want []string) {
	in.t.Helper()
	if serves.MatchString(line) {
		in.serve(machine, strings.Fields(line))
		return
	}
	deadline, again := time.After(patience), time.NewTicker(100*time.Millisecond)
	defer again.Stop()
	for {
		err := in.run(machine, line)
		if err == nil && prints(in.seen[machine], want) {
			in.t.Logf("%s$ %s\n%s", machine, line, in.seen[machine])
			return
		}
		if !looks.MatchString(line) {
			in.t.Fatalf("on %s: %s: %v, without %q in\n%s", machine, line, err, want, in.seen[machine])
		}
		select {
		case <-deadline:
			in.t.Fatalf("on %s: %s: %v, without %q in\n%s", machine, line, err, want, in.seen[machine])
		case <-again.C:
		}
	}
}

// prints reports whether each line is somewhere in a text; an … stands for anything within a line.
func prints(text string, lines []string) bool {
	for _, line := range lines {
		pattern := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(line)), "…", `.*`)
		spaces := regexp.MustCompile(` +`).ReplaceAllString(pattern, ` .*`)
		if !regexp.MustCompile(spaces).MatchString(text) {
			return false
		}
	}
	return true
}

// serve starts a party, and ends it with the test: it must end as asked.
func (in *installation) serve(machine string, args []string) {
	in.t.Helper()
	s := &process{name: machine, ready: make(chan struct{}), ended: make(chan struct{}), cmd: exec.Command(args[0], args[1:]...)}
	s.cmd.Dir, s.cmd.SysProcAttr = in.at(machine), &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	log := in.at(machine, "serve.log")
	kept, err := os.Create(log)
	in.must(err)
	stderr, err := s.cmd.StderrPipe()
	in.must(err)
	in.must(s.cmd.Start())
	go s.watch(stderr, kept)
	in.t.Cleanup(func() {
		in.must(s.cmd.Process.Signal(syscall.SIGTERM))
		if <-s.ended; s.err != nil {
			in.t.Errorf("%s ended with %v", machine, s.err)
		}
	})
	select {
	case <-s.ready:
	case <-s.ended:
		b, _ := os.ReadFile(log)
		in.t.Fatalf("%s did not start: %v\n%s", machine, s.err, b)
	case <-time.After(patience):
		in.t.Fatalf("%s does not serve", machine)
	}
}

// carry does one line of what travels: FROM: FILE -> TO...: FILE.
func (in *installation) carry(line string) {
	in.t.Helper()
	from, to, _ := strings.Cut(line, " -> ")
	sender, file, _ := strings.Cut(from, ": ")
	receivers, name, ok := strings.Cut(to, ": ")
	if !ok {
		in.t.Fatalf("not FROM: FILE -> TO: FILE: %q", line)
	}
	b, err := os.ReadFile(in.at(sender, file))
	in.must(err)
	for _, receiver := range strings.Fields(receivers) {
		in.must(os.MkdirAll(filepath.Dir(in.at(receiver, name)), 0o700))
		in.must(os.WriteFile(in.at(receiver, name), b, 0o644))
	}
}

// play plays a page: blocks of sh begin with whose machine they are for, and a block of text says what the last line of
// the block before it has to print.
func (in *installation) play(page string) {
	in.t.Helper()
	blocks := regexp.MustCompile("(?ms)^```(sh|carry|text)\n(.*?)\n```$").FindAllStringSubmatch(page, -1)
	for i, b := range blocks {
		lines := strings.Split(b[2], "\n")
		switch b[1] {
		case "carry":
			for _, line := range lines {
				in.carry(line)
			}
		case "sh":
			machine, ok := strings.CutPrefix(lines[0], "# On the ")
			machine, whose := strings.CutSuffix(machine, " machine")
			if machine = strings.TrimSuffix(strings.TrimSuffix(machine, "'"), "'s"); !ok || !whose {
				in.t.Fatalf("a block does not say whose machine it is for: %q", lines[0])
			}
			for j, line := range lines[1:] {
				var want []string
				if j == len(lines)-2 && i+1 < len(blocks) && blocks[i+1][1] == "text" {
					want = strings.Split(blocks[i+1][2], "\n")
				}
				in.step(machine, in.names.Replace(line), want)
			}
		}
	}
}

// Somebody who has never seen Postern gets from an empty folder to a notification that the team has by docs/install.md
// alone, and no secret travels on the way.
func TestThePageInstallsAnExchange(t *testing.T) {
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	in := newInstallation(t)
	in.play(string(page))
	if !strings.Contains(in.seen["prison"], "DELIVERED") || !strings.Contains(in.seen["authority"], in.reference) || in.reference == "" {
		t.Errorf("no notification arrived: %v", in.seen)
	}
	for _, config := range []string{"hub/hub.yaml", "prison/desk.yaml", "authority/inbox.yaml", "auditor/auditor.yaml"} {
		in.step(filepath.Dir(config), "postern doctor --config "+filepath.Base(config), nil)
	}
	in.noSecretTravelled()
}

// What the page quotes the program says: every quotation of its last table is somewhere in the source.
func TestThePageOfInstallationQuotesTheProgram(t *testing.T) {
	page, err := os.ReadFile("../../docs/install.md")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	err = fs.WalkDir(os.DirFS("../../internal"), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
			return err
		}
		b, err := os.ReadFile(filepath.Join("../../internal", path))
		source.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(page), "| it says | it is |")
	quotes := regexp.MustCompile(`"([^"]+)"`).FindAllStringSubmatch(table, -1)
	if len(quotes) < 15 {
		t.Errorf("only %d quotations", len(quotes))
	}
	for _, q := range quotes {
		for piece := range strings.SplitSeq(q[1], "…") {
			if !strings.Contains(source.String(), strings.TrimSpace(piece)) {
				t.Errorf("nothing says %q", piece)
			}
		}
	}
}

// noSecretTravelled looks for every private key of each machine on all others, and that nobody else may read it.
func (in *installation) noSecretTravelled() {
	in.t.Helper()
	secrets, machineOf := map[string][]byte{}, func(path string) string { return strings.Split(path, "/")[0] }
	all := map[string][]byte{}
	in.must(fs.WalkDir(os.DirFS(in.dir), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(in.at(path))
		all[path] = b
		if strings.HasSuffix(path, "key.pem") || strings.HasSuffix(path, ".key") {
			secrets[path] = bytes.TrimSpace(b)
			if info, err := d.Info(); err != nil || info.Mode().Perm() != 0o600 {
				in.t.Errorf("%s has the mode %v (%v)", path, info.Mode(), err)
			}
		}
		return err
	}))
	if len(secrets) < 4+5+2+1+1 {
		in.t.Errorf("only %d secrets: this looks at the wrong files", len(secrets))
	}
	for path, secret := range secrets {
		for other, content := range all {
			if machineOf(other) != machineOf(path) && bytes.Contains(content, secret) {
				in.t.Errorf("%s lies in %s", path, other)
			}
		}
	}
}
