package queue_test

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/queue"
	"postern/internal/store"
	"postern/internal/store/bolt"
)

const (
	lines  = store.Keyspace("lines")
	others = store.Keyspace("others")
)

var morning = time.Date(2026, 10, 5, 8, 0, 0, 0, time.UTC)

func open(t testing.TB) store.Store {
	t.Helper()
	s, err := bolt.Open(t.Context(), bolt.Config{
		Path:   filepath.Join(t.TempDir(), "db"),
		Schema: store.Schema{Name: "queue", Version: 1, Keyspaces: []store.Keyspace{lines, others}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// place identifies an item in the model.
type place struct {
	dest string
	seq  uint64
}

// model is what a queue should hold: a map, and sorting.
type model map[place]queue.Item

func (m model) list() []queue.Item {
	return slices.SortedFunc(maps.Values(m), func(a, b queue.Item) int {
		return cmp.Or(cmp.Compare(a.Destination, b.Destination), cmp.Compare(a.Sequence, b.Sequence))
	})
}

func same(a, b queue.Item) bool {
	return a.Destination == b.Destination && a.Sequence == b.Sequence && a.ID == b.ID && bytes.Equal(a.Body, b.Body) &&
		a.Attempts == b.Attempts && a.Refusals == b.Refusals && a.EnqueueTime.Equal(b.EnqueueTime) && a.DueTime.Equal(b.DueTime)
}

// The destinations are chosen to be prefixes of one another, and the sequences to hold zero bytes and every width.
var (
	destinations = rapid.SampledFrom([]string{"E06000023", "E0600002", "E06000023\x01", "E10000017", "\xff", "\xff\xff", "a"})
	sequences    = rapid.SampledFrom([]uint64{0, 1, 2, 255, 256, 1 << 32, 1<<64 - 1})
	ids          = rapid.SampledFrom([]string{"one", "two"})
)

func drawItem(t *rapid.T) queue.Item {
	return queue.Item{
		Destination: destinations.Draw(t, "destination"),
		Sequence:    sequences.Draw(t, "sequence"),
		ID:          ids.Draw(t, "id"),
		Body:        rapid.SliceOfN(rapid.Byte(), 0, 8).Draw(t, "body"),
		Attempts:    rapid.Uint32().Draw(t, "attempts"),
		Refusals:    rapid.Uint32().Draw(t, "refusals"),
		EnqueueTime: morning.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "enqueued"))),
		DueTime:     morning.Add(time.Duration(rapid.Int64Range(0, 1e15).Draw(t, "due"))),
	}
}

// Each case is a few transactions of several operations, for a commit costs far more than an operation.
func TestQueueIsASortedMapOfItems(t *testing.T) {
	s := open(t)
	q := queue.New(queue.Config{Keyspace: lines})
	rapid.Check(t, func(t *rapid.T) {
		m := model{}
		for range rapid.IntRange(1, 3).Draw(t, "transactions") {
			err := s.Update(t.Context(), func(tx store.Tx) error {
				for range rapid.IntRange(1, 12).Draw(t, "operations") {
					step(t, tx, q, m)
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			compare(t, s, q, m)
		}
		clear(t, s, q)
	})
}

// step does one operation on the queue and on the model, and compares what they answer.
func step(t *rapid.T, tx store.Tx, q *queue.Queue, m model) {
	it := drawItem(t)
	at := place{it.Destination, it.Sequence}
	old, taken := m[at]
	ours := taken && old.ID == it.ID
	var got, want error
	switch op := rapid.SampledFrom([]string{"put", "put", "retry", "remove"}).Draw(t, "operation"); {
	case op == "put" && taken:
		got, want = q.Put(tx, it), queue.ErrTaken
	case op == "put":
		got = q.Put(tx, it)
		m[at] = it
	case op == "retry" && ours:
		got = q.Retry(tx, it)
		m[at] = it
	case op == "retry":
		got, want = q.Retry(tx, it), queue.ErrGone
	case ours:
		got = q.Remove(tx, it)
		delete(m, at)
	default:
		got, want = q.Remove(tx, it), queue.ErrGone
	}
	if !errors.Is(got, want) {
		t.Fatalf("error %v, want %v", got, want)
	}
}

func compare(t *rapid.T, s store.Store, q *queue.Queue, m model) {
	t.Helper()
	want := m.list()
	err := s.View(t.Context(), func(snap store.Snapshot) error {
		got, err := q.List(snap)
		if err != nil || !slices.EqualFunc(got, want, same) {
			t.Fatalf("list %v (%v), want %v", got, err, want)
		}
		var wantDestinations []string
		heads := map[string]queue.Item{}
		for _, it := range want {
			if _, seen := heads[it.Destination]; !seen {
				heads[it.Destination] = it
				wantDestinations = append(wantDestinations, it.Destination)
			}
		}
		destinations, err := q.Destinations(snap)
		if err != nil || !slices.Equal(destinations, wantDestinations) {
			t.Fatalf("destinations %q (%v), want %q", destinations, err, wantDestinations)
		}
		for _, d := range append(destinations, "nobody", "E0") {
			head, ok, err := q.Head(snap, d)
			want, wantOK := heads[d]
			if err != nil || ok != wantOK || !same(head, want) {
				t.Fatalf("head of %q %v %v (%v), want %v %v", d, head, ok, err, want, wantOK)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// clear empties the queue, so that one store serves every case.
func clear(t *rapid.T, s store.Store, q *queue.Queue) {
	t.Helper()
	var all []queue.Item
	err := s.View(t.Context(), func(snap store.Snapshot) (err error) {
		all, err = q.List(snap)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Update(t.Context(), func(tx store.Tx) error {
		for _, it := range all {
			if err := q.Remove(tx, it); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAnItemCommitsOrFailsWithItsTransaction(t *testing.T) {
	s, q := open(t), queue.New(queue.Config{Keyspace: lines})
	cause := errors.New("the cause of the item failed")
	err := s.Update(t.Context(), func(tx store.Tx) error {
		if err := q.Put(tx, queue.Item{Destination: "E06000023", ID: "one"}); err != nil {
			return err
		}
		return cause
	})
	if !errors.Is(err, cause) {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(snap store.Snapshot) error {
		all, err := q.List(snap)
		if len(all) != 0 {
			t.Errorf("an item of a failed transaction is in the queue: %v", all)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestQueuesInTwoKeyspacesDoNotMeet(t *testing.T) {
	s := open(t)
	a, b := queue.New(queue.Config{Keyspace: lines}), queue.New(queue.Config{Keyspace: others})
	it := queue.Item{Destination: "E06000023", Sequence: 1, ID: "one"}
	err := s.Update(t.Context(), func(tx store.Tx) error { return errors.Join(a.Put(tx, it), b.Put(tx, it), a.Remove(tx, it)) })
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(snap store.Snapshot) error {
		_, inA, errA := a.Head(snap, it.Destination)
		_, inB, errB := b.Head(snap, it.Destination)
		if inA || !inB {
			t.Errorf("in the first queue: %v, in the second: %v; want false and true", inA, inB)
		}
		return errors.Join(errA, errB)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPutRefusesADestinationThatCannotBePartOfAKey(t *testing.T) {
	s, q := open(t), queue.New(queue.Config{Keyspace: lines})
	for _, dest := range []string{"", "E06\x00000023"} {
		err := s.Update(t.Context(), func(tx store.Tx) error { return q.Put(tx, queue.Item{Destination: dest, ID: "one"}) })
		if !errors.Is(err, queue.ErrBadItem) {
			t.Errorf("destination %q: %v", dest, err)
		}
	}
}

func TestADamagedItemIsAnErrorWithoutItsContent(t *testing.T) {
	s, q := open(t), queue.New(queue.Config{Keyspace: lines})
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return tx.Put(lines, []byte("E06000023\x00\x00\x00\x00\x00\x00\x00\x00\x01"), []byte(`{"id": canary`))
	})
	if err != nil {
		t.Fatal(err)
	}
	err = s.View(t.Context(), func(snap store.Snapshot) error {
		_, _, err := q.Head(snap, "E06000023")
		return err
	})
	if err == nil || bytes.Contains([]byte(err.Error()), []byte("canary")) {
		t.Errorf("error %v, want one that does not quote the item", err)
	}
}

// Due passes over what waits for a later moment and stays within its bounds; Find and Line stay within their line.
func TestDueFindAndLine(t *testing.T) {
	s, q := open(t), queue.New(queue.Config{Keyspace: lines})
	at := func(minutes int) time.Time { return morning.Add(time.Duration(minutes) * time.Minute) }
	err := s.Update(t.Context(), func(tx store.Tx) error {
		return errors.Join(
			q.Put(tx, queue.Item{Destination: "E06", Sequence: 1, ID: "later", DueTime: at(5)}),
			q.Put(tx, queue.Item{Destination: "E06", Sequence: 2, ID: "now", DueTime: at(0)}),
			q.Put(tx, queue.Item{Destination: "E06", Sequence: 9, ID: "soon", DueTime: at(3)}),
			q.Put(tx, queue.Item{Destination: "E0600", Sequence: 3, ID: "other", DueTime: at(0)}))
	})
	if err != nil {
		t.Fatal(err)
	}
	view := func(fn func(store.Snapshot) error) {
		t.Helper()
		if err := s.View(t.Context(), fn); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name     string
		from, to uint64
		now      time.Time
		want     string
		soonest  time.Time
	}{
		{"what is due is found behind what is not", 0, 100, at(0), "now", time.Time{}},
		{"the first of what is due", 0, 100, at(5), "later", time.Time{}},
		{"only below the bound", 0, 2, at(1), "", at(5)},
		{"only from the bound", 3, 100, at(1), "", at(3)},
		{"nothing is there", 10, 100, at(9), "", time.Time{}},
	} {
		view(func(s store.Snapshot) error {
			it, ok, soonest, err := q.DueBy(s, "E06", c.from, c.to, c.now, func(it queue.Item) time.Time { return it.DueTime })
			if it.ID != c.want || ok != (c.want != "") || !ok && !soonest.Equal(c.soonest) {
				t.Errorf("%s: %q, %v, soonest %v", c.name, it.ID, ok, soonest)
			}
			return err
		})
	}
	view(func(s store.Snapshot) error {
		_, other, err := q.Find(s, "E06", "other")
		found, ok, err2 := q.Find(s, "E06", "soon")
		line, err3 := q.Line(s, "E06", 2, 10)
		one, err4 := q.Line(s, "E06", 0, 1)
		if other || !ok || found.Sequence != 9 || len(line) != 2 || line[0].ID != "now" || len(one) != 1 || one[0].ID != "later" {
			t.Errorf("found %v %v %v, lines %v %v", other, ok, found, line, one)
		}
		return errors.Join(err, err2, err3, err4)
	})
}

func TestNothingIsPutOffForLongerThanTheLongestWait(t *testing.T) {
	now := time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)
	longest := queue.Backoff{Base: time.Second, Max: 10 * time.Minute}.Longest()
	for after, want := range map[time.Duration]bool{-time.Second: true, 0: true, time.Second: false, longest: false, longest + 1: true} {
		if got := (queue.Item{DueTime: now.Add(after)}).Ready(now, longest); got != want {
			t.Errorf("due after %s: %v", after, got)
		}
	}
}
