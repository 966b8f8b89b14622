//go:build crash

package bolt_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
)

// The harness records every write and every sync of a process that makes transactions, and builds what a power cut at
// any moment may have left: all that was synced, any of what was written since, and one write torn at its sectors. Each
// image must open, verify whole, and hold exactly the transactions that were durable, or one more.

const (
	imageTransactions = 120
	sector            = 512 // what a disk writes whole
)

// imageSchema has two keyspaces, so that a transaction changes more than one tree.
var imageSchema = store.Schema{Name: "images", Version: 1, Keyspaces: []store.Keyspace{"any", "more"}}

// imageWrites is what transaction n does, from a seed: put (a value) or delete (nil).
func imageWrites(seed uint64, n int) (writes []write) {
	random := rand.New(rand.NewPCG(seed, uint64(n)))
	for range 1 + random.IntN(8) {
		w := write{ks: imageSchema.Keyspaces[random.IntN(len(imageSchema.Keyspaces))], key: []byte(fmt.Sprintf("key %02d", random.IntN(40)))}
		if random.IntN(4) > 0 {
			w.value = bytes.Repeat([]byte{byte(random.Uint32() | 1)}, 1+random.IntN(6000))
		}
		writes = append(writes, w)
	}
	// One record that no transaction leaves as it was, so that no two states are alike.
	return append(writes, write{imageSchema.Keyspaces[0], []byte("number"), []byte(strconv.Itoa(n))})
}

type write struct {
	ks         store.Keyspace
	key, value []byte
}

// TestImageChild is the process that is recorded.
func TestImageChild(t *testing.T) {
	path := os.Getenv("POSTERN_IMAGE_PATH")
	if path == "" {
		return // it is this test's child that has something to do
	}
	seed, err := strconv.ParseUint(os.Getenv("POSTERN_IMAGE_SEED"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	s, err := bolt.Open(t.Context(), bolt.Config{Path: path, Schema: imageSchema})
	if err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= imageTransactions; n++ {
		err := s.Update(t.Context(), func(tx store.Tx) (err error) {
			for _, w := range imageWrites(seed, n) {
				if err == nil && w.value == nil {
					err = tx.Delete(w.ks, w.key)
				} else if err == nil {
					err = tx.Put(w.ks, w.key, w.value)
				}
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stdout.WriteString(fmt.Sprintf("durable %d\n", n)); err != nil {
			t.Fatal(err)
		}
	}
}

// states are the digests of what the database holds after each transaction, from 0.
func states(seed uint64) [][32]byte {
	held := map[string][]byte{}
	all := [][32]byte{digestOf(held)}
	for n := 1; n <= imageTransactions; n++ {
		for _, w := range imageWrites(seed, n) {
			place := string(w.ks) + "\x00" + string(w.key)
			if delete(held, place); w.value != nil {
				held[place] = w.value
			}
		}
		all = append(all, digestOf(held))
	}
	return all
}

func digestOf(held map[string][]byte) [32]byte {
	h := sha256.New()
	var places []string
	for p := range held {
		places = append(places, p)
	}
	slices.Sort(places)
	for _, p := range places {
		fmt.Fprintf(h, "%d %s %d ", len(p), p, len(held[p]))
		h.Write(held[p])
	}
	return [32]byte(h.Sum(nil))
}

// disk is what a power cut may leave: what is durable, and what was written since.
type disk struct {
	durable []byte
	pending []step
	acked   int
}

// take does the next step; a sync that is not one makes nothing durable.
func (d *disk) take(s step, honest bool) {
	switch {
	case s.acked > 0:
		d.acked = s.acked
	case s.sync && honest:
		for _, p := range d.pending {
			d.durable = p.apply(d.durable, nil)
		}
		d.pending = nil
	case !s.sync:
		d.pending = append(d.pending, s)
	}
}

// apply does a step to an image; keep says which sectors of a write arrive, nil all.
func (s step) apply(image []byte, keep func(sector int) bool) []byte {
	if s.write == nil {
		return append(image, make([]byte, max(0, s.size-int64(len(image))))...)[:s.size]
	}
	if end := s.at + int64(len(s.write)); end > int64(len(image)) {
		image = append(image, make([]byte, end-int64(len(image)))...)
	}
	for from := 0; from < len(s.write); from += sector {
		if keep == nil || keep(from/sector) {
			copy(image[s.at+int64(from):], s.write[from:min(from+sector, len(s.write))])
		}
	}
	return image
}

// image draws one of the legal images: each pending write arrived or not, and at most one of them in part.
func (d *disk) image(random *rand.Rand, which uint64, tear bool) []byte {
	image := bytes.Clone(d.durable)
	torn := -1
	if tear {
		torn = random.IntN(len(d.pending))
	}
	for i, p := range d.pending {
		switch {
		case i == torn && p.write != nil:
			image = p.apply(image, func(int) bool { return random.IntN(2) == 0 })
		case which>>(uint(i)%64)&1 == 1:
			image = p.apply(image, nil)
		}
	}
	return image
}

func TestEveryCrashImageHoldsWhatWasDurable(t *testing.T) {
	begun := time.Now()
	images, torn, epochs, faults := enumerate(t, testkit.N(10000, 400000), true)
	for _, f := range faults {
		t.Error(f)
	}
	t.Logf("%d crash images of %d transactions, %d with a torn write, over %d moments between syncs: every one opens, is whole, and holds what was durable; %.0f s",
		images, imageTransactions, torn, epochs, time.Since(begun).Seconds())
}

// TestADiskThatLiesIsFoundOut is the control: of three syncs one makes nothing durable.
func TestADiskThatLiesIsFoundOut(t *testing.T) {
	if _, _, _, faults := enumerate(t, 1000, false); len(faults) == 0 {
		t.Error("a disk that lies about its syncs left nothing wrong in a thousand images")
	}
}

// enumerate records a process and tries about so many images.
func enumerate(t *testing.T, count int, honest bool) (images, torn, epochs int, faults []string) {
	t.Helper()
	dir, seed := t.TempDir(), rand.Uint64()
	t.Logf("seed %d", seed)
	steps := record(t, dir, "TestImageChild", "POSTERN_IMAGE_PATH="+filepath.Join(dir, "images.db"), fmt.Sprintf("POSTERN_IMAGE_SEED=%d", seed),
		"GODEBUG=asyncpreemptoff=1")
	syncs := 0
	for _, s := range steps {
		if s.sync {
			syncs++
		}
	}
	if syncs < imageTransactions {
		t.Fatalf("only %d syncs of %d transactions were recorded", syncs, imageTransactions)
	}
	want, random, each := states(seed), rand.New(rand.NewPCG(seed, 2)), max(1, count/syncs)
	d, number, ready := &disk{}, 0, false
	for _, s := range steps {
		end, bounded := t.Deadline()
		if honest && bounded && os.Getenv("POSTERN_SOAK") == "1" && time.Until(end) < time.Minute {
			break // a soak ends with what it has done; its control takes seconds
		}
		if s.sync && ready && len(d.pending) > 0 {
			epochs++
			for i := range each {
				which, tear := random.Uint64(), i%2 == 1
				if len(d.pending) < 10 && 1<<len(d.pending) <= each { // few enough to take each in turn
					which = uint64(i / 2)
				}
				if tear {
					torn++
				}
				images++
				if f := tryImage(t, dir, d.image(random, which, tear), want, d.acked); f != "" {
					faults = append(faults, fmt.Sprintf("after transaction %d, %d writes pending: %s", d.acked, len(d.pending), f))
				}
			}
		}
		if s.sync {
			number++
		}
		d.take(s, honest || number%3 != 0)
		// Until the first transaction is durable the file has another name: the first file is made whole, then named.
		ready = ready || d.acked > 0
	}
	return images, torn, epochs, faults
}

// tryImage opens an image as a start would, and returns what is wrong with it.
func tryImage(t *testing.T, dir string, image []byte, want [][32]byte, acked int) string {
	t.Helper()
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() {
		dir = "/dev/shm" // many small files that nobody needs on a disk
	}
	path := filepath.Join(dir, fmt.Sprintf("postern-image-%d.db", os.Getpid()))
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(path)
	s, err := bolt.Open(context.Background(), bolt.Config{Path: path, Schema: imageSchema})
	if err != nil {
		return err.Error()
	}
	held := map[string][]byte{}
	err = s.View(context.Background(), func(s store.Snapshot) error {
		for _, ks := range imageSchema.Keyspaces {
			err := s.Scan(ks, nil, nil, func(key, value []byte) (bool, error) {
				held[string(ks)+"\x00"+string(key)] = value
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if closed := s.Close(); err == nil {
		err = closed
	}
	if err == nil {
		_, err = bolt.Verify(context.Background(), bolt.Config{Path: path, Schema: imageSchema})
	}
	if err != nil {
		return err.Error()
	}
	if got := digestOf(held); got != want[acked] && (acked+1 >= len(want) || got != want[acked+1]) {
		return fmt.Sprintf("it holds number %s, which is neither %d nor the next", held[string(imageSchema.Keyspaces[0])+"\x00number"], acked)
	}
	return ""
}
