//go:build crash

package crash

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"postern/examples/forms"
	formpkg "postern/internal/form"
	"postern/internal/testkit"
)

// kinds are the example forms that are handed in, in every world.
func kinds() []string {
	return []string{"shared_in_full", "shared_in_part", "inbox_offline", "two_authorities", "no_agreement", "declined"}
}

// words are the personal values of those forms.
func words(t testing.TB) []string {
	t.Helper()
	var all []string
	for _, kind := range kinds() {
		b := must(forms.Files.ReadFile(kind + ".json"))(t)
		all = append(all, testkit.Personal(must(formpkg.Decode(b))(t))...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// names are the words that the hub of a folder holds, in its database with the free pages and its checkpoints, and that
// any party wrote into its log at debug level, through kills, faults and starts.
func names(dir string, words []string) (found []string, err error) {
	logs, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil {
		return nil, err
	}
	for _, root := range append(logs, filepath.Join(dir, "hub"), filepath.Join(dir, "hub-checkpoints")) {
		err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			for _, w := range testkit.Holds(words, b) {
				found = append(found, w+" in "+path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	return found, nil
}

// TestNamesAreFound is the control of the search at the end of every world.
func TestNamesAreFound(t *testing.T) {
	all := words(t)
	for _, place := range []string{"hub/hub.db", "hub-checkpoints/sent", "desk-BLI.log"} {
		dir := t.TempDir()
		path := filepath.Join(dir, place)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte("before "+all[0]+" after"), 0o600)); err != nil {
			t.Fatal(err)
		}
		if found, err := names(dir, all); err != nil || len(found) == 0 {
			t.Errorf("a name in %s is not found: %v", place, err)
		}
	}
}
