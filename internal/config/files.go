package config

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/internal/identity"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
)

// Party is a configuration of any kind.
type Party interface {
	Kind() string     // hub, desk, inbox or audit, as in the commands
	Database() string // the path of its database; empty for a party without one
	Files() []File    // what it reads
	Upstream() (Upstream, error)
	DataDir() string
	Socket() string
	LoadIdentity() (*identity.Identity, error)
	LoadAnchors() (*identity.Anchors, error)
	Build(context.Context, Runtime) (*Service, error)
}

// Upstream is the hub that a party calls; the zero value for a hub itself.
type Upstream struct {
	Address string
	Party   identity.Party
	LogKeys verify.Keys // of its logs, as far as the party follows them
	Sent    verify.Keys // of its sent log, as hub.log_keys says; an auditor's has both
}

// VaultField is the Field of the vault and its keys, which lie in the data folder whatever the configuration says.
const VaultField = "vault"

// File is a file or folder that a party reads.
type File struct {
	Field  string // of the configuration, such as identity.key
	Path   string // absolute
	Secret bool   // nobody but the party's own user may read it
	Folder bool
	Anchor bool   // certificates of an authority
	New    string // the command that makes it for a new party; empty for none
}

// Load reads a configuration file of any kind.
func Load(path string, data []byte) (Party, error) {
	switch KindOf(data) {
	case "hub":
		return LoadHub(path)
	case "desk":
		return LoadDesk(path)
	case "inbox":
		return LoadInbox(path)
	}
	return LoadAuditor(path)
}

func (c *Common) files() []File {
	var lists []File
	for field, path := range map[string]string{"prison": c.Revocation.Prison, "authority": c.Revocation.Authority, "hub": c.Revocation.Hub, "auditor": c.Revocation.Auditor} {
		if path != "" {
			lists = append(lists, File{Field: "revocation." + field, Path: c.resolve(path)})
		}
	}
	slices.SortFunc(lists, func(a, b File) int { return strings.Compare(a.Field, b.Field) })
	return append(lists, []File{
		{Field: "data", Path: c.DataDir(), Secret: true, Folder: true},
		{Field: "identity.certificate", Path: c.resolve(c.Identity.Certificate)},
		{Field: "identity.key", Path: c.resolve(c.Identity.Key), Secret: true},
		{Field: "anchors.prison", Path: c.resolve(c.Anchors.Prison), Anchor: true},
		{Field: "anchors.authority", Path: c.resolve(c.Anchors.Authority), Anchor: true},
		{Field: "anchors.hub", Path: c.resolve(c.Anchors.Hub), Anchor: true},
		{Field: "anchors.auditor", Path: c.resolve(c.Anchors.Auditor), Anchor: true},
	}...)
}

// vaultFiles are the vault and its keys, for a party with a database. Before there is either there is nothing to read.
func (c *Common) vaultFiles(database string) []File {
	_, noVault := os.Stat(c.vaultDir())
	if _, err := os.Stat(database); err != nil && noVault != nil {
		return nil
	}
	files := []File{{Field: VaultField, Path: c.vaultDir(), Secret: true, Folder: true}}
	keys, _ := filepath.Glob(filepath.Join(c.vaultDir(), "*.key")) // fails for a bad pattern only
	for _, k := range keys {
		files = append(files, File{Field: VaultField, Path: k, Secret: true})
	}
	return files
}

// named are files and folders that a field lists.
func (c *Common) named(field string, paths ...string) (files []File) {
	for _, path := range paths {
		if path != "" {
			files = append(files, File{Field: field, Path: c.resolve(path)})
		}
	}
	return files
}

// folders are folders that a field lists.
func (c *Common) folders(field string, paths ...string) []File {
	files := c.named(field, paths...)
	for i := range files {
		files[i].Folder = true
	}
	return files
}

// tables is a postcode table, or the folder of them.
func (c *Common) tables(path string) []File {
	if info, err := os.Stat(c.resolve(path)); err == nil && info.IsDir() {
		return c.folders("postcodes", path)
	}
	return c.named("postcodes", path)
}

// secrets are files that nobody but the party's own user may read.
func (c *Common) secrets(field, path string) []File {
	files := c.named(field, path)
	for i := range files {
		files[i].Secret = true
	}
	return files
}

// site are what the pages of a party read.
func (c *Common) site(w *Web) []File {
	if w == nil {
		return nil
	}
	const at = "web."
	files := slices.Concat(c.named(at+"certificate", w.Certificate), c.secrets(at+"key", w.Key), c.named(at+"logo", w.Logo))
	if o := w.SignIn.OpenID; o != nil {
		files = append(files, c.secrets(at+"sign_in.openid.client_secret", o.Secret)...)
	}
	return files
}

func (c *Common) upstream(hub Peer) (Upstream, error) {
	p, err := hub.party(c.TrustDomain)
	if err != nil {
		return Upstream{}, err
	}
	up := Upstream{Address: hub.Address, Party: p}
	if up.Sent, err = hub.logKeys(); err == nil {
		up.LogKeys, err = verify.NewKeys(slices.Concat(hub.LogKeys, hub.Received)...)
	}
	return up, err
}

// Kind is hub.
func (c *Hub) Kind() string { return "hub" }

// Database is the path of the hub's database.
func (c *Hub) Database() string { return c.database(schema.Hub).Path }

// Upstream is nobody: a hub calls no hub.
func (c *Hub) Upstream() (Upstream, error) { return Upstream{}, nil }

// Files are what a hub reads. The operator's identity is not among them: it need not be on this machine.
func (c *Hub) Files() []File {
	files := append(c.files(),
		File{Field: "log_key.sent", Path: c.resolve(c.LogKey.Sent), Secret: true, New: "hub new-keys"},
		File{Field: "log_key.received", Path: c.resolve(c.LogKey.Received), Secret: true, New: "hub new-keys"})
	return slices.Concat(files, c.secrets("log_key.next.sent", c.LogKey.Next.Sent), c.secrets("log_key.next.received", c.LogKey.Next.Received),
		c.named("witness_files", c.WitnessFiles...), c.folders("policy", c.Policy), c.tables(c.Postcodes), c.vaultFiles(c.Database()))
}

// CheckpointPath is where the newest checkpoints are kept outside the database; empty for nowhere.
func (c *Hub) CheckpointPath() string { return c.resolve(c.CheckpointFile) }

// Kind is desk.
func (c *Desk) Kind() string { return "desk" }

// Database is the path of the desk's database.
func (c *Desk) Database() string { return c.database(schema.Desk).Path }

// Upstream is the desk's hub.
func (c *Desk) Upstream() (Upstream, error) { return c.upstream(c.Hub) }

// Files are what a desk reads.
func (c *Desk) Files() []File {
	return slices.Concat(append(c.files(), File{Field: "reference_key", Path: c.resolve(c.Reference), Secret: true, New: "desk new-key"}), c.named("hub.checkpoint_files", c.Hub.CheckpointFiles...),
		c.tables(c.Postcodes), c.folders("arrivals", c.Arrivals), c.site(c.Web), c.vaultFiles(c.Database()))
}

// Kind is inbox.
func (c *Inbox) Kind() string { return "inbox" }

// Database is the path of the inbox's database.
func (c *Inbox) Database() string { return c.database(schema.Inbox).Path }

// Upstream is the inbox's hub.
func (c *Inbox) Upstream() (Upstream, error) { return c.upstream(c.Hub) }

// Files are what an inbox reads, with every private recipient key.
func (c *Inbox) Files() []File {
	files := append(c.files(), File{Field: "recipient_keys", Path: c.KeyDir(), Secret: true, Folder: true, New: "inbox new-key"})
	keys, _ := filepath.Glob(filepath.Join(c.KeyDir(), "*.key")) // fails for a bad pattern only
	for _, k := range keys {
		files = append(files, File{Field: "recipient_keys", Path: k, Secret: true})
	}
	if m := c.Outlets.Mail; m != nil {
		files = slices.Concat(files, c.secrets("outlets.mail.password_file", m.Password), c.named("outlets.mail.ca", m.CA))
	}
	return slices.Concat(files, c.named("hub.checkpoint_files", c.Hub.CheckpointFiles...), c.tables(c.Postcodes), c.folders("outlets.folder", c.Outlets.Folder), c.site(c.Web), c.vaultFiles(c.Database()))
}

// Kind is audit.
func (c *Auditor) Kind() string { return "audit" }

// Database is none.
func (c *Auditor) Database() string { return "" }

// Upstream is the auditor's hub.
func (c *Auditor) Upstream() (Upstream, error) { return c.upstream(c.Hub) }

// Files are what an auditor reads.
func (c *Auditor) Files() []File {
	return slices.Concat(c.files(), c.named("hub.checkpoint_files", c.Hub.CheckpointFiles...), c.folders("access_logs", c.AccessLogs...), c.site(c.Web))
}
