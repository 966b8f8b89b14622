package stranger

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	posternv1 "postern/proto/postern/v1"
)

// The kinds of statement that we make or read, by the last part of their payload type.
const (
	manifestType        = "manifest.v1"
	recipientKeyType    = "recipient-key.v1"
	acknowledgementType = "acknowledgement.v1"
	reportType          = "report.v1"
	directoryType       = "directory.v1"
	agreementType       = "agreement.v1"
	stopRequestType     = "stop-request.v1"
)

func payloadType(kind string) string { return "application/vnd.postern." + kind }

// Encode is the pre-authentication encoding.
func Encode(payloadType string, payload []byte) []byte {
	head := fmt.Sprintf("DSSEv1 %d %s %d ", len(payloadType), payloadType, len(payload))
	return append([]byte(head), payload...)
}

// Frame is lp(parts).
func Frame(parts ...string) (out []byte) {
	for _, p := range parts {
		out = binary.BigEndian.AppendUint32(out, uint32(len(p)))
		out = append(out, p...)
	}
	return out
}

func hash(b []byte) []byte {
	sum := sha256.Sum256(b)
	return sum[:]
}

// Sign makes a statement of a kind, such as manifest.v1.
func (s *Self) Sign(kind string, payload []byte) (*posternv1.Signed, error) {
	message, options := Encode(payloadType(kind), payload), crypto.Hash(0)
	if _, p256 := s.key.(*ecdsa.PrivateKey); p256 {
		message, options = hash(message), crypto.SHA256
	}
	signature, err := s.key.Sign(rand.Reader, message, options)
	if err != nil {
		return nil, err
	}
	return &posternv1.Signed{PayloadType: payloadType(kind), Payload: payload,
		Signatures: []*posternv1.Signature{{Signature: signature, Certificates: s.chain}}}, nil
}

// signer says who made one signature over a statement.
func (t *Trust) signer(s *posternv1.Signed, one *posternv1.Signature, at time.Time) (Party, error) {
	p, key, err := t.Who(one.GetCertificates(), at)
	if err != nil {
		return p, err
	}
	message := Encode(s.GetPayloadType(), s.GetPayload())
	switch key := key.(type) {
	case ed25519.PublicKey:
		if ed25519.Verify(key, message, one.GetSignature()) {
			return p, nil
		}
	case *ecdsa.PublicKey:
		if ecdsa.VerifyASN1(key, hash(message), one.GetSignature()) {
			return p, nil
		}
	}
	return p, errors.New("the signature does not hold")
}

// Signer says who made a statement of a kind that has one signature.
func (t *Trust) Signer(s *posternv1.Signed, kind string, at time.Time) (Party, error) {
	if s.GetPayloadType() != payloadType(kind) {
		return Party{}, errors.New("another payload type")
	}
	if len(s.GetSignatures()) != 1 {
		return Party{}, errors.New("not one signature")
	}
	return t.signer(s, s.GetSignatures()[0], at)
}

// read parses a message that must be known only.
func read(b []byte, m proto.Message) error {
	if err := proto.Unmarshal(b, m); err != nil {
		return err
	}
	return knownOnly(m.ProtoReflect())
}

// knownOnly fails when a message holds, at any depth, a field or an enum value that we do not know.
func knownOnly(m protoreflect.Message) (err error) {
	if len(m.GetUnknown()) > 0 {
		return fmt.Errorf("a field of %s that we do not know", m.Descriptor().Name())
	}
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		one := func(v protoreflect.Value) {
			switch {
			case err != nil:
			case f.Message() != nil:
				err = knownOnly(v.Message())
			case f.Enum() != nil && f.Enum().Values().ByNumber(v.Enum()) == nil:
				err = fmt.Errorf("a value of %s that we do not know", f.Name())
			}
		}
		if !f.IsList() {
			one(v)
			return err == nil
		}
		for i := range v.List().Len() {
			one(v.List().Get(i))
		}
		return err == nil
	})
	return err
}
