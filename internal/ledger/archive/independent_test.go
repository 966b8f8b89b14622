package archive_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"maps"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"golang.org/x/mod/sumdb/note"

	"postern/internal/ledger"
)

// stranger reads an exported log from the C2SP formats and the merkle library alone.
type stranger struct {
	files  fstest.MapFS
	folder string
	size   uint64
	root   []byte
}

func newStranger(t *testing.T, files fstest.MapFS, folder, vkey string) stranger {
	v, err := note.NewVerifier(vkey)
	check(t, err)
	n, err := note.Open(files[folder+"/checkpoint"].Data, note.VerifierList(v))
	check(t, err)
	s := stranger{files: files, folder: folder}
	var root string
	_, err = fmt.Sscanf(n.Text, "hub.example/"+folder+"\n%d\n%s\n", &s.size, &root)
	check(t, err)
	s.root, err = base64.StdEncoding.DecodeString(root)
	check(t, err)
	return s
}

// bundle reads a file of up to 256 things, whole or partial.
func (s stranger) bundle(t *testing.T, below string, n, count uint64) []byte {
	name := fmt.Sprintf("%s/%s/%03d", s.folder, below, n)
	if w := count - n*256; w < 256 {
		name += fmt.Sprintf(".p/%d", w)
	}
	f := s.files[name]
	if f == nil {
		t.Fatalf("no %s", name)
	}
	return f.Data
}

// leaves reads every entry.
func (s stranger) leaves(t *testing.T) (all [][]byte) {
	for n := uint64(0); n*256 < s.size; n++ {
		for b := s.bundle(t, "tile/entries", n, s.size); len(b) > 0; {
			l := binary.BigEndian.Uint16(b)
			all, b = append(all, b[2:2+l]), b[2+l:]
		}
	}
	return all
}

// node is the hash of a perfect subtree, from the tiles.
func (s stranger) node(t *testing.T, id compact.NodeID) []byte {
	level, within := id.Level/8, id.Level%8
	first := id.Index << within
	tile := s.bundle(t, fmt.Sprintf("tile/%d", level), first/256, s.size>>(8*level))
	r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
	for i := first % 256; i < first%256+1<<within; i++ {
		check(t, r.Append(tile[32*i:32*i+32], nil))
	}
	h, err := r.GetRootHash(nil)
	check(t, err)
	return h
}

func (s stranger) nodes(t *testing.T, n proof.Nodes) [][]byte {
	var hashes [][]byte
	for _, id := range n.IDs {
		hashes = append(hashes, s.node(t, id))
	}
	hashes, err := n.Rehash(hashes, rfc6962.DefaultHasher.HashChildren)
	check(t, err)
	return hashes
}

// TestAnotherLibraryAgrees recomputes both trees, and proves inclusion and consistency, with transparency-dev/merkle.
func TestAnotherLibraryAgrees(t *testing.T) {
	w := newWorld(t, newTrust(t), "another library")
	var older map[string]stranger
	for range 2 {
		w.add(ledger.Sent, 700)
		w.add(ledger.Received, 30)
		files, now := w.exported(nil), map[string]stranger{}
		for _, g := range bothLogs {
			s := newStranger(t, files, g.String(), w.VerifierKey(g))
			now[g.String()] = s
			r := (&compact.RangeFactory{Hash: rfc6962.DefaultHasher.HashChildren}).NewEmptyRange(0)
			leaves := s.leaves(t)
			for i, leaf := range leaves {
				check(t, r.Append(rfc6962.DefaultHasher.HashLeaf(leaf), nil))
				if i%97 == 0 || i > len(leaves)-3 {
					nodes, err := proof.Inclusion(uint64(i), s.size)
					check(t, err)
					check(t, proof.VerifyInclusion(rfc6962.DefaultHasher, uint64(i), s.size, rfc6962.DefaultHasher.HashLeaf(leaf), s.nodes(t, nodes), s.root))
				}
			}
			root, err := r.GetRootHash(nil)
			check(t, err)
			if uint64(len(leaves)) != s.size || !bytes.Equal(root, s.root) {
				t.Fatalf("%d leaves of %d, root %x not %x", len(leaves), s.size, root, s.root)
			}
			if old, ok := older[g.String()]; ok {
				nodes, err := proof.Consistency(old.size, s.size)
				check(t, err)
				check(t, proof.VerifyConsistency(rfc6962.DefaultHasher, old.size, s.size, s.nodes(t, nodes), old.root, s.root))
			}
		}
		older = now
	}
}

// TestAnotherProgramAgrees lets Tessera's fsck, a separate process, check an export, and then the same with four
// tamperings. It says what it found in words only: its exit code is 0 either way, and with one worker it hangs.
func TestAnotherProgramAgrees(t *testing.T) {
	w := newWorld(t, newTrust(t), "another program")
	w.add(ledger.Sent, 600)
	w.add(ledger.Received, 3)
	good := w.exported(nil)
	for _, g := range bothLogs {
		size, _, _ := w.Head(g)
		want := fmt.Sprintf("Successfully fsck'd log with size %d ", size)
		if out := fsck(t, good, g.String(), w.VerifierKey(g)); !strings.Contains(out, want) || strings.Contains(out, "failed") {
			t.Fatalf("fsck of the %s log says:\n%s", g, out)
		}
	}
	change := func(name string, fn func([]byte)) fstest.MapFS {
		files := maps.Clone(good)
		data := bytes.Clone(files[name].Data)
		fn(data)
		files[name] = &fstest.MapFile{Data: data}
		return files
	}
	for what, files := range map[string]fstest.MapFS{
		"a bit of an entry": change("sent/tile/entries/001", func(b []byte) { b[1000] ^= 4 }),
		"two entries": change("sent/tile/entries/002.p/88", func(b []byte) {
			x, y := b[2:56], b[58:112]
			copy(b, slices.Concat(b[:2], bytes.Clone(y), b[:2], bytes.Clone(x)))
		}),
		"a bit of a hash":       change("sent/tile/0/000", func(b []byte) { b[77] ^= 1 }),
		"the checkpoint's size": change("sent/checkpoint", func(b []byte) { copy(b[bytes.IndexByte(b, '\n'):], "\n599\n") }),
	} {
		out := fsck(t, files, "sent", w.VerifierKey(ledger.Sent))
		if strings.Contains(out, "Successfully") || !strings.Contains(out, "fsck failed") {
			t.Errorf("fsck does not find %s changed:\n%s", what, out)
		}
	}
}

// fsck runs the pinned fsck over one log of an export and returns what it printed.
func fsck(t *testing.T, files fstest.MapFS, folder, vkey string) string {
	t.Helper()
	dir := t.TempDir()
	check(t, os.CopyFS(dir, files))
	key := filepath.Join(dir, "key")
	check(t, os.WriteFile(key, []byte(vkey), 0o600))
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // building it takes a while the first time
	defer cancel()
	at := url.URL{Scheme: "file", Path: filepath.Join(dir, folder)}
	cmd := exec.CommandContext(ctx, "go", "tool", "-modfile=tools/go.mod", "fsck",
		"--storage_url="+at.String(), "--public_key="+key, "--ui=false", "--N=4")
	cmd.Dir = "../../.."
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // or what go tool has started would go on
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	out, err := cmd.CombinedOutput()
	if ctx.Err() != nil {
		t.Fatalf("fsck hangs: %v\n%s", err, out)
	}
	if err != nil && !strings.Contains(string(out), "fsck failed") {
		t.Fatalf("fsck cannot run: %v\n%s", err, out)
	}
	return string(out)
}
