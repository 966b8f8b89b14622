package outlet_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/fault"
	"postern/internal/outlet"
)

func parcel(n byte) outlet.Parcel {
	return outlet.Parcel{ID: [16]byte{n, 0xab}, Kind: outlet.Notification, Reference: "PN-7K3F-9Q2M", JSON: []byte("{}\n"), CSV: []byte("a\r\n")}
}

// seen is what an importer sees, which passes over names with a dot in front.
func seen(t *testing.T, dir string) (names []string) {
	t.Helper()
	all, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	return names
}

// Nothing is seen before it is whole, and what the importer took away does not come back.
func TestAFileIsSeenOnce(t *testing.T) {
	f := outlet.Folder{Dir: t.TempDir()}
	p := parcel(1)
	for range 2 { // a crash in staging: again from the start
		if err := f.Stage(p); err != nil {
			t.Fatal(err)
		}
		if got := seen(t, f.Dir); len(got) != 0 {
			t.Fatalf("staged, and %q are seen", got)
		}
	}
	if err := f.Release(p); err != nil {
		t.Fatal(err)
	}
	want := []string{"PN-7K3F-9Q2M_notification_01ab0000.csv", "PN-7K3F-9Q2M_notification_01ab0000.json"}
	if got := seen(t, f.Dir); !slices.Equal(got, want) {
		t.Fatalf("%q are seen", got)
	}
	if b, err := os.ReadFile(filepath.Join(f.Dir, want[1])); err != nil || string(b) != "{}\n" {
		t.Errorf("%q, %v", b, err)
	}
	for _, name := range want {
		if err := os.Remove(filepath.Join(f.Dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Release(p); err != nil || len(seen(t, f.Dir)) != 0 { // a crash after the rename
		t.Errorf("after it was taken away: %q, %v", seen(t, f.Dir), err)
	}
}

// Half of a release is ended by the next.
func TestARenameInBetweenIsEnded(t *testing.T) {
	f := outlet.Folder{Dir: t.TempDir()}
	p := parcel(2)
	if err := f.Stage(p); err != nil {
		t.Fatal(err)
	}
	name := "PN-7K3F-9Q2M_notification_02ab0000.json"
	if err := os.Rename(filepath.Join(f.Dir, ".postern", name), filepath.Join(f.Dir, name)); err != nil {
		t.Fatal(err)
	}
	if err := f.Release(p); err != nil || len(seen(t, f.Dir)) != 2 {
		t.Errorf("%q, %v", seen(t, f.Dir), err)
	}
}

func TestWhatIsDiscardedIsNotSeen(t *testing.T) {
	f := outlet.Folder{Dir: t.TempDir()}
	p := parcel(3)
	if err := errors.Join(f.Discard(p), f.Stage(p), f.Discard(p), f.Release(p)); err != nil || len(seen(t, f.Dir)) != 0 {
		t.Errorf("%q, %v", seen(t, f.Dir), err)
	}
}

// The fault says what to do, and not where: a folder may be named after somebody.
func TestAFolderThatCannotBeWrittenTo(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "quillfeather")
	if err := os.WriteFile(dir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []outlet.Folder{{Dir: dir}, {Dir: filepath.Join(dir, "deeper")}, {Dir: dir + "-none"}} {
		err := f.Stage(parcel(4))
		if fault.KindOf(err) != fault.Unavailable || fault.From(err).Reason != "FOLDER" {
			t.Errorf("%v", err)
		}
		for e := err; e != nil; e = errors.Unwrap(e) {
			if strings.Contains(e.Error(), "quillfeather") {
				t.Errorf("the fault names the folder: %v", e)
			}
		}
	}
}
