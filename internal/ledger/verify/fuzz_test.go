package verify_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	posternv1 "postern/proto/postern/v1"
)

func FuzzParseLeaf(f *testing.F) {
	l := newLog(f, origin, 1)
	f.Add(l.receipts[0].Leaf)
	f.Add([]byte{})
	f.Add(bytes.Repeat([]byte{1}, verify.LeafSize))
	f.Fuzz(func(t *testing.T, b []byte) {
		leaf, err := verify.ParseLeaf(b)
		if err != nil {
			refused(t, err)
			return
		}
		if !bytes.Equal(leaf.Bytes(), b) {
			t.Fatalf("%x parses as %+v, which is %x", b, leaf, leaf.Bytes())
		}
		if hour, ok := verify.HourOf(leaf.Time()); !ok || hour != leaf.Hour {
			t.Fatalf("hour %d is %v is hour %d", leaf.Hour, leaf.Time(), hour)
		}
	})
}

// FuzzReceipt changes a receipt: it is refused, or it is a receipt of the same event.
func FuzzReceipt(f *testing.F) {
	l := newLog(f, origin, 9)
	for i := range l.receipts {
		r := l.receipt(f, i, 9)
		f.Add(r.Leaf, r.Core, r.DetailsSha256, r.Opening, r.TlogProof)
	}
	signed := l.sign(f, l.head(f, 9).Text())
	f.Fuzz(func(t *testing.T, leaf, core, details, opening []byte, proof string) {
		r := &posternv1.Receipt{Leaf: leaf, Core: core, DetailsSha256: details, Opening: opening, TlogProof: proof}
		ev, err := verify.Receipt(r, l.keys)
		if at, other := verify.ReceiptAt(r, signed, l.head(t, 9)); other == nil && (err != nil || at.Index != ev.Index) {
			t.Fatalf("one of many receipts holds, and alone it does not: %v", err)
		}
		if err != nil {
			refused(t, err)
			return
		}
		if ev.Index >= 9 {
			t.Fatalf("index %d is accepted", ev.Index)
		}
		got := proto.CloneOf(r)
		got.TlogProof = ""
		if !proto.Equal(got, l.receipts[ev.Index]) {
			t.Fatalf("a receipt of event %d is accepted that nobody made: %v", ev.Index, r)
		}
	})
}

// FuzzUnmarshalFile: what is read as a file is written as the same receipt again.
func FuzzUnmarshalFile(f *testing.F) {
	l := newLog(f, origin, 9)
	for i := range l.receipts {
		f.Add(verify.MarshalFile(l.receipt(f, i, 9)))
	}
	f.Add([]byte(l.receipt(f, 0, 9).TlogProof))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := verify.UnmarshalFile(b)
		if err != nil {
			refused(t, err)
			return
		}
		again, err := verify.UnmarshalFile(verify.MarshalFile(r))
		if err != nil {
			t.Fatalf("%q is read, and refused when written again: %v", b, err)
		}
		if !proto.Equal(r, again) {
			t.Fatalf("%v became %v", r, again)
		}
	})
}

// FuzzParseProof: a proof has one spelling.
func FuzzParseProof(f *testing.F) {
	l := newLog(f, origin, 9)
	f.Add(l.receipt(f, 3, 9).TlogProof)
	f.Add(string(verify.MarshalFile(l.receipt(f, 3, 9))))
	f.Fuzz(func(t *testing.T, text string) {
		p, err := verify.ParseProof(text)
		if err != nil {
			refused(t, err)
			return
		}
		if p.Text() != text {
			t.Fatalf("%q is spelt %q", text, p.Text())
		}
	})
}

// FuzzCheckpoint changes a signed checkpoint: it is refused, or says the same of the same log. What is read without its
// signature, alone or in a file of several, is read as the same.
func FuzzCheckpoint(f *testing.F) {
	l := newLog(f, origin, 9)
	good := l.head(f, 9)
	signed := l.sign(f, good.Text())
	f.Add(signed)
	f.Add(signed + "— witness.example/one AAAAAAAA\n")
	f.Add(signed + "\n" + signed)
	f.Add("\n\n\n")
	f.Fuzz(func(t *testing.T, text string) {
		if head, err := verify.Checkpoint(text, l.keys); err != nil {
			refused(t, err)
		} else if read, err := verify.ReadHead(text); head != good || err != nil || read != head {
			t.Fatalf("%q says %+v, and read without its signature %+v: %v", text, head, read, err)
		}
		notes, err := verify.SplitCheckpoints(text)
		if err != nil {
			refused(t, err)
			return
		}
		if again, err := verify.SplitCheckpoints(strings.Join(notes, "\n")); err != nil || !slices.Equal(again, notes) {
			t.Fatalf("%q is %q, and that %q: %v", text, notes, again, err)
		}
	})
}

// FuzzNewKeys: what is read as a verifier key is the key of the one origin it names.
func FuzzNewKeys(f *testing.F) {
	f.Add(vkeyOf(f, origin))
	f.Add(origin + "+00000000+AAAA")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		keys, err := verify.NewKeys(text)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if o := keys.Origins(); len(o) != 1 || !strings.HasPrefix(strings.TrimSpace(text), o[0]+"+") {
			t.Fatalf("%q is a key of %q", text, o)
		}
	})
}

// FuzzConsistency: no other hashes prove that one head continues another, and none that another does.
func FuzzConsistency(f *testing.F) {
	l := newLog(f, origin, 9)
	good := l.consistency(f, 3, 8)
	wire, err := proto.Marshal(good)
	check(f, err)
	f.Add(wire, uint8(3), uint8(8))
	f.Add(wire, uint8(3), uint8(9))
	f.Fuzz(func(t *testing.T, wire []byte, older, newer uint8) {
		p := &posternv1.ConsistencyProof{}
		if proto.Unmarshal(wire, p) != nil {
			return
		}
		a, b := int(older)%10, int(newer)%10
		err := verify.Continues(l.head(t, a), l.head(t, b), p)
		if err != nil {
			refused(t, err)
			return
		}
		want := l.consistency(t, a, b)
		if a > b || !slices.EqualFunc(p.GetHashes(), want.GetHashes(), bytes.Equal) {
			t.Fatalf("that %d continues %d is proved by %v", b, a, p)
		}
	})
}

// FuzzBody: only the body of a leaf opens it.
func FuzzBody(f *testing.F) {
	l := newLog(f, origin, 2)
	leaf, err := verify.ParseLeaf(l.receipts[1].Leaf)
	check(f, err)
	good := l.receipts[1]
	f.Add(good.Opening, good.Core, l.details[1])
	f.Add([]byte{}, []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, opening, core, details []byte) {
		err := verify.Body(leaf, opening, core, details)
		if same := bytes.Equal(opening, good.Opening) && bytes.Equal(core, good.Core) && bytes.Equal(details, l.details[1]); same != (err == nil) {
			t.Fatalf("another body opens the leaf: %v", err)
		}
		if err := verify.Details(good, details); (err == nil) != bytes.Equal(details, l.details[1]) {
			t.Fatalf("other details pass: %v", err)
		}
	})
}
