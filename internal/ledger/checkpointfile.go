package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
)

// The checkpoint file holds the newest checkpoint of each log, one signed note after the other with an empty line
// between. A note has one empty line of its own, so the file is read in pairs of blocks.

// writeCheckpoints replaces the file, durably: a crash leaves the old one or the new one. It costs two syncs a batch.
func writeCheckpoints(path string, heads perLog[published]) (err error) {
	if path == "" {
		return nil
	}
	var text strings.Builder
	for i, g := range logs {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(heads.of(g).checkpoint)
	}
	next := path + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteString(text.String())
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	// A crash here leaves the old file, one batch behind, and a spare that the next write truncates.
	if err := failpoint.Hit(failpoint.LedgerCheckpoint); err != nil {
		return err
	}
	if err := os.Rename(next, path); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.LedgerRenamed); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// readCheckpoints reads the file; nil when there is none. A file that does not verify is refused, not ignored: it may
// be all that shows a rollback.
func readCheckpoints(path string, keys verify.Keys) ([]verify.Head, error) {
	if path == "" {
		return nil, nil
	}
	heads, err := readNotes(path, keys, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && len(heads) != len(logs) {
		err = errUnread
	}
	return heads, err
}

// readWitness reads what a witness has seen: any number of signed checkpoints of ours, which must be there and verify.
// One of a log that we do not sign any more, as of an older generation, says nothing about those we do.
func readWitness(path string, keys verify.Keys) ([]verify.Head, error) {
	heads, err := readNotes(path, keys, true)
	if err != nil {
		return nil, fault.Newf(fault.Unverified, "LEDGER_CHECKPOINT_FILE",
			"The witness's checkpoints in %s cannot be read or are not of this log. Put the file back, or take it out of the configuration when that witness is gone.", path).Because(err)
	}
	return heads, nil
}

var errUnread = fault.New(fault.Unverified, "LEDGER_CHECKPOINT_FILE",
	"The checkpoint file is damaged or not of this log. Find out why; only then remove it.")

// isEnded reports whether an origin is that of a generation before one of ours.
func isEnded(origin string, keys verify.Keys) bool {
	return slices.ContainsFunc(keys.Origins(), func(ours string) bool { return verify.Succeeds(origin, ours) })
}

// readNotes reads signed checkpoints; with ended it passes over those of generations before ours.
func readNotes(path string, keys verify.Keys, ended bool) ([]verify.Head, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, errUnread.Because(err)
	}
	notes, err := verify.SplitCheckpoints(string(data))
	if err != nil {
		return nil, errUnread.Because(err)
	}
	var heads []verify.Head
	for _, n := range notes {
		if h, err := verify.ReadHead(n); err == nil && ended && isEnded(h.Origin, keys) {
			continue
		}
		h, err := verify.Checkpoint(n, keys)
		if err != nil {
			return nil, errUnread.Because(err)
		}
		heads = append(heads, h)
	}
	return heads, nil
}
