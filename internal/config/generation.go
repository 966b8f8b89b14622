package config

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store/bolt"
)

// NewGeneration is what NewGeneration did.
type NewGeneration struct {
	SentKey, ReceivedKey   string   // the files with the private keys
	SentVKey, ReceivedVKey string   // the verifier keys, for every party
	Follows                []string // the checkpoints that the first event of the sent log names, newest first
}

// NewGeneration opens a new generation of the hub's logs in its database, which no process may have open: with new keys,
// made in files of a folder, and a first event that commits to the newest checkpoints known. They are what the database
// and the checkpoint file hold, what the witnesses have seen, and known: checkpoints that parties have told. earlier are
// verifier keys of earlier generations, when one of those is in the database or among the known.
//
// It may be called again after a crash, with the same folder. The configuration is the operator's to change.
func (c *Hub) NewGeneration(ctx context.Context, rt Runtime, dir string, known, earlier []string) (n NewGeneration, err error) {
	before, err := c.presentKeys(earlier)
	if err != nil {
		return n, err
	}
	for _, path := range c.witnessFiles() {
		text, err := os.ReadFile(path)
		if err != nil {
			return n, fault.Newf(fault.Precondition, "NO_CHECKPOINT", "The witness's checkpoints in %s cannot be read. Put the file back, or take it out of witness_files.", path).Because(err)
		}
		seen, err := verify.SplitCheckpoints(string(text))
		if err != nil {
			return n, err
		}
		known = append(known, seen...)
	}
	next := uint64(1)
	for _, origin := range append(before.Origins(), origins(known)...) {
		_, g := verify.Generation(origin)
		next = max(next, g+1)
	}
	var keys ledger.Keys
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return n, fault.New(fault.Precondition, "KEY_FILE", "The folder for the keys cannot be made.").Because(err)
	}
	for log, k := range map[string]struct {
		present    string
		secret     *string
		file, vkey *string
	}{"sent": {c.LogKey.Sent, &keys.Sent, &n.SentKey, &n.SentVKey}, "received": {c.LogKey.Received, &keys.Received, &n.ReceivedKey, &n.ReceivedVKey}} {
		*k.file = filepath.Join(dir, log+".key")
		if *k.secret, *k.vkey, err = c.generationKey(rt, k.present, *k.file, next); err != nil {
			return n, err
		}
	}
	n.Follows, err = c.openGeneration(ctx, rt, ledger.Generation{Config: ledger.Config{Keys: keys}, Before: before, Known: known})
	return n, err
}

// presentKeys are the verifier keys of the logs as they are configured, and the given ones.
func (c *Hub) presentKeys(earlier []string) (verify.Keys, error) {
	vkeys := slices.Concat(earlier, c.LogKey.Earlier)
	for _, file := range []string{c.LogKey.Sent, c.LogKey.Received, c.LogKey.Next.Sent, c.LogKey.Next.Received} {
		if file == "" {
			continue
		}
		skey, err := c.readKey(file)
		if err != nil {
			return verify.Keys{}, err
		}
		vkey, err := ledger.VerifierKey(skey)
		if err != nil {
			return verify.Keys{}, err
		}
		vkeys = append(vkeys, vkey)
	}
	slices.Sort(vkeys)
	return verify.NewKeys(slices.Compact(vkeys)...) // an earlier one may be in use still, or named twice
}

func origins(checkpoints []string) (all []string) {
	for _, checkpoint := range checkpoints {
		if h, err := verify.ReadHead(checkpoint); err == nil { // the ledger refuses what cannot be read
			all = append(all, h.Origin)
		}
	}
	return all
}

// generationKey makes the key of a log's n-th generation in a file, or takes the one that is there already.
func (c *Hub) generationKey(rt Runtime, present, path string, n uint64) (skey, vkey string, err error) {
	old, err := c.readKey(present)
	if err != nil {
		return "", "", err
	}
	if vkey, err = ledger.VerifierKey(old); err != nil {
		return "", "", err
	}
	origin, _, _ := strings.Cut(vkey, "+")
	first, _ := verify.Generation(origin)
	want := verify.OriginOf(first, n)
	if there, err := os.ReadFile(path); err == nil {
		skey = strings.TrimSpace(string(there))
		if vkey, err = ledger.VerifierKey(skey); err != nil {
			return "", "", err
		}
		if got, _, _ := strings.Cut(vkey, "+"); got != want {
			return "", "", fault.Newf(fault.Precondition, "KEY_FILE", "The key in %s is for %s, and the next generation is %s. Name another folder.", path, got, want)
		}
		return skey, vkey, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", "", fault.Newf(fault.Precondition, "KEY_FILE", "The key file %s cannot be read.", path).Because(err)
	}
	if skey, vkey, err = ledger.GenerateKey(rt.Rand, want); err != nil {
		return "", "", err
	}
	return skey, vkey, writeNewKey(path, skey)
}

// writeNewKey writes a private key, mode 0600, and never over a file that is there.
func writeNewKey(path, skey string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fault.Newf(fault.Precondition, "KEY_FILE", "The key file %s cannot be made. Name a new file in a folder that you may write to.", path).Because(err)
	}
	_, err = f.WriteString(skey + "\n")
	return errors.Join(err, f.Sync(), f.Close())
}

// openGeneration opens the generation in the database, and returns what its sent log follows.
func (c *Hub) openGeneration(ctx context.Context, rt Runtime, g ledger.Generation) (follows []string, err error) {
	v, err := c.vaultFor(rt, c.Database())
	if err != nil {
		return nil, err
	}
	s, err := bolt.Open(ctx, c.database(schema.Hub))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	g.Store, g.Vault, g.CheckpointFile = s, v, c.resolve(c.CheckpointFile)
	g.Clock, g.Rand, g.Log = rt.Clock, rt.Rand, rt.Log
	l, err := ledger.OpenGeneration(ctx, g)
	if err != nil {
		return nil, err
	}
	opening, err := l.Cut().Opening(ctx, l.Origin(ledger.Sent))
	if err != nil {
		return nil, err
	}
	_, core, err := verify.Open(opening)
	return core.GetFollowsCheckpoints(), err
}
