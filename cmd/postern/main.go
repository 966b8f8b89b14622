// Command postern is all four parties of Postern in one binary: desk, hub, inbox and auditor, and the tools around
// them. Results go to stdout, progress and logs to stderr.
//
// Exit codes: 0 done (also: queued), 1 error, 2 usage, 3 not verified, 4 a child was not shared (waiting, withheld or
// referred to a person), 5 a part that is needed does not answer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"postern/internal/fault"
	"postern/internal/ops"
	"postern/internal/words"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // the second time ends it at once, as where it waits for what somebody types
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// app is what every command shares.
type app struct {
	in       io.Reader
	out, err io.Writer
	config   string // --config
	output   string // -o
	lang     string // --lang
	verbose  bool   // -v
}

// run runs one command line and returns its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	a := &app{in: in, out: out, err: errOut}
	root := &cobra.Command{
		Use:           "postern",
		Short:         "Word to the early help team that a child's parent is now in prison, with the parent's consent",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	root.PersistentFlags().StringVarP(&a.output, "output", "o", "table", "how to print results: table or json")
	root.PersistentFlags().BoolVarP(&a.verbose, "verbose", "v", false, "log every step to stderr")
	root.PersistentPreRunE = func(*cobra.Command, []string) error {
		if a.output != "table" && a.output != "json" {
			return usage("-o is table or json")
		}
		if _, ok := words.Parse(a.lang); a.lang != "" && !ok {
			return usage("--lang is en or cy")
		}
		return nil
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.AddCommand(a.demoCommand(), a.hubCommand(), a.deskCommand(), a.inboxCommand(), a.auditCommand(), a.agreementCommand(), a.policyCommand(), a.postcodeCommand(),
		a.caCommand(), a.configCommand(), a.doctorCommand(), a.versionCommand())
	needsCommand(root)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	var code exitCode
	if errors.As(err, &code) {
		return int(code)
	}
	fmt.Fprintln(errOut, "postern: "+message(err))
	return codeOf(err)
}

// exitCode ends the command with a code after everything was printed.
type exitCode int

// Error names the code.
func (c exitCode) Error() string { return fmt.Sprintf("exit code %d", int(c)) }

// usageError is a mistake in the command line.
type usageError struct{ error }

func usage(message string) error { return usageError{errors.New(message)} }

// message is what a person at a terminal reads: on their own machine, so the cause may be shown too.
func message(err error) string {
	if isUsage(err) {
		return err.Error() + "\nSee: postern help"
	}
	if errors.Is(err, context.Canceled) {
		return "Stopped."
	}
	f := fault.From(err)
	if f.Kind == fault.Internal && errors.Unwrap(f) != nil {
		return f.Error() + " (" + errors.Unwrap(f).Error() + ")"
	}
	if len(f.Fields) > 0 || f.Reason == "" { // each field says it
		return f.Error()
	}
	return f.Error() + "\nReason: " + f.Reason + "." // by which docs/operations.md explains it
}

// isUsage reports whether the command line itself was wrong.
func isUsage(err error) bool {
	var u usageError
	return errors.As(err, &u) || isCobraUsage(err)
}

func codeOf(err error) int {
	if isUsage(err) {
		return 2
	}
	switch fault.KindOf(err) {
	case fault.Unverified:
		return 3
	case fault.Unavailable, fault.Exhausted, fault.Deadline:
		return 5
	}
	return 1
}

// log is the command's logger: warnings and errors, or everything with -v.
func (a *app) log() *slog.Logger {
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(ops.Guarded(slog.NewTextHandler(a.err, &slog.HandlerOptions{Level: level})))
}

// serveLog is the logger of a serving party: one JSON line an event.
func (a *app) serveLog() *slog.Logger {
	level := slog.LevelInfo
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(ops.Guarded(slog.NewJSONHandler(a.err, &slog.HandlerOptions{Level: level})))
}
