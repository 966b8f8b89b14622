package stranger

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"strconv"
	"time"

	pb "postern/proto/postern/v1"
)

// The payload types of signed statements.
const (
	typePrefix          = "application/vnd.postern."
	TypeManifest        = typePrefix + "manifest.v1"
	TypeRecipientKey    = typePrefix + "recipient-key.v1"
	TypeAcknowledgement = typePrefix + "acknowledgement.v1"
	TypeReport          = typePrefix + "report.v1"
	TypeDirectory       = typePrefix + "directory.v1"
	TypeStopRequest     = typePrefix + "stop-request.v1"
	TypeRedirect        = typePrefix + "redirect.v1"
)

// encode is the pre-authentication encoding of DSSE v1.0.2.
func Encode(payloadType string, payload []byte) []byte {
	s := "DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " "
	return append([]byte(s), payload...)
}

// Sign signs a payload with the party's own certificates beside it.
func (me *Self) Sign(payloadType string, payload []byte) (*pb.Signed, error) {
	msg, opts := Encode(payloadType, payload), crypto.Hash(0)
	if _, ok := me.Key.Public().(*ecdsa.PublicKey); ok {
		msg, opts = digest(msg), crypto.SHA256
	}
	sig, err := me.Key.Sign(rand.Reader, msg, opts)
	if err != nil {
		return nil, err
	}
	return &pb.Signed{
		Payload: payload, PayloadType: payloadType,
		Signatures: []*pb.Signature{{Signature: sig, Certificates: me.Chain}},
	}, nil
}

// Verify checks a statement with exactly one signature and says whose it is.
func (t *Trust) Verify(s *pb.Signed, payloadType string, at time.Time) (Party, error) {
	if len(s.GetSignatures()) != 1 {
		return Party{}, refuse("NOT_ONE_SIGNATURE", "%d signatures", len(s.GetSignatures()))
	}
	return t.verifyFirst(s, payloadType, at)
}

// verifyFirst checks the first signature of a statement.
func (t *Trust) verifyFirst(s *pb.Signed, payloadType string, at time.Time) (Party, error) {
	if s.PayloadType != payloadType {
		return Party{}, refuse("WRONG_PAYLOAD_TYPE", "%q", s.PayloadType)
	}
	sig := s.Signatures[0]
	p, key, err := t.Judge(sig.Certificates, at)
	if err != nil {
		return Party{}, err
	}
	msg, ok := Encode(s.PayloadType, s.Payload), false
	switch k := key.(type) {
	case ed25519.PublicKey:
		ok = ed25519.Verify(k, msg, sig.Signature)
	case *ecdsa.PublicKey:
		ok = ecdsa.VerifyASN1(k, digest(msg), sig.Signature)
	}
	if !ok {
		return Party{}, refuse("BAD_SIGNATURE", "of %s", p.URI)
	}
	return p, nil
}

// verifyBy checks a statement that one party must have signed.
func (t *Trust) verifyBy(s *pb.Signed, payloadType, uri string, at time.Time) error {
	p, err := t.Verify(s, payloadType, at)
	if err == nil && p.URI != uri {
		err = refuse("BAD_SIGNATURE", "signed by %s, not %s", p.URI, uri)
	}
	return err
}

func (t *Trust) inboxURI(authority string) string {
	return "spiffe://" + t.Domain + "/authority/" + authority + "/inbox"
}

func (t *Trust) deskURI(prison string) string {
	return "spiffe://" + t.Domain + "/prison/" + prison + "/desk"
}
