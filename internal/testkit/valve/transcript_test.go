package valve

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ops"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// transcript is all that a desk hears and shows, in order, one line each.
type transcript struct {
	bytes.Buffer
	submitted []byte // the last notification that the desk sent
}

// carry writes down every call: when, what was asked, what came back, to the last byte. With draw the random values begin
// anew for what the hub does of it, and again for what the desk does after it.
func (tr *transcript) carry(now func() time.Time, draw func()) testkit.Carrier {
	return func(method string, request []byte, deliver func() ([]byte, error)) ([]byte, error) {
		fmt.Fprintf(tr, "%s → %s %x\n", now().Format("2T15:04"), path.Base(method), request)
		if path.Base(method) == "Submit" {
			tr.submitted = bytes.Clone(request)
		}
		draw()
		answer, err := deliver()
		draw()
		fmt.Fprintf(tr, "%s ← %s %d %x %s\n", now().Format("2T15:04"), path.Base(method), len(answer), answer, words(err))
		return answer, err
	}
}

func (tr *transcript) lastManifest(t *testing.T) []byte {
	req := &posternv1.SubmitRequest{}
	if err := proto.Unmarshal(tr.submitted, req); err != nil {
		t.Fatal(err)
	}
	return req.GetNotification().GetManifest().GetPayload()
}

// words are all of an error that its caller gets.
func words(err error) string {
	if err == nil {
		return "ok"
	}
	f := fault.From(err)
	return fmt.Sprintf("%v %s %q %v %v", f.Kind, f.Reason, f.Message, f.Fields, f.RetryAfter)
}

func (tr *transcript) note(what string, m proto.Message, err error) {
	var b []byte
	if m != nil && err == nil {
		b, _ = proto.MarshalOptions{Deterministic: true}.Marshal(m)
	}
	fmt.Fprintf(tr, "%s %x %s\n", what, b, words(err))
}

// logger writes what the desk logs, every level, between what it hears. The time is the world's, which stands there already.
func (tr *transcript) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(tr, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// measures writes the desk's own measures, as its operator's tools read them; the runtime's are left out.
func (tr *transcript) measures(t *testing.T, m *ops.Metrics) {
	lis, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := ops.NewServer(ops.Config{Metrics: m, Log: slog.New(slog.DiscardHandler)})
	go func() { _ = s.Serve(lis) }()
	defer s.Close()
	req, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), http.MethodGet, "http://"+lis.Addr().String()+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	lines := slices.DeleteFunc(strings.Split(string(text), "\n"), func(l string) bool { return !strings.HasPrefix(l, "postern_") })
	if len(lines) < 5 {
		t.Fatalf("the desk measures %q", text)
	}
	fmt.Fprintf(tr, "measures %s\n", strings.Join(lines, " "))
}

// difference is where two transcripts part; empty when they do not.
func difference(a, b []byte) string {
	if bytes.Equal(a, b) {
		return ""
	}
	x, y := bytes.Split(a, []byte("\n")), bytes.Split(b, []byte("\n"))
	for i := range min(len(x), len(y)) {
		if !bytes.Equal(x[i], y[i]) {
			return fmt.Sprintf("line %d\none   %s\nother %s", i+1, shorten(x[i]), shorten(y[i]))
		}
	}
	return fmt.Sprintf("one has %d lines, the other %d", len(x), len(y))
}

func shorten(line []byte) []byte {
	if len(line) > 600 {
		return slices.Concat(line[:300], []byte(" … "), line[len(line)-300:])
	}
	return line
}
