package verify_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/ledger/verify"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// An origin is taken apart as it was put together, and of two generations of one log exactly one is the later.
func TestGenerationsOfALog(t *testing.T) {
	first := rapid.SampledFrom([]string{"hub.example/sent", "hub.example/received", "hub.example/sent/x", "/"})
	generation := rapid.OneOf(rapid.Uint64Range(1, 4), rapid.Uint64Min(1))
	rapid.Check(t, func(t *rapid.T) {
		a, b := first.Draw(t, "first"), first.Draw(t, "other")
		m, n := generation.Draw(t, "m"), generation.Draw(t, "n")
		one, other := verify.OriginOf(a, m), verify.OriginOf(b, n)
		if of, k := verify.Generation(one); of != a || k != m {
			t.Fatalf("%q is generation %d of %q", one, k, of)
		}
		if verify.SameLog(one, other) != (a == b) || verify.Succeeds(one, other) != (a == b && n > m) {
			t.Fatalf("%q and then %q: same log %v, later %v", one, other, verify.SameLog(one, other), verify.Succeeds(one, other))
		}
	})
	for _, origin := range []string{"", "/2", "sent", "sent/", "sent/0", "sent/1", "sent/02", "sent/+2", "sent/2/"} {
		if of, n := verify.Generation(origin); of != origin || n != 1 {
			t.Errorf("%q is generation %d of %q", origin, n, of)
		}
	}
}

// A file of checkpoints is read as they stand in it, whatever empty lines are between and around them; what is not made of
// whole notes is refused.
func TestAFileOfCheckpoints(t *testing.T) {
	l, tb := newLog(t, origin, 3), t
	rapid.Check(t, func(t *rapid.T) {
		var want []string
		text := strings.Repeat("\n", rapid.IntRange(0, 3).Draw(t, "before"))
		for range rapid.IntRange(1, 4).Draw(t, "notes") {
			want = append(want, l.sign(tb, verify.Head{Origin: origin, Size: rapid.Uint64Max(1<<56).Draw(t, "size")}.Text()))
			text += want[len(want)-1] + strings.Repeat("\n", rapid.IntRange(1, 5).Draw(t, "between"))
		}
		got, err := verify.SplitCheckpoints(text)
		if err != nil || strings.Join(got, "|") != strings.Join(want, "|") {
			t.Fatalf("%q is read as %q, %v", text, got, err)
		}
		if _, err := verify.SplitCheckpoints(text + "\n" + origin + "\n3\n"); err == nil {
			t.Fatal("half a checkpoint is taken")
		}
	})
	for _, text := range []string{"", "\n\n\n", "one", origin + "\n3\n"} {
		_, err := verify.SplitCheckpoints(text)
		refused(t, err, "CHECKPOINT_MALFORMED")
	}
}

// What a checkpoint states is read whoever signed it, up to the largest log there can be.
func TestReadHead(t *testing.T) {
	l := newLog(t, origin, 3)
	for name, c := range map[string]struct {
		text string
		ok   bool
	}{
		"as it is":        {l.head(t, 3).Text(), true},
		"the largest":     {verify.Head{Origin: origin, Size: 1 << 56}.Text(), true},
		"one more":        {verify.Head{Origin: origin, Size: 1<<56 + 1}.Text(), false},
		"without origin":  {verify.Head{Size: 3}.Text(), false},
		"without a size":  {origin + "\n\n" + "x\n", false},
		"one line more":   {l.head(t, 3).Text() + "more\n", false},
		"one line less":   {origin + "\n3\n", false},
		"without the end": {strings.TrimSuffix(l.head(t, 3).Text(), "\n"), false},
	} {
		h, err := verify.ReadHead(c.text + "\n— any AAAA\n")
		if (err == nil) != c.ok || c.ok && h.Text() != c.text {
			t.Errorf("%s is read as %+v, %v", name, h, err)
		}
	}
	_, err := verify.ReadHead(strings.TrimSuffix(l.head(t, 3).Text(), "\n"))
	refused(t, err, "CHECKPOINT_MALFORMED")
	_, err = verify.Checkpoint(strings.TrimSuffix(l.head(t, 3).Text(), "\n"), l.keys)
	refused(t, err, "CHECKPOINT_MALFORMED")
}

// A checkpoint adds to another one what a trusted key signed of it and not of the other.
func TestWhatASignatureAdds(t *testing.T) {
	l := newLog(t, origin, 3)
	head := l.head(t, 3)
	nextKey, nextVerifier := otherKey(t, 1)
	strangersKey, _ := otherKey(t, 2)
	next, stranger := must(note.NewSigner(nextKey)), must(note.NewSigner(strangersKey))
	keys := keysOf(t, vkeyOf(t, origin), nextVerifier)
	sign := func(by ...note.Signer) string {
		return string(must(note.Sign(&note.Note{Text: head.Text()}, by...)))
	}
	one, both, strange := sign(l.signer), sign(l.signer, next), sign(l.signer, stranger)
	for name, c := range map[string]struct {
		signed, other string
		want          bool
	}{
		"the same":             {one, one, false},
		"another key":          {both, one, true},
		"a key less":           {one, both, false},
		"the other key":        {sign(next), one, true},
		"a stranger's":         {strange, one, false},
		"beside a stranger's":  {both, strange, true},
		"beside nobody's":      {one, sign(stranger), true},
		"nobody's":             {sign(stranger), one, false},
		"something that is no": {"noise", one, false},
	} {
		if got := verify.AddsSignature(c.signed, c.other, head, keys); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	broken := strings.Replace(one, "3\n", "2\n", 1)
	_, err := verify.Checkpoint(broken, l.keys)
	refused(t, err, "SIGNATURE_WRONG")
}

// A receipt lacks a key when its log is one that we have keys of, in whatever generation, and no other.
func TestWhichReceiptsLackAKey(t *testing.T) {
	ours := keysOf(t, vkeyOf(t, origin), vkeyOf(t, "hub.example/received/3"))
	of := func(name string) *posternv1.Receipt { return newLog(t, name, 2).receipt(t, 1, 2) }
	changed := of(origin)
	changed.Core = append(changed.Core, 0)
	for name, c := range map[string]struct {
		receipt *posternv1.Receipt
		keys    verify.Keys
		want    bool
	}{
		"of our log":                {of(origin), ours, false},
		"of its next generation":    {of(origin + "/2"), ours, true},
		"of an earlier generation":  {of("hub.example/received"), ours, true},
		"of another log":            {of("hub.example/other"), ours, false},
		"of another log, its next":  {of("hub.example/other/2"), ours, false},
		"by another key of the log": {of(origin), keysOf(t, impostor(t)), true},
		"without any key":           {of(origin), verify.Keys{}, false},
		"that does not hold":        {changed, ours, false},
		"that is none":              {nil, ours, false},
	} {
		if got := c.keys.Lack(c.receipt); got != c.want {
			t.Errorf("a receipt %s: %v", name, got)
		}
	}
}

// A proof is read in one spelling: with any bit changed it is refused, or is written as it was read. What lacks a line is
// refused, and so is what is more than any tree of ours needs.
func TestAProofHasOneSpelling(t *testing.T) {
	p := verify.Proof{Extra: []byte("extra"), Index: 4, Hashes: make([][32]byte, 64), Checkpoint: "any\n"}
	good := p.Text()
	if got, err := verify.ParseProof(good); err != nil || got.Text() != good {
		t.Fatalf("%+v, %v", got, err)
	}
	for bit := range 8 * len(good) {
		b := []byte(good)
		b[bit/8] ^= 1 << (bit % 8)
		got, err := verify.ParseProof(string(b))
		if err != nil {
			refused(t, err, "PROOF_MALFORMED")
		} else if got.Text() != string(b) {
			t.Fatalf("%q is read as %q", b, got.Text())
		}
	}
	const header = "c2sp.org/tlog-proof@v1\n"
	one := strings.Split(good, "\n")[3] + "\n"
	for name, text := range map[string]string{
		"nothing":             "",
		"the header alone":    header + "\nany\n",
		"extra alone":         header + "extra AAAA\n\nany\n",
		"empty extra":         header + "extra \nindex 4\n\nany\n",
		"extra twice":         header + "extra AAAA\nextra AAAA\nindex 4\n\nany\n",
		"an index without":    header + "4\n\nany\n",
		"no checkpoint":       header + "index 4\n\n",
		"no line between":     header + "index 4\nany\n",
		"a hash too many":     header + "index 4\n" + strings.Repeat(one, 65) + "\nany\n",
		"a hash too short":    header + "index 4\nAAAA\n\nany\n",
		"more than is enough": header + "index 4\n\n" + strings.Repeat("x", 1<<18),
	} {
		if _, err := verify.ParseProof(text); err == nil {
			t.Errorf("%s is accepted", name)
		} else {
			refused(t, err, "PROOF_MALFORMED")
		}
	}
	// A receipt inside the extra data brings no proof of its own.
	l := newLog(t, origin, 2)
	r := l.receipt(t, 1, 2)
	inside, err := verify.ParseProof(r.GetTlogProof())
	check(t, err)
	inside.Extra, err = proto.Marshal(r)
	check(t, err)
	_, err = verify.UnmarshalFile([]byte(inside.Text()))
	refused(t, err, "FILE_MALFORMED")
	_, _, err = verify.Steps(&posternv1.Receipt{TlogProof: "noise"}, 2)
	refused(t, err, "PROOF_MALFORMED")
}

// Every tree continues the empty one, which has one root; a proof between other sizes proves nothing.
func TestWhatContinuesTheEmptyLog(t *testing.T) {
	l := newLog(t, origin, 9)
	empty, five := l.head(t, 0), l.head(t, 5)
	forged := empty
	forged.Root[0] ^= 1
	none := &posternv1.ConsistencyProof{Origin: origin}
	check(t, verify.Continues(empty, empty, none))
	refused(t, verify.Continues(empty, forged, none), "CONSISTENCY_WRONG")
	refused(t, verify.Continues(forged, empty, none), "CONSISTENCY_WRONG")
	for size := range uint64(9) {
		err := verify.Continues(empty, five, &posternv1.ConsistencyProof{Origin: origin, NewSize: size})
		if size == 5 {
			check(t, err)
		} else {
			refused(t, err, "CONSISTENCY_MALFORMED")
		}
	}
}

// An event whose core cannot be read, or is of an hour that no leaf can hold, is none, though its leaf commits to it.
func TestACommitmentAloneIsNoEvent(t *testing.T) {
	of := func(at time.Time) []byte {
		b, err := proto.Marshal(&logv1.Core{EventTime: timestamppb.New(at)})
		check(t, err)
		return b
	}
	for name, c := range map[string]struct {
		core   []byte
		reason string
	}{
		"as it is":        {of(time.Unix(3599, 0)), ""},
		"no message":      {[]byte{0xff}, "CORE_MALFORMED"},
		"of another hour": {of(time.Unix(3600, 0)), "HOUR_WRONG"},
		"before 1970":     {of(time.Unix(-1, 0)), "HOUR_WRONG"},
		"too late":        {of(time.Unix(3600<<32, 0)), "HOUR_WRONG"},
	} {
		details := []byte("details")
		digest := sha256.Sum256(details)
		opening := bytes.Repeat([]byte{9}, verify.OpeningSize)
		leaf := verify.Leaf{Kind: logv1.Kind_KIND_DECIDED, Commitment: verify.Commitment([verify.OpeningSize]byte(opening), sha256.Sum256(c.core), digest)}
		_, _, opened := verify.Open(&posternv1.Receipt{Leaf: leaf.Bytes(), Core: c.core, DetailsSha256: digest[:], Opening: opening})
		for _, err := range []error{opened, verify.Body(leaf, opening, c.core, details)} {
			if c.reason == "" {
				check(t, err)
			} else if err == nil {
				t.Errorf("%s: taken", name)
			} else {
				refused(t, err, c.reason)
			}
		}
	}
}
