package testkit

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/hub"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
	posternv1 "postern/proto/postern/v1"
)

// Config says how an exchange differs from the ordinary one.
type Config struct {
	RefusalBudget int      // of the hub; its default when zero
	NoDirectory   bool     // the hub starts without one
	Leaks         bool     // it is the control of a search: a name is where none may be
	Forges        bool     // it is the control of a replay: decisions come into the log that no policy made
	Register      Register // the first directory, number 1

	Hub    func(*hub.Config)    // changes what the hub is made of, at every start; nil for nothing
	Ledger func(*ledger.Config) // the same for its ledger
	Desk   func(*desk.Config)   // the same for every desk

	// For a simulator; nil for a file and for the exchange's clock. A party is named as its folder is: hub, desk-BLI.
	Open       func(party string, d schema.Database) (store.Store, error)
	ClockOf    func(party string) func() time.Time
	IdentityOf func(path string) *identity.Identity // of a desk or an inbox; nil for the usual one
	Sending    func(authority, address string)      // hears where the hub sends to
	Lose       func(party string)                   // destroys what Open keeps of a party
}

// Exchange is a hub and whoever deals with it. Parties open when they are first asked for.
type Exchange struct {
	Clock *Clock
	Log   *Log // what every party logs, but the engine
	Hub   *hub.Hub

	// Store and Ledger are the hub's; a restart replaces them.
	Store  store.Store
	Ledger *ledger.Ledger

	AccessLogs []string // the folders with who saw which page that its auditors look at

	t          testing.TB
	cast       *cast
	cfg        Config
	dir        string
	logKeys    ledger.Keys // of the hub's newest generation of logs
	generation int         // which one that is, from 0
	sent, both []string    // the verifier keys of all that it has and will have
	first      []string    // checkpoints that parties get when they enrol

	mu      sync.Mutex // owns the maps; parties are opened from the test's goroutine and the hub's
	serves  server
	links   map[string]*Link // to the hub, by the caller's path
	desks   map[string]*Desk
	inboxes map[string]*Inbox
}

// NewExchange opens a hub with a directory. When the test ends its ledger is checked whole and every store is closed.
func NewExchange(t testing.TB, edits ...func(*Config)) *Exchange {
	t.Helper()
	x := &Exchange{t: t, cast: value(theCast())(t), dir: t.TempDir(), Clock: &Clock{now: Now}, Log: &Log{},
		links: map[string]*Link{}, desks: map[string]*Desk{}, inboxes: map[string]*Inbox{}}
	for _, edit := range edits {
		edit(&x.cfg)
	}
	for _, k := range x.cast.generations {
		x.giveKeys(k)
	}
	x.logKeys = x.cast.generations[0]
	x.openHub()
	t.Cleanup(x.close)
	if !x.cfg.NoDirectory {
		x.LoadDirectory(1, x.cfg.Register)
	}
	return x
}

// backoff is every party's: long enough that nothing is due again by itself, short enough to wait for.
var backoff = queue.Backoff{Base: time.Second, Max: time.Minute}

// MaxWait is past every backoff.
const MaxWait = time.Minute

func (x *Exchange) openHub() {
	x.t.Helper()
	x.Store = x.open("hub", schema.Hub)
	v := x.vault("hub")
	log := ledger.Config{Store: x.Store, Vault: v, Keys: x.logKeys, Terms: hub.Terms, Clock: x.clockOf("hub"), Rand: random{}, Log: x.Log.Logger(),
		Rehearse: true} // every op of every test shows that it can run again
	if x.cfg.Ledger != nil {
		x.cfg.Ledger(&log)
	}
	x.Ledger = value(ledger.Open(x.t.Context(), log))(x.t)
	cfg := hub.Config{
		Identity: x.Identity(hubPath), Anchors: x.cast.anchors, Store: x.Store, Vault: v, Ledger: x.Ledger, Engine: x.cast.engine,
		Sender: sender{x}, Backoff: backoff, Clock: x.clockOf("hub"), Rand: random{}, Log: x.Log.Logger(), RefusalBudget: x.cfg.RefusalBudget,
		Auditors: map[string]hub.Scope{x.Identity(AuditorPath).Party().ID: {All: true}},
	}
	if x.cfg.Hub != nil {
		x.cfg.Hub(&cfg)
	}
	x.Hub = value(hub.Open(x.t.Context(), cfg))(x.t)
	s := newServer()
	posternv1.RegisterSubmissionServiceServer(s, x.Hub)
	posternv1.RegisterMailboxServiceServer(s, x.Hub)
	posternv1.RegisterDirectoryServiceServer(s, x.Hub)
	posternv1.RegisterAuditServiceServer(s, x.Hub)
	posternv1.RegisterCoverageServiceServer(s, x.Hub)
	x.mu.Lock()
	defer x.mu.Unlock()
	x.serves = s
}

// ChangeHub changes what the hub is made of from its next start on; nil for the ordinary one.
func (x *Exchange) ChangeHub(change func(*hub.Config)) { x.cfg.Hub = change }

// ScopeAuditor starts the hub again with an auditor who sees some prisons only.
func (x *Exchange) ScopeAuditor(prisons ...string) {
	x.t.Helper()
	x.ChangeHub(func(c *hub.Config) {
		c.Auditors = map[string]hub.Scope{x.Identity(AuditorPath).Party().ID: {Prisons: prisons}}
	})
	x.RestartHub()
}

// RestartHub closes the hub's database and opens all of the hub again, as after a crash.
func (x *Exchange) RestartHub() {
	x.t.Helper()
	must(x.t, x.Store.Close())
	x.openHub()
}

// LoseHub replaces the hub's disk by an empty one. The operator asks every party what it has seen of the logs, opens the
// next generation, whose keys every party has and which names all of that, and loads the directory.
func (x *Exchange) LoseHub() {
	x.t.Helper()
	x.LoseHubDisk()
	x.LoadDirectory(1, x.cfg.Register)
	for _, prison := range []string{HMPBristol, HMPParc} {
		x.Desk(prison) // each has something to tell, or to say that it has not
	}
}

// LoseHubDisk is LoseHub before the operator loads a directory.
func (x *Exchange) LoseHubDisk() {
	x.t.Helper()
	known := x.known()
	must(x.t, x.Store.Close())
	if x.cfg.Lose != nil {
		x.cfg.Lose("hub")
	}
	must(x.t, os.RemoveAll(x.Path("hub")))
	x.openGeneration(x.nextKeys(), known...)
}

// Renewed is the identity of HMP Bristol's desk after its certificate was renewed.
func (x *Exchange) Renewed() *identity.Identity { return x.cast.renewed }

func (x *Exchange) open(party string, d schema.Database) store.Store {
	x.t.Helper()
	if x.cfg.Open != nil {
		return value(x.cfg.Open(party, d))(x.t)
	}
	return value(bolt.Open(x.t.Context(), bolt.Config{Path: x.Path(party, d.Name+".db"), Schema: d}))(x.t)
}

func (x *Exchange) vault(party string) *vault.Vault {
	x.t.Helper()
	return value(vault.Open(vault.Config{Dir: x.Path(party, "vault"), Clock: x.clockOf(party), Rand: random{}}))(x.t)
}

// clockOf is the clock of a party.
func (x *Exchange) clockOf(party string) func() time.Time {
	if x.cfg.ClockOf != nil {
		return x.cfg.ClockOf(party)
	}
	return x.Clock.Now
}

// Path is a path in the exchange's folder, where each party has its own: hub/hub.db, desk-BLI/desk.db.
func (x *Exchange) Path(parts ...string) string {
	return filepath.Join(append([]string{x.dir}, parts...)...)
}

// close checks the ledger, closes every store, and looks for the names of formtest's families in all that was logged, at
// every level, and in the hub's database with its free pages: so every test of an exchange, whatever fails in it, is also
// one of that.
func (x *Exchange) close() {
	if err := x.Ledger.CheckAll(context.Background()); err != nil {
		x.t.Errorf("the ledger at the end: %v", err)
	} else {
		x.replay()
	}
	for _, d := range x.desks {
		d.close()
	}
	for _, in := range x.inboxes {
		in.close()
	}
	if err := x.Store.Close(); err != nil {
		x.t.Error(err)
	}
	database, err := os.ReadFile(x.Path("hub", schema.Hub.Name+".db"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) { // a simulated disk is no file
		x.t.Error(err)
	}
	if found := Holds(familyWords(), x.Log.Bytes(), database); len(found) > 0 != x.cfg.Leaks {
		x.t.Errorf("in the logs or at the hub stands %q", found)
	}
	if x.t.Failed() && testing.Verbose() {
		x.t.Logf("log of the parties:\n%s", x.Log.Bytes())
	}
}

// Logs is all that was logged: by every party of this exchange, and by the engine for all exchanges so far.
func (x *Exchange) Logs() []byte { return append(x.Log.Bytes(), x.cast.log.Bytes()...) }

// Identity is the certificate and key of a party by its path, such as /prison/BLI/desk.
func (x *Exchange) Identity(path string) *identity.Identity {
	x.t.Helper()
	i, ok := x.cast.identities[path]
	if !ok {
		x.t.Fatalf("nobody is %s", path)
	}
	return i
}

// speaksAs is the identity that a desk or an inbox runs with.
func (x *Exchange) speaksAs(path string) *identity.Identity {
	if x.cfg.IdentityOf != nil {
		if i := x.cfg.IdentityOf(path); i != nil {
			return i
		}
	}
	return x.Identity(path)
}

// Anchors are the trust anchors.
func (x *Exchange) Anchors() *identity.Anchors { return x.cast.anchors }

// LogKeys are the verifier keys of both logs, in all their generations.
func (x *Exchange) LogKeys() verify.Keys {
	x.t.Helper()
	return value(verify.NewKeys(x.both...))(x.t)
}

// sentKeys are the verifier keys of the sent log, in all its generations.
func (x *Exchange) sentKeys() verify.Keys {
	x.t.Helper()
	return value(verify.NewKeys(x.sent...))(x.t)
}

// ToHub is the link of a party to the hub, by its path.
func (x *Exchange) ToHub(path string) *Link {
	x.t.Helper()
	party := x.Identity(path).Party()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.links[path] == nil {
		x.links[path] = &Link{caller: party, server: func() server {
			x.mu.Lock()
			defer x.mu.Unlock()
			return x.serves
		}}
	}
	return x.links[path]
}

// Submission is the hub's submission service as a prison's desk sees it.
func (x *Exchange) Submission(prison string) posternv1.SubmissionServiceClient {
	return posternv1.NewSubmissionServiceClient(x.ToHub(deskPath(prison)))
}

// Audit is the hub's audit service as a party sees it.
func (x *Exchange) Audit(path string) posternv1.AuditServiceClient {
	return posternv1.NewAuditServiceClient(x.ToHub(path))
}

// sender is the courier's way to the inboxes.
type sender struct{ x *Exchange }

func (s sender) Send(ctx context.Context, to identity.Party, address string, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	if s.x.cfg.Sending != nil {
		s.x.cfg.Sending(to.ID, address)
	}
	return s.x.Inbox(to.ID).Client().Deliver(ctx, &posternv1.DeliverRequest{Delivery: d})
}

// Settle steps every party until nothing more happens. A step that fails counts as nothing: what is cut off stays so.
func (x *Exchange) Settle() {
	x.t.Helper()
	for range 1000 {
		worked := false
		for _, step := range x.steps() {
			did, err := step(x.t.Context())
			worked = worked || did && err == nil
		}
		if !worked {
			return
		}
	}
	x.t.Fatal("the exchange does not come to rest")
}

func (x *Exchange) steps() []func(context.Context) (bool, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	steps := []func(context.Context) (bool, error){x.Hub.StepDelivery}
	for _, d := range x.desks {
		steps = append(steps, d.StepClocks, d.StepSpool, d.StepUpdates, d.StepKeys, d.StepReseal)
	}
	for code, in := range x.inboxes {
		steps = append(steps, in.StepReports, in.StepKeys, in.StepRedirects, in.StepNames)
		if slices.Contains(x.cfg.Register.Collect, code) {
			steps = append(steps, in.StepCollect)
		} else {
			steps = append(steps, in.StepResume)
		}
	}
	return steps
}
