package inbox

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// keyLife is how long senders may seal to a recipient key: whoever steals one later opens a quarter's families at most.
const keyLife = 90 * 24 * time.Hour

// LoadKeys reads the private recipient keys of a folder, by key id. Files of other kinds are passed over.
func LoadKeys(dir string) (map[string]*envelope.RecipientPrivate, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.key"))
	if err != nil {
		return nil, fault.From(err)
	}
	keys := map[string]*envelope.RecipientPrivate{}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fault.New(fault.Precondition, "KEY_FILE", "A recipient key file cannot be read. Check who may read the key folder.").Because(err)
		}
		k, err := envelope.ParseRecipient(b)
		if err != nil {
			return nil, err
		}
		keys[k.KeyID()] = k
	}
	return keys, nil
}

// NewKey makes a recipient key in the folder: <id>.key, the private part, mode 0600, and <id>.signed, the statement of
// the public part for the directory. It returns the path of the statement.
func NewKey(dir string, i *identity.Identity, version uint32, now time.Time) (string, error) {
	k, err := envelope.GenerateRecipient()
	if err != nil {
		return "", err
	}
	signed, err := k.Publish(i, version, now, now.Add(keyLife))
	if err != nil {
		return "", err
	}
	return writeKey(dir, k, signed)
}

// writeKey writes both parts of a key and returns the path of the statement.
func writeKey(dir string, k *envelope.RecipientPrivate, signed *posternv1.Signed) (string, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fault.From(err)
	}
	private, err := k.MarshalPEM()
	if err != nil {
		return "", err
	}
	statement, err := proto.Marshal(signed)
	if err != nil {
		return "", fault.From(err)
	}
	base := filepath.Join(dir, k.KeyID())
	// The private part first: a statement without it would let senders seal to a key that nobody has.
	if err := writeWhole(base+".key", private, 0o600); err != nil {
		return "", err
	}
	if err := writeWhole(base+".signed", statement, 0o644); err != nil {
		return "", err
	}
	return base + ".signed", nil
}

// writeWhole writes a file and syncs it under another name first, so that no start finds half a key, and then its folder: what
// others seal to a key outlives a power cut, so the key must.
func writeWhole(path string, b []byte, mode os.FileMode) error {
	cannot := fault.New(fault.Precondition, "KEY_FILE", "The key folder cannot be written to. Check its owner and the disk's free space.")
	f, err := os.OpenFile(path+".new", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, mode)
	if err != nil {
		return cannot.Because(err)
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return cannot.Because(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return cannot.Because(err)
	}
	dir, err := os.Open(filepath.Dir(path))
	if err == nil {
		err = errors.Join(dir.Sync(), dir.Close())
	}
	if err != nil {
		return cannot.Because(err)
	}
	return nil
}
