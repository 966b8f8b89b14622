package directory_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

const (
	domain    = "postern.test"
	bristol   = "E06000023"
	lancs     = "E10000017"
	operator  = "spiffe://postern.test/operator/op"
	desk      = "spiffe://postern.test/prison/BLI/desk"
	berwyn    = "spiffe://postern.test/prison/BWI/desk"
	inbox     = "spiffe://postern.test/authority/E06000023/inbox"
	lancInbox = "spiffe://postern.test/authority/E10000017/inbox"
)

// morning is a Monday in British Summer Time.
var morning = time.Date(2026, 10, 5, 9, 0, 0, 0, time.UTC)

// world is a trial trust domain and a folder with a directory file and what it names.
type world struct {
	t       *testing.T
	dir     string
	anchors *identity.Anchors
	ids     map[string]*identity.Identity
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), ids: map[string]*identity.Identity{}}
	must(t, ca.Init(w.path("ca"), ca.Config{Domain: domain, Now: morning.AddDate(0, -6, 0)}))
	c := identity.AnchorConfig{Domain: domain}
	for name, pem := range map[string]*[]byte{"prison": &c.Prison, "authority": &c.Authority, "hub": &c.Hub, "auditor": &c.Auditor} {
		*pem = value(os.ReadFile(w.path("ca", name, "ca.pem")))(t)
	}
	w.anchors = value(identity.NewAnchors(c))(t)

	key := value(envelope.GenerateRecipient())(t)
	w.write("keys/E06000023.pb", value(key.Publish(w.id(inbox), 1, morning, morning.AddDate(0, 1, 0)))(t))
	w.write("agreements/bristol.pb", w.agree(agreement(), desk, inbox))
	w.writeYAML(func(yaml string) string { return yaml })
	return w
}

func (w *world) path(parts ...string) string {
	return filepath.Join(append([]string{w.dir}, parts...)...)
}

// id is the identity of a party, issued at its first use.
func (w *world) id(uri string) *identity.Identity {
	w.t.Helper()
	if w.ids[uri] == nil {
		file := w.path("id", strings.ReplaceAll(strings.TrimPrefix(uri, "spiffe://"), "/", "_"))
		must(w.t, ca.Issue(w.path("ca"), uri, ca.IssueConfig{OutCert: file + ".pem", OutKey: file + "-key.pem", Now: morning.AddDate(0, 0, -1)}))
		w.ids[uri] = value(identity.Load(file+".pem", file+"-key.pem"))(w.t)
	}
	return w.ids[uri]
}

func (w *world) write(name string, m proto.Message) {
	w.t.Helper()
	must(w.t, os.MkdirAll(filepath.Dir(w.path(name)), 0o700))
	must(w.t, os.WriteFile(w.path(name), value(proto.Marshal(m))(w.t), 0o600))
}

// writeYAML writes the sample directory with a change.
func (w *world) writeYAML(change func(string) string) {
	w.t.Helper()
	yaml := value(os.ReadFile("testdata/directory.yaml"))(w.t)
	must(w.t, os.WriteFile(w.path("directory.yaml"), []byte(change(string(yaml))), 0o600))
}

// agree makes an agreement signed by the parties.
func (w *world) agree(a *posternv1.DataSharingAgreement, parties ...string) *posternv1.Signed {
	w.t.Helper()
	s := value(directory.NewAgreement(a))(w.t)
	for _, uri := range parties {
		must(w.t, directory.SignAgreement(s, w.id(uri)))
	}
	return s
}

// build reads the file as it is and makes a revision of it.
func (w *world) build(number uint64) (*posternv1.DirectoryRevision, [][]byte) {
	w.t.Helper()
	src := value(directory.ReadYAML(w.path("directory.yaml")))(w.t)
	r, entries, err := directory.Build(src, number, domain, morning)
	must(w.t, err)
	return r, entries
}

// open is what everybody does with a revision the operator signed.
func (w *world) open(r *posternv1.DirectoryRevision, entries [][]byte) (*directory.Directory, error) {
	w.t.Helper()
	return directory.Open(value(directory.Sign(w.id(operator), r))(w.t), entries, w.anchors, morning)
}

// directory is the directory of the file as it is.
func (w *world) directory(number uint64) *directory.Directory {
	w.t.Helper()
	r, entries := w.build(number)
	return value(w.open(r, entries))(w.t)
}

func agreement() *posternv1.DataSharingAgreement {
	return &posternv1.DataSharingAgreement{
		Id: "bristol-2026", Version: 1, Prisons: []string{"BLI", "BWI"}, Authorities: []string{bristol, lancs},
		Sections:  []string{"parent/name", "child/{n}/identity", "child/{n}/home", "child/{n}/safety", "child/{n}/carer", "child/{n}/needs"},
		StartDate: "2026-09-01", EndDate: "2027-08-31", ReviewDate: "2027-03-01", ContentDays: 14, DecisionYears: 6,
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value is must for calls with a result: value(f())(t).
func value[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		must(t, err)
		return v
	}
}

// wantFault fails unless err is a fault of the reason.
func wantFault(t testing.TB, err error, reason string) {
	t.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Reason != reason {
		t.Errorf("error %v, want a fault with the reason %s", err, reason)
	}
}
