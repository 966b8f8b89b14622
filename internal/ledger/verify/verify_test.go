package verify_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const origin = "hub.example/sent"

// log is a log made without package ledger: what verify accepts must not depend on who made it.
type log struct {
	signer   note.Signer
	keys     verify.Keys
	receipts []*posternv1.Receipt // without proofs
	hashes   []tlog.Hash          // stored hashes
	details  [][]byte
}

func newLog(tb testing.TB, name string, events int) *log {
	tb.Helper()
	seed := sha256.Sum256([]byte(name))
	random := rand.NewChaCha8(seed)
	skey, vkey, err := note.GenerateKey(random, name)
	check(tb, err)
	l := new(log)
	l.signer, err = note.NewSigner(skey)
	check(tb, err)
	l.keys, err = verify.NewKeys(vkey)
	check(tb, err)
	for i := range events {
		at := time.Date(2026, 3, 1, i, 30, 0, 0, time.UTC)
		core, err := proto.Marshal(&logv1.Core{EventTime: timestamppb.New(at), PolicyRevision: "r1",
			ManifestSha256: bytes.Repeat([]byte{byte(i)}, 32)})
		check(tb, err)
		details, err := proto.Marshal(&logv1.Details{Salt: bytes.Repeat([]byte{7}, 32), Caller: "spiffe://example/prison/BLI/desk"})
		check(tb, err)
		var leaf verify.Leaf
		var opening [verify.OpeningSize]byte
		_, _ = random.Read(opening[:])
		_, _ = random.Read(leaf.EventID[:])
		leaf.Kind = logv1.Kind_KIND_DECIDED
		leaf.Hour, _ = verify.HourOf(at)
		digest := sha256.Sum256(details)
		leaf.Commitment = verify.Commitment(opening, sha256.Sum256(core), digest)
		hashes, err := tlog.StoredHashes(int64(i), leaf.Bytes(), l)
		check(tb, err)
		l.hashes = append(l.hashes, hashes...)
		l.details = append(l.details, details)
		l.receipts = append(l.receipts, &posternv1.Receipt{Leaf: leaf.Bytes(), Core: core, DetailsSha256: digest[:], Opening: opening[:]})
	}
	return l
}

// ReadHashes makes l a tlog.HashReader.
func (l *log) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, n := range indexes {
		out[i] = l.hashes[n]
	}
	return out, nil
}

func (l *log) head(tb testing.TB, size int) verify.Head {
	h := verify.Head{Origin: l.signer.Name(), Size: uint64(size), Root: verify.EmptyRoot}
	if size > 0 {
		root, err := tlog.TreeHash(int64(size), l)
		check(tb, err)
		h.Root = root
	}
	return h
}

func (l *log) sign(tb testing.TB, text string) string {
	signed, err := note.Sign(&note.Note{Text: text}, l.signer)
	check(tb, err)
	return string(signed)
}

// receipt cuts the receipt of event i to the tree of a size.
func (l *log) receipt(tb testing.TB, i, size int) *posternv1.Receipt {
	tb.Helper()
	path, err := tlog.ProveRecord(int64(size), int64(i), l)
	check(tb, err)
	p := verify.Proof{Index: uint64(i), Checkpoint: l.sign(tb, l.head(tb, size).Text())}
	for _, h := range path {
		p.Hashes = append(p.Hashes, h)
	}
	r := proto.CloneOf(l.receipts[i])
	r.TlogProof = p.Text()
	return r
}

func (l *log) consistency(tb testing.TB, older, newer int) *posternv1.ConsistencyProof {
	p := &posternv1.ConsistencyProof{Origin: l.signer.Name(), OldSize: uint64(older), NewSize: uint64(newer)}
	if older == 0 {
		return p
	}
	path, err := tlog.ProveTree(int64(newer), int64(older), l)
	check(tb, err)
	for _, h := range path {
		p.Hashes = append(p.Hashes, h[:])
	}
	return p
}

func check(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// refused fails the test unless err is an Unverified fault, with one of the reasons if any are given.
func refused(tb testing.TB, err error, reasons ...string) {
	tb.Helper()
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Unverified {
		tb.Fatalf("want an Unverified fault %v, got %v", reasons, err)
	}
	if f.Message == "" || strings.Contains(f.Message, "%!") {
		tb.Fatalf("the fault %s has no words: %q", f.Reason, f.Message)
	}
	for _, r := range reasons {
		if f.Reason == r {
			return
		}
	}
	if len(reasons) > 0 {
		tb.Fatalf("want a fault %v, got %s: %s", reasons, f.Reason, f.Message)
	}
}

func TestReceiptOfEveryEventAtEverySize(t *testing.T) {
	l := newLog(t, origin, 20)
	for size := 1; size <= 20; size++ {
		for i := range size {
			r := l.receipt(t, i, size)
			ev, err := verify.Receipt(r, l.keys)
			check(t, err)
			if ev.Index != uint64(i) || ev.Size != uint64(size) || ev.Origin != origin || ev.Kind != logv1.Kind_KIND_DECIDED ||
				ev.Core.ManifestSha256[0] != byte(i) || !ev.Hour.Equal(ev.Core.EventTime.AsTime().Truncate(time.Hour)) {
				t.Fatalf("event %d of %d verified as %+v", i, size, ev)
			}
			if h, err := verify.Checkpoint(ev.Checkpoint, l.keys); err != nil || h != ev.Head {
				t.Fatalf("the checkpoint of the receipt is %+v, %v", h, err)
			}
			at, err := verify.ReceiptAt(r, ev.Checkpoint, ev.Head)
			check(t, err)
			if at.Index != ev.Index || at.Head != ev.Head {
				t.Fatalf("with a known checkpoint the same receipt is %+v", at)
			}
			_, err = verify.ReceiptAt(r, ev.Checkpoint+"\n", ev.Head)
			refused(t, err, "CHECKPOINT_DIFFERS")
			other := ev.Head
			other.Root[0] ^= 1
			_, err = verify.ReceiptAt(r, ev.Checkpoint, other)
			refused(t, err, "INCLUSION_WRONG")
			check(t, verify.Details(r, l.details[i]))
			refused(t, verify.Details(r, append(bytes.Clone(l.details[i]), 0)), "DETAILS_WRONG")
		}
	}
}

// TestEveryFlippedBitIsRefused is the promise of the package: no bit of a receipt is without a check.
func TestEveryFlippedBitIsRefused(t *testing.T) {
	l := newLog(t, origin, 5)
	good := l.receipt(t, 2, 5)
	for name, field := range map[string]func(*posternv1.Receipt) *[]byte{
		"leaf":    func(r *posternv1.Receipt) *[]byte { return &r.Leaf },
		"core":    func(r *posternv1.Receipt) *[]byte { return &r.Core },
		"details": func(r *posternv1.Receipt) *[]byte { return &r.DetailsSha256 },
		"opening": func(r *posternv1.Receipt) *[]byte { return &r.Opening },
	} {
		for bit := range 8 * len(*field(good)) {
			r := proto.CloneOf(good)
			(*field(r))[bit/8] ^= 1 << (bit % 8)
			if _, err := verify.Receipt(r, l.keys); err == nil {
				t.Fatalf("%s with bit %d flipped is accepted", name, bit)
			} else {
				refused(t, err)
			}
		}
	}
	for bit := range 8 * len(good.TlogProof) {
		r, b := proto.CloneOf(good), []byte(good.TlogProof)
		b[bit/8] ^= 1 << (bit % 8)
		r.TlogProof = string(b)
		_, err := verify.Receipt(r, l.keys)
		if err == nil {
			t.Fatalf("a proof with bit %d flipped is accepted:\n%s", bit, b)
		}
		refused(t, err)
	}
	file := verify.MarshalFile(good)
	for bit := range 8 * len(file) {
		b := bytes.Clone(file)
		b[bit/8] ^= 1 << (bit % 8)
		r, err := verify.UnmarshalFile(b)
		if err == nil {
			_, err = verify.Receipt(r, l.keys)
		}
		if err == nil {
			t.Fatalf("a file with bit %d flipped is accepted:\n%s", bit, b)
		}
		refused(t, err)
	}
}

func TestReceiptRefusals(t *testing.T) {
	l, other := newLog(t, origin, 5), newLog(t, "hub.example/received", 5)
	both, err := verify.NewKeys(vkeyOf(t, origin), vkeyOf(t, "hub.example/received"))
	check(t, err)
	first, second := l.receipt(t, 1, 5), l.receipt(t, 2, 5)
	edit := func(fn func(r *posternv1.Receipt)) *posternv1.Receipt {
		r := proto.CloneOf(first)
		fn(r)
		return r
	}
	proof, err := verify.ParseProof(first.TlogProof)
	check(t, err)
	withProof := func(fn func(p *verify.Proof)) *posternv1.Receipt {
		p := proof
		p.Hashes = append([][32]byte(nil), proof.Hashes...)
		fn(&p)
		return edit(func(r *posternv1.Receipt) { r.TlogProof = p.Text() })
	}
	crossed := verify.Proof{Index: 1, Hashes: proof.Hashes, Checkpoint: other.sign(t, l.head(t, 5).Text())}
	for name, c := range map[string]struct {
		receipt *posternv1.Receipt
		keys    verify.Keys
		reason  string
	}{
		"nothing":                        {nil, l.keys, "LEAF_MALFORMED"},
		"an empty receipt":               {&posternv1.Receipt{}, l.keys, "LEAF_MALFORMED"},
		"a long leaf":                    {edit(func(r *posternv1.Receipt) { r.Leaf = append(r.Leaf, 0) }), l.keys, "LEAF_MALFORMED"},
		"another version":                {edit(func(r *posternv1.Receipt) { r.Leaf[0] = 2 }), l.keys, "LEAF_VERSION"},
		"no kind":                        {edit(func(r *posternv1.Receipt) { r.Leaf[17] = 0 }), l.keys, "LEAF_MALFORMED"},
		"no opening":                     {edit(func(r *posternv1.Receipt) { r.Opening = nil }), l.keys, "OPENING_MALFORMED"},
		"another core":                   {edit(func(r *posternv1.Receipt) { r.Core = second.Core }), l.keys, "COMMITMENT_WRONG"},
		"another digest":                 {edit(func(r *posternv1.Receipt) { r.DetailsSha256 = make([]byte, 32) }), l.keys, "COMMITMENT_WRONG"},
		"another opening":                {edit(func(r *posternv1.Receipt) { r.Opening = second.Opening }), l.keys, "COMMITMENT_WRONG"},
		"another kind":                   {edit(func(r *posternv1.Receipt) { r.Leaf[17]++ }), l.keys, "INCLUSION_WRONG"},
		"another event id":               {edit(func(r *posternv1.Receipt) { r.Leaf[1]++ }), l.keys, "INCLUSION_WRONG"},
		"another hour":                   {edit(func(r *posternv1.Receipt) { r.Leaf[21]++ }), l.keys, "HOUR_WRONG"},
		"another leaf's proof":           {edit(func(r *posternv1.Receipt) { r.TlogProof = second.TlogProof }), l.keys, "INCLUSION_WRONG"},
		"no proof":                       {edit(func(r *posternv1.Receipt) { r.TlogProof = "" }), l.keys, "PROOF_MALFORMED"},
		"extra data":                     {withProof(func(p *verify.Proof) { p.Extra = []byte("x") }), l.keys, "PROOF_MALFORMED"},
		"another index":                  {withProof(func(p *verify.Proof) { p.Index++ }), l.keys, "INCLUSION_WRONG"},
		"an index beyond the log":        {withProof(func(p *verify.Proof) { p.Index = 5 }), l.keys, "INCLUSION_WRONG"},
		"a vast index":                   {withProof(func(p *verify.Proof) { p.Index = 1<<64 - 1 }), l.keys, "INCLUSION_WRONG"},
		"a hash less":                    {withProof(func(p *verify.Proof) { p.Hashes = p.Hashes[1:] }), l.keys, "INCLUSION_WRONG"},
		"a hash more":                    {withProof(func(p *verify.Proof) { p.Hashes = append(p.Hashes, [32]byte{}) }), l.keys, "INCLUSION_WRONG"},
		"hashes swapped":                 {withProof(func(p *verify.Proof) { p.Hashes[0], p.Hashes[1] = p.Hashes[1], p.Hashes[0] }), l.keys, "INCLUSION_WRONG"},
		"too many hashes":                {withProof(func(p *verify.Proof) { p.Hashes = make([][32]byte, 65) }), l.keys, "PROOF_MALFORMED"},
		"an older checkpoint":            {withProof(func(p *verify.Proof) { p.Checkpoint = l.sign(t, l.head(t, 4).Text()) }), l.keys, "INCLUSION_WRONG"},
		"no key":                         {first, verify.Keys{}, "ORIGIN_UNKNOWN"},
		"the key of another log":         {first, other.keys, "ORIGIN_UNKNOWN"},
		"signed by the other log's key":  {edit(func(r *posternv1.Receipt) { r.TlogProof = crossed.Text() }), both, "SIGNATURE_MISSING"},
		"another key for this very log":  {first, keysOf(t, impostor(t)), "SIGNATURE_MISSING"},
		"an unsigned checkpoint":         {withProof(func(p *verify.Proof) { p.Checkpoint = l.head(t, 5).Text() }), l.keys, "CHECKPOINT_MALFORMED"},
		"a checkpoint with an extension": {withProof(func(p *verify.Proof) { p.Checkpoint = l.sign(t, l.head(t, 5).Text()+"more\n") }), l.keys, "CHECKPOINT_MALFORMED"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify.Receipt(c.receipt, c.keys)
			refused(t, err, c.reason)
		})
	}
	if _, err := verify.Receipt(first, both); err != nil {
		t.Fatalf("a second log's key beside the right one: %v", err)
	}
}

func vkeyOf(tb testing.TB, name string) string {
	seed := sha256.Sum256([]byte(name))
	_, vkey, err := note.GenerateKey(rand.NewChaCha8(seed), name)
	check(tb, err)
	return vkey
}

// impostor is another key with the name of the log.
func impostor(tb testing.TB) string {
	_, vkey := otherKey(tb, 1)
	return vkey
}

// otherKey is the n-th other key with the name of the log.
func otherKey(tb testing.TB, n byte) (skey, vkey string) {
	skey, vkey, err := note.GenerateKey(rand.NewChaCha8([32]byte{n}), origin)
	check(tb, err)
	return skey, vkey
}

func keysOf(tb testing.TB, vkeys ...string) verify.Keys {
	k, err := verify.NewKeys(vkeys...)
	check(tb, err)
	return k
}

func TestCheckpointHasOneSpelling(t *testing.T) {
	l := newLog(t, origin, 3)
	head := l.head(t, 3)
	root := base64.StdEncoding.EncodeToString(head.Root[:])
	good := l.sign(t, origin+"\n3\n"+root+"\n")
	if h, err := verify.Checkpoint(good, l.keys); err != nil || h != head {
		t.Fatalf("%+v, %v", h, err)
	}
	for name, text := range map[string]string{
		"no text":             "\n",
		"two lines":           origin + "\n3\n",
		"leading zero":        origin + "\n03\n" + root + "\n",
		"a sign":              origin + "\n+3\n" + root + "\n",
		"negative":            origin + "\n-3\n" + root + "\n",
		"a vast size":         origin + "\n18446744073709551615\n" + root + "\n",
		"a short root":        origin + "\n3\n" + root[4:] + "\n",
		"unused bits in root": origin + "\n3\n" + root[:42] + string(root[42]+1) + "=\n",
		"a blank line inside": origin + "\n3\n" + root + "\n\nmore\n",
	} {
		_, err := verify.Checkpoint(l.sign(t, text), l.keys)
		if err == nil {
			t.Errorf("%s is accepted", name)
			continue
		}
		refused(t, err, "CHECKPOINT_MALFORMED")
	}
	// The signature is 68 bytes, so its base64 has two unused bits.
	end := len(good) - len("=\n") - 1
	_, err := verify.Checkpoint(good[:end]+string(good[end]+1)+"=\n", l.keys)
	refused(t, err, "SIGNATURE_WRONG")
}

// TestCheckpointMayCarryWitnesses: signatures of unknown keys are ignored, and nothing else is.
func TestCheckpointMayCarryWitnesses(t *testing.T) {
	l, witness := newLog(t, origin, 3), newLog(t, "witness.example", 0)
	signed, err := note.Sign(&note.Note{Text: l.head(t, 3).Text()}, l.signer, witness.signer)
	check(t, err)
	if _, err := verify.Checkpoint(string(signed), l.keys); err != nil {
		t.Fatal(err)
	}
	_, err = verify.Checkpoint(witness.sign(t, l.head(t, 3).Text()), l.keys)
	refused(t, err, "SIGNATURE_MISSING")
}

func TestKeys(t *testing.T) {
	a, b := vkeyOf(t, origin), vkeyOf(t, "hub.example/received")
	if got := strings.Join(keysOf(t, a+"\n", b).Origins(), " "); got != "hub.example/received hub.example/sent" {
		t.Fatal(got)
	}
	if got := keysOf(t, a, impostor(t)).Origins(); len(got) != 1 {
		t.Fatalf("two keys of one log give %v", got)
	}
	for name, vkeys := range map[string][]string{"repeated": {a, a}, "malformed": {"x"}, "with another hash": {strings.Replace(a, "+", "+0", 1)}} {
		if _, err := verify.NewKeys(vkeys...); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	l := newLog(t, origin, 1)
	if _, err := verify.Receipt(l.receipt(t, 0, 1), keysOf(t, impostor(t), a)); err != nil {
		t.Fatalf("an alternative key: %v", err)
	}
}

func TestConsistencyOfAllSizes(t *testing.T) {
	l := newLog(t, origin, 17)
	for newer := 0; newer <= 17; newer++ {
		for older := 0; older <= newer; older++ {
			p := l.consistency(t, older, newer)
			a, b := l.head(t, older), l.head(t, newer)
			check(t, verify.Continues(a, b, p))
			for i := range p.Hashes {
				bad := proto.CloneOf(p)
				bad.Hashes[i][3] ^= 1
				refused(t, verify.Continues(a, b, bad), "CONSISTENCY_WRONG")
				bad.Hashes[i] = bad.Hashes[i][1:]
				refused(t, verify.Continues(a, b, bad), "CONSISTENCY_MALFORMED")
			}
			more := proto.CloneOf(p)
			more.Hashes = append(more.Hashes, make([]byte, 32))
			refused(t, verify.Continues(a, b, more), "CONSISTENCY_WRONG")
			forged := a
			forged.Root[0] ^= 1
			refused(t, verify.Continues(forged, b, p), "CONSISTENCY_WRONG")
			if newer > older && older > 0 {
				forged = b
				forged.Root[0] ^= 1
				refused(t, verify.Continues(a, forged, p), "CONSISTENCY_WRONG")
			}
			if newer > older {
				refused(t, verify.Continues(b, a, p), "LOG_SHORTER")
			}
		}
	}
	a, b := l.head(t, 3), l.head(t, 9)
	refused(t, verify.Continues(a, b, l.consistency(t, 4, 9)), "CONSISTENCY_MALFORMED")
	refused(t, verify.Continues(a, b, nil), "ORIGIN_DIFFERS")
	elsewhere := a
	elsewhere.Origin = "hub.example/received"
	refused(t, verify.Continues(elsewhere, b, l.consistency(t, 3, 9)), "ORIGIN_DIFFERS")
	refused(t, verify.Consistency(&posternv1.ConsistencyProof{OldSize: 1, NewSize: 1 << 63}, a.Root, b.Root), "CONSISTENCY_WRONG")
	refused(t, verify.Consistency(&posternv1.ConsistencyProof{OldSize: 9, NewSize: 3}, b.Root, a.Root), "CONSISTENCY_WRONG")
}

func TestHours(t *testing.T) {
	for _, c := range []struct {
		at   time.Time
		hour uint32
		ok   bool
	}{
		{time.Unix(0, 0), 0, true},
		{time.Unix(3599, 999999999), 0, true},
		{time.Unix(3600, 0), 1, true},
		{time.Unix(-1, 0), 0, false},
		{time.Time{}, 0, false},
		{time.Unix(3600*(1<<32)-1, 0), 1<<32 - 1, true},
		{time.Unix(3600*(1<<32), 0), 0, false},
	} {
		if hour, ok := verify.HourOf(c.at); hour != c.hour || ok != c.ok {
			t.Errorf("%v: hour %d, %t", c.at, hour, ok)
		}
	}
}
