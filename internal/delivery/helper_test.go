package delivery_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/delivery"
	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	domain  = "postern.test"
	bristol = "E06000023"
	lancs   = "E10000017"
	desk    = "spiffe://postern.test/prison/BLI/desk"
)

var morning = time.Date(2026, 10, 5, 9, 20, 30, 0, time.UTC)

// hub is everything of a hub that delivery meets: a real store, ledger, vault and directory, and a clock that stands
// still until it is moved. The inboxes are the test's.
type hub struct {
	t         testing.TB
	dir       string
	store     store.Store
	vault     *vault.Vault
	ledger    *ledger.Ledger
	keys      verify.Keys
	anchors   *identity.Anchors
	ids       map[string]*identity.Identity
	directory *directory.Directory
	log       *bytes.Buffer // every line that delivery logs
	*delivery.Delivery
	cfg delivery.Config // what it was made with

	mu      sync.Mutex // owns the fields below
	now     time.Time
	inboxes map[string]inbox // by address
	shared  int
}

// event is the id of an event.
type event = [16]byte

// inbox answers deliveries at one address.
type inbox func(ctx context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error)

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{t: t, dir: t.TempDir(), ids: map[string]*identity.Identity{}, now: morning, inboxes: map[string]inbox{}, log: &bytes.Buffer{}}
	must(t, ca.Init(h.path("ca"), ca.Config{Domain: domain, Now: morning.AddDate(0, -1, 0)}))
	c := identity.AnchorConfig{Domain: domain}
	for name, pem := range map[string]*[]byte{"prison": &c.Prison, "authority": &c.Authority, "hub": &c.Hub, "auditor": &c.Auditor} {
		*pem = value(os.ReadFile(h.path("ca", name, "ca.pem")))(t)
	}
	h.anchors = value(identity.NewAnchors(c))(t)

	h.store = value(bolt.Open(t.Context(), bolt.Config{Path: h.path("hub.db"), Schema: schema.Hub}))(t)
	t.Cleanup(func() { h.store.Close() })
	h.vault = value(vault.Open(vault.Config{Dir: h.path("keys"), Clock: h.clock, Rand: rand.Reader}))(t)
	sent, sentV, err := ledger.GenerateKey(rand.Reader, "hub.test/sent")
	must(t, err)
	received, receivedV, err := ledger.GenerateKey(rand.Reader, "hub.test/received")
	must(t, err)
	h.keys = value(verify.NewKeys(sentV, receivedV))(t)
	h.ledger = value(ledger.Open(t.Context(), ledger.Config{Store: h.store, Vault: h.vault, Clock: h.clock, Rand: rand.Reader,
		Keys: ledger.Keys{Sent: sent, Received: received}, Log: slog.New(slog.DiscardHandler)}))(t)
	h.directory = h.newDirectory(1, twoAuthorities("bristol.test:1", "lancs.test:1"))
	for _, code := range []string{bristol, lancs} {
		h.id("spiffe://postern.test/authority/" + code + "/inbox") // now, and not from several goroutines later
	}
	h.restart(nil)
	return h
}

// restart makes a new Delivery over what is stored, as a hub that starts again does.
func (h *hub) restart(change func(*delivery.Config)) {
	c := delivery.Config{
		Store: h.store, Ledger: h.ledger, Vault: h.vault, Anchors: h.anchors, Sender: h, Clock: h.clock, Rand: rand.Reader,
		Directory: func() *directory.Directory { return h.directory },
		Log:       slog.New(slog.NewTextHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	if change != nil {
		change(&c)
	}
	h.cfg = c
	h.Delivery = delivery.New(c)
}

func (h *hub) path(parts ...string) string {
	return filepath.Join(append([]string{h.dir}, parts...)...)
}

func (h *hub) clock() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// pass moves the clock.
func (h *hub) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = h.now.Add(d)
}

// id is the identity of a party, issued at its first use.
func (h *hub) id(uri string) *identity.Identity {
	h.t.Helper()
	if h.ids[uri] == nil {
		file := h.path("id", strings.ReplaceAll(strings.TrimPrefix(uri, "spiffe://"), "/", "_"))
		must(h.t, ca.Issue(h.path("ca"), uri, ca.IssueConfig{OutCert: file + ".pem", OutKey: file + "-key.pem", Now: morning}))
		h.ids[uri] = value(identity.Load(file+".pem", file+"-key.pem"))(h.t)
	}
	return h.ids[uri]
}

// twoAuthorities is a directory file; an empty address leaves the endpoint out.
func twoAuthorities(bristolAddress, lancsAddress string) string {
	authority := func(code, address string) string {
		door := `{role: %s, name: Front Door, phone: "01632 960001", out_of_hours_name: EDT, out_of_hours_phone: "01632 960002", hours: [{days: mon-fri, opens: "08:30", closes: "17:00"}]}`
		a := fmt.Sprintf("  - code: %s\n    name: Sample\n    jurisdiction: GB-ENG\n    champion: {role: Lead, mailbox: lead@sample.example}\n    start_date: 2026-01-01\n    undelivered_after_hours: 12\n    front_doors:\n      - "+
			door+"\n      - "+door+"\n", code, "EARLY_HELP", "SAFEGUARDING")
		if address != "" {
			a += fmt.Sprintf("    endpoint: {mode: push, address: %q}\n", address)
		}
		return a
	}
	return "authorities:\n" + authority(bristol, bristolAddress) + authority(lancs, lancsAddress)
}

// collecting is twoAuthorities where Bristol collects and Lancashire has no endpoint.
var collecting = strings.Replace(twoAuthorities("x.test:1", ""), `{mode: push, address: "x.test:1"}`, "{mode: collect}", 1)

func (h *hub) newDirectory(number uint64, yaml string) *directory.Directory {
	h.t.Helper()
	src := value(directory.ParseYAML([]byte(yaml)))(h.t)
	r, entries, err := directory.Build(src, number, domain, morning)
	must(h.t, err)
	signed := value(directory.Sign(h.id("spiffe://postern.test/operator/op"), r))(h.t)
	return value(directory.Open(signed, entries, h.anchors, morning))(h.t)
}

// Send makes the hub of the test the courier's Sender: it finds the inbox by its address.
func (h *hub) Send(ctx context.Context, to identity.Party, address string, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	h.mu.Lock()
	in := h.inboxes[address]
	h.mu.Unlock()
	if in == nil {
		return nil, fault.New(fault.Unavailable, "NOBODY", "Nobody listens there.").Because(errors.New("canary 192.0.2.1"))
	}
	return in(ctx, to, d)
}

// listen puts an inbox at an address.
func (h *hub) listen(address string, in inbox) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inboxes[address] = in
}

// acknowledge is the honest answer of an inbox.
func (h *hub) acknowledge(to identity.Party, d *posternv1.Delivery) *posternv1.DeliverResponse {
	return ack(h.sign(to.URI(), envelope.TypeAcknowledgement, &posternv1.Acknowledgement{ManifestSha256: manifestOf(d)}))
}

// honest acknowledges everything and hands each delivery to see.
func (h *hub) honest(see func(*posternv1.Delivery)) inbox {
	return func(_ context.Context, to identity.Party, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
		see(d)
		return h.acknowledge(to, d), nil
	}
}

func (h *hub) sign(uri, payloadType string, m proto.Message) *posternv1.Signed {
	return value(envelope.SignStatement(h.id(uri), payloadType, value(proto.Marshal(m))(h.t)))(h.t)
}

func ack(s *posternv1.Signed) *posternv1.DeliverResponse {
	return &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Acknowledgement{Acknowledgement: s}}
}

func report(s *posternv1.Signed) *posternv1.DeliverResponse {
	return &posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Report{Report: s}}
}

func manifestOf(d *posternv1.Delivery) []byte {
	sum := sha256.Sum256(d.GetNotification().GetManifest().GetPayload())
	return sum[:]
}

// outgoing makes a notification to an authority and the event that would release it.
func (h *hub) outgoing(authority string) (delivery.Outgoing, ledger.Event) {
	h.t.Helper()
	h.shared++
	id := value(envelope.NewID(rand.Reader))(h.t)
	manifest := h.sign(desk, envelope.TypeManifest, &posternv1.Manifest{NotificationId: id, Audience: domain})
	n := &posternv1.SealedNotification{Manifest: manifest, Sections: []*posternv1.SealedSection{
		{Path: "parent/name", Ciphertext: fmt.Appendf(nil, "canary sealed name %d", h.shared)},
		{Path: "child/1/home", Ciphertext: fmt.Appendf(nil, "canary sealed home %d", h.shared)},
	}}
	sum := sha256.Sum256(manifest.GetPayload())
	until := timestamppb.New(h.clock().Add(72 * time.Hour))
	d := &posternv1.Decision{Outcome: posternv1.Outcome_OUTCOME_SHARE, Paths: []string{"parent/name", "child/1/home"}, ValidUntilTime: until}
	out := delivery.Outgoing{Authority: authority, NotificationID: id, ManifestSHA256: sum[:],
		Sender: value(identity.ParseURI(desk))(h.t), Decision: d, Notification: n}
	return out, ledger.Event{Kind: logv1.Kind_KIND_DECIDED, Time: h.clock(), Details: &logv1.Details{NotificationId: id},
		Core: &logv1.Core{ManifestSha256: sum[:], Outcome: posternv1.Outcome_OUTCOME_SHARE, ValidUntilTime: until,
			SectionsSha256: [][]byte{envelope.SectionDigest(n.Sections[1]), envelope.SectionDigest(n.Sections[0])}}}
}

// enqueue records and enqueues, as a hub's handler does.
func (h *hub) enqueue(out delivery.Outgoing, ev ledger.Event) (id event, err error) {
	err = h.ledger.Append(h.t.Context(), func(tx *ledger.Tx) error {
		e, err := tx.Record(ledger.Sent, ev)
		if err != nil {
			return err
		}
		id = e.EventID()
		return h.Enqueue(tx, e, out)
	})
	return id, err
}

// share puts one notification for an authority into the outbox.
func (h *hub) share(authority string) (notificationID string, id event) {
	h.t.Helper()
	out, ev := h.outgoing(authority)
	return out.NotificationID, value(h.enqueue(out, ev))(h.t)
}

// shareAll is share for several authorities in one transaction.
func (h *hub) shareAll(authorities []string) []event {
	h.t.Helper()
	outs, evs := make([]delivery.Outgoing, len(authorities)), make([]ledger.Event, len(authorities))
	for i, a := range authorities {
		outs[i], evs[i] = h.outgoing(a)
	}
	events := make([]event, len(authorities))
	must(h.t, h.ledger.Append(h.t.Context(), func(tx *ledger.Tx) error {
		for i := range outs {
			e, err := tx.Record(ledger.Sent, evs[i])
			if err != nil {
				return err
			}
			events[i] = e.EventID()
			if err := h.Enqueue(tx, e, outs[i]); err != nil {
				return err
			}
		}
		return nil
	}))
	return events
}

// step is Step with everything that goes wrong on our side being fatal.
func (h *hub) step() bool {
	h.t.Helper()
	return value(h.Step(h.t.Context()))(h.t)
}

// records counts what a keyspace holds.
func (h *hub) records(ks store.Keyspace) (n int) {
	h.t.Helper()
	must(h.t, h.store.View(h.t.Context(), func(s store.Snapshot) error {
		return s.Scan(ks, nil, nil, func(_, _ []byte) (bool, error) { n++; return true, nil })
	}))
	return n
}

// head is the first item of an authority's line.
func (h *hub) head(authority string) (it queue.Item, ok bool) {
	h.t.Helper()
	must(h.t, h.store.View(h.t.Context(), func(s store.Snapshot) (err error) {
		it, ok, err = queue.New(queue.Config{Keyspace: schema.HubOutbox}).Head(s, authority)
		return err
	}))
	return it, ok
}

// updates is what the desk would be told.
func (h *hub) updates() (all []*posternv1.Update) {
	h.t.Helper()
	// As much later: a delivery of its own on the same store, so that nothing else sees that time pass.
	c := h.cfg
	c.Clock = func() time.Time { return h.clock().AddDate(0, 1, 0) }
	must(h.t, delivery.New(c).TellGathered(h.t.Context(), desk))
	must(h.t, h.store.View(h.t.Context(), func(s store.Snapshot) (err error) {
		all, _, err = delivery.Updates(s, desk, 0, 1000)
		return err
	}))
	return all
}

// received lists the events of the received log, oldest first.
func (h *hub) received() (all []ledger.Logged) {
	h.t.Helper()
	_, err := h.ledger.Events(h.t.Context(), "", 1000, func(e ledger.Logged) (bool, error) {
		if e.Log == ledger.Received {
			all = append(all, e)
		}
		return true, nil
	})
	must(h.t, err)
	slices.Reverse(all)
	return all
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
