// Package config reads the configuration of each party and builds the party from it.
//
// A configuration is strict YAML: an unknown key, a missing one and every other problem are reported at once, with the
// field and the fix. The comments of the structs here are its manual. Paths in a file are relative to the file's
// folder. Package config guarantees that what it builds has all it needs; it does not start anything.
package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
	"postern/internal/rpc"
	"postern/internal/strict"
)

// Identity is a party's certificate and private key.
type Identity struct {
	Certificate string `yaml:"certificate"` // PEM file, leaf first
	Key         string `yaml:"key"`         // PEM file, mode 0600
}

// Anchors are the four separate trust anchors, each a PEM file.
type Anchors struct {
	Prison    string `yaml:"prison"`    // vouches for desks
	Authority string `yaml:"authority"` // vouches for inboxes
	Hub       string `yaml:"hub"`       // vouches for hubs and operators
	Auditor   string `yaml:"auditor"`   // vouches for auditors
}

// Common is what every party's configuration has.
type Common struct {
	TrustDomain string   `yaml:"trust_domain"` // such as postern.example
	Data        string   `yaml:"data"`         // the party's folder: database, vault keys, control.sock
	Identity    Identity `yaml:"identity"`
	Anchors     Anchors  `yaml:"anchors"`
	Revocation  Anchors  `yaml:"revocation"` // revocation lists of the anchors, PEM files; an anchor without one revokes nobody
	Disk        Disk     `yaml:"disk"`       // how much of it the database takes and leaves
	Limits      Limits   `yaml:"limits"`     // what one other party may ask of this one; of hubs and inboxes
	Operations  string   `yaml:"operations"` // loopback address of /healthz, /readyz and /metrics, such as 127.0.0.1:9464; empty for none

	folder string // of the file
}

// Limits are what one other party, by its certificate, may ask; what is left out has its default.
type Limits struct {
	CallsPerSecond float64 `yaml:"calls_per_second"` // in the long run: 200
	CallsBurst     int     `yaml:"calls_burst"`      // at once after a rest: 1000
	CallsAtOnce    int     `yaml:"calls_at_once"`    // that run at the same time: 128
	BytesPerSecond int     `yaml:"bytes_per_second"` // of what it sends, in the long run: 2 MiB
	BytesBurst     int     `yaml:"bytes_burst"`      // at once after a rest: 16 MiB
}

func (l Limits) limits() rpc.Limits { return rpc.Limits(l) }

// check names limits that would let nobody in.
func (l Limits) check() []fault.Field {
	return negative("limits.", map[string]float64{"calls_per_second": l.CallsPerSecond, "calls_burst": float64(l.CallsBurst), "calls_at_once": float64(l.CallsAtOnce),
		"bytes_per_second": float64(l.BytesPerSecond), "bytes_burst": float64(l.BytesBurst)})
}

// Peer is a hub as its clients know it.
type Peer struct {
	Name     string   `yaml:"name"`          // the hub's name, as in its certificate
	Address  string   `yaml:"address"`       // host:port
	LogKeys  []string `yaml:"log_keys"`      // verifier keys of its logs: the sent log for desks and inboxes, both for auditors
	Received []string `yaml:"received_keys"` // for inboxes: verifier keys of the received log, so that its receipts prove that reports were recorded
	Phone    string   `yaml:"phone"`         // of its operator, shown when a log does not continue what this party knows of it

	CheckpointFiles []string `yaml:"checkpoint_files"` // signed checkpoints of its logs from enrolment; without any the first contact is believed
}

// load reads a configuration file into cfg, whose Common is c, and reports every problem at once, missing values too.
// required returns the values that this kind of party needs beside the common ones, by field.
func load(path string, cfg any, c *Common, required func() map[string]string) error {
	err := strict.YAMLFile(path, cfg)
	wrong := fault.From(err).Fields
	if err != nil && (len(wrong) == 0 || slices.ContainsFunc(wrong, func(f fault.Field) bool { return f.Path == "document" })) {
		return err // not read at all, so nothing can be said to be missing
	}
	folder, err := filepath.Abs(filepath.Dir(path))
	if err != nil {
		return fault.From(err)
	}
	c.folder = folder
	values := required()
	for path, v := range map[string]string{
		"trust_domain": c.TrustDomain, "data": c.Data, "identity.certificate": c.Identity.Certificate, "identity.key": c.Identity.Key,
		"anchors.prison": c.Anchors.Prison, "anchors.authority": c.Anchors.Authority, "anchors.hub": c.Anchors.Hub, "anchors.auditor": c.Anchors.Auditor,
	} {
		values[path] = v
	}
	for _, field := range slices.Sorted(maps.Keys(values)) {
		said := slices.ContainsFunc(wrong, func(f fault.Field) bool { return within(field, f.Path) })
		if values[field] == "" && !said {
			wrong = append(wrong, fault.Field{Path: field, Reason: "Missing.", Fix: "Give it a value."})
		}
	}
	return fault.InvalidFields("BAD_CONFIG", "The configuration "+filepath.Base(path)+" cannot be used.", append(wrong, c.check()...))
}

// within reports whether a field is the one at a path, or lies below it.
func within(field, path string) bool {
	return field == path || strings.HasPrefix(field, path+".") || strings.HasPrefix(path, field+"[")
}

// resolve makes a path of the file absolute.
func (c *Common) resolve(path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(c.folder, path)
}

// DataDir is the party's folder.
func (c *Common) DataDir() string { return c.resolve(c.Data) }

// Socket is the path of the party's control socket.
func (c *Common) Socket() string { return filepath.Join(c.DataDir(), "control.sock") }

// LoadIdentity reads the certificate and key.
func (c *Common) LoadIdentity() (*identity.Identity, error) {
	return identity.Load(c.resolve(c.Identity.Certificate), c.resolve(c.Identity.Key))
}

// LoadAnchors reads the four anchors and their revocation lists.
func (c *Common) LoadAnchors() (*identity.Anchors, error) {
	cfg, err := c.anchorConfig()
	if err != nil {
		return nil, err
	}
	return identity.NewAnchors(cfg)
}

func (c *Common) anchorConfig() (identity.AnchorConfig, error) {
	cfg := identity.AnchorConfig{Domain: c.TrustDomain}
	for _, f := range []struct {
		path string
		pem  *[]byte
	}{{c.Anchors.Prison, &cfg.Prison}, {c.Anchors.Authority, &cfg.Authority}, {c.Anchors.Hub, &cfg.Hub}, {c.Anchors.Auditor, &cfg.Auditor}} {
		b, err := os.ReadFile(c.resolve(f.path))
		if err != nil {
			return cfg, fault.Newf(fault.Precondition, "NO_ANCHOR", "The trust anchor %s cannot be read. Check the path under anchors.", f.path).Because(err)
		}
		*f.pem = b
	}
	for _, f := range []struct {
		path string
		pem  *[]byte
	}{{c.Revocation.Prison, &cfg.Revoked.Prison}, {c.Revocation.Authority, &cfg.Revoked.Authority}, {c.Revocation.Hub, &cfg.Revoked.Hub}, {c.Revocation.Auditor, &cfg.Revoked.Auditor}} {
		if f.path == "" {
			continue
		}
		b, err := os.ReadFile(c.resolve(f.path))
		if err == nil && len(b) == 0 {
			err = errors.New("it is empty")
		}
		if err != nil { // an empty file must not read as "nobody is revoked"
			return cfg, fault.Newf(fault.Precondition, "NO_REVOCATION_LIST", "The revocation list %s cannot be read. Check the path under revocation.", f.path).Because(err)
		}
		*f.pem = b
	}
	return cfg, nil
}

// logKeys reads the verifier keys of a hub's logs.
func (p Peer) logKeys() (verify.Keys, error) { return verify.NewKeys(p.LogKeys...) }

// checkpoints reads the signed checkpoints from enrolment.
func (c *Common) checkpoints(p Peer) ([]string, error) {
	var all []string
	for _, path := range p.CheckpointFiles {
		b, err := os.ReadFile(c.resolve(path))
		if err != nil {
			return nil, fault.Newf(fault.Precondition, "NO_CHECKPOINT", "The checkpoint file %s cannot be read. Check the path under hub.checkpoint_files.", path).Because(err)
		}
		notes, err := verify.SplitCheckpoints(string(b))
		if err != nil {
			return nil, err
		}
		all = append(all, notes...)
	}
	return all, nil
}

// party is the hub as a party of the trust domain.
func (p Peer) party(domain string) (identity.Party, error) {
	return identity.ParseURI("spiffe://" + domain + "/hub/" + p.Name)
}

func (p Peer) required(values map[string]string) map[string]string {
	values["hub.name"], values["hub.address"], values["hub.log_keys"] = p.Name, p.Address, strings.Join(p.LogKeys, " ")
	return values
}

// seconds is a number of seconds from a file, or a default where the file says nothing.
func seconds(n float64, otherwise time.Duration) time.Duration {
	if n <= 0 {
		return otherwise
	}
	return time.Duration(n * float64(time.Second))
}

// KindOf guesses whose configuration a file is, from keys that only that kind of party has, so that one missing key
// does not make a desk's file an auditor's: hub, desk, inbox, or audit for what has none of them.
func KindOf(data []byte) string {
	for _, k := range []struct {
		kind string
		keys []string
	}{
		{"hub", []string{"log_key", "checkpoint_file", "policy", "operator"}},
		{"desk", []string{"reference_key", "unit", "reply_to", "lawful_basis", "staff", "poll_seconds"}},
		{"inbox", []string{"recipient_keys", "listen", "collect"}}, // a hub listens too, and was recognised above
	} {
		for _, key := range k.keys {
			if strings.Contains("\n"+string(data), "\n"+key+":") {
				return k.kind
			}
		}
	}
	return "audit"
}
