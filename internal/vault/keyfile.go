package vault

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"postern/internal/failpoint"
	"postern/internal/fault"
)

// A key file is named after its epoch, as in 2026-11.01.key, and is two lines of text:
//
//	postern vault key 1 2026-11.01
//	<64 hexadecimal digits: the key> <16 more: the first 8 bytes of SHA-256(first line, without its end ‖ key)>
//
// The check finds a damaged file before it makes every record look forged. Evolution: another content is another
// number in the first line.
const (
	keyHeader     = "postern vault key 1 "
	keySuffix     = ".key"
	checkSize     = 8
	epochNameSize = len("2026-11.01")
)

func fileName(epoch string) string { return epoch + keySuffix }

// validEpochName says whether a name is a year, a month and a generation. Names come from sealed records too, so
// nothing else may become part of a file name or message.
func validEpochName(name string) bool {
	const form = "dddd-dd.dd"
	if len(name) != len(form) {
		return false
	}
	for i := range form {
		if form[i] == 'd' && (name[i] < '0' || name[i] > '9') || form[i] != 'd' && name[i] != form[i] {
			return false
		}
	}
	return true
}

// loadKeys reads every key in the folder by epoch name, after making the first one if there is none and may be one.
func loadKeys(c Config) (map[string][]byte, error) {
	if !c.Existing {
		if err := os.MkdirAll(c.Dir, 0o700); err != nil {
			return nil, unusable(c.Dir, err)
		}
	}
	info, err := os.Stat(c.Dir)
	if c.Existing && errors.Is(err, fs.ErrNotExist) {
		return nil, noKey(c.Dir)
	}
	if err != nil {
		return nil, unusable(c.Dir, err)
	}
	if info.Mode().Perm()&0o022 != 0 {
		return nil, fault.Newf(fault.Precondition, "VAULT_KEY_EXPOSED",
			"Others than its owner can write to the key folder %s. Run: chmod 700 %s", c.Dir, c.Dir)
	}
	keys, err := readKeys(c.Dir)
	if err != nil || len(keys) > 0 {
		return keys, err
	}
	if c.Existing {
		return nil, noKey(c.Dir)
	}
	name := c.Clock().UTC().Format("2006-01") + ".01"
	key := make([]byte, keySize)
	if _, err := io.ReadFull(c.Rand, key); err != nil {
		return nil, unusable(c.Dir, err)
	}
	if err := writeKey(c.Dir, name, key); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, unusable(c.Dir, err)
	}
	return readKeys(c.Dir) // not the key in hand: another process may have been faster, and the file is what counts
}

func readKeys(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, unusable(dir, err)
	}
	keys := map[string][]byte{}
	for _, entry := range entries {
		name, ok := strings.CutSuffix(entry.Name(), keySuffix)
		if !ok || !validEpochName(name) {
			continue
		}
		if keys[name], err = readKey(filepath.Join(dir, entry.Name()), name); err != nil {
			return nil, err
		}
	}
	return keys, nil
}

func readKey(path, epoch string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, unusable(path, err)
	}
	if info.Mode().Perm()&0o077 != 0 {
		return nil, fault.Newf(fault.Precondition, "VAULT_KEY_EXPOSED",
			"Others than its owner can use the key file %s. Run: chmod 600 %s", path, path)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, unusable(path, err)
	}
	header, rest, _ := strings.Cut(string(content), "\n")
	keyHex, _, _ := strings.Cut(rest, " ")
	key, err := hex.DecodeString(keyHex)
	if err != nil || len(key) != keySize || header != keyHeader+epoch || !bytes.Equal(content, keyFile(epoch, key)) {
		return nil, fault.Newf(fault.Precondition, "VAULT_KEY_DAMAGED",
			"The key file %s is damaged or belongs to another epoch. Restore it from its escrow copy.", path)
	}
	return key, nil
}

// keyFile is the content of the file of a key.
func keyFile(epoch string, key []byte) []byte {
	header := keyHeader + epoch
	check := sha256.Sum256(append([]byte(header), key...))
	return fmt.Appendf(nil, "%s\n%x %x\n", header, key, check[:checkSize])
}

// writeKey makes a key file whole and durable, or not at all, and never over another: a key lost is every record of
// its epoch lost.
func writeKey(dir, epoch string, key []byte) (err error) {
	file, err := os.CreateTemp(dir, ".new-*") // made with mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(file.Name()), syncDir(dir)) }() // no second name of a key may stay
	_, err = file.Write(keyFile(epoch, key))
	if err := errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.VaultKey); err != nil {
		return err
	}
	if err := os.Link(file.Name(), filepath.Join(dir, fileName(epoch))); err != nil {
		return err
	}
	// A crash here leaves the key under two names, or, if the folder was not on the disk yet, none: nothing is sealed yet.
	return failpoint.Hit(failpoint.VaultLinked)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func noKey(dir string) error {
	return fault.Newf(fault.Precondition, "NO_VAULT",
		"The vault's keys are not in %s, so no record of the database can be opened. Mount the disk that they are on, or put them back from their own copy, since no backup of the database holds them. Nothing was written.", dir)
}

func unusable(path string, cause error) error {
	return fault.Newf(fault.Unavailable, "VAULT_UNUSABLE",
		"The key folder cannot be used (%s): %v. Check the folder, its owner and the free space.", path, cause).Because(cause)
}
