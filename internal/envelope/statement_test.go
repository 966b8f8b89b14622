package envelope_test

import (
	"bytes"
	"crypto/ecdsa"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

// types is every kind of statement.
var types = []string{envelope.TypeManifest, envelope.TypeRecipientKey, envelope.TypeAcknowledgement, envelope.TypeReport, envelope.TypeRedirect,
	envelope.TypeStopRequest, envelope.TypeStopAnswer, envelope.TypeDirectory, envelope.TypeAgreement, envelope.TypeExport, envelope.TypeExtract, envelope.TypeEvidence,
	envelope.TypePolicy}

// TestNoStatementPassesForAnother: a signature holds for its own payload type and payload alone, whoever signs.
func TestNoStatementPassesForAnother(t *testing.T) {
	w := newWorld(t)
	signers := []*identity.Identity{w.desk, w.inbox, w.issue(t, inboxURI, ca.IssueConfig{P256: true})}
	rapid.Check(t, func(t *rapid.T) {
		i := rapid.SampledFrom(signers).Draw(t, "signer")
		kind, other := rapid.SampledFrom(types).Draw(t, "type"), rapid.SampledFrom(types).Draw(t, "another type")
		payload, changed := rapid.SliceOf(rapid.Byte()).Draw(t, "payload"), rapid.SliceOf(rapid.Byte()).Draw(t, "another payload")
		s := value(envelope.SignStatement(i, kind, payload))(t)
		party := value(envelope.VerifyStatement(s, kind, w.anchors, now))(t)
		if party != i.Party() {
			t.Fatalf("signed by %v, verified as %v", i.Party(), party)
		}
		if _, err := envelope.VerifyStatement(s, other, w.anchors, now); kind != other {
			refusedAs(t, err, "WRONG_PAYLOAD_TYPE")
		}
		renamed := &posternv1.Signed{Payload: payload, PayloadType: other, Signatures: s.Signatures}
		if _, err := envelope.VerifyStatement(renamed, other, w.anchors, now); kind != other {
			refusedAs(t, err, "BAD_SIGNATURE")
		}
		edited := &posternv1.Signed{Payload: changed, PayloadType: kind, Signatures: s.Signatures}
		if _, err := envelope.VerifyStatement(edited, kind, w.anchors, now); !bytes.Equal(payload, changed) {
			refusedAs(t, err, "BAD_SIGNATURE")
		}
	})
}

// TestTypeAndPayloadDoNotRunTogether: what is signed says where the type ends and the payload begins.
func TestTypeAndPayloadDoNotRunTogether(t *testing.T) {
	w := newWorld(t)
	s := value(envelope.SignStatement(w.desk, envelope.TypeManifest+" 3", []byte("abc")))(t)
	moved := &posternv1.Signed{Payload: []byte("3 abc"), PayloadType: envelope.TypeManifest, Signatures: s.Signatures}
	_, err := envelope.VerifyStatement(moved, envelope.TypeManifest, w.anchors, now)
	refusedAs(t, err, "BAD_SIGNATURE")
}

// TestOneSignature: a statement has exactly one; a list, such as an agreement's, is as good as its worst.
func TestOneSignature(t *testing.T) {
	w := newWorld(t)
	s := value(envelope.SignStatement(w.desk, envelope.TypeAgreement, []byte("an agreement")))(t)
	check(t, envelope.AddSignature(s, w.inbox))
	_, err := envelope.VerifyStatement(s, envelope.TypeAgreement, w.anchors, now)
	refusedAs(t, err, "NOT_ONE_SIGNATURE")
	parties := value(envelope.VerifySignatures(s, envelope.TypeAgreement, w.anchors, now))(t)
	if len(parties) != 2 || parties[0] != w.desk.Party() || parties[1] != w.inbox.Party() {
		t.Errorf("parties are %v", parties)
	}

	bad := proto.CloneOf(s)
	bad.Signatures[1].Signature[0] ^= 1
	_, err = envelope.VerifySignatures(bad, envelope.TypeAgreement, w.anchors, now)
	refusedAs(t, err, "BAD_SIGNATURE")

	none := proto.CloneOf(s)
	none.Signatures = nil
	_, err = envelope.VerifySignatures(none, envelope.TypeAgreement, w.anchors, now)
	refusedAs(t, err, "NO_SIGNATURE")

	many := proto.CloneOf(s)
	for range 512 {
		many.Signatures = append(many.Signatures, many.Signatures[0])
	}
	_, err = envelope.VerifySignatures(many, envelope.TypeAgreement, w.anchors, now)
	refusedAs(t, err, "NO_SIGNATURE")

	_, err = envelope.VerifySignatures(nil, envelope.TypeAgreement, w.anchors, now)
	refusedAs(t, err, "WRONG_PAYLOAD_TYPE")
}

// TestASignatureOfTheOtherKindOfKey: a P-256 signature does not pass under an Ed25519 certificate, nor the reverse, nor
// one with a byte more or less.
func TestASignatureOfTheOtherKindOfKey(t *testing.T) {
	w := newWorld(t)
	p256 := w.issue(t, deskURI, ca.IssueConfig{P256: true})
	if _, ok := p256.Signer().Public().(*ecdsa.PublicKey); !ok {
		t.Fatal("no P-256 key")
	}
	a := value(envelope.SignStatement(w.desk, envelope.TypeReport, []byte("x")))(t)
	b := value(envelope.SignStatement(p256, envelope.TypeReport, []byte("x")))(t)
	sa, sb := a.Signatures[0], b.Signatures[0]
	for name, sig := range map[string]*posternv1.Signature{
		"P-256 under Ed25519": {Signature: sb.Signature, Certificates: sa.Certificates},
		"Ed25519 under P-256": {Signature: sa.Signature, Certificates: sb.Certificates},
		"Ed25519 and a byte":  {Signature: append(bytes.Clone(sa.Signature), 0), Certificates: sa.Certificates},
		"P-256 and a byte":    {Signature: append(bytes.Clone(sb.Signature), 0), Certificates: sb.Certificates},
		"Ed25519 cut short":   {Signature: sa.Signature[1:], Certificates: sa.Certificates},
		"P-256 cut short":     {Signature: sb.Signature[:8], Certificates: sb.Certificates},
		"no signature":        {Certificates: sa.Certificates},
	} {
		s := &posternv1.Signed{Payload: []byte("x"), PayloadType: envelope.TypeReport, Signatures: []*posternv1.Signature{sig}}
		if _, err := envelope.VerifyStatement(s, envelope.TypeReport, w.anchors, now); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestWhenACertificateHolds: it is judged at the time that is asked about, not at the time of the test.
func TestWhenACertificateHolds(t *testing.T) {
	w := newWorld(t)
	s := value(envelope.SignStatement(w.desk, envelope.TypeReport, []byte("x")))(t)
	leaf := w.desk.Leaf()
	for _, at := range []time.Time{leaf.NotBefore, leaf.NotAfter} {
		_, err := envelope.VerifyStatement(s, envelope.TypeReport, w.anchors, at)
		check(t, err)
	}
	for _, at := range []time.Time{leaf.NotBefore.Add(-time.Second), leaf.NotAfter.Add(time.Second), {}} {
		_, err := envelope.VerifyStatement(s, envelope.TypeReport, w.anchors, at)
		refusedAs(t, err, "CERTIFICATE_TIME")
	}
}
