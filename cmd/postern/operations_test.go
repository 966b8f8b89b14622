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
	address := operationsLine.FindStringSubmatch(ts.ReadFile(args[1]))
	if address == nil {
		ts.Fatalf("%s names no operations listener", args[1])
	}
	client := http.Client{Timeout: patience}
	answer, err := client.Get("http://" + address[1] + args[2])
	ts.Check(err)
	defer answer.Body.Close()
	_, err = io.Copy(ts.Stdout(), answer.Body)
	ts.Check(err)
	if want, err := strconv.Atoi(args[0]); err != nil || answer.StatusCode != want {
		ts.Fatalf("code %d, want %s", answer.StatusCode, args[0])
	}
}

// took says how long something took, for whoever reads the figures.
func took(ts *testscript.TestScript, what string, since time.Time) {
	ts.Logf("%s in %d ms", what, time.Since(since).Milliseconds())
}
