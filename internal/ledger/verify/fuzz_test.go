package verify_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"

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
	f.Fuzz(func(t *testing.T, leaf, core, details, opening []byte, proof string) {
		r := &posternv1.Receipt{Leaf: leaf, Core: core, DetailsSha256: details, Opening: opening, TlogProof: proof}
		ev, err := verify.Receipt(r, l.keys)
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
