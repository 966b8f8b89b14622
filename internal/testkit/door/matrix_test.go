package door_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2/hpack"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/rpc"
	"postern/internal/testkit"
	"postern/internal/testkit/flood"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// callers are one party of each kind and more: others of its kind, one that the directory or the configuration does not
// know, and all that call nothing.
var callers = []string{deskBLI, deskPRI, deskBWI, inboxBristol, inboxLancs, inboxWrexham, testkit.AuditorPath, scopedPath, unnamedPath, hubPath, otherHub, operator}

// methods are all that parties could call: every method of every service of postern.v1, and of health.
func methods(t *testing.T) (all []protoreflect.MethodDescriptor) {
	t.Helper()
	take := func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			for j := range f.Services().Get(i).Methods().Len() {
				all = append(all, f.Services().Get(i).Methods().Get(j))
			}
		}
		return true
	}
	protoregistry.GlobalFiles.RangeFilesByPackage("postern.v1", take)
	take(healthv1.File_grpc_health_v1_health_proto)
	return all
}

func nameOf(m protoreflect.MethodDescriptor) string {
	return string(m.Parent().FullName()) + "/" + string(m.Name())
}

// roleMayCall reads the method option.
func roleMayCall(m protoreflect.MethodDescriptor, role posternv1.Role) bool {
	list, _ := proto.GetExtension(m.Options(), posternv1.E_Callers).([]posternv1.Role)
	return m.ParentFile().Package() == "grpc.health.v1" || slices.Contains(list, role)
}

// cell is one call and what came of it.
type cell struct {
	method protoreflect.MethodDescriptor
	q      question
	path   string // of the caller
	at     string // the server: hub or inbox
	whose  ownership

	request []byte
	want    string // the reason of the refusal; "" for an answer
	got     flood.Answer
	err     error
}

func (c *cell) String() string {
	return fmt.Sprintf("%s %s at the %s by %s, %s", nameOf(c.method), c.q.how, c.at, c.path, c.whose)
}

// reason reads the reason of a refusal, "" of an answer.
func reason(a flood.Answer) string {
	if a.Code == 0 {
		return ""
	}
	b, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(a.Details, "="))
	st := &statuspb.Status{}
	if err != nil || proto.Unmarshal(b, st) != nil {
		return fmt.Sprintf("code %d: %s", a.Code, a.Message)
	}
	for _, d := range st.GetDetails() {
		info := &errdetails.ErrorInfo{}
		if d.MessageIs(info) && d.UnmarshalTo(info) == nil {
			return info.GetReason()
		}
	}
	return fmt.Sprintf("code %d: %s", a.Code, a.Message)
}

// everyCell enumerates methods × ways to ask × servers × callers × ownership.
func (d *doors) everyCell() (cells []*cell) {
	d.t.Helper()
	known, x := questions(), d.things()
	all := methods(d.t)
	for _, m := range all {
		if len(known[nameOf(m)]) == 0 {
			d.t.Errorf("nobody says how %s is asked, and who may", nameOf(m))
		}
		served := map[string]bool{"hub": m.Parent().Name() != "InboxService", "inbox": m.Parent().Name() == "InboxService" || m.ParentFile().Package() == "grpc.health.v1"}
		for _, q := range known[nameOf(m)] {
			for _, path := range callers {
				for _, at := range []string{"hub", "inbox"} {
					for _, o := range ownerships {
						c := &cell{method: m, q: q, path: path, at: at, whose: o}
						switch role := d.as(path).Party().Role; {
						case !served[at]:
							c.want = "UNKNOWN_METHOD"
						case !roleMayCall(m, role):
							c.want = "ROLE"
						default:
							c.want = q.deny(path, o)
						}
						c.request = must(proto.Marshal(q.ask(d, asker(path, m), x.of(path, o))))(d.t)
						cells = append(cells, c)
					}
				}
			}
		}
		delete(known, nameOf(m))
	}
	for name := range known {
		d.t.Errorf("there is no method %s", name)
	}
	return cells
}

// asker is whose statement a caller sends: its own, or, where it cannot make one, that of a party which could.
func asker(path string, m protoreflect.MethodDescriptor) string {
	role := strings.Split(path, "/")[1]
	switch {
	case m.Parent().Name() == "SubmissionService" && role != "prison":
		return deskBLI
	case m.Parent().Name() == "MailboxService" && role != "authority":
		return inboxBristol
	}
	return path
}

const requestID = "0123456789abcdef"

// play makes the calls of one caller at one server, one after the other over one connection.
func (d *doors) play(ctx context.Context, path, address string, cells []*cell) error {
	c, err := flood.Dial(ctx, d.target(path, address))
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	for _, x := range cells {
		if x.got, x.err = c.Ask("/"+nameOf(x.method), x.request, x.q.parts, hpack.HeaderField{Name: "x-request-id", Value: requestID}); x.err != nil {
			return fmt.Errorf("%v: %w", x, x.err)
		}
	}
	return nil
}

func (d *doors) target(path, address string) flood.Target {
	want := d.Identity(hubPath).Party()
	if address == d.inbox {
		want = d.Identity(inboxBristol).Party()
	}
	return flood.Target{Address: address, TLS: identity.ClientTLS(d.as(path), d.Anchors(), want, d.Clock.Now)}
}

// Every method of every service, in every way to ask, at both servers, by every caller, about its own, another's and
// nothing: exactly whom the method option, the configuration and the ownership let in. What is another's and what is not
// there answer alike, byte for byte, and every refusal of the hub is a leaf.
func TestEveryCell(t *testing.T) {
	d := openDoors(t, rpc.Limits{CallsPerSecond: 1e6})
	cells := d.everyCell()
	before := len(d.events(logv1.Kind_KIND_REFUSED))
	var all sync.WaitGroup
	for _, path := range callers {
		for at, address := range map[string]string{"hub": d.hub, "inbox": d.inbox} {
			all.Go(func() {
				mine := slices.Collect(func(yield func(*cell) bool) {
					for _, c := range cells {
						if c.path == path && c.at == at && !yield(c) {
							return
						}
					}
				})
				if err := d.play(t.Context(), path, address, mine); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	if t.Failed() {
		return
	}
	let, refused := 0, 0
	for i, c := range cells {
		if got := reason(c.got); got != c.want {
			t.Errorf("%v: %q, want %q", c, got, c.want)
		}
		if c.want == "" {
			let++
		} else if c.at == "hub" && c.want != "NO_ENDPOINT" { // which may pass, and refuses nothing
			refused++
		}
		if c.whose == absent && cells[i-1].want == c.want && c.path != testkit.AuditorPath && c.path != hubPath {
			sameAnswer(t, cells[i-1], c)
		}
	}
	leaves := d.events(logv1.Kind_KIND_REFUSED)
	for _, e := range leaves {
		if desk := strings.Contains(e.Details.GetCaller(), "/prison/"); desk != strings.HasSuffix(e.Origin, "/sent") {
			t.Errorf("a refusal of %s is in the log %s", e.Details.GetCaller(), e.Origin)
		}
	}
	if got := len(leaves) - before; got != refused {
		t.Errorf("%d refusals at the hub, %d leaves", refused, got)
	}
	t.Logf("%d cells: %d methods, %d callers; %d let in, %d refused", len(cells), len(methods(t)), len(callers), let, len(cells)-let)
	if len(cells) < 1500 || let < 150 {
		t.Errorf("only %d cells, %d let in: the matrix has a hole", len(cells), let)
	}
}

// sameAnswer compares the answers to what is another's and to what is not there.
func sameAnswer(t *testing.T, others, nobodys *cell) {
	t.Helper()
	a, b := others.got, nobodys.got
	if a.HTTP != b.HTTP || a.Code != b.Code || a.Message != b.Message || a.Details != b.Details {
		t.Errorf("%v tells: %+v, not there is %+v", others, a, b)
		return
	}
	x, y := a.Messages(), b.Messages()
	if len(x) != len(y) {
		t.Errorf("%v tells by %d messages, not there has %d", others, len(x), len(y))
		return
	}
	for i := range x {
		if others.q.alike == nil && !bytes.Equal(x[i], y[i]) || others.q.alike != nil && !bytes.Equal(stripped(t, others, x[i]), stripped(t, nobodys, y[i])) {
			t.Errorf("%v tells by its answer", others)
		}
	}
}

func stripped(t *testing.T, c *cell, b []byte) []byte {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(c.method.Output().FullName())
	if err != nil {
		t.Fatal(err)
	}
	m := kind.New().Interface()
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	c.q.alike(m)
	return must(proto.MarshalOptions{Deterministic: true}.Marshal(m))(t)
}

// Whom the anchors do not know does not come as far as a method, at neither server: it is counted, and nothing is
// recorded of it.
func TestNoStranger(t *testing.T) {
	d := openDoors(t, rpc.Limits{CallsPerSecond: 1e6})
	foreign := elsewhere(t)
	strangers := map[string]*tls.Config{
		"of another authority": identity.ClientTLS(foreign, d.Anchors(), d.Identity(hubPath).Party(), d.Clock.Now),
		"expired":              identity.ClientTLS(d.Issue(deskBLI, testkit.Now.AddDate(0, 0, -3), 2), d.Anchors(), d.Identity(hubPath).Party(), d.Clock.Now),
		"not yet valid":        identity.ClientTLS(d.Issue(deskBLI, testkit.Now.AddDate(0, 0, 3), 2), d.Anchors(), d.Identity(hubPath).Party(), d.Clock.Now),
		"nobody":               {MinVersion: tls.VersionTLS13, InsecureSkipVerify: true, NextProtos: []string{"h2"}},
	}
	before, cells := len(d.events(0)), 0
	for what, cfg := range strangers {
		cfg.VerifyConnection = nil // a stranger does not care whom it talks to
		for _, m := range methods(t) {
			for _, address := range []string{d.hub, d.inbox} {
				cells++
				c, err := flood.Dial(soon(t), flood.Target{Address: address, TLS: cfg})
				if err != nil {
					continue
				}
				if a, err := c.Ask("/"+nameOf(m), nil, 1); err == nil {
					t.Errorf("%s asked %s and was answered %+v", what, nameOf(m), a)
				}
				c.Close()
			}
		}
	}
	for ctx := soon(t); d.turnedAway("STRANGER") < cells && ctx.Err() == nil; { // the server counts after it has said no
		runtime.Gosched()
	}
	if got := d.turnedAway("STRANGER"); got != cells || len(d.events(0)) != before {
		t.Errorf("%d cells, %d strangers counted, %d events more", cells, got, len(d.events(0))-before)
	}
	t.Logf("%d cells of strangers", cells)
}

// elsewhere is a desk of the same name whose certificate another trial CA made.
func elsewhere(t *testing.T) *identity.Identity {
	t.Helper()
	dir := t.TempDir()
	if err := ca.Init(dir, ca.Config{Domain: testkit.Domain, Now: testkit.Now.AddDate(0, -1, 0)}); err != nil {
		t.Fatal(err)
	}
	issue := ca.IssueConfig{OutCert: dir + "/leaf.pem", OutKey: dir + "/leaf-key.pem", Now: testkit.Now.AddDate(0, 0, -1), Days: 30}
	if err := ca.Issue(dir, "spiffe://"+testkit.Domain+deskBLI, issue); err != nil {
		t.Fatal(err)
	}
	return must(identity.Load(issue.OutCert, issue.OutKey))(t)
}
