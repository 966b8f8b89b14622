package config

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/ledger"
)

// The first keys of a party. Each is made once, where its configuration says, before the party serves for the first time;
// whatever is there already stays as it is, since a key that was replaced is lost with all that rests on it.

// NewKeys makes the first keys of both logs of a hub, mode 0600, and beside each private key a file with its verifier key,
// which ends in .vkey. It returns the verifier keys. The private keys come first: what a crash leaves without a verifier
// key, or beside that of a key that was taken away, the same call puts right.
//
// Errors: Exists KEY_EXISTS with both keys there, Precondition KEYS_IN_PART with one of them, KEYS_LOST beside logs that
// other keys have signed.
func (c *Hub) NewKeys(random io.Reader) (sent, received string, err error) {
	files := []string{c.LogKey.Sent, c.LogKey.Received}
	if files[0] == files[1] {
		return "", "", fault.InvalidFields("BAD_CONFIG", "The hub's configuration has a fault.", []fault.Field{
			{Path: "log_key.received", Reason: "It is the file of log_key.sent too.", Fix: "Name another file: each log has a key of its own."}})
	}
	there := slices.DeleteFunc(slices.Clone(files), func(f string) bool { return !exists(c.resolve(f)) })
	switch {
	case len(there) == 1:
		missing := files[1-slices.Index(files, there[0])]
		return "", "", fault.Newf(fault.Precondition, "KEYS_IN_PART", "The log key %s is there, and %s is not. Put that back from its copy; only where no hub has served yet, take %s away and make both.", there[0], missing, there[0])
	case len(there) == 2:
		return "", "", c.keysExist()
	case exists(c.Database()) || c.CheckpointFile != "" && exists(c.resolve(c.CheckpointFile)):
		return "", "", fault.New(fault.Precondition, "KEYS_LOST", "This hub has logs already, which other keys have signed. Put those keys back, or open a new generation of the logs: postern hub new-generation.")
	}
	for i, log := range []string{"sent", "received"} {
		skey, _, err := ledger.GenerateKey(random, c.TrustDomain+"/"+log)
		if err == nil {
			err = writeNewKey(c.resolve(files[i]), skey)
		}
		if err != nil {
			return "", "", err
		}
	}
	return c.handOut()
}

// handOut puts the verifier key of each log beside its key, where it is not there or another one is.
func (c *Hub) handOut() (sent, received string, err error) {
	for path, vkey := range map[string]*string{c.LogKey.Sent: &sent, c.LogKey.Received: &received} {
		if *vkey, err = c.verifierKey(path); err != nil {
			return "", "", err
		}
		file, line := verifierFile(c.resolve(path)), []byte(*vkey+"\n")
		if there, err := os.ReadFile(file); err == nil && bytes.Equal(there, line) {
			continue
		}
		if err := os.WriteFile(file, line, 0o644); err != nil {
			return "", "", fault.Newf(fault.Precondition, "KEY_FILE", "The verifier key cannot be written to %s. Check the owner of the folder, and the disk.", file).Because(err)
		}
	}
	return sent, received, nil
}

// keysExist says that the log keys are there, and which they are.
func (c *Hub) keysExist() error {
	sent, received, err := c.handOut()
	if err != nil {
		return err
	}
	return fault.Newf(fault.Exists, "KEY_EXISTS", "This hub has its log keys already, in %s and %s, and they stay as they are. Their verifier keys:\n%s\n%s", c.LogKey.Sent, c.LogKey.Received, sent, received)
}

// verifierFile is where the verifier key of a log key's file is kept.
func verifierFile(path string) string {
	return strings.TrimSuffix(path, filepath.Ext(path)) + ".vkey"
}

// NewKey makes the desk's reference key, mode 0600.
//
// Errors: Exists KEY_EXISTS; Precondition KEYS_LOST beside the database of a desk that had one.
func (c *Desk) NewKey(random io.Reader) error {
	path := c.resolve(c.Reference)
	switch {
	case exists(path):
		return fault.Newf(fault.Exists, "KEY_EXISTS", "This desk has its reference key already, in %s, and it stays as it is: another one would not find people entered before.", c.Reference)
	case exists(c.Database()):
		return fault.Newf(fault.Precondition, "KEYS_LOST", "This desk has a database already. Put its reference key back in %s from its copy: another one would not find people entered before.", c.Reference)
	}
	key := make([]byte, 32)
	if _, err := io.ReadFull(random, key); err != nil {
		return fault.From(err)
	}
	return writeNewKey(path, hex.EncodeToString(key))
}

// NewKey makes a first recipient key in the inbox's folder, signed by its certificate, and returns the path of the public
// statement, which goes to the hub's operator. Version is 1, or one above the last where the folder was lost.
//
// Errors: Exists KEY_EXISTS where there is any key, KEY_IN_PART where that has no public part; what CertificateFor and Verifies say of the certificate.
func (c *Inbox) NewKey(version uint32, now time.Time) (statement string, err error) {
	there, err := filepath.Glob(filepath.Join(c.KeyDir(), "*.key"))
	public, _ := filepath.Glob(filepath.Join(c.KeyDir(), "*.signed")) // the same folder
	switch {
	case err == nil && len(there) == 1 && len(public) == 0:
		return "", fault.Newf(fault.Exists, "KEY_IN_PART", "The key %s is there, and its public part is not. Put that back from its copy; only where it was never handed to the hub's operator, take that file away and make the key again.", there[0])
	case err != nil || len(there) > 0:
		return "", fault.Newf(fault.Exists, "KEY_EXISTS", "This inbox has a recipient key already, in %s. The next one is made by: postern inbox rotate-key.", c.RecipientKeys).Because(err)
	}
	i, _, err := VerifiedIdentity(c, now)
	if err != nil {
		return "", err
	}
	return inbox.NewKey(c.KeyDir(), i, version, now)
}

func (c *Common) readKey(path string) (string, error) {
	b, err := os.ReadFile(c.resolve(path))
	if err != nil {
		return "", fault.Newf(fault.Precondition, "NO_KEY", "The key file %s cannot be read.", path).Because(err)
	}
	return strings.TrimSpace(string(b)), nil
}

// ownKey reads a key that a new party makes for itself, with a command.
func (c *Common) ownKey(field, path, command string) (string, error) {
	key, err := c.readKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fault.Newf(fault.Precondition, "NO_KEY", "There is no file %s, which %s names. Put it back from its copy; a new party makes it: postern %s.", path, field, command).Because(err)
	}
	return key, err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// writeNewKey writes a private key, mode 0600, durably, and never over a file that is there. Its folder is made. What the
// key signs outlives a power cut, so the key must: its file, the name of that, and the name of its folder.
func writeNewKey(path, key string) error {
	err := os.MkdirAll(filepath.Dir(path), 0o700)
	var f *os.File
	if err == nil {
		f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err != nil {
		return fault.Newf(fault.Precondition, "KEY_FILE", "The key file %s cannot be made. Name a new file in a folder that you may write to.", path).Because(err)
	}
	_, err = f.WriteString(key + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	dir := filepath.Dir(path)
	for _, name := range []string{dir, filepath.Dir(dir)} {
		d, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}
