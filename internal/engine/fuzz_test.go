package engine

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// FuzzParseInput: an input is refused, or is written again as one that is read as the same.
func FuzzParseInput(f *testing.F) {
	f.Add(marshal(full().value()))
	f.Add([]byte(`{"now": "2026-11-22T10:00:00Z"}`))
	f.Add([]byte(`{"children": [{"number": 1, "known": {}}]}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		in, err := ParseInput(data)
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		written := marshal(in.value())
		again, err := ParseInput(written)
		if err != nil || !bytes.Equal(marshal(again.value()), written) {
			t.Fatalf("%s is written as %s, which is read otherwise: %v", data, written, err)
		}
	})
}

// FuzzUnpack: any bytes as a bundle are refused, or hold nothing but files of a bundle; and however they are packed,
// nobody's signature covers them. The anchors are those of the committed vectors, whose operator has signed nothing.
func FuzzUnpack(f *testing.F) {
	packed, err := Pack(policy.Bundle)
	if err != nil {
		f.Fatal(err)
	}
	anchors, statement := signedElsewhere(f)
	f.Add(packed[:4096], statement)
	f.Add(packed[len(packed)-4096:], statement)
	f.Add([]byte{}, []byte{})
	f.Fuzz(func(t *testing.T, archive, signed []byte) {
		at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
		served := &posternv1.GetPolicyResponse{Bundle: archive, Statement: signed}
		s := &posternv1.Signed{}
		if proto.Unmarshal(signed, s) == nil {
			served.Statement, served.Signatures = s.GetPayload(), s.GetSignatures()
		}
		if _, err := OpenServed(served, anchors, at); err == nil || fault.KindOf(err) == fault.Internal {
			t.Fatalf("a bundle that nobody signed was opened: %v", err)
		}
		folder, err := Unpack(archive)
		if err != nil {
			if fault.From(err).Reason != "POLICY_ARCHIVE" {
				t.Fatal(err)
			}
			return
		}
		files, err := readWhole(folder)
		for _, one := range files {
			if !belongs(one.path) {
				t.Fatalf("%q was unpacked", one.path)
			}
		}
		if _, _, verdict := VerifyBundle(folder, anchors, at); verdict == nil {
			t.Fatal("a bundle that nobody signed holds")
		}
		if err == nil {
			_, _ = readBundle(folder) // compiles nothing: it must not panic
		}
	})
}

// signedElsewhere is the anchors of the committed statements, and one of these as the signatures of a bundle.
func signedElsewhere(f *testing.F) (*identity.Anchors, []byte) {
	f.Helper()
	b, err := os.ReadFile("../envelope/testdata/vectors/statements.json")
	if err != nil {
		f.Fatal(err)
	}
	var v struct {
		Trust struct {
			Domain    string `json:"domain"`
			Prison    string `json:"prison_pem"`
			Authority string `json:"authority_pem"`
			Hub       string `json:"hub_pem"`
			Auditor   string `json:"auditor_pem"`
		} `json:"trust"`
		Cases []struct {
			Signed []byte `json:"signed_base64"`
		} `json:"cases"`
	}
	if err := json.Unmarshal(b, &v); err != nil {
		f.Fatal(err)
	}
	anchors, err := identity.NewAnchors(identity.AnchorConfig{Domain: v.Trust.Domain, Prison: []byte(v.Trust.Prison), Authority: []byte(v.Trust.Authority),
		Hub: []byte(v.Trust.Hub), Auditor: []byte(v.Trust.Auditor)})
	if err != nil {
		f.Fatal(err)
	}
	s := &posternv1.Signed{}
	if err := proto.Unmarshal(v.Cases[0].Signed, s); err != nil {
		f.Fatal(err)
	}
	s.PayloadType = envelope.TypePolicy
	wire, err := proto.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	return anchors, wire
}

// FuzzReadSigned: the signatures beside a bundle are read, or refused in words.
func FuzzReadSigned(f *testing.F) {
	_, wire := signedElsewhere(f)
	s := &posternv1.Signed{}
	if err := proto.Unmarshal(wire, s); err != nil {
		f.Fatal(err)
	}
	text, err := protojson.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		folder := fstest.MapFS{SignatureFile: {Data: text}}
		if _, err := readSigned(folder); err != nil && fault.From(err).Reason != "POLICY_SIGNATURES" {
			t.Fatal(err)
		}
	})
}
