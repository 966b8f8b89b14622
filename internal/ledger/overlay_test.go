package ledger

import (
	"bytes"
	"maps"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/store"
)

// What ops write that err is as if they had not run: for those who read later, and for what is written to the store.
func TestWhatIsTakenBackWasNeverWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o, want := newOverlay(0), map[string][]byte{}
		for range rapid.IntRange(1, 8).Draw(t, "ops") {
			was, before := len(o.list), maps.Clone(want)
			for range rapid.IntRange(0, 6).Draw(t, "writes") {
				key := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
				var value []byte // to delete
				if rapid.Bool().Draw(t, "put") {
					value = []byte{byte(len(o.list)), 1}
				}
				o.add(place{"ks", key}, value)
				want[key] = value
			}
			if rapid.Bool().Draw(t, "errs") {
				o.undo(was)
				want = before
			}
		}
		for _, key := range []string{"a", "b", "c"} {
			value, ok := o.get(store.Keyspace("ks"), []byte(key))
			if _, written := want[key]; ok != written || !bytes.Equal(value, want[key]) {
				t.Fatalf("%s reads %x, %t, and %x was written", key, value, ok, want[key])
			}
		}
		counts := map[string][]byte{}
		for w := range o.effective() {
			if _, twice := counts[w.key]; twice {
				t.Fatalf("%s is written twice", w.key)
			}
			counts[w.key] = w.value
		}
		if !maps.EqualFunc(counts, want, bytes.Equal) {
			t.Fatalf("%v counts, and %v was written", counts, want)
		}
	})
}
