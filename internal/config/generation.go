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
// verifier keys of earlier generations, when one of those is in the database or among the known, and those of logs whose
// private key is lost.
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
	next := uint64(2)
	for _, origin := range append(before.Origins(), origins(known)...) {
		_, g := verify.Generation(origin)
		next = max(next, g+1)
	}
	names, err := c.logNames(ctx, dir, before)
	if err != nil {
		return n, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return n, fault.New(fault.Precondition, "KEY_FILE", "The folder for the keys cannot be made.").Because(err)
	}
	var keys ledger.Keys
	for log, k := range map[string]struct{ secret, file, vkey *string }{
		"sent": {&keys.Sent, &n.SentKey, &n.SentVKey}, "received": {&keys.Received, &n.ReceivedKey, &n.ReceivedVKey}} {
		*k.file = filepath.Join(dir, log+".key")
		if *k.secret, *k.vkey, err = generationKey(rt, names[log], *k.file, next); err != nil {
			return n, err
		}
	}
	n.Follows, err = c.openGeneration(ctx, rt, ledger.Generation{Config: ledger.Config{Keys: keys}, Before: before, Known: known})
	if f := fault.From(err); f.Reason == "ORIGIN_UNKNOWN" || f.Reason == "SIGNATURE_MISSING" {
		err = fault.Newf(fault.Precondition, "NO_EARLIER_KEY", "%s Name its verifier key, as the parties have it under hub.log_keys, with --earlier-key.", f.Message).Because(err)
	}
	return n, err
}

// presentKeys are the verifier keys of the logs as they are configured, and the given ones. A key file that is gone is
// passed over: a new generation is how a hub goes on without it.
func (c *Hub) presentKeys(earlier []string) (verify.Keys, error) {
	vkeys := slices.Concat(earlier, c.LogKey.Earlier)
	for _, file := range []string{c.LogKey.Sent, c.LogKey.Received, c.LogKey.Next.Sent, c.LogKey.Next.Received} {
		if file == "" {
			continue
		}
		vkey, err := c.verifierKey(file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return verify.Keys{}, err
		}
		vkeys = append(vkeys, vkey)
	}
	slices.Sort(vkeys)
	return verify.NewKeys(slices.Compact(vkeys)...) // an earlier one may be in use still, or named twice
}

// verifierKey is the public part of a log key.
func (c *Hub) verifierKey(file string) (string, error) {
	skey, err := c.readKey(file)
	if err != nil {
		return "", err
	}
	return ledger.VerifierKey(skey)
}

// logNames are the origins of the two logs in some generation: those of their keys or, where a key file is gone, what the
// database says or, where that is gone too, that of an earlier key which ends with the name of the log. What the database
// holds an earlier key must verify, unless the new generation in dir is open already.
func (c *Hub) logNames(ctx context.Context, dir string, earlier verify.Keys) (map[string]string, error) {
	names := map[string]string{}
	for log, file := range map[string]string{"sent": c.LogKey.Sent, "received": c.LogKey.Received} {
		vkey, gone := c.verifierKey(file)
		if gone == nil {
			names[log], _, _ = strings.Cut(vkey, "+")
			continue
		}
		if !errors.Is(gone, fs.ErrNotExist) {
			return nil, gone
		}
		stored, err := c.storedNames(ctx)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(earlier.Origins(), func(origin string) bool {
			first, _ := verify.Generation(origin)
			return origin == stored[log] || stored[log] == "" && strings.HasSuffix(first, "/"+log)
		})
		_, unmade := os.Stat(filepath.Join(dir, log+".key"))
		switch {
		case i >= 0:
			names[log] = earlier.Origins()[i]
		case stored[log] != "" && unmade == nil:
			names[log] = stored[log]
		default:
			return nil, fault.Newf(fault.Precondition, "NO_EARLIER_KEY",
				"The key file %s is gone. Name the verifier key of the %s log, as the parties have it under hub.log_keys, with --earlier-key.", file, log).Because(gone)
		}
	}
	return names, nil
}

// storedNames are what the logs in the database are called; none without one.
func (c *Hub) storedNames(ctx context.Context) (_ map[string]string, err error) {
	if _, err := os.Stat(c.Database()); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	s, err := bolt.Open(ctx, c.database(schema.Hub))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	sent, received, err := ledger.Origins(ctx, s)
	return map[string]string{"sent": sent, "received": received}, err
}

func origins(checkpoints []string) (all []string) {
	for _, checkpoint := range checkpoints {
		if h, err := verify.ReadHead(checkpoint); err == nil { // the ledger refuses what cannot be read
			all = append(all, h.Origin)
		}
	}
	return all
}

// generationKey makes the key of the n-th generation of a log with an origin in a file, or takes the one that is there
// already. An empty file is what a crash leaves of one that was being made.
func generationKey(rt Runtime, origin, path string, n uint64) (skey, vkey string, err error) {
	first, _ := verify.Generation(origin)
	want := verify.OriginOf(first, n)
	there, err := os.ReadFile(path)
	if err == nil && len(there) == 0 {
		if err = os.Remove(path); err == nil {
			err = fs.ErrNotExist
		}
	}
	if err == nil {
		skey = strings.TrimSpace(string(there))
		if vkey, err = ledger.VerifierKey(skey); err != nil {
			return "", "", err
		}
		if got, _, _ := strings.Cut(vkey, "+"); got != want {
			return "", "", fault.Newf(fault.Precondition, "KEY_FILE", "The key in %s is for %s, and the next generation is %s. Name another folder.", path, got, want)
		}
		return skey, vkey, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", "", fault.Newf(fault.Precondition, "KEY_FILE", "The key file %s cannot be read.", path).Because(err)
	}
	if skey, vkey, err = ledger.GenerateKey(rt.Rand, want); err != nil {
		return "", "", err
	}
	return skey, vkey, writeNewKey(path, skey)
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
