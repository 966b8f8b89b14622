package envelope_test

import (
	"bytes"
	"crypto/sha256"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

const (
	domain    = "postern.example"
	bristol   = "E06000023"
	lancs     = "E10000017"
	deskURI   = "spiffe://postern.example/prison/BLI/desk"
	inboxURI  = "spiffe://postern.example/authority/E06000023/inbox"
	maxOnWire = 256 << 10 // what a hub takes in one message
)

// now is when everything in these tests happens, unless a test says otherwise.
var now = time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)

// world is a trust domain with one party of each kind.
type world struct {
	dir     string
	anchors *identity.Anchors
	desk    *identity.Identity // HMP Bristol
	other   *identity.Identity // HMP Berwyn
	inbox   *identity.Identity // Bristol
	away    *identity.Identity // Lancashire
	key     *envelope.RecipientPrivate
	public  *posternv1.RecipientKey
}

func newWorld(tb testing.TB) *world {
	tb.Helper()
	w := &world{dir: tb.TempDir()}
	check(tb, ca.Init(w.dir, ca.Config{Domain: domain, Now: now}))
	w.anchors = anchorsIn(tb, w.dir, domain)
	w.desk = w.issue(tb, deskURI, ca.IssueConfig{})
	w.other = w.issue(tb, "spiffe://postern.example/prison/BWI/desk", ca.IssueConfig{})
	w.inbox = w.issue(tb, inboxURI, ca.IssueConfig{})
	w.away = w.issue(tb, "spiffe://postern.example/authority/"+lancs+"/inbox", ca.IssueConfig{})
	w.key, w.public = w.recipient(tb, w.inbox)
	return w
}

// anchorsIn trusts the certificate authorities in a folder.
func anchorsIn(tb testing.TB, dir, domain string) *identity.Anchors {
	tb.Helper()
	read := func(name string) []byte { return value(os.ReadFile(filepath.Join(dir, name, "ca.pem")))(tb) }
	return value(identity.NewAnchors(identity.AnchorConfig{Domain: domain,
		Prison: read("prison"), Authority: read("authority"), Hub: read("hub"), Auditor: read("auditor")}))(tb)
}

// issue makes an identity as an operator would, through files.
func (w *world) issue(tb testing.TB, uri string, cfg ca.IssueConfig) *identity.Identity {
	tb.Helper()
	return issueFrom(tb, w.dir, uri, cfg)
}

func issueFrom(tb testing.TB, dir, uri string, cfg ca.IssueConfig) *identity.Identity {
	tb.Helper()
	out := tb.TempDir()
	cfg.OutCert, cfg.OutKey = filepath.Join(out, "cert.pem"), filepath.Join(out, "key.pem")
	if cfg.Now.IsZero() {
		cfg.Now = now
	}
	check(tb, ca.Issue(dir, uri, cfg))
	return value(identity.Load(cfg.OutCert, cfg.OutKey))(tb)
}

// recipient makes a recipient key for an inbox and takes its statement as a desk would.
func (w *world) recipient(tb testing.TB, inbox *identity.Identity) (*envelope.RecipientPrivate, *posternv1.RecipientKey) {
	tb.Helper()
	key := value(envelope.GenerateRecipient())(tb)
	signed := value(key.Publish(inbox, 1, now, now.AddDate(1, 0, 0)))(tb)
	return key, value(envelope.VerifyRecipientKey(signed, w.anchors, now))(tb)
}

// whole is how a hub verifies; released is how an inbox does.
func (w *world) whole() envelope.VerifyConfig {
	return envelope.VerifyConfig{Audience: domain, Anchors: w.anchors, At: now, Whole: true}
}

func (w *world) released() envelope.VerifyConfig {
	return envelope.VerifyConfig{Audience: domain, Anchors: w.anchors, At: now}
}

// family is a small notification: two children, a few sections, facts for the hub.
func family(tb failer) envelope.Draft {
	tb.Helper()
	known := &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_PARENT_SAID}
	return envelope.Draft{
		Manifest: manifest(tb),
		Children: []*posternv1.ChildFacts{
			{Number: 1, Age: &posternv1.ChildFacts_AgeYears{AgeYears: 7}, CarerIsAdult: posternv1.Answer_ANSWER_YES},
			{Number: 2, Age: &posternv1.ChildFacts_Unborn{Unborn: true}},
		},
		Hub: &posternv1.HubFacts{SubjectRef: bytes.Repeat([]byte{7}, 32), Gate: posternv1.Gate_GATE_NO_HOLD},
		Sections: []envelope.Plain{
			{Path: "parent/name", Message: &posternv1.ParentName{Provenance: known, GivenName: "Sam", FamilyName: "Example"}},
			{Path: "parent/wishes", Message: &posternv1.ParentWishes{Provenance: known, ContactWantedByParent: posternv1.ContactWanted_CONTACT_WANTED_YES}},
			{Path: "child/1/relationship", Message: &posternv1.ChildRelationship{Provenance: known, Relationship: posternv1.Relationship_RELATIONSHIP_MOTHER}},
			{Path: "child/1/phone", Message: &posternv1.ChildPhone{Provenance: known, CarerPhone: "07700 900123"}},
			{Path: "child/2/relationship", Message: &posternv1.ChildRelationship{Provenance: known, Relationship: posternv1.Relationship_RELATIONSHIP_FATHER}},
		},
	}
}

// manifest is an offer to Bristol, before sealing.
func manifest(tb failer) *posternv1.Manifest {
	tb.Helper()
	return &posternv1.Manifest{
		NotificationId: newID(tb),
		Audience:       domain,
		CreateTime:     timestamppb.New(now),
		ExpireTime:     timestamppb.New(now.AddDate(0, 0, 30)),
		Sender:         &posternv1.Sender{PrisonId: "BLI", StaffId: "staff-1", StaffRole: posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER},
		Reception:      &posternv1.Reception{Reason: posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION, ReceiveDate: "2026-11-19"},
		Statement: &posternv1.Manifest_Offer{Offer: &posternv1.Offer{
			Route: posternv1.Route_ROUTE_STANDARD, Authority: bristol,
			Consent: &posternv1.Consent{Id: newID(tb), State: posternv1.ConsentState_CONSENT_STATE_GIVEN, Children: []uint32{1, 2}, Authorities: []string{bristol}},
		}},
	}
}

func newID(tb failer) string {
	tb.Helper()
	return value(envelope.NewID(random{}))(tb)
}

func (w *world) seal(tb failer, d envelope.Draft) *posternv1.SealedNotification {
	tb.Helper()
	return value(envelope.Seal(d, w.public, w.desk))(tb)
}

func (w *world) verify(tb failer, n *posternv1.SealedNotification) *envelope.Verified {
	tb.Helper()
	return value(envelope.Verify(n, w.whole()))(tb)
}

// resign changes the manifest of a notification and signs it again: what a wrong or hostile desk could send.
func resign(tb failer, n *posternv1.SealedNotification, by *identity.Identity, change func(*posternv1.Manifest)) *posternv1.SealedNotification {
	tb.Helper()
	m := &posternv1.Manifest{}
	check(tb, proto.Unmarshal(n.GetManifest().GetPayload(), m))
	change(m)
	out := proto.CloneOf(n)
	out.Manifest = value(envelope.SignStatement(by, envelope.TypeManifest, value(proto.Marshal(m))(tb)))(tb)
	return out
}

// refused fails unless err is a fault in public words that is not our own failure.
func refused(tb failer, err error) {
	tb.Helper()
	if err == nil {
		tb.Fatal("accepted")
	}
	if f := fault.From(err); f.Kind == fault.Internal {
		tb.Fatalf("%v (%s) blames our own side", err, f.Reason)
	}
}

// refusedAs fails unless err has this reason.
func refusedAs(tb failer, err error, reason string) {
	tb.Helper()
	refused(tb, err)
	if got := fault.From(err).Reason; got != reason {
		tb.Fatalf("refused as %s (%v), want %s", got, err, reason)
	}
}

// assertReason fails unless err is a fault with this reason, of whatever kind.
func assertReason(tb failer, err error, reason string) {
	tb.Helper()
	if got := fault.From(err).Reason; err == nil || got != reason {
		tb.Fatalf("error %v (%s), want %s", err, got, reason)
	}
}

// samePlains compares opened or drafted sections, in any order.
func samePlains(a, b []envelope.Plain) bool {
	byPath := func(x, y envelope.Plain) int { return strings.Compare(x.Path, y.Path) }
	return slices.EqualFunc(slices.SortedFunc(slices.Values(a), byPath), slices.SortedFunc(slices.Values(b), byPath),
		func(x, y envelope.Plain) bool { return x.Path == y.Path && proto.Equal(x.Message, y.Message) })
}

func sorted(digests [][]byte) bool { return slices.IsSortedFunc(digests, bytes.Compare) }

// failer is what a *testing.T, a *testing.F and a *rapid.T have in common.
type failer interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func check(tb failer, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// value takes what a call returns and fails on its error: value(f())(tb).
func value[T any](v T, err error) func(failer) T {
	return func(tb failer) T {
		tb.Helper()
		check(tb, err)
		return v
	}
}

func sha(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}
