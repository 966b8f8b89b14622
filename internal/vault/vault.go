// Package vault seals the personal bytes that a database holds, so that the file alone gives nothing away and a
// record can be erased for good by destroying a key.
//
// Each record is sealed under a fresh key of its own, and that key is wrapped by the key of an epoch, which is a file
// outside the database. Package vault guarantees that a sealed record opens only under the kind and id that it was
// sealed for, that a changed byte is refused, and that no key is ever part of what it returns. Index terms that name
// people are replaced by keyed hashes.
//
// It does not hide how long a record is, does not store records, and does not make a deleted epoch's key unreadable in
// backups of the key folder: those must be destroyed with it. In this version one epoch, that of the first start, is
// used for everything; the format names the epoch, so that records of several can live side by side.
package vault

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"time"

	"postern/internal/fault"
)

// Config says where the keys are.
type Config struct {
	Dir   string           // the folder of the key files, outside the database and its backups; made when absent
	Clock func() time.Time // names the epoch of a first start; nil: time.Now
	Rand  io.Reader        // nil: crypto/rand

	Existing bool // there are records already: a folder without a key is refused, and nothing is written
}

// Vault seals and opens records. Its methods may be called from any goroutine.
//
// # Sealed record, version 1
//
//	offset  length  content
//	     0       1  version, 1
//	     1      10  name of the epoch: year, month and generation, as in 2026-11.01
//	    11      12  nonce of the wrapping
//	    23      48  the record key, AES-256-GCM under the epoch's wrapping key: 32 bytes and a 16-byte tag
//	    71     n+16 the plaintext, AES-256-GCM under the record key, nonce zero: n bytes and a 16-byte tag
//
// The wrapping key is HKDF-SHA256(epoch key, no salt, "postern vault 1 wrap"); the key for index terms the same with
// "postern vault 1 term". The associated data of the wrapping is frame("postern vault 1 key", epoch, kind, id), that
// of the plaintext frame("postern vault 1 record", kind, id), where frame joins its parts, each after its length as 4
// bytes, big endian. The second does not name the epoch, so that a record moves to another epoch by wrapping its key
// again. A record key seals one plaintext, ever; hence the zero nonce.
//
// Evolution: another layout, cipher or derivation is another version byte and, in the labels, another number. Opening
// keeps every version ever written; sealing writes the newest. Fields are not added to version 1.
type Vault struct {
	epochs  map[string]*epoch
	current *epoch
	rand    io.Reader
	dir     string // for the words of a fault
}

const (
	version      = 1
	keySize      = 32
	nonceSize    = 12
	tagSize      = 16
	nonceOffset  = 1 + epochNameSize
	keyOffset    = nonceOffset + nonceSize
	bodyOffset   = keyOffset + keySize + tagSize
	wrapLabel    = "postern vault 1 wrap"
	termLabel    = "postern vault 1 term"
	keyLabel     = "postern vault 1 key"
	recordLabel  = "postern vault 1 record"
	entropyLabel = "postern vault 1 entropy"
)

// Overhead is how many bytes longer a sealed record is than its plaintext.
const Overhead = bodyOffset + tagSize

// epoch is the pair of keys derived from one key file.
type epoch struct {
	name string
	wrap cipher.AEAD
	term []byte
}

func newEpoch(name string, key []byte) (*epoch, error) {
	wrapKey, err := hkdf.Key(sha256.New, key, nil, wrapLabel, keySize)
	if err != nil {
		return nil, err
	}
	termKey, err := hkdf.Key(sha256.New, key, nil, termLabel, keySize)
	if err != nil {
		return nil, err
	}
	wrap, err := aead(wrapKey)
	if err != nil {
		return nil, err
	}
	return &epoch{name: name, wrap: wrap, term: termKey}, nil
}

// Open reads the keys, and makes the first one when there is none: but not one for records that exist already. It would
// open none of them, and what is sealed under it would not open either once the right keys are back.
//
// Errors: fault.Precondition NO_VAULT when there is no key for what exists, VAULT_KEY_EXPOSED when others than the owner could read or replace a key,
// VAULT_KEY_DAMAGED when a file is not the key that was written; fault.Unavailable VAULT_UNUSABLE.
func Open(c Config) (*Vault, error) {
	if c.Clock == nil {
		c.Clock = time.Now
	}
	if c.Rand == nil {
		c.Rand = rand.Reader
	}
	keys, err := loadKeys(c)
	if err != nil {
		return nil, err
	}
	v := &Vault{epochs: map[string]*epoch{}, rand: c.Rand, dir: c.Dir}
	for name, key := range keys {
		e, err := newEpoch(name, key)
		if err != nil {
			return nil, fmt.Errorf("vault: deriving the keys of epoch %s: %w", name, err)
		}
		v.epochs[name] = e
		if v.current == nil || v.current.name < name {
			v.current = e
		}
	}
	return v, nil
}

// Seal seals a record under its kind and id: by convention its keyspace and key. Neither is part of the result.
func (v *Vault) Seal(kind string, id, plaintext []byte) ([]byte, error) {
	return v.SealIn(append(Room(len(plaintext)), plaintext...), nil, kind, id)
}

// Room is where a record of a size can be sealed without a copy: append the plaintext, then SealIn. There are some bytes
// to spare behind it, for the checksum of a store.
func Room(size int) []byte { return make([]byte, bodyOffset, size+Overhead+spare) }

const spare = 8

// Seed is the random bytes that a record is sealed with. A transaction draws it beforehand, and uses it again when it runs
// again.
type Seed [keySize]byte

// SealIn is Seal for a plaintext that was appended to a Room, with a seed, or with one that it draws where that is nil. The
// sealed record lies where the plaintext was.
func (v *Vault) SealIn(room []byte, seed *Seed, kind string, id []byte) ([]byte, error) {
	if seed == nil {
		seed = new(Seed)
		if _, err := io.ReadFull(v.rand, seed[:]); err != nil {
			return nil, fault.New(fault.Internal, "VAULT_RANDOM", "No random bytes could be had, so nothing was sealed.").Because(err)
		}
	}
	plaintext, epoch := room[bodyOffset:], []byte(v.current.name)
	// Key and nonce depend on what is sealed as well as on the seed. A transaction that runs again with its old seed,
	// and other content, or a simulator that repeats one must never seal two plaintexts under one key. They are drawn in
	// one step, as NIST SP 800-56C has it: a hash of a count, the secret and what it is for.
	what := sha256.Sum256(plaintext)
	step := append(make([]byte, 0, 512), 0, 0, 0, 1) // on the stack
	drawn := sha512.Sum512(frame(append(step, seed[:]...), entropyLabel, epoch, []byte(kind), id, what[:]))
	key, nonce := drawn[:keySize], drawn[keySize:keySize+nonceSize]
	body, err := aead(key)
	if err != nil {
		return nil, err
	}
	sealed := append(room[:0], version)
	sealed = append(sealed, epoch...)
	sealed = append(sealed, nonce...)
	sealed = v.current.wrap.Seal(sealed, nonce, key, frame(nil, keyLabel, epoch, []byte(kind), id))
	return body.Seal(sealed, make([]byte, nonceSize), plaintext, frame(nil, recordLabel, []byte(kind), id)), nil
}

// Open opens a sealed record that was sealed for this kind and id.
//
// Errors: fault.Unverified VAULT_SEAL_BROKEN when it was not, or was changed; fault.Precondition VAULT_EPOCH_MISSING,
// naming the epoch, when its key is not in the folder, which after an erasure is as it should be.
func (v *Vault) Open(kind string, id, sealed []byte) ([]byte, error) {
	broken := fault.Newf(fault.Unverified, "VAULT_SEAL_BROKEN",
		"A stored record (%s) does not match its seal: it was changed, or belongs in another place. Restore the newest backup.", kind)
	if len(sealed) < Overhead || sealed[0] != version {
		return nil, broken
	}
	name := string(sealed[1:nonceOffset])
	if !validEpochName(name) {
		return nil, broken
	}
	e, ok := v.epochs[name]
	if !ok {
		return nil, fault.Newf(fault.Precondition, "VAULT_EPOCH_MISSING",
			"The key of epoch %s is not in the key folder, so its records cannot be opened. If it was not destroyed on purpose, restore the file %s.",
			name, fileName(name))
	}
	key, err := e.wrap.Open(nil, sealed[nonceOffset:keyOffset], sealed[keyOffset:bodyOffset], frame(nil, keyLabel, []byte(name), []byte(kind), id))
	if err != nil {
		return nil, broken
	}
	body, err := aead(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := body.Open([]byte{}, make([]byte, nonceSize), sealed[bodyOffset:], frame(nil, recordLabel, []byte(kind), id))
	if err != nil {
		return nil, broken
	}
	return plaintext, nil
}

// Term returns the 32 bytes under which an index keeps a term of this kind: HMAC-SHA256 under the epoch, so that the
// database does not give the term away to someone who can guess it. The same term of the same kind gives the same
// bytes for as long as the epoch is used.
func (v *Vault) Term(kind string, term []byte) []byte {
	mac := hmac.New(sha256.New, v.current.term)
	mac.Write(frame(nil, kind, term))
	return mac.Sum(nil)
}

func aead(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("vault: %w", err)
	}
	return cipher.NewGCM(block)
}

// frame appends the parts so that no two lists of parts give the same bytes.
func frame(to []byte, label string, parts ...[]byte) []byte {
	size := 4 + len(label)
	for _, part := range parts {
		size += 4 + len(part)
	}
	to = slices.Grow(to, size)
	to = append(binary.BigEndian.AppendUint32(to, uint32(len(label))), label...)
	for _, part := range parts {
		to = append(binary.BigEndian.AppendUint32(to, uint32(len(part))), part...)
	}
	return to
}
