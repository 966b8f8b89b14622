package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"runtime/pprof"

	"postern/internal/config"
)

// profiledHub is `postern hub serve` with a CPU profile of its whole life, and beside it one of what it allocated.
func profiledHub(ctx context.Context, args []string) (err error) {
	if len(args) != 2 {
		return errors.New("usage: bench hub CONFIG PROFILE")
	}
	cfg, err := config.LoadHub(args[0])
	if err != nil {
		return err
	}
	out, err := os.Create(args[1])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	service, err := cfg.Build(ctx, config.NewRuntime(slog.New(slog.NewTextHandler(os.Stderr, nil))))
	if err != nil {
		return err
	}
	debug.SetGCPercent(600) // both as the program does
	debug.SetMemoryLimit(128 << 20)
	if err := pprof.StartCPUProfile(out); err != nil {
		return fmt.Errorf("profile: %w", err)
	}
	defer pprof.StopCPUProfile()
	defer func() {
		heap, create := os.Create(args[1] + ".allocs")
		if err = errors.Join(err, create); create == nil {
			err = errors.Join(err, pprof.Lookup("allocs").WriteTo(heap, 0), heap.Close())
		}
	}()
	return service.Serve(ctx)
}
