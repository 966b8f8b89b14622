package follow

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"postern/internal/fault"
	"postern/internal/store"
)

// InStore remembers in one row of a party's database.
func InStore(s store.Store, ks store.Keyspace) Memory { return row{s, ks} }

type row struct {
	store store.Store
	ks    store.Keyspace
}

// key is the name of the row.
const key = "hub's logs"

// Load reads the row.
func (r row) Load(ctx context.Context) (b []byte, err error) {
	err = r.store.View(ctx, func(s store.Snapshot) error {
		b, err = s.Get(r.ks, []byte(key))
		return err
	})
	return b, err
}

// Save writes the row, on a full disk too: what was seen must not be forgotten.
func (r row) Save(ctx context.Context, b []byte) error {
	return store.Reserved(r.store).Update(ctx, func(tx store.Tx) error { return tx.Put(r.ks, []byte(key), b) })
}

// InFile remembers in a file of its own, for a party without a database.
func InFile(path string) Memory { return file(path) }

type file string

// Load reads the file.
func (f file) Load(context.Context) ([]byte, error) {
	b, err := os.ReadFile(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fault.New(fault.Precondition, "LOG_MEMORY", "The file with what is known of the hub's logs cannot be read. Check who may read it.").Because(err)
	}
	return b, nil
}

// Save replaces the file: a crash leaves the old one or the new one, and what was seen is seen again.
func (f file) Save(_ context.Context, b []byte) (err error) {
	defer func() {
		if err != nil {
			err = fault.New(fault.Unavailable, "LOG_MEMORY", "What is known of the hub's logs cannot be written down, so nothing is taken from it. Check the disk.").Because(err)
		}
	}()
	next := string(f) + ".new"
	w, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = w.Write(b)
	if err := errors.Join(err, w.Sync(), w.Close()); err != nil {
		return err
	}
	if err := os.Rename(next, string(f)); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(string(f)))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
