package verify_test

import (
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	"postern/internal/ledger/verify"
	posternv1 "postern/proto/postern/v1"
)

func TestFileIsALogProof(t *testing.T) {
	l := newLog(t, origin, 7)
	r := l.receipt(t, 4, 7)
	file := verify.MarshalFile(r)
	got, err := verify.UnmarshalFile(file)
	check(t, err)
	if !proto.Equal(got, r) {
		t.Fatalf("%v is not %v", got, r)
	}
	// Whoever knows only the C2SP format, and the leaf from the extra data, can check inclusion.
	p, err := verify.ParseProof(string(file))
	check(t, err)
	n, err := note.Open([]byte(p.Checkpoint), note.VerifierList(must(note.NewVerifier(vkeyOf(t, origin)))))
	check(t, err)
	path := make(tlog.RecordProof, len(p.Hashes))
	for i, h := range p.Hashes {
		path[i] = h
	}
	root, err := tlog.ParseHash(strings.Split(n.Text, "\n")[2])
	check(t, err)
	check(t, tlog.CheckRecord(path, 7, root, int64(p.Index), tlog.RecordHash(got.Leaf)))

	for name, b := range map[string]string{
		"nothing":             "",
		"a bare proof":        r.TlogProof,
		"extra that is no":    strings.Replace(string(file), "extra ", "extra AAAA", 1),
		"another header":      strings.Replace(string(file), "@v1", "@v2", 1),
		"a proof in a proof":  string(verify.MarshalFile(&posternv1.Receipt{TlogProof: string(file)})),
		"a leading zero":      strings.Replace(string(file), "index 4", "index 04", 1),
		"no index":            strings.Replace(string(file), "index 4\n", "", 1),
		"carriage returns":    strings.ReplaceAll(string(file), "\n", "\r\n"),
		"no checkpoint":       strings.SplitAfter(string(file), "\n\n")[0],
		"more than is enough": string(file) + strings.Repeat(" ", 1<<18),
	} {
		_, err := verify.UnmarshalFile([]byte(b))
		if err == nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		refused(t, err, "PROOF_MALFORMED", "FILE_MALFORMED")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// TestGolden checks a receipt that was made when the formats were fixed. If it fails, receipts in people's hands no
// longer verify: mend the code, never the files.
func TestGolden(t *testing.T) {
	read := func(name string) []byte {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		check(t, err)
		return b
	}
	keys := keysOf(t, string(read("key.txt")))
	r, err := verify.UnmarshalFile(read("receipt.tlog-proof"))
	check(t, err)
	ev, err := verify.Receipt(r, keys)
	check(t, err)
	if ev.Checkpoint != string(read("checkpoint.txt")) || ev.Index != 2 || ev.Size != 6 || ev.Origin != origin ||
		hex.EncodeToString(r.Leaf)+"\n" != string(read("leaf.hex")) || hex.EncodeToString(r.Core)+"\n" != string(read("core.hex")) {
		t.Fatalf("the golden receipt is of %+v", ev)
	}
	if ev.Core.PolicyRevision != "rev-1" || !ev.Hour.Equal(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)) {
		t.Fatalf("the golden core is %v of %v", ev.Core, ev.Hour)
	}
	details, err := hex.DecodeString(strings.TrimSpace(string(read("details.hex"))))
	check(t, err)
	check(t, verify.Details(r, details))
}
