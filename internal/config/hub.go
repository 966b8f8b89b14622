package config

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/hub"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/postcode"
	"postern/internal/queue"
	"postern/internal/rpc"
	"postern/internal/schema"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Hub is the configuration of `postern hub`.
type Hub struct {
	Common `yaml:",inline"`

	Listen         string   `yaml:"listen"`          // host:port for the other parties
	LogKey         LogKeys  `yaml:"log_key"`         // the private keys that sign the checkpoints
	CheckpointFile string   `yaml:"checkpoint_file"` // where the newest checkpoints are kept outside the database, best on another disk
	WitnessFiles   []string `yaml:"witness_files"`   // signed checkpoints of the logs as others have seen them, such as another machine's copy of an auditor's; the hub signs nothing below them
	Policy         string   `yaml:"policy"`          // a folder with a signed policy bundle, in the place of the built-in one until one is activated
	Operator       Identity `yaml:"operator"`        // signs the directory in `hub directory load`; not needed to serve
	Postcodes      string   `yaml:"postcodes"`       // a postcode table as the desks have it, or a folder of them: `hub directory load` then names what nobody serves
	Auditors       []Scope  `yaml:"auditors"`        // who may ask for events, and which they see
	Retry          Retry    `yaml:"retry"`           // how deliveries are tried again
	DeliverTo      []string `yaml:"deliver_to"`      // the networks in which inboxes are, such as 10.20.0.0/16; any but this machine's own when empty, and never link-local or metadata addresses
	GatherSeconds  float64  `yaml:"gather_seconds"`  // over how long what teams reply is gathered before desks hear of it; 3600 when empty, and less only to try the service out: minutes would tell what a team does
}

// Scope says what an auditor sees: the events of these prisons, of these authorities, or all. An event that is outside is
// for this auditor not there.
type Scope struct {
	Name        string   `yaml:"name"`        // in the auditor's certificate, /auditor/NAME
	All         bool     `yaml:"all"`         // everything
	Prisons     []string `yaml:"prisons"`     // by id, such as BLI
	Authorities []string `yaml:"authorities"` // by GSS code
}

// scopes are the auditors by name.
func (c *Hub) scopes() (map[string]hub.Scope, error) {
	var wrong []fault.Field
	all := map[string]hub.Scope{}
	for i, s := range c.Auditors {
		at := fmt.Sprintf("auditors[%d]", i)
		_, twice := all[s.Name]
		switch {
		case s.Name == "" || twice:
			wrong = append(wrong, fault.Field{Path: at + ".name", Reason: "Missing, or there twice.", Fix: "Name each auditor once, as in its certificate."})
		case s.All == (len(s.Prisons)+len(s.Authorities) > 0):
			wrong = append(wrong, fault.Field{Path: at, Reason: "It does not say what the auditor may see, or says two things.", Fix: "Say all: true, or list prisons and authorities."})
		}
		all[s.Name] = hub.Scope{All: s.All, Prisons: s.Prisons, Authorities: s.Authorities}
	}
	return all, fault.InvalidFields("BAD_CONFIG", "The hub's configuration has faults.", wrong)
}

// networks are where deliveries may go.
func (c *Hub) networks() (rpc.Networks, error) {
	var wrong []fault.Field
	n, bad := rpc.ParseNetworks(c.DeliverTo)
	for _, i := range bad {
		wrong = append(wrong, fault.Field{Path: fmt.Sprintf("deliver_to[%d]", i), Reason: "It is not a network.", Fix: "Write the network's first address and its length, such as 10.20.0.0/16; one address is 10.20.0.5/32."})
	}
	return n, fault.InvalidFields("BAD_CONFIG", "The hub's configuration has faults.", wrong)
}

// LogKeys are the files with the private keys of the two logs (C2SP signed-note), mode 0600.
type LogKeys struct {
	Sent     string      `yaml:"sent"`
	Received string      `yaml:"received"`
	Earlier  []string    `yaml:"earlier"` // verifier keys that the logs had before: a witness, or a party, may have seen nothing since that their successors have signed
	Next     NextLogKeys `yaml:"next"`    // sign beside them while a log changes its key; docs/operations.md says how
}

// NextLogKeys are the files with the keys that will be the only ones next; each may be empty.
type NextLogKeys struct {
	Sent     string `yaml:"sent"`
	Received string `yaml:"received"`
}

// Retry is exponential backoff with full jitter.
type Retry struct {
	BaseSeconds float64 `yaml:"base_seconds"` // 1 when empty
	MaxSeconds  float64 `yaml:"max_seconds"`  // 300 when empty
}

func (r Retry) backoff() queue.Backoff {
	return queue.Backoff{Base: seconds(r.BaseSeconds, time.Second), Max: seconds(r.MaxSeconds, 5*time.Minute)}
}

// LoadHub reads a hub's configuration.
func LoadHub(path string) (*Hub, error) {
	c := &Hub{}
	err := load(path, c, &c.Common, func() map[string]string {
		return map[string]string{"listen": c.Listen, "log_key.sent": c.LogKey.Sent, "log_key.received": c.LogKey.Received}
	})
	err = checked(path, err, slices.Concat(address("listen", c.Listen, listenFix), c.Retry.check(), negative("", map[string]float64{"gather_seconds": c.GatherSeconds})))
	if err == nil {
		_, err = c.scopes()
	}
	if err == nil {
		_, err = c.networks()
	}
	return c, err
}

// LoadOperator reads the operator's identity, and no other party's: whoever reads a directory would refuse what it signs.
func (c *Hub) LoadOperator() (*identity.Identity, error) {
	if c.Operator.Certificate == "" {
		return nil, fault.InvalidFields("NO_OPERATOR", "No operator is configured on this machine.", []fault.Field{
			{Path: "operator.certificate", Reason: "Missing.", Fix: "Name the operator's certificate and key, or load the directory where they are."}})
	}
	i, err := identity.Load(c.resolve(c.Operator.Certificate), c.resolve(c.Operator.Key))
	if err == nil {
		err = CertificateFor(operator, i.Party())
	}
	return i, err
}

// Build opens the hub's database and makes the hub.
func (c *Hub) Build(ctx context.Context, rt Runtime) (*Service, error) {
	if _, _, err := c.logKeys(); err != nil { // before there is a database: beside one NewKeys makes none
		return nil, err
	}
	b, err := c.open(ctx, rt, schema.Hub)
	if err != nil {
		return nil, err
	}
	h, sender, err := c.build(ctx, rt, b)
	if err != nil {
		return nil, closing(err, b)
	}
	s := c.service("hub "+b.identity.Party().ID, b, rt, c.Listen)
	s.Local = func(r grpc.ServiceRegistrar) {
		localv1.RegisterHubServiceServer(r, h)
		localv1.RegisterCourierServiceServer(r, h)
		localv1.RegisterDeadLetterServiceServer(r, h)
		localv1.RegisterOperationsServiceServer(r, h)
		localv1.RegisterPolicyServiceServer(r, h)
	}
	s.server.Refused, s.Checks = h.Refused, h.Checks()
	s.Remote = func(r grpc.ServiceRegistrar) {
		posternv1.RegisterSubmissionServiceServer(r, h)
		posternv1.RegisterMailboxServiceServer(r, h)
		posternv1.RegisterDirectoryServiceServer(r, h)
		posternv1.RegisterAuditServiceServer(r, h)
		posternv1.RegisterCoverageServiceServer(r, h)
	}
	s.Run, s.Close = h.Run, closeAll(sender, b.store)
	return s, nil
}

func (c *Hub) build(ctx context.Context, rt Runtime, b *base) (*hub.Hub, *rpc.InboxSender, error) {
	keys, err := c.nextLogKeys()
	if err != nil {
		return nil, nil, err
	}
	auditors, err := c.scopes()
	if err != nil {
		return nil, nil, err
	}
	measures := hub.NewMeasures(b.metrics)
	l, err := c.openLedger(ctx, rt, ledger.Config{
		Store: b.store, Vault: b.vault, Keys: keys, CheckpointFile: c.resolve(c.CheckpointFile), WitnessFiles: c.witnessFiles(), Terms: hub.Terms, Observe: measures.Committed})
	if err != nil {
		return nil, nil, err
	}
	var bundle fs.FS
	if c.Policy != "" {
		bundle = os.DirFS(c.resolve(c.Policy))
		if _, _, err := engine.VerifyBundle(bundle, b.anchors, rt.Clock()); err != nil {
			return nil, nil, err
		}
	}
	e, err := engine.New(ctx, engine.Config{Bundle: bundle, Log: rt.Log, Remember: true})
	if err != nil {
		return nil, nil, err
	}
	within, err := c.networks()
	if err != nil {
		return nil, nil, err
	}
	sender := rpc.NewInboxSender(rpc.SenderConfig{Identity: b.identity, Anchors: b.anchors, Log: rt.Log, Clock: rt.Clock, Within: within})
	h, err := hub.Open(ctx, hub.Config{
		Identity: b.identity, Anchors: b.anchors, Store: b.store, Vault: b.vault, Ledger: l, Engine: e, Sender: sender,
		Backoff: c.Retry.backoff(), Gather: seconds(c.GatherSeconds, time.Hour), Clock: rt.Clock, Rand: rt.Rand, Log: rt.Log, Auditors: auditors, Measures: measures,
	})
	return h, sender, err
}

// openLedger opens the hub's ledger with its present keys and what cfg says.
func (c *Hub) openLedger(ctx context.Context, rt Runtime, cfg ledger.Config) (_ *ledger.Ledger, err error) {
	if cfg.Keys.Sent, cfg.Keys.Received, err = c.logKeys(); err != nil {
		return nil, err
	}
	cfg.EarlierKeys, cfg.Clock, cfg.Rand, cfg.Log = c.LogKey.Earlier, rt.Clock, rt.Rand, rt.Log
	return ledger.Open(ctx, cfg)
}

// logKeys reads the present keys of both logs.
func (c *Hub) logKeys() (sent, received string, err error) {
	if sent, err = c.ownKey("log_key.sent", c.LogKey.Sent, "hub new-keys"); err == nil {
		received, err = c.ownKey("log_key.received", c.LogKey.Received, "hub new-keys")
	}
	return sent, received, err
}

func (c *Hub) witnessFiles() []string {
	var all []string
	for _, path := range c.WitnessFiles {
		all = append(all, c.resolve(path))
	}
	return all
}

// nextLogKeys reads the keys that sign beside the present ones, where there are any. Who serves signs with them; who
// only checks does not.
func (c *Hub) nextLogKeys() (keys ledger.Keys, err error) {
	if c.LogKey.Next.Sent != "" {
		if keys.NextSent, err = c.readKey(c.LogKey.Next.Sent); err != nil {
			return keys, err
		}
	}
	if c.LogKey.Next.Received != "" {
		keys.NextReceived, err = c.readKey(c.LogKey.Next.Received)
	}
	return keys, err
}

// NewLogKey makes the next key of one of the hub's logs, sent or received, in a new file, mode 0600, and returns its
// verifier key, and that of the present one. It changes nothing else.
func (c *Hub) NewLogKey(log, path string, random io.Reader) (vkey, now string, err error) {
	files := map[string]string{"sent": c.LogKey.Sent, "received": c.LogKey.Received}
	present, ok := files[log]
	if !ok {
		return "", "", fault.New(fault.Invalid, "NO_SUCH_LOG", "A hub has the logs sent and received.")
	}
	if now, err = c.verifierKey(present); errors.Is(err, fs.ErrNotExist) {
		return "", "", fault.Newf(fault.Precondition, "NO_KEY",
			"The present key, %s, is gone, so it can sign nothing beside the next one. Put it back, or open a new generation of the logs.", present).Because(err)
	} else if err != nil {
		return "", "", err
	}
	origin, _, _ := strings.Cut(now, "+")
	skey, vkey, err := ledger.GenerateKey(random, origin)
	if err != nil {
		return "", "", err
	}
	return vkey, now, writeNewKey(path, skey)
}

// LoadPostcodes reads the postcode table; nil where none is configured.
func (c *Hub) LoadPostcodes() (*postcode.Table, error) {
	if c.Postcodes == "" {
		return nil, nil
	}
	return postcode.Open(c.resolve(c.Postcodes))
}
