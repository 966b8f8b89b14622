package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/plain"
	"postern/internal/words"
)

// printJSON prints any value as JSON, indented. What a screen would act on instead of showing it, in a name say, is
// written as an escape of JSON: the same value, but nobody who looks at it is deceived.
func (a *app) printJSON(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := a.out.Write(escapeHidden(b.Bytes()))
	return err
}

// escapeHidden writes hidden characters in JSON as escapes; outside its strings JSON has none but line ends.
func escapeHidden(data []byte) []byte {
	var out []byte
	for _, r := range string(data) {
		switch {
		case r == '\n' || !plain.Hidden(r):
			out = utf8.AppendRune(out, r)
		default:
			for _, unit := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, "\\u%04x", unit)
			}
		}
	}
	return out
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
func pathList(paths []string) string { return pathListIn(words.English, paths) }

// pathListIn is pathList in a language.
func pathListIn(lang words.Language, paths []string) string {
	if len(paths) == 0 {
		return "none"
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = plain.PathWordsIn(lang, p)
	}
	return strings.Join(names, ", ")
}
