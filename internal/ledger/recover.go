package ledger

import (
	"bytes"
	"context"

	"golang.org/x/mod/sumdb/tlog"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
)

// errCorrupt matches every corrupt.
var errCorrupt = fault.New(fault.Unverified, "LEDGER_CORRUPT", "A log is damaged.")

// corrupt is the fault of a store that does not hold what its checkpoint says.
func corrupt(g Log, what string) *fault.Error {
	return fault.Newf(errCorrupt.Kind, errCorrupt.Reason,
		"The %s log is damaged: %s. Nothing is signed. Keep a copy of the database and restore the newest backup.", g, what)
}

// recover reads what is really stored and makes it the state of the ledger. It is the whole of recovery: after a clean
// stop, a crash at any point and an unknown outcome alike.
func (l *Ledger) recover(ctx context.Context) error {
	outside, err := l.file.read(l.keys)
	if err != nil {
		return err
	}
	var heads perLog[published]
	err = l.store.View(ctx, func(s store.Snapshot) (err error) {
		if l.base, err = newestGeneration(s); err != nil {
			return err
		}
		for _, g := range logs {
			if *heads.of(g), *l.edges.of(g), err = l.load(s, g); err != nil {
				return err
			}
			if err := l.opens(s, l.tree(g), *heads.of(g)); err != nil {
				return err
			}
			if err := l.compare(s, g, heads.of(g).Head, append(outside, l.witnessed...)); err != nil {
				return err
			}
		}
		if (heads.of(Sent).checkpoint == "") != (heads.of(Received).checkpoint == "") {
			return corrupt(Sent, "one of the two logs is missing") // both are made in one transaction
		}
		return l.loadClosed(s, &heads)
	})
	if err != nil {
		return err
	}
	if heads.of(Sent).checkpoint == "" {
		if err := l.found(ctx, &heads); err != nil {
			return err
		}
	}
	if err := l.completeAll(ctx, &heads); err != nil {
		return err
	}
	if l.file.path != "" && outside == nil && heads.of(Sent).Size+heads.of(Received).Size > 0 {
		l.log.WarnContext(ctx, "the checkpoint file is missing and is written anew", "file", l.file.path)
	}
	// A crash after a commit leaves the file one batch behind. It must be level before anything is shown.
	if err := l.file.create(heads); err != nil {
		return fault.New(fault.Unavailable, "LEDGER_CHECKPOINT_FILE",
			"The checkpoint file cannot be written. Check that its folder exists and has space.").Because(err)
	}
	l.committed = heads
	l.heads.Store(&heads)
	return nil
}

// found signs the checkpoints of two empty logs, so that a store without them is recognised as a new one ever after. Those
// of a later generation were opened with an event each: they are lost, and their keys have signed more than nothing.
func (l *Ledger) found(ctx context.Context, heads *perLog[published]) error {
	for _, g := range logs {
		var err error
		origin := (*l.signers.of(g)).Name()
		if _, n := verify.Generation(origin); n > 1 {
			return fault.Newf(fault.Precondition, "LEDGER_SHORTER",
				"The database has nothing of the %s log, which by its key's name follows another. Nothing is signed: restore the newest backup, or open a new generation.", g)
		}
		if *heads.of(g), err = l.sign(g, verify.Head{Origin: origin, Root: verify.EmptyRoot}); err != nil {
			return err
		}
	}
	if err := l.putCheckpoints(ctx, l.store, *heads); err != nil {
		return err
	}
	return failpoint.Hit(failpoint.LedgerFounded)
}

func (l *Ledger) putCheckpoints(ctx context.Context, to store.Store, heads perLog[published]) error {
	return to.Update(ctx, func(tx store.Tx) error {
		for _, g := range logs {
			if err := tx.Put(schema.HubLog, []byte{byte(l.tree(g))}, []byte(heads.of(g).checkpoint)); err != nil {
				return err
			}
		}
		return nil
	})
}

// completeAll gives each newest checkpoint the signatures that it lacks, before it is shown.
func (l *Ledger) completeAll(ctx context.Context, heads *perLog[published]) error {
	changed := false
	for _, g := range logs {
		checkpoint, err := l.complete(g, *heads.of(g))
		if err != nil {
			return err
		}
		changed = changed || checkpoint != heads.of(g).checkpoint
		heads.of(g).checkpoint = checkpoint
	}
	if !changed {
		return nil
	}
	return l.putCheckpoints(ctx, store.Reserved(l.store), *heads) // a full disk is no reason not to start
}

// load reads and checks the newest generation of one log. In a new store it has neither checkpoint nor leaves.
func (l *Ledger) load(r store.Reader, g Log) (published, edge, error) {
	t := l.tree(g)
	checkpoint, err := r.Get(schema.HubLog, []byte{byte(t)})
	if err != nil {
		return published{}, edge{}, err
	}
	p := published{checkpoint: string(checkpoint)}
	if checkpoint != nil {
		if p.Head, err = verify.Checkpoint(p.checkpoint, l.keys); err != nil {
			return p, edge{}, fault.Newf(fault.Unverified, "LEDGER_WRONG_KEY",
				"The newest checkpoint of the %s log is not signed by the key in the configuration. Put back the right key or database.", g).Because(err)
		}
		if p.Origin != (*l.signers.of(g)).Name() {
			return p, edge{}, corrupt(g, "its checkpoint is of another log")
		}
	}
	e, err := loadTree(r, t, &p)
	return p, e, err
}

// loadTree reads the right edge of a tree and checks it against the head, whose tiles it sets.
func loadTree(r store.Reader, t tree, p *published) (edge, error) {
	g := t.log()
	if beyond, err := r.Get(schema.HubLeaf, leafKey(t, p.Size)); err != nil {
		return edge{}, err
	} else if beyond != nil {
		return edge{}, corrupt(g, "it has more leaves than its checkpoint says")
	}
	if p.Size == 0 {
		if p.checkpoint != "" && p.Root != verify.EmptyRoot {
			return edge{}, corrupt(g, "its checkpoint has a wrong root")
		}
		return edge{}, nil
	}
	e, err := loadEdge(r, t, p.Size)
	if err != nil {
		return e, err
	}
	if e.root() != tlog.Hash(p.Root) {
		return e, corrupt(g, "its tiles have another root than its checkpoint")
	}
	p.tiles = e.tiles()
	return e, checkEdge(r, t, e)
}

// opens checks that the vault is that of the database, before anything is signed: the newest record of a tree opens, and
// its event has an id that says where it lies. Under other keys new events would have wrong ids, and would not open once
// the right keys are back.
func (l *Ledger) opens(s store.Snapshot, t tree, p published) error {
	if p.Size == 0 {
		return nil
	}
	var heads perLog[published]
	*heads.of(t.log()) = p
	e, err := reading{Cut{l, &heads}, s}.at(t, p.Size-1)
	switch reason := fault.From(err).Reason; {
	case err != nil && reason != "VAULT_EPOCH_MISSING" && reason != "VAULT_SEAL_BROKEN":
		return err
	case err != nil:
		return fault.Newf(fault.Unverified, "LEDGER_WRONG_VAULT",
			"The keys in the vault are not those of this database: the newest record of the %s log does not open. Nothing is signed. Put back the vault's keys that belong to it.", t.log()).Because(err)
	}
	if at, index := l.placeOf(e.Leaf.EventID); at != t || index != e.Index {
		return fault.Newf(fault.Unverified, "LEDGER_WRONG_VAULT",
			"The vault holds a key that is not of this database: the newest event of the %s log has its id from an earlier one. Nothing is signed. Move the key file of the latest month out of the vault; if it was put there by a start without the others, it opens nothing else.", t.log())
	}
	return nil
}

// loadEdge reads the partial tile of each level.
func loadEdge(r store.Reader, t tree, size uint64) (edge, error) {
	e := edge{size: size}
	for level := 0; width(size, level) > 0; level++ {
		n, w := width(size, level+1), int(width(size, level)%tileWidth)
		e.rows = append(e.rows, nil)
		if w == 0 {
			continue
		}
		data, err := r.Get(schema.HubTile, tileKey(t, level, n))
		if err != nil {
			return e, err
		}
		if len(data) != w*tlog.HashSize {
			return e, corrupt(t.log(), "the right edge of its tree is missing or has the wrong size")
		}
		e.rows[level] = splitTile(data)
	}
	return e, nil
}

// checkEdge checks what the root does not cover by itself: on each level the last full tile against its hash in the
// level above, and on the lowest one the leaves of the last two tiles, where the last batch is. CheckAll does the rest.
func checkEdge(r store.Reader, t tree, e edge) error {
	g, tiles := t.log(), stored(r, t, nil)
	for level := range e.rows {
		n := width(e.size, level+1) // full tiles on this level, and so hashes on the next
		if n == 0 {
			break
		}
		data, err := r.Get(schema.HubTile, tileKey(t, level, n-1))
		if err != nil {
			return err
		}
		above, err := tiles.ReadHashes([]int64{tlog.StoredHashIndex(tileHeight*(level+1), int64(n-1))})
		if err != nil {
			return err
		}
		if len(data) != tileWidth*tlog.HashSize || subtree(splitTile(data)) != above[0] {
			return corrupt(g, "a tile does not hash to its place in the tree")
		}
	}
	from := (e.size - 1) / tileWidth * tileWidth
	if from > 0 {
		from -= tileWidth
	}
	for i := from; i < e.size; i++ {
		hash, err := tiles.ReadHashes([]int64{tlog.StoredHashIndex(0, int64(i))})
		if err != nil {
			return err
		}
		bytes, err := r.Get(schema.HubLeaf, leafKey(t, i))
		if err != nil {
			return err
		}
		if bytes == nil || tlog.RecordHash(bytes) != hash[0] {
			return corrupt(g, "one of its newest leaves is not the one in the tree")
		}
	}
	return nil
}

// compare holds a log against the checkpoints that were kept outside the database: our own file, which is written after
// the commit it covers, and what witnesses have seen, which was shown. So a log that is shorter, or differs where it should agree, is an old or foreign copy. Signing on it would
// show two people two different logs.
func (l *Ledger) compare(r store.Reader, g Log, h verify.Head, outside []verify.Head) error {
	for _, seen := range outside {
		if seen.Origin != (*l.signers.of(g)).Name() {
			continue
		}
		if h.Size < seen.Size {
			return fault.Newf(fault.Precondition, "LEDGER_SHORTER",
				"The %s log has %d leaves, but had %d when its checkpoint was last kept outside the database, or seen by a witness. An old copy was put back. Nothing is signed: restore the newest backup, or open a new generation.",
				g, h.Size, seen.Size)
		}
		root := tlog.Hash(verify.EmptyRoot)
		if seen.Size > 0 {
			var err error
			if root, err = tlog.TreeHash(int64(seen.Size), stored(r, l.tree(g), nil)); err != nil {
				return err
			}
		}
		if !bytes.Equal(root[:], seen.Root[:]) {
			return fault.Newf(fault.Precondition, "LEDGER_FORKED",
				"The %s log does not continue the checkpoint that was kept outside the database, or seen by a witness. Nothing is signed: restore the newest backup, or open a new generation.", g)
		}
	}
	return nil
}
