package ledger

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
)

// The checkpoint file has two places of equal size. A place holds the newest checkpoint of each log as of one batch, one
// signed note after the other with an empty line between, filled up with line ends. Batches write the places in turn,
// over what is there: the file and its folder do not change, so that it costs one sync of one block and no room on a
// full disk. While a place is written the other one holds the batch before, which is all that was shown: a crash leaves
// one place whole at least. Opening makes the file anew, under another name first, with the same in both places.
type checkpointFile struct {
	path string // empty for nowhere
	next int    // the place of the next batch: 0 or 1; of whoever shows a batch
}

// placeSize holds two notes of two signatures each, under the longest names, with room to spare.
const placeSize = 4096

func (f *checkpointFile) place(heads perLog[published]) ([]byte, error) {
	var text strings.Builder
	for i, g := range logs {
		if i > 0 {
			text.WriteByte('\n')
		}
		text.WriteString(heads.of(g).checkpoint)
	}
	if text.Len() >= placeSize {
		return nil, errors.New("ledger: the checkpoints are larger than their place in the file")
	}
	text.WriteString(strings.Repeat("\n", placeSize-text.Len()))
	return []byte(text.String()), nil
}

// write puts the checkpoints of a batch into the file, durably. A file that somebody took away or replaced is made anew.
func (f *checkpointFile) write(heads perLog[published]) (err error) {
	if f.path == "" {
		return nil
	}
	file, err := os.OpenFile(f.path, os.O_WRONLY, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return f.create(heads)
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if info, err := file.Stat(); err != nil {
		return err
	} else if info.Size() != 2*placeSize {
		return f.create(heads)
	}
	text, err := f.place(heads)
	if err != nil {
		return err
	}
	if _, err := file.WriteAt(text, int64(f.next)*placeSize); err != nil {
		return err
	}
	// A crash here leaves this place old, new or torn, and the other one as the batch before left it.
	if err := failpoint.Hit(failpoint.LedgerCheckpoint); err != nil {
		return err
	}
	f.next = 1 - f.next
	return syscall.Fdatasync(int(file.Fd())) // neither the size nor the blocks of the file have changed
}

// create makes the file, durably: a crash leaves the old one or the new one.
func (f *checkpointFile) create(heads perLog[published]) error {
	if f.path == "" {
		return nil
	}
	text, err := f.place(heads)
	if err != nil {
		return err
	}
	next := f.path + ".new"
	file, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(append(text, text...))
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	// A crash here leaves the old file, one batch behind, and a spare that the next start truncates.
	if err := os.Rename(next, f.path); err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.LedgerRenamed); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(f.path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// placesOf takes the file apart: into its two places, or as one text when it is a plain list of notes, which is what a
// person may put there and what a hub before format 12 wrote.
func placesOf(data []byte) ([]string, error) {
	switch {
	case len(data) == 2*placeSize:
		return []string{string(data[:placeSize]), string(data[placeSize:])}, nil
	case len(data) < placeSize:
		return []string{string(data)}, nil
	}
	return nil, errUnread // cut short, or something else
}

// read reads the file; nil when there is none. Of the two places one may be torn, by a crash before anything of its batch
// was shown. Any other file that does not verify is refused, not ignored: it may be all that shows a rollback.
func (f *checkpointFile) read(keys verify.Keys) (heads []verify.Head, err error) {
	if f.path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errUnread.Because(err)
	}
	places, err := placesOf(data)
	if err != nil {
		return nil, err
	}
	for _, text := range places {
		held, unread := notesOf(text, keys, false)
		if unread == nil && len(held) != len(logs) {
			unread = errUnread
		}
		if unread != nil {
			err = unread
			continue
		}
		heads = append(heads, held...)
	}
	if len(heads) == 0 {
		return nil, err
	}
	return heads, nil
}

// notes are the signed notes in the file; nil when there is no file. As in read, one place may be torn.
func (f *checkpointFile) notes(keys verify.Keys) (notes []string, err error) {
	if f.path == "" {
		return nil, nil
	}
	data, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, errUnread.Because(err)
	}
	places, err := placesOf(data)
	if err != nil {
		return nil, err
	}
	for _, text := range places {
		held, unread := verify.SplitCheckpoints(text)
		if unread != nil {
			err = errUnread.Because(unread)
			continue
		}
		if _, unverified := notesOf(text, keys, false); unverified != nil {
			err = errors.Unwrap(unverified) // which key is missing
			continue
		}
		notes = append(notes, held...)
	}
	if len(notes) == 0 {
		return nil, err
	}
	return newestOf(notes)
}

// newestOf leaves of several notes of one log the largest: a place of the file that is one batch behind says nothing new.
func newestOf(notes []string) (newest []string, err error) {
	at := map[string]int{}
	var sizes []uint64
	for _, n := range notes {
		h, err := verify.ReadHead(n)
		if err != nil {
			return nil, errUnread.Because(err)
		}
		i, seen := at[h.Origin]
		switch {
		case !seen:
			at[h.Origin] = len(newest)
			newest, sizes = append(newest, n), append(sizes, h.Size)
		case h.Size > sizes[i]:
			newest[i], sizes[i] = n, h.Size
		}
	}
	return newest, nil
}

// readWitness reads what a witness has seen: any number of signed checkpoints of ours, which must be there and verify.
// One of a log that we do not sign any more, as of an older generation, says nothing about those we do.
func readWitness(path string, keys verify.Keys) ([]verify.Head, error) {
	heads, err := readNotes(path, keys, true)
	if err != nil {
		return nil, fault.Newf(fault.Unverified, "LEDGER_CHECKPOINT_FILE",
			"The witness's checkpoints in %s cannot be read or are not of this log. Put the file back, name the key that signed them under log_key.earlier if the log has changed its key since, or take the file out of the configuration when that witness is gone.", path).Because(err)
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
	return notesOf(string(data), keys, ended)
}

func notesOf(text string, keys verify.Keys, ended bool) ([]verify.Head, error) {
	notes, err := verify.SplitCheckpoints(text)
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
