// Command bench measures Postern against the real thing beside it, on one machine and in one run.
//
// Every figure is a ratio of two medians that were taken in turns, so that a neighbour who makes the machine slow makes
// both slow. The peers are separate processes of pinned versions: a bare grpc-go echo over the same mutual TLS and with
// the same bytes, `opa run --server` with the same policy, bbolt, OPA's prepared query. The hub is the program itself,
// started on a folder that `postern demo` made; nothing in it is switched off.
//
// It is a program and no test: it needs the machine for itself, and a number is not right or wrong. It does not say
// why a figure is what it is; -profile writes a profile of the hub for that. Run it with make bench.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// options are the flags.
type options struct {
	rows    []int  // which rows to measure
	rounds  int    // how often the peers take turns
	submits int    // notifications a round
	entries int    // the size of the long log in rows 5, 6 and 9
	input   int    // bytes of Input in each of its entries; 0 for a whole one
	out     string // the page to write; empty for none
	profile string // where to put a CPU profile of the hub; empty for none
	dir     string // an empty folder on the disk to measure; empty for a temporary one
}

// rows says how each row is measured, in the order of the table.
var rows = []struct {
	numbers []int
	measure func(*bench) error
}{
	{[]int{1, 2, 3}, (*bench).line},
	{[]int{4}, (*bench).appends},
	{[]int{5, 6}, (*bench).longLog},
	{[]int{7}, (*bench).export},
	{[]int{8}, (*bench).replay},
	{[]int{9}, (*bench).search},
	{[]int{10}, (*bench).postcodes},
	{[]int{11}, (*bench).demo},
	{[]int{13}, (*bench).attacks},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "echo":
			return echoServer(ctx, args[1:])
		case "parts":
			return partsServer(ctx, args[1:])
		case "hub":
			return profiledHub(ctx, args[1:])
		}
	}
	var o options
	var list string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&list, "rows", "1,2,3,4,5,6,7,8,9,10,11,13", "the rows of the table to measure")
	f.IntVar(&o.rounds, "rounds", 5, "how often the peers take turns; figures are medians")
	f.IntVar(&o.submits, "submits", 4000, "notifications a round")
	f.IntVar(&o.entries, "entries", 100_000, "entries of the long log in rows 5, 6 and 9")
	f.IntVar(&o.input, "input", 0, "bytes of Input in each of those entries; 0 for a whole one")
	f.StringVar(&o.out, "out", "", "the page to write")
	f.StringVar(&o.profile, "profile", "", "write a CPU profile of the hub under load to this file")
	f.StringVar(&o.dir, "dir", "", "work in this folder, on the disk to measure, instead of a temporary one")
	if err := f.Parse(args); err != nil {
		return err
	}
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(s)
		if err != nil {
			return fmt.Errorf("-rows: %q is not a number", s)
		}
		o.rows = append(o.rows, n)
	}
	return measure(ctx, o)
}

// bench is one run.
type bench struct {
	ctx     context.Context
	opts    options
	dir     string
	postern string // the program, built
	table   table
}

func measure(ctx context.Context, o options) (err error) {
	b := &bench{ctx: ctx, opts: o, dir: o.dir}
	if b.dir == "" {
		if b.dir, err = os.MkdirTemp("", "postern-bench-"); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	}
	b.postern = filepath.Join(b.dir, "postern")
	if err := b.build(b.postern, "./cmd/postern"); err != nil {
		return err
	}
	b.table.start()
	for _, row := range rows {
		if !slices.ContainsFunc(row.numbers, b.wants) {
			continue
		}
		if err := row.measure(b); err != nil {
			return fmt.Errorf("row %d: %w", row.numbers[0], err)
		}
	}
	text := b.table.markdown(o)
	fmt.Print(text)
	if o.out == "" {
		return nil
	}
	return os.WriteFile(o.out, []byte(text), 0o644)
}

func (b *bench) wants(row int) bool { return slices.Contains(b.opts.rows, row) }

// say tells the person who waits what is going on.
func (b *bench) say(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
