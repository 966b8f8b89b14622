package outlet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"syscall"
	"time"

	"postern/internal/fault"
)

// Hook is a command of the team's own. It is given the parcel's JSON on its standard input and, in its environment,
// POSTERN_PARCEL (an id, the same if it should ever be given the same parcel again), POSTERN_KIND and POSTERN_REFERENCE.
// Exit code 0 says that it has the parcel; any other, that it has nothing of it and is to be asked again. What it writes
// is thrown away: it may hold names, and our log may not.
type Hook struct {
	Command []string // an absolute path and arguments
	Timeout time.Duration
}

// ErrUnclear: it cannot be told whether the command has the parcel. It must not be run again for it by itself.
var ErrUnclear = fault.New(fault.Precondition, "UNCLEAR",
	"It is not known whether the command took this. Look in the case system, then say so with `postern inbox outlets settle`.")

// Run runs the command for a parcel. It runs to its end or its timeout, whatever becomes of the caller: an end in between
// would leave what it did unclear.
func (h Hook) Run(ctx context.Context, p Parcel) error {
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), h.Timeout)
	defer cancel()
	c := exec.CommandContext(within, h.Command[0], h.Command[1:]...)
	c.Stdin = bytes.NewReader(p.JSON)
	c.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin", "POSTERN_PARCEL=" + p.Name(), "POSTERN_KIND=" + string(p.Kind), "POSTERN_REFERENCE=" + p.Reference}
	// A group of its own, so that what it started ends with it; and so that a signal to us is none to it.
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	err := c.Start()
	if err != nil {
		return hookFault(errors.New("it cannot be started"))
	}
	err = c.Wait()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return nil
	case within.Err() != nil:
		return ErrUnclear
	case errors.As(err, &exit) && exit.ExitCode() > 0:
		return hookFault(fmt.Errorf("exit code %d", exit.ExitCode()))
	case errors.As(err, &exit): // a signal ended it
		return ErrUnclear
	case c.ProcessState != nil && c.ProcessState.Success():
		return nil // it did not read all, or left something behind that holds its output open
	}
	return ErrUnclear
}

func hookFault(cause error) error {
	return fault.New(fault.Unavailable, "HOOK", "The command for the case system did not take what it was given. Run it by hand with a test and read what it says.").Because(cause)
}
