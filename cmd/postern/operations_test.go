package main

import (
	"io"
	"net/http"
	"regexp"
	"strconv"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

var operationsLine = regexp.MustCompile(`(?m)^operations: (\S+)$`)

// get CODE CONFIG PATH asks the operations listener of a party and checks the code; the answer is its stdout.
func get(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "get")
	if len(args) != 3 {
		ts.Fatalf("usage: get CODE CONFIG PATH")
	}
	code, body := ask(ts, args[1], args[2])
	_, err := io.WriteString(ts.Stdout(), body)
	ts.Check(err)
	if want, err := strconv.Atoi(args[0]); err != nil || code != want {
		ts.Fatalf("code %d, want %s", code, args[0])
	}
}

// becomes PATTERN CONFIG PATH asks a party's operations listener again until its answer matches.
func becomes(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "becomes")
	if len(args) != 3 {
		ts.Fatalf("usage: becomes PATTERN CONFIG PATH")
	}
	pattern, err := regexp.Compile("(?m)" + args[0])
	ts.Check(err)
	deadline, again := time.After(patience), time.NewTicker(50*time.Millisecond)
	defer again.Stop()
	for {
		_, body := ask(ts, args[1], args[2])
		if pattern.MatchString(body) {
			return
		}
		select {
		case <-deadline:
			ts.Fatalf("it did not happen: no match for %q in %s", args[0], body)
		case <-again.C:
		}
	}
}

func ask(ts *testscript.TestScript, config, path string) (code int, body string) {
	address := operationsLine.FindStringSubmatch(ts.ReadFile(config))
	if address == nil {
		ts.Fatalf("%s names no operations listener", config)
	}
	client := http.Client{Timeout: patience}
	answer, err := client.Get("http://" + address[1] + path)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	return answer.StatusCode, string(text)
}

// took says how long something took, for whoever reads the figures.
func took(ts *testscript.TestScript, what string, since time.Time) {
	ts.Logf("%s in %d ms", what, time.Since(since).Milliseconds())
}
