package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/plain"
)

// printJSON prints any value as JSON, indented.
func (a *app) printJSON(v any) error {
	e := json.NewEncoder(a.out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// list prints things: a table with a head, or a JSON array of objects.
func list[M any](a *app, items []M, toMap func(M) map[string]any, empty string, head []string, row func(M) []string) error {
	if a.output == "json" {
		out := make([]map[string]any, len(items))
		for i, m := range items {
			out[i] = toMap(m)
		}
		return a.printJSON(out)
	}
	if len(items) == 0 {
		_, err := fmt.Fprintln(a.out, empty)
		return err
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.Join(head, "\t"))
	for _, m := range items {
		fmt.Fprintln(w, strings.Join(row(m), "\t"))
	}
	return w.Flush()
}

func (a *app) line(format string, args ...any) { fmt.Fprintf(a.out, format+"\n", args...) }

func (a *app) indented(lines []string) {
	for _, l := range lines {
		a.line("  %s", l)
	}
}

// when is a moment on the wall of this machine.
func when(t *timestamppb.Timestamp) string {
	if t == nil {
		return ""
	}
	return plain.Time(t.AsTime().In(time.Local))
}

// pathList names section paths, or says that there are none.
func pathList(paths []string) string {
	if len(paths) == 0 {
		return "none"
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = plain.PathWords(p)
	}
	return strings.Join(names, ", ")
}
