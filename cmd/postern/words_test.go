package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// exits CODE COMMAND... runs a command and checks its exit code exactly.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "exits")
	if len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	code, err := codeFrom(ts.Exec(args[1], args[2:]...))
	ts.Check(err)
	if want, err := strconv.Atoi(args[0]); err != nil || code != want {
		ts.Fatalf("exit code %d, want %s", code, args[0])
	}
}

// await PATTERN COMMAND... runs a command again until it succeeds and its stdout matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "await")
	if len(args) < 2 {
		ts.Fatalf("usage: await PATTERN COMMAND...")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline, again := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for {
		err := ts.Exec(args[1], args[2:]...)
		if err == nil && pattern.MatchString(ts.ReadFile("stdout")) {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("it did not happen: no match for %q (%v)", args[0], err)
		case <-again.C:
		}
	}
}

// edit FILE OLD NEW writes NEW for the one OLD in a file.
func edit(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "edit")
	if len(args) != 3 {
		ts.Fatalf("usage: edit FILE OLD NEW")
	}
	text, old := ts.ReadFile(args[0]), strings.ReplaceAll(args[1], `\n`, "\n")
	if n := strings.Count(text, old); n != 1 {
		ts.Fatalf("%q is %d times in %s, not once", args[1], n, args[0])
	}
	text = strings.Replace(text, old, strings.ReplaceAll(args[2], `\n`, "\n"), 1)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o644))
}

// flip FILE PATTERN changes the first character after what a pattern matches, to another that base64 may hold.
func flip(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "flip")
	if len(args) != 2 {
		ts.Fatalf("usage: flip FILE PATTERN")
	}
	pattern, err := regexp.Compile(args[1])
	ts.Check(err)
	text := []byte(ts.ReadFile(args[0]))
	at := pattern.FindIndex(text)
	if at == nil {
		ts.Fatalf("no match for %q", args[1])
	}
	if text[at[1]] != 'A' {
		text[at[1]] = 'A'
	} else {
		text[at[1]] = 'B'
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), text, 0o644))
}

// jsonValue is the word json: `json PATH VALUE` checks a value in the JSON that the last command printed. A path is keys
// and indexes with dots; length is the length of a list. Text is compared without its quotes, anything else as JSON.
func jsonValue(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: [!] json PATH VALUE")
	}
	if got := scalar(ts, args[0]); (got == args[1]) == neg {
		ts.Fatalf("%s is %s", args[0], got)
	}
}

// bind VARIABLE PATH puts a value of the JSON that the last command printed into an environment variable.
func bind(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "bind")
	if len(args) != 2 {
		ts.Fatalf("usage: bind VARIABLE PATH")
	}
	ts.Setenv(args[0], scalar(ts, args[1]))
}

func scalar(ts *testscript.TestScript, path string) string {
	v := output(ts)
	for step := range strings.SplitSeq(path, ".") {
		switch at := v.(type) {
		case map[string]any:
			inner, ok := at[step]
			if !ok {
				ts.Fatalf("no %s in %s", step, path)
			}
			v = inner
		case []any:
			if step == "length" {
				v = len(at)
				continue
			}
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(at) {
				ts.Fatalf("no %s in %s", step, path)
			}
			v = at[i]
		default:
			ts.Fatalf("nothing below %s in %s", step, path)
		}
	}
	if s, ok := v.(string); ok {
		return s
	}
	b, err := json.Marshal(v)
	ts.Check(err)
	return string(b)
}

// output is the JSON that the last command printed.
func output(ts *testscript.TestScript) any {
	var v any
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &v); err != nil {
		ts.Fatalf("the output is not JSON: %v\n%s", err, ts.ReadFile("stdout"))
	}
	return v
}

// shape FILE [PATH...] checks the keys and kinds of values in the JSON that the last command printed, without what is
// below the paths: what others rest on is that every key is there, also when a value is empty, and none is new.
func shape(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "shape")
	if len(args) == 0 {
		ts.Fatalf("usage: shape FILE [PATH...]")
	}
	lines := map[string]bool{}
	outline("", output(ts), args[1:], lines)
	got := strings.Join(slices.Sorted(maps.Keys(lines)), "\n") + "\n"
	if want := ts.ReadFile(args[0]); got != want {
		ts.Fatalf("the shape is\n%s\nnot\n%s", got, want)
	}
}

// outline collects a line for each key: its path and the kind of its value.
func outline(path string, v any, opaque []string, lines map[string]bool) {
	kind := "null"
	switch v := v.(type) {
	case map[string]any:
		kind = "object"
		if !slices.Contains(opaque, path) {
			for k, inner := range v {
				outline(strings.TrimPrefix(path+"."+k, "."), inner, opaque, lines)
			}
		}
	case []any:
		kind = "list"
		for _, inner := range v {
			outline(path+"[]", inner, opaque, lines)
		}
	case string:
		kind = "text"
	case float64:
		kind = "number"
	case bool:
		kind = "bool"
	}
	lines[strings.TrimSpace(fmt.Sprintf("%s %s", path, kind))] = true
}
