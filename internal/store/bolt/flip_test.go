//go:build !race

package bolt_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"postern/internal/fault"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// The harness turns single bits in the live bytes of a real hub's database, and asks three readers what they make of
// each: bbolt alone, the control; the store's reads after its start; and Verify. A reader may name the damage, or it
// may be harmless: every record is there with its value. Anything else is damage undetected, which Verify must not have.
//
// Each reader works in a child process, the one of TestFlipChild, because bbolt on a damaged file may end it: the flip
// that it was at is then counted as found, and the next child goes on after it.

// flip is one bit turned.
type flip struct {
	class  string
	offset int
	bit    uint
}

// What a reader made of a flip.
const (
	named    = "named" // an error
	harmless = "harmless"
	wrong    = "wrong value"
	hidden   = "hidden records"
	died     = "process died"
	hung     = "hung"
	locked   = "locked" // nothing: another reader still has the file
)

// The readers.
const (
	alone   = "bbolt alone"
	checked = "bbolt with its Check"
	reads   = "start and reads"
	whole   = "Verify"
)

func TestEveryFlippedBitIsFoundOrHarmless(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "hub.db")
	file := realHub(t, path)
	live, err := bolt.LiveBytes(file)
	if err != nil {
		t.Fatal(err)
	}
	flips := choose(live, testkit.N(2000, 20000))
	outcomes := map[string]map[string]map[string]int{} // by reader, class, outcome
	for _, reader := range []string{alone, checked, reads, whole} {
		outcomes[reader] = map[string]map[string]int{}
		mine := flips
		if reader == checked { // it hangs now and then
			mine = flips[:len(flips)/4]
		}
		for i, o := range run(t, reader, path, mine) {
			if o == locked {
				t.Fatalf("%s did not look at flip %d: an earlier reader holds the file", reader, i)
			}
			class := flips[i].class
			if outcomes[reader][class] == nil {
				outcomes[reader][class] = map[string]int{}
			}
			outcomes[reader][class][o]++
			outcomes[reader][class]["all"]++
			if reader == whole && o != named && o != harmless {
				t.Errorf("undetected: bit %d of byte %d, %s: %s", flips[i].bit, flips[i].offset, class, o)
			}
		}
	}
	t.Logf("%d flips in %d live bytes of a file of %d\n%s", len(flips), count(live), len(file), table(outcomes))
	for _, control := range []string{alone, checked} {
		if silent, all := sum(outcomes[control], wrong)+sum(outcomes[control], hidden), sum(outcomes[control], "all"); silent < all/2 {
			t.Errorf("the control is too good: %s lets only %d of %d through", control, silent, all)
		}
	}
	if n := sum(outcomes[whole], named); n < len(flips)*3/4 {
		t.Errorf("only %d of %d flips in live bytes are named", n, len(flips))
	}
}

// realHub makes a hub's database by the real code, and returns it.
func realHub(t *testing.T, path string) []byte {
	x := testkit.NewExchange(t)
	hub := x.Submission(testkit.HMPBristol)
	for i := range 30 {
		name := []string{"shared_in_full", "shared_in_full", "shared_in_part", "declined", "two_authorities"}[i%5]
		for _, n := range x.Seal(testkit.HMPBristol, x.Example(name)) {
			if _, err := hub.Submit(t.Context(), &posternv1.SubmitRequest{Notification: n}); err != nil {
				t.Fatal(err)
			}
		}
		if i == 20 {
			x.Settle() // what came later still waits to be delivered
		}
	}
	file, err := os.ReadFile(x.Path("hub", "hub.db")) // nobody writes now
	if err == nil {
		err = os.WriteFile(path, file, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

func count(live []bolt.Live) (n int) {
	for _, l := range live {
		n += l.To - l.From
	}
	return n
}

// choose draws n flips: half evenly from all live bytes, half evenly from the classes, of which some are small.
func choose(live []bolt.Live, n int) []flip {
	random := rand.New(rand.NewPCG(2026, 3))
	byClass := map[string][]bolt.Live{}
	for _, l := range live {
		byClass[l.Class] = append(byClass[l.Class], l)
	}
	classes := slices.Sorted(func(yield func(string) bool) {
		for c := range byClass {
			if !yield(c) {
				return
			}
		}
	})
	flips := make([]flip, n)
	for i := range flips {
		from := live
		if i%2 == 1 {
			from = byClass[classes[i/2%len(classes)]]
		}
		at := random.IntN(count(from))
		for _, l := range from {
			if at < l.To-l.From {
				flips[i] = flip{l.Class, l.From + at, uint(random.IntN(8))}
				break
			}
			at -= l.To - l.From
		}
	}
	return flips
}

// run gives the flips to a reader, in as many children as it takes.
func run(t *testing.T, reader, path string, flips []flip) []string {
	var outcomes []string
	for len(outcomes) < len(flips) {
		before := len(outcomes)
		child := exec.Command(os.Args[0], "-test.run=^TestFlipChild$")
		child.Env = append(os.Environ(), "FLIP_READER="+reader, "FLIP_PATH="+path)
		var list bytes.Buffer
		for _, f := range flips[before:] {
			fmt.Fprintln(&list, f.offset, f.bit)
		}
		child.Stdin = &list
		child.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // an interrupted check leaves no process
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		end := died
		patience := time.Minute
		if reader == alone || reader == checked {
			patience = 5 * time.Second
		}
		watchdog := time.AfterFunc(patience, func() { _ = child.Process.Kill() })
		for lines := bufio.NewScanner(out); lines.Scan(); watchdog.Reset(patience) {
			if o, ok := strings.CutPrefix(lines.Text(), "flip: "); ok {
				outcomes = append(outcomes, o)
			}
		}
		if !watchdog.Stop() {
			end = hung
		}
		if err := child.Wait(); err != nil && len(outcomes) < len(flips) {
			outcomes = append(outcomes, end)
		}
		if len(outcomes) == before {
			t.Fatalf("a child did nothing")
		}
	}
	return outcomes
}

// TestFlipChild is the child; by itself it does nothing.
func TestFlipChild(t *testing.T) {
	reader, path := os.Getenv("FLIP_READER"), os.Getenv("FLIP_PATH")
	if reader == "" {
		return
	}
	debug.SetMaxStack(64 << 20) // a page that is below itself ends soon
	if err := syscall.Setrlimit(syscall.RLIMIT_DATA, &syscall.Rlimit{Cur: 8 << 30, Max: 8 << 30}); err != nil {
		t.Fatal(err)
	}
	intact, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hub, err := schemaOf(path)
	if err != nil {
		t.Fatal(err)
	}
	read := readers(hub)[reader]
	truth, err := read(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	work := filepath.Join(t.TempDir(), "hub.db")
	if err := os.WriteFile(work, intact, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(work, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for {
		var f flip
		if n, _ := fmt.Scanln(&f.offset, &f.bit); n != 2 {
			return
		}
		turn := func(b byte) os.FileInfo {
			if _, err := file.WriteAt([]byte{b}, int64(f.offset)); err != nil {
				t.Fatal(err)
			}
			info, err := file.Stat()
			if err != nil {
				t.Fatal(err)
			}
			return info
		}
		before := turn(intact[f.offset] ^ 1<<f.bit)
		outcome, panicked := judge(read, work, truth)
		if after, err := file.Stat(); err != nil || after.Size() != before.Size() || after.ModTime() != before.ModTime() {
			t.Fatalf("a reader wrote: %v", err)
		}
		turn(intact[f.offset])
		fmt.Println("flip:", outcome)
		if panicked { // in Open it leaves the file locked, so that nobody here can open it again: the next child can
			return
		}
	}
}

// schemaOf is the schema of the intact file, which package schema holds too, but above this package.
func schemaOf(path string) (hub store.Schema, err error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true, Timeout: time.Second})
	if err != nil {
		return hub, err
	}
	defer db.Close()
	hub = store.Schema{Name: "hub"}
	return hub, db.View(func(tx *bbolt.Tx) error {
		version := tx.Bucket([]byte("_schema2")).Get([]byte("version"))
		hub.Version = binary.BigEndian.Uint64(version) // before its checksum
		return tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
			if name[0] != '_' {
				hub.Keyspaces = append(hub.Keyspaces, store.Keyspace(name))
			}
			return nil
		})
	})
}

// content is a database as somebody read it: a digest of each value, by keyspace and key.
type content map[string][sha256.Size]byte

func (c content) add(ks, key, value []byte) {
	c[string(ks)+"\x00"+string(key)] = sha256.Sum256(value)
}

// readers read a whole database, in ways that all must agree; truth is the content before the flip, nil for none.
func readers(hub store.Schema) map[string]func(path string, truth content) (content, error) {
	return map[string]func(path string, truth content) (content, error){
		alone:   func(path string, truth content) (content, error) { return readAlone(path, truth, false) },
		checked: func(path string, truth content) (content, error) { return readAlone(path, truth, true) },
		reads:   func(path string, truth content) (content, error) { return readStore(path, truth, hub) },
		whole: func(path string, truth content) (content, error) {
			if _, err := bolt.Verify(context.Background(), bolt.Config{Path: path, Schema: hub}); err != nil {
				return nil, err
			}
			return readStore(path, truth, hub)
		},
	}
}

// errOther is the reader's finding that two of its ways disagree, without an error of the database.
var errOther = errors.New("other records")

func judge(read func(string, content) (content, error), path string, truth content) (outcome string, panicked bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			outcome, panicked = named, true // a panic that the caller can catch
		}
	}()
	got, err := read(path, truth)
	if errors.Is(err, berrors.ErrTimeout) || fault.From(err).Reason == "STORE_LOCKED" {
		return locked, false
	}
	if err != nil && !errors.Is(err, errOther) {
		return named, false
	}
	missing := errors.Is(err, errOther)
	for k, v := range got {
		if truth[k] != v {
			return wrong, false
		}
	}
	if missing || len(got) != len(truth) {
		return hidden, false
	}
	return harmless, false
}

// readAlone is bbolt as it comes.
func readAlone(path string, truth content, check bool) (content, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		return nil, err
	}
	defer db.Close()
	got := content{}
	return got, db.View(func(tx *bbolt.Tx) error {
		if check {
			var first error
			for err := range tx.Check() { // to the end, or its goroutine reads on after the close
				first = cmp.Or(first, err)
			}
			if first != nil {
				return first
			}
		}
		err := tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(k, v []byte) error {
				got.add(name, k, v)
				return nil
			})
		})
		for place, digest := range truth {
			ks, key, _ := strings.Cut(place, "\x00")
			b := tx.Bucket([]byte(ks))
			if b == nil || sha256.Sum256(b.Get([]byte(key))) != digest {
				return cmp.Or(err, errOther)
			}
		}
		return err
	})
}

// readStore is a start and then every way to read.
func readStore(path string, truth content, hub store.Schema) (content, error) {
	ctx := context.Background()
	s, err := bolt.Open(ctx, bolt.Config{Path: path, Schema: hub})
	if err != nil {
		return nil, err
	}
	defer s.Close()
	got, back := content{}, content{}
	return got, s.View(ctx, func(s store.Snapshot) error {
		for _, ks := range hub.Keyspaces {
			for _, way := range []struct {
				walk func(store.Keyspace, []byte, []byte, func(k, v []byte) (bool, error)) error
				into content
			}{{s.Scan, got}, {s.ScanReverse, back}} {
				err := way.walk(ks, nil, nil, func(k, v []byte) (bool, error) {
					way.into.add([]byte(ks), k, v)
					return true, nil
				})
				if err != nil {
					return err
				}
			}
		}
		for place, digest := range truth {
			ks, key, _ := strings.Cut(place, "\x00")
			v, err := s.Get(store.Keyspace(ks), []byte(key))
			if err != nil {
				return err
			}
			if sha256.Sum256(v) != digest || back[place] != digest {
				return errOther
			}
		}
		return nil
	})
}

func sum(byClass map[string]map[string]int, outcome string) (n int) {
	for _, o := range byClass {
		n += o[outcome]
	}
	return n
}

// table shows what each reader made of each class.
func table(outcomes map[string]map[string]map[string]int) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', tabwriter.AlignRight)
	columns := []string{"all", named, died, hung, harmless, hidden, wrong}
	fmt.Fprintln(w, "reader\tlive bytes\t"+strings.Join(columns, "\t")+"\t")
	for _, reader := range []string{alone, checked, reads, whole} {
		classes := make([]string, 0, len(outcomes[reader]))
		for c := range outcomes[reader] {
			classes = append(classes, c)
		}
		slices.Sort(classes)
		for _, c := range classes {
			fmt.Fprintf(w, "%s\t%s\t", reader, c)
			for _, o := range columns {
				fmt.Fprintf(w, "%d\t", outcomes[reader][c][o])
			}
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\ttotal\t", reader)
		for _, o := range columns {
			fmt.Fprintf(w, "%d\t", sum(outcomes[reader], o))
		}
		fmt.Fprintln(w)
	}
	_ = w.Flush()
	return b.String()
}
