package ledger

import (
	"bytes"
	"encoding/hex"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// TestLedgerIsTheNaiveTree drives both logs over the real store with random batches, some ops of which fail, and holds
// every head, receipt and consistency proof against trees computed from the definition.
func TestLedgerIsTheNaiveTree(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		h := newHub(t)
		defer h.close()
		keys := h.verifierKeys()
		var ids perLog[[][16]byte]
		var heads perLog[[]verify.Head]
		for batch := range rapid.IntRange(1, 4).Draw(rt, "batches") {
			var ops []func(*Tx) error
			var made perLog[[][16]byte]
			for range rapid.IntRange(1, 5).Draw(rt, "ops") {
				into := rapid.SliceOfN(rapid.SampledFrom(logs[:]), 0, 3).Draw(rt, "events")
				fails := rapid.IntRange(0, 4).Draw(rt, "fails") == 0
				ops = append(ops, func(tx *Tx) error {
					var own perLog[[][16]byte]
					for i, g := range into {
						e, err := tx.Record(g, event(batch*100+i))
						if err != nil {
							return err
						}
						*own.of(g) = append(*own.of(g), e.EventID())
					}
					if fails {
						return errOp
					}
					for i := range own {
						made[i] = append(made[i], own[i]...)
					}
					return nil
				})
			}
			for _, err := range h.batch(ops...) {
				if err != nil && err != errOp {
					rt.Fatal(err)
				}
			}
			for _, g := range logs {
				*ids.of(g) = append(*ids.of(g), *made.of(g)...)
				h.matches(rt, g, *ids.of(g), keys, heads.of(g))
			}
		}
	})
}

// matches checks one log against the ids of its events, in order, and every earlier head.
func (h *hub) matches(rt *rapid.T, g Log, ids [][16]byte, keys verify.Keys, earlier *[]verify.Head) {
	ctx := h.tb.Context()
	leaves := make([][]byte, len(ids))
	for i, id := range ids {
		e, err := h.Event(ctx, id)
		check(rt, err)
		if e.Log != g || e.Origin != h.Origin(g) || e.Index != uint64(i) {
			rt.Fatalf("event %d of %v is at %d of %v", i, g, e.Index, e.Log)
		}
		leaves[i] = e.Record.Leaf
	}
	size, root, checkpoint := h.Head(g)
	head, err := verify.Checkpoint(checkpoint, keys)
	check(rt, err)
	if size != uint64(len(ids)) || root != naive(leaves) || head != (verify.Head{Origin: h.Origin(g), Size: size, Root: root}) {
		rt.Fatalf("the head of %v is %+v; the log has %d leaves", g, head, len(ids))
	}
	for i, id := range ids {
		r, err := h.Receipt(ctx, id)
		check(rt, err)
		ev, err := verify.Receipt(r, keys)
		check(rt, err)
		if ev.EventID != id || ev.Index != uint64(i) || ev.Head != head {
			rt.Fatalf("the receipt of event %d shows %+v", i, ev)
		}
		p, err := verify.ParseProof(r.TlogProof)
		check(rt, err)
		var path [][]byte
		for _, hash := range p.Hashes {
			path = append(path, hash[:])
		}
		check(rt, proof.VerifyInclusion(rfc6962.DefaultHasher, ev.Index, size, rfc6962.DefaultHasher.HashLeaf(r.Leaf), path, root[:]))
	}
	*earlier = append(*earlier, head)
	for _, old := range *earlier {
		p, err := h.Consistency(ctx, g, old.Size)
		check(rt, err)
		check(rt, verify.Continues(old, head, p))
		check(rt, proof.VerifyConsistency(rfc6962.DefaultHasher, old.Size, size, p.Hashes, old.Root[:], root[:]))
	}
}

func TestWhatIsNotThere(t *testing.T) {
	h := newHub(t)
	h.add(Sent, 2)
	_, err := h.Receipt(t.Context(), [16]byte{1})
	wantFault(t, err, fault.NotFound, "EVENT_NOT_FOUND")
	_, err = h.Event(t.Context(), [16]byte{1})
	wantFault(t, err, fault.NotFound, "EVENT_NOT_FOUND")
	_, err = h.Consistency(t.Context(), Sent, 3)
	wantFault(t, err, fault.Precondition, "LOG_AHEAD")
	_, err = h.Consistency(t.Context(), Log(7), 0)
	wantFault(t, err, fault.NotFound, "LOG_NOT_FOUND")
	if size, _, checkpoint := h.Head(Log(0)); size != 0 || checkpoint != "" || h.Origin(Log(9)) != "" || h.VerifierKey(Log(0)) != "" {
		t.Error("a log that does not exist has a head")
	}
	if g, ok := h.LogOf("elsewhere"); ok {
		t.Errorf("log %v has a foreign origin", g)
	}
}

func TestEventsNewestFirstOverBothLogs(t *testing.T) {
	h := newHub(t)
	var want []int // minutes, newest first
	for i, g := range []Log{Sent, Received, Received, Sent, Sent, Received, Sent, Sent, Received, Sent} {
		check(t, h.Append(t.Context(), record(g, i)))
		want = append([]int{i}, want...)
	}
	minute := func(e Logged) int { return int(e.Core.EventTime.AsTime().Sub(start) / time.Minute) }
	list := func(limit int, take func(int) bool) (got []int, calls int) {
		for at := Position(""); calls == 0 || at != ""; calls++ {
			var page int
			var err error
			at, err = h.Events(t.Context(), at, limit, func(e Logged) (bool, error) {
				if !take(minute(e)) {
					return false, nil
				}
				page++
				got = append(got, minute(e))
				if e.Details.Authority == "" || e.Leaf.Hour == 0 || e.Record == nil {
					t.Error("an event is listed without its record")
				}
				return true, nil
			})
			check(t, err)
			if page > limit {
				t.Fatalf("a page of %d has %d", limit, page)
			}
			if calls == 1 { // growth does not disturb a list under way
				check(t, h.Append(t.Context(), record(Sent, 99)))
			}
		}
		return got, calls
	}
	if got, calls := list(3, func(int) bool { return true }); !slices.Equal(got, want) || calls != 4 {
		t.Fatalf("%v in %d calls", got, calls)
	}
	even := func(m int) bool { return m%2 == 0 && m != 99 }
	if got, _ := list(2, even); !slices.Equal(got, []int{8, 6, 4, 2, 0}) {
		t.Fatal(got)
	}
	h.maxScan = 3 // a filter that takes nothing still ends, a few at a time
	if got, calls := list(5, func(int) bool { return false }); len(got) != 0 || calls < 4 {
		t.Fatalf("%v in %d calls", got, calls)
	}
	if _, err := h.Events(t.Context(), "", 1, func(Logged) (bool, error) { return false, errOp }); err != errOp {
		t.Fatal(err)
	}
	for _, bad := range []Position{"x", "AAAA", "//////////8AAAAAAAAAAA", leftPosition([]uint64{1000, 1})} {
		_, err := h.Events(t.Context(), bad, 1, nil)
		wantFault(t, err, fault.Invalid, "BAD_POSITION")
	}
	// An empty ledger has an empty list.
	if at, err := newHub(t).Events(t.Context(), "", 1, nil); at != "" || err != nil {
		t.Fatal(at, err)
	}
}

var update = flag.Bool("update", false, "write the golden files anew")

// TestGolden holds every hashed and signed byte still. If it fails, old receipts no longer verify: mend the code, never
// the files. The files are package verify's, whose test reads them without this package.
func TestGolden(t *testing.T) {
	h := newHub(t, func(c *Config) {
		c.Keys = Keys{
			Sent:     "PRIVATE+KEY+hub.example/sent+7e8e5ddf+AQABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f",
			Received: c.Keys.Received,
		}
	})
	h.places = drawnIDs{ // as they were when the files were written: an id is 16 bytes that tell nobody anything
		"\xa3\xd0\xc3\x25\x87\x88\xe2\x3d\x12\x4e\x9c\xdc\x5e\x02\x15\x27", "\x37\xab\x9d\xf2\x60\xd1\xf4\xc2\x0a\x11\xf5\x1b\x40\xf6\xbc\xa5",
		"\xf3\xeb\x19\x01\x10\x30\x11\x05\x37\x22\x21\x85\x31\x1c\xb9\x41", "\x52\xfa\x27\xd0\xd7\x8a\x03\xec\x57\xe2\xb6\x5e\x13\xda\xaf\xdc",
		"\xb5\x25\xe9\xb2\x29\x44\x58\x9b\x13\x5f\x6a\x6c\x0c\x14\x23\x34", "\x36\x9e\xd0\xfd\xcd\x14\x7f\x1e\x5e\xd7\xf2\x6a\x2f\x78\xb5\xf4",
	}
	h.add(Sent, 2)
	at := timestamppb.New(start)
	ev := Event{Kind: logv1.Kind_KIND_DECIDED, Time: start,
		Core: &logv1.Core{ManifestSha256: []byte("manifest digest"), Outcome: posternv1.Outcome_OUTCOME_SHARE,
			SectionsSha256: [][]byte{[]byte("first"), []byte("second")}, PolicyRevision: "rev-1", ValidUntilTime: at,
			FollowsEvent: []byte("sixteen bytes id"), SubjectSha256: []byte("subject")},
		Details: &logv1.Details{Caller: "spiffe://example/prison/BLI/desk", NotificationId: "an-id", Authority: "E06000023",
			Sender: &posternv1.Sender{PrisonId: "BLI"}, Input: []byte(`{"now":"2026-03-02T09:15:00Z"}`),
			Decision: &posternv1.Decision{Outcome: posternv1.Outcome_OUTCOME_SHARE}, OfferedPaths: []string{"child/1/name"},
			Refusal: "NONE", DirectoryRevision: 3, DeliveryId: "a-delivery"}}
	var id [16]byte
	check(t, h.Append(t.Context(), func(tx *Tx) error {
		e, err := tx.Record(Sent, ev)
		id = e.EventID()
		return err
	}))
	h.add(Sent, 3)
	r, err := h.Receipt(t.Context(), id)
	check(t, err)
	logged, err := h.Event(t.Context(), id)
	check(t, err)
	record := logged.Record
	_, _, checkpoint := h.Head(Sent)
	sealed := h.contents()[string(schema.HubRecord)+"/"+string(leafKey(tree(Sent), 2))]
	for name, got := range map[string][]byte{
		"core.hex":           []byte(hex.EncodeToString(r.Core) + "\n"),
		"details.hex":        []byte(hex.EncodeToString(record.Details) + "\n"),
		"leaf.hex":           []byte(hex.EncodeToString(r.Leaf) + "\n"),
		"record.hex":         []byte(hex.EncodeToString(must(t)(marshal.Marshal(record))) + "\n"),
		"checkpoint.txt":     []byte(checkpoint),
		"receipt.tlog-proof": verify.MarshalFile(r),
		"key.txt":            []byte(h.VerifierKey(Sent) + "\n"),
	} {
		path := filepath.Join("verify", "testdata", name)
		if *update {
			check(t, os.MkdirAll(filepath.Dir(path), 0o755))
			check(t, os.WriteFile(path, got, 0o644))
		}
		want, err := os.ReadFile(path)
		check(t, err)
		if string(got) != string(want) {
			t.Errorf("%s is\n%s\nand was\n%s", name, got, want)
		}
	}
	if len(sealed) == 0 || !proto.Equal(record, &logv1.Record{Leaf: r.Leaf, Core: r.Core, Details: record.Details, Opening: r.Opening}) {
		t.Error("the record is not what its receipt opens")
	}
}

// What Record writes field by field is what the messages marshal to, whatever is in the details.
func TestARecordIsItsMessage(t *testing.T) {
	h := newHub(t)
	for i, details := range []*logv1.Details{{}, {Authority: "E06000023"}, {Input: make([]byte, 1<<20), OfferedPaths: []string{"a", "b"}, Question: "q"}} {
		ev := event(i)
		ev.Details = details
		check(t, h.Append(t.Context(), func(tx *Tx) error {
			_, err := tx.Record(Sent, ev)
			return err
		}))
		at := leafKey(tree(Sent), uint64(i))
		opened, err := h.vault.Open(string(schema.HubRecord), at, []byte(h.contents()[string(schema.HubRecord)+"/"+string(at)]))
		check(t, err)
		record, read := &logv1.Record{}, &logv1.Details{}
		check(t, proto.Unmarshal(opened, record))
		check(t, proto.Unmarshal(record.Details, read))
		if !bytes.Equal(opened, must(t)(marshal.Marshal(record))) || !bytes.Equal(record.Details, must(t)(marshal.Marshal(read))) {
			t.Errorf("record %d is spelt in another way than its message", i)
		}
		want := proto.CloneOf(details)
		if want.Salt = read.Salt; len(read.Salt) != 32 || !proto.Equal(read, want) {
			t.Errorf("record %d has other details than were recorded", i)
		}
	}
	ev := event(9)
	ev.Details = &logv1.Details{Salt: make([]byte, 32)}
	wantFault(t, h.Append(t.Context(), func(tx *Tx) error {
		_, err := tx.Record(Sent, ev)
		return err
	}), fault.Internal, "LEDGER_EVENT")
}

// drawnIDs stands in for the cipher of the ids: those of the events of the Sent log, in order.
type drawnIDs []string

func (d drawnIDs) BlockSize() int { return 16 }

func (d drawnIDs) Encrypt(id, place []byte) { copy(id, d[place[7]]) }

func (d drawnIDs) Decrypt(place, id []byte) {
	i := slices.Index(d, string(id))
	clear(place)
	place[0], place[7] = byte(Sent), byte(i)
}

func must(t *testing.T) func([]byte, error) []byte {
	return func(b []byte, err error) []byte {
		check(t, err)
		return b
	}
}
