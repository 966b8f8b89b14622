package main

import (
	"context"
	"errors"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/rpc"
)

// party is a configuration that can be built into a party.
type party interface {
	Socket() string
	Build(context.Context, config.Runtime) (*config.Service, error)
}

// configFlag adds --config, which every command of a party needs.
func (a *app) configFlag(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&a.config, "config", "", "the party's configuration file")
	return c
}

// configPath returns --config, or a usage error.
func (a *app) configPath() (string, error) {
	if a.config == "" {
		return "", usage("--config is missing: name the party's configuration file")
	}
	return a.config, nil
}

// load reads the configuration with one of config.LoadHub, LoadDesk, LoadInbox, LoadAuditor.
func load[P party](a *app, read func(string) (P, error)) (P, error) {
	var none P
	path, err := a.configPath()
	if err != nil {
		return none, err
	}
	return read(path)
}

// serveCommand is `postern PARTY serve`.
func serveCommand[P party](a *app, short string, read func(string) (P, error)) *cobra.Command {
	return &cobra.Command{
		Use: "serve", Short: short, Args: exactly(0),
		RunE: func(c *cobra.Command, _ []string) error {
			p, err := load(a, read)
			if err != nil {
				return err
			}
			s, err := p.Build(c.Context(), config.NewRuntime(a.serveLog()))
			if err != nil {
				return err
			}
			collectLess()
			return s.Serve(c.Context())
		},
	}
}

// memoryLimit is as much as the collector lets a party take before it works harder (docs/decisions/0042).
const memoryLimit = 128 << 20

// collectLess lets garbage grow to six times what lives before it is collected, but not past 128 MB in all, unless GOGC
// and GOMEMLIMIT say otherwise. A party keeps some 12 MB alive and makes as much garbage in seventy submissions: at Go's
// default of once what lives, it would collect at every batch, and shrink the stacks that the next call grows again. With
// the limit an attack that makes more live does not make six times as much garbage.
func collectLess() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(600)
	}
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
}

// dial connects to the party's control socket, or, when nobody serves it, builds the party and runs the same code once
// in this process.
func dial(ctx context.Context, a *app, p party) (*grpc.ClientConn, func() error, error) {
	conn, err := rpc.DialLocal(p.Socket())
	if err == nil {
		return conn, conn.Close, nil
	}
	if fault.KindOf(err) != fault.Unavailable {
		return nil, nil, err
	}
	s, err := p.Build(ctx, config.NewRuntime(a.log()))
	if err != nil {
		return nil, nil, err
	}
	conn, stop, err := rpc.InProcess(rpc.LocalConfig{Log: a.log()}, s.Local)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return conn, func() error { stop(); return s.Close() }, nil
}

// with runs fn over a connection to the party.
func with[P party](ctx context.Context, a *app, read func(string) (P, error), fn func(context.Context, *grpc.ClientConn) error) (err error) {
	p, err := load(a, read)
	if err != nil {
		return err
	}
	conn, done, err := dial(ctx, a, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	return fn(ctx, conn)
}
