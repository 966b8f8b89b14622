package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
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
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	unread := fault.New(fault.Unverified, "LEDGER_CHECKPOINT_FILE",
		"The checkpoint file is damaged or not of this log. Find out why; only then remove it.")
	if err != nil {
		return nil, unread.Because(err)
	}
	blocks := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n\n")
	if len(blocks) != 2*len(logs) {
		return nil, unread
	}
	var heads []verify.Head
	for i := 0; i < len(blocks); i += 2 {
		h, err := verify.Checkpoint(blocks[i]+"\n\n"+blocks[i+1]+"\n", keys)
		if err != nil {
			return nil, unread.Because(err)
		}
		heads = append(heads, h)
	}
	return heads, nil
}
