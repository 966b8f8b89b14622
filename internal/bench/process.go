package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"postern/internal/config"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
)

// build builds a command of this module.
func (b *bench) build(out, pkg string) error {
	text, err := exec.CommandContext(b.ctx, "go", "build", "-buildvcs=false", "-o", out, pkg).CombinedOutput()
	if err != nil {
		return fmt.Errorf("building %s: %w\n%s", pkg, err, text)
	}
	return nil
}

// process is a peer or a hub that runs.
type process struct {
	cmd  *exec.Cmd
	log  *os.File
	done chan error
}

// start runs a program with its output in a file, as under a service manager.
func (b *bench) start(name string, args ...string) (*process, error) {
	log, err := os.CreateTemp(b.dir, filepath.Base(name)+"-*.log")
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(b.ctx, name, args...), log: log, done: make(chan error, 1)}
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.cmd.Start(); err != nil {
		return nil, errors.Join(err, log.Close())
	}
	go func() { p.done <- p.cmd.Wait() }()
	return p, nil
}

// ready waits until ask succeeds.
func (p *process) ready(ctx context.Context, ask func() error) error {
	for {
		err := ask()
		if err == nil {
			return nil
		}
		select {
		case ended := <-p.done:
			p.done <- ended
			text, _ := os.ReadFile(p.log.Name())
			return fmt.Errorf("%s ended before it was ready: %w\n%s", filepath.Base(p.cmd.Path), ended, bytes.TrimSpace(text))
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(time.Millisecond):
		}
	}
}

// said waits until the process has logged something, and fails where it logs something else instead.
func (p *process) said(ctx context.Context, what, instead string) error {
	for {
		text, err := os.ReadFile(p.log.Name())
		switch {
		case err != nil || bytes.Contains(text, []byte(what)):
			return err
		case bytes.Contains(text, []byte(instead)):
			return fmt.Errorf("%s said %q", filepath.Base(p.cmd.Path), instead)
		}
		select {
		case ended := <-p.done:
			p.done <- ended
			return fmt.Errorf("%s ended before it said %q: %w", filepath.Base(p.cmd.Path), what, ended)
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// stop ends the process as a service manager would.
func (p *process) stop() error {
	err := p.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-p.done
	return errors.Join(err, p.log.Close())
}

// cpu is the processor time that the process has used, in user mode and in the kernel.
func (p *process) cpu() (user, system time.Duration) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, 0
	}
	const tick = time.Second / 100 // USER_HZ, the same on every Linux that Go runs on
	u, _ := strconv.Atoi(fields[11])
	s, _ := strconv.Atoi(fields[12])
	return time.Duration(u) * tick, time.Duration(s) * tick
}

// memory is what the process holds in memory, in MB: all of it, and without the pages of files, which the kernel
// takes back when it needs them.
func (p *process) memory() (resident, anonymous int) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n, _ := strconv.Atoi(f[1])
		switch f[0] {
		case "VmRSS:":
			resident = n >> 10
		case "RssAnon:":
			anonymous = n >> 10
		}
	}
	return resident, anonymous
}

// freeAddress is a loopback address that nobody uses.
func freeAddress() (string, error) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return lis.Addr().String(), lis.Close()
}

// hub is a hub in a process of its own, on a folder of the demo.
type hub struct {
	*process
	cfg *config.Hub
}

// makeFolder is demoFolder, with a hub that lets one party ask as much as it likes: every client of the benchmark has the
// certificate of the same desk.
func (b *bench) makeFolder(name string) (string, error) {
	folder, err := b.demoFolder(name)
	if err != nil {
		return "", err
	}
	f, err := os.OpenFile(filepath.Join(folder, "hub.yaml"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString("\nlimits: {calls_per_second: 1000000, calls_burst: 1000000, calls_at_once: 10000, bytes_per_second: 1000000000, bytes_burst: 1000000000}\n")
	return folder, errors.Join(err, f.Close())
}

// demoFolder plays the demo once, which leaves certificates, keys, a directory and a small log.
func (b *bench) demoFolder(name string) (string, error) {
	folder := filepath.Join(b.dir, name)
	if text, err := exec.CommandContext(b.ctx, b.postern, "demo", "--once", "--dir", folder).CombinedOutput(); err != nil {
		return "", fmt.Errorf("making a folder: %w\n%s", err, text)
	}
	return folder, nil
}

// startHub serves the hub of a folder and waits until it answers on its control socket. No inbox is up: deliveries are
// written to the outbox and wait there, as on a night when the authority's own machine is down.
func (b *bench) startHub(folder string) (*hub, error) {
	cfg, err := config.LoadHub(filepath.Join(folder, "hub.yaml"))
	if err != nil {
		return nil, err
	}
	name, args := b.postern, []string{"hub", "serve", "--config", filepath.Join(folder, "hub.yaml")}
	if b.opts.profile != "" {
		if name, err = os.Executable(); err != nil {
			return nil, err
		}
		args = []string{"hub", filepath.Join(folder, "hub.yaml"), b.opts.profile}
	}
	p, err := b.start(name, args...)
	if err != nil {
		return nil, err
	}
	h := &hub{p, cfg}
	if err := p.ready(b.ctx, func() error { return h.status(b.ctx) }); err != nil {
		return nil, errors.Join(err, p.stop())
	}
	return h, nil
}

func (h *hub) status(ctx context.Context) error {
	conn, err := rpc.DialLocal(h.cfg.Socket())
	if err != nil {
		return err
	}
	_, err = localv1.NewHubServiceClient(conn).GetStatus(ctx, &localv1.GetStatusRequest{})
	return errors.Join(err, conn.Close())
}

// own is the processor time of this process so far: that of the clients.
func own() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
