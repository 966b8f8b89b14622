package inbox

import (
	"crypto/sha256"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	"postern/internal/store/mem"
	"postern/internal/vault"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// wanted is one stop request: of some paths, or of all; about what, where it names no manifest.
type wanted struct {
	paths []string
	of    string
}

var (
	thisID  = "00000000-0000-4000-8000-000000000001"
	otherID = "00000000-0000-4000-8000-000000000002"
)

func drawAsked(t *rapid.T) (all []wanted, got tombstone) {
	scope := []string{"child/1", "child/2", "child/1/home", "child/2/phone", "parent/name"}
	for range rapid.IntRange(0, 4).Draw(t, "requests") {
		a := wanted{of: rapid.SampledFrom([]string{"", thisID, envelope.Reference(thisID), otherID, envelope.Reference(otherID)}).Draw(t, "of")}
		if rapid.IntRange(0, 3).Draw(t, "a part") > 0 {
			a.paths = rapid.SliceOfNDistinct(rapid.SampledFrom(scope), 1, 3, rapid.ID[string]).Draw(t, "paths")
		}
		all, got = append(all, a), got.with(a.paths, a.of)
	}
	return all, got
}

// However many stop requests come, and in whatever order, what is withdrawn is what any of them withdraws; and it is about
// every notification that any of them may have meant.
func TestATombstoneIsAllThatWasAsked(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		all, got := drawAsked(t)
		for _, path := range everyPath() {
			want := slices.ContainsFunc(all, func(a wanted) bool { return consent.Withdrawn(a.paths, path) })
			if got.holds(path) != want {
				t.Fatalf("%s is withdrawn %v after %+v", path, got.holds(path), all)
			}
		}
		if whole := slices.ContainsFunc(all, func(a wanted) bool { return len(a.paths) == 0 }); got.Whole != whole {
			t.Fatalf("whole %v after %+v", got.Whole, all)
		}
		for _, id := range []string{thisID, otherID} {
			want := len(all) == 0 || slices.ContainsFunc(all, func(a wanted) bool { return a.of == "" || a.of == id || a.of == envelope.Reference(id) })
			if got.about(id) != want {
				t.Fatalf("about %s: %v after %+v", id, got.about(id), all)
			}
		}
	})
}

// everyPath is every section of a parent and two children, and the children.
func everyPath() (paths []string) {
	for _, s := range section.All() {
		paths = append(paths, s.Path(1))
		if s.PerChild {
			paths = append(paths, s.Path(2))
		}
	}
	return append(paths, "child/1", "child/2")
}

// Of an item nothing stays that was withdrawn, wherever it stands in it, and all else stays; one that comes after the
// withdrawal says of the sections that they were not shared.
func TestNothingStaysOfWhatWasWithdrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		_, ts := drawAsked(t)
		ts.Whole = false
		paths := rapid.SliceOfDistinct(rapid.SampledFrom(slices.DeleteFunc(everyPath(), func(p string) bool { return p == "child/1" || p == "child/2" })), rapid.ID[string]).Draw(t, "shared")
		children := rapid.SliceOfDistinct(rapid.Uint32Range(1, 2), rapid.ID[uint32]).Draw(t, "children")
		obliged := rapid.SliceOf(rapid.Uint32Range(0, 2)).Draw(t, "obliged") // 0 for all of them
		item := func(stays func(path string) bool) *localv1.GetItemResponse {
			child := func(n uint32) bool { return stays("child/" + strconv.Itoa(int(n))) }
			left := keep(paths, stays)
			out := &localv1.GetItemResponse{Item: &localv1.Item{Paths: left, ChildNumbers: keep(children, child)}}
			for _, p := range left {
				out.Sections = append(out.Sections, &localv1.OpenedSection{Path: p})
			}
			out.Decision = &posternv1.Decision{Paths: left}
			for _, n := range keep(children, child) {
				out.Decision.Children = append(out.Decision.Children, &posternv1.ChildDecision{Number: n})
			}
			for _, n := range obliged {
				if n == 0 || child(n) {
					out.Decision.Obligations = append(out.Decision.Obligations, &posternv1.Obligation{ChildNumber: n})
				}
			}
			out.Consent = &posternv1.Consent{Sections: left, Children: keep(children, child)}
			return proto.CloneOf(out)
		}
		stays := func(p string) bool { return len(ts.Paths) == 0 || !consent.Withdrawn(ts.Paths, p) }
		before, want := item(func(string) bool { return true }), item(stays)
		got := proto.CloneOf(before)
		ts.cut(got)
		if !proto.Equal(got, want) {
			t.Fatalf("after %v were withdrawn there is\n%v, want\n%v", ts.Paths, got, want)
		}
		later := without(before, ts)
		want.NotShared = keep(paths, func(p string) bool { return !stays(p) })
		if !proto.Equal(later, want) || !proto.Equal(before, item(func(string) bool { return true })) {
			t.Fatalf("what comes after %v were withdrawn is\n%v, want\n%v", ts.Paths, later, want)
		}
	})
	bare := &localv1.GetItemResponse{Item: &localv1.Item{Paths: []string{"child/1/home"}}}
	tombstone{Paths: []string{"child/1"}}.cut(bare) // without a decision or a consent
	if len(bare.GetItem().GetPaths()) > 0 {
		t.Errorf("there is %v", bare)
	}
}

func keep[T any](all []T, stays func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(all), func(v T) bool { return !stays(v) })
}

// Of whatever an item takes the place of nothing is left, though some of it be gone already: neither the item, nor what
// the desk sealed, nor the way to it by its reference. To whom it was passed on stays.
func TestNothingIsLeftOfWhatIsReplaced(t *testing.T) {
	v, err := vault.Open(vault.Config{Dir: t.TempDir(), Clock: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		s, err := mem.Open(t.Context(), mem.Config{Disk: mem.NewDisk(), Schema: schema.Inbox})
		if err != nil {
			rt.Fatal(err)
		}
		defer s.Close()
		in := &Inbox{cfg: Config{Store: s, Vault: v}}
		var before [][]byte
		want := 0
		item := &localv1.GetItemResponse{Item: &localv1.Item{Id: thisID}}
		err = s.Update(t.Context(), func(tx store.Tx) error {
			before, want, item.Item.PassedOn = nil, 0, nil
			for i, gone := range rapid.SliceOfN(rapid.Bool(), 1, 4).Draw(rt, "gone") {
				manifest := sha256.Sum256([]byte{byte(i)})
				before = append(before, manifest[:])
				if gone {
					continue
				}
				want++
				old := &localv1.GetItemResponse{Item: &localv1.Item{Id: thisID, Reference: envelope.Reference(thisID), PassedOn: []*localv1.PassedOn{{Authority: "E10000017"}}}}
				sealed, err := in.seal(schema.InboxItem, manifest[:], old)
				if err != nil {
					return err
				}
				row := append(join(envelope.Reference(thisID), thisID, ""), manifest[:]...)
				for ks, key := range map[store.Keyspace][]byte{schema.InboxItem: manifest[:], schema.InboxSealed: manifest[:], schema.InboxReference: row} {
					if err := tx.Put(ks, key, sealed); err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err == nil {
			err = s.Update(t.Context(), func(tx store.Tx) error { return in.takePlace(tx, item, before) })
		}
		if err != nil {
			rt.Fatal(err)
		}
		var left []string
		err = s.View(t.Context(), func(s store.Snapshot) error {
			for _, ks := range []store.Keyspace{schema.InboxItem, schema.InboxSealed, schema.InboxReference} {
				if err := s.Scan(ks, nil, nil, func([]byte, []byte) (bool, error) { left = append(left, string(ks)); return true, nil }); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil || len(left) > 0 || len(item.GetItem().GetPassedOn()) != want {
			rt.Fatalf("there is %s, passed on to %v, %v", strings.Join(left, ", "), item.GetItem().GetPassedOn(), err)
		}
	})
}
