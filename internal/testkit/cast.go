package testkit

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
)

// Domain is the trust domain.
const Domain = "exchange.postern.test"

// The cast. Wrexham is in the directory and has not enrolled: no key, no endpoint, no agreement. HMP Berwyn has a
// certificate and is not in the directory.
const (
	Bristol    = formtest.Bristol
	Lancashire = formtest.Lancashire
	Wrexham    = formtest.Wrexham

	HMPBristol = "BLI"
	HMPParc    = "PRI"
	HMPBerwyn  = "BWI"
)

// Now is when every exchange begins: a Sunday morning, the moment of formtest's forms.
var Now = formtest.Now

// enrolled is when certificates and keys were made.
func enrolled() time.Time { return Now.AddDate(0, -1, 0) }

// cast is what is costly to make and never changes: one serves all exchanges of a test binary.
type cast struct {
	anchors     *identity.Anchors
	identities  map[string]*identity.Identity         // by path
	renewed     *identity.Identity                    // HMP Bristol's desk with a renewed certificate
	recipients  map[string]*envelope.RecipientPrivate // by authority
	generations [3]ledger.Keys                        // of the hub's logs
	engine      *engine.Engine
	ca          map[string][]byte // the files of the trial CA, for certificates made later
	log         *Log              // what the engine says
}

var theCast = sync.OnceValues(func() (_ *cast, err error) {
	c := &cast{identities: map[string]*identity.Identity{}, recipients: map[string]*envelope.RecipientPrivate{}, log: &Log{}}
	if err := c.certify(); err != nil {
		return nil, err
	}
	for i := range c.generations {
		if c.generations[i], err = logKeys(uint64(i + 1)); err != nil {
			return nil, err
		}
	}
	for _, code := range []string{Bristol, Lancashire} {
		if c.recipients[code], err = envelope.GenerateRecipient(); err != nil {
			return nil, err
		}
	}
	// A busy machine under the race detector is slow, and a policy_error for that would be a false alarm.
	c.engine, err = engine.New(context.Background(), engine.Config{Timeout: 20 * time.Second, Log: c.log.Logger()})
	return c, err
})

// logKeys makes the keys of a generation of the hub's logs.
func logKeys(generation uint64) (k ledger.Keys, err error) {
	for _, of := range []struct {
		name   string
		secret *string
	}{{"sent", &k.Sent}, {"received", &k.Received}} { // in one order, so that one seed makes the same keys
		if *of.secret, _, err = ledger.GenerateKey(rand.Reader, verify.OriginOf(Domain+"/"+of.name, generation)); err != nil {
			return k, err
		}
	}
	return k, nil
}

// certify makes the trial CA and a certificate for everybody.
func (c *cast) certify() (err error) {
	dir, err := os.MkdirTemp("", "postern-testkit-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	if err := ca.Init(dir, ca.Config{Domain: Domain, Now: enrolled()}); err != nil {
		return err
	}
	a := identity.AnchorConfig{Domain: Domain}
	for name, pem := range map[string]*[]byte{"prison": &a.Prison, "authority": &a.Authority, "hub": &a.Hub, "auditor": &a.Auditor} {
		if *pem, err = os.ReadFile(filepath.Join(dir, name, "ca.pem")); err != nil {
			return err
		}
	}
	if c.anchors, err = identity.NewAnchors(a); err != nil {
		return err
	}
	for _, path := range []string{hubPath, operatorPath, "/operator/second", AuditorPath, deskPath(HMPBristol), deskPath(HMPParc), deskPath(HMPBerwyn),
		inboxPath(Bristol), inboxPath(Lancashire), inboxPath(Wrexham)} {
		file := filepath.Join(dir, strings.ReplaceAll(path, "/", "_"))
		issue := ca.IssueConfig{OutCert: file + ".pem", OutKey: file + "-key.pem", Now: enrolled(), Days: 400}
		if err := ca.Issue(dir, "spiffe://"+Domain+path, issue); err != nil {
			return err
		}
		if c.identities[path], err = identity.Load(issue.OutCert, issue.OutKey); err != nil {
			return err
		}
	}
	// The same desk as its certificate is after the next renewal.
	file := filepath.Join(dir, "renewed")
	issue := ca.IssueConfig{OutCert: file + ".pem", OutKey: file + "-key.pem", Now: Now, Days: 800}
	if err := ca.Issue(dir, "spiffe://"+Domain+deskPath(HMPBristol), issue); err != nil {
		return err
	}
	if c.renewed, err = identity.Load(issue.OutCert, issue.OutKey); err != nil {
		return err
	}
	c.ca, err = readAll(dir)
	return err
}

// readAll reads the files of a folder and its folders, by their names in it.
func readAll(dir string) (map[string][]byte, error) {
	files := map[string][]byte{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		files[strings.TrimPrefix(path, dir)], err = os.ReadFile(path)
		return err
	})
	return files, err
}

// Issue makes another certificate and key for a party, by its path.
func (x *Exchange) Issue(path string, from time.Time, days int) *identity.Identity {
	x.t.Helper()
	dir := x.t.TempDir()
	for name, b := range x.cast.ca {
		must(x.t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		must(x.t, os.WriteFile(filepath.Join(dir, name), b, 0o600))
	}
	c := ca.IssueConfig{OutCert: filepath.Join(dir, "leaf.pem"), OutKey: filepath.Join(dir, "leaf-key.pem"), Now: from, Days: days}
	must(x.t, ca.Issue(dir, "spiffe://"+Domain+path, c))
	return value(identity.Load(c.OutCert, c.OutKey))(x.t)
}

const (
	hubPath      = "/hub/main"
	operatorPath = "/operator/main"

	// AuditorPath is the path of the auditor's URI.
	AuditorPath = "/auditor/ig"
)

func deskPath(prison string) string     { return "/prison/" + prison + "/desk" }
func inboxPath(authority string) string { return "/authority/" + authority + "/inbox" }

// Log keeps what is logged, every level. It may be used from any goroutine.
type Log struct {
	mu   sync.Mutex // owns text
	text bytes.Buffer
}

// Logger writes to the log.
func (l *Log) Logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Write adds to the log.
func (l *Log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

// Bytes returns a copy of all that was logged.
func (l *Log) Bytes() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	return bytes.Clone(l.text.Bytes())
}
