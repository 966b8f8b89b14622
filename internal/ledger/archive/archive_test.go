package archive_test

import (
	"testing"

	"postern/internal/ledger"
	"postern/internal/ledger/archive"
)

func TestFirst(t *testing.T) {
	w := newWorld(t, newTrust(t), "first")
	w.add(ledger.Sent, 300)
	w.add(ledger.Received, 40)
	dir := t.TempDir()
	r, err := w.export(dir, nil)
	check(t, err)
	t.Logf("%+v", r)
	files := load(t, dir)
	for n, f := range files {
		t.Log(n, len(f.Data))
	}
	r, err = archive.Verify(t.Context(), files, w.config())
	check(t, err)
	t.Logf("%+v", r)
}
