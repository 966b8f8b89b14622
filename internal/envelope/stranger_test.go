package envelope_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hpke"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	posternv1 "postern/proto/postern/v1"
)

// This file is a second implementation, written from docs/formats.md with the standard library and the protos alone. It
// must not call package envelope: the vectors and the tests hold the two against one another.

func strangerEncoding(payloadType string, payload []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(payload), payload)
}

func strangerPrefixed(parts ...string) []byte {
	var out []byte
	for _, p := range parts {
		out = append(binary.BigEndian.AppendUint32(out, uint32(len(p))), p...)
	}
	return out
}

func strangerDigest(path string, ciphertext []byte) []byte {
	return sha(append(strangerPrefixed(path), ciphertext...))
}

func strangerKeyID(publicKey []byte) string {
	sum := sha256.Sum256(publicKey)
	return hex.EncodeToString(sum[:8])
}

// strangerVerify returns the URI of whoever signed, given the PEM of the one anchor that may vouch for such a party.
func strangerVerify(s *posternv1.Signed, payloadType, anchorPEM string, at time.Time) (string, error) {
	if s.GetPayloadType() != payloadType || len(s.GetSignatures()) != 1 || len(s.GetSignatures()[0].GetCertificates()) == 0 {
		return "", errors.New("not one signature over this type")
	}
	sig := s.GetSignatures()[0]
	leaf, err := x509.ParseCertificate(sig.GetCertificates()[0])
	if err != nil {
		return "", err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(anchorPEM))
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}); err != nil {
		return "", err
	}
	message := strangerEncoding(payloadType, s.GetPayload())
	holds := false
	switch key := leaf.PublicKey.(type) {
	case ed25519.PublicKey:
		holds = ed25519.Verify(key, message, sig.GetSignature())
	case *ecdsa.PublicKey:
		holds = ecdsa.VerifyASN1(key, sha(message), sig.GetSignature())
	}
	if !holds || len(leaf.URIs) != 1 {
		return "", errors.New("the signature does not hold")
	}
	return leaf.URIs[0].String(), nil
}

// strangerSealing is what a section is sealed with, at either side.
type strangerSealing struct {
	id     string
	export func(context string, length int) ([]byte, error)
}

func strangerInfo(id, sender, keyID string) []byte { return strangerPrefixed(id, sender, keyID) }

func strangerSender(publicKey []byte, id, sender string) (enc []byte, s strangerSealing, err error) {
	public, err := hpke.MLKEM768X25519().NewPublicKey(publicKey)
	if err != nil {
		return nil, s, err
	}
	enc, c, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ExportOnly(), strangerInfo(id, sender, strangerKeyID(publicKey)))
	if err != nil {
		return nil, s, err
	}
	return enc, strangerSealing{id, c.Export}, nil
}

func strangerRecipient(privateKey, enc []byte, id, sender, keyID string) (s strangerSealing, err error) {
	private, err := hpke.MLKEM768X25519().NewPrivateKey(privateKey)
	if err != nil {
		return s, err
	}
	c, err := hpke.NewRecipient(enc, private, hpke.HKDFSHA256(), hpke.ExportOnly(), strangerInfo(id, sender, keyID))
	if err != nil {
		return s, err
	}
	return strangerSealing{id, c.Export}, nil
}

func (s strangerSealing) key(path string) ([]byte, error) {
	return s.export(string(strangerPrefixed(path)), 32)
}

func (s strangerSealing) aead(path string) (cipher.AEAD, error) {
	key, err := s.key(path)
	if err != nil {
		return nil, err
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// seal takes the plaintext as it is, so that tests can seal what no desk should.
func (s strangerSealing) seal(path string, plaintext []byte) (*posternv1.SealedSection, error) {
	a, err := s.aead(path)
	if err != nil {
		return nil, err
	}
	return &posternv1.SealedSection{Path: path, Ciphertext: a.Seal(nil, make([]byte, 12), plaintext, strangerPrefixed(s.id, path))}, nil
}

// open returns the serialized message in a section whose plaintext has this size.
func (s strangerSealing) open(path string, ciphertext []byte, paddedSize int) ([]byte, error) {
	a, err := s.aead(path)
	if err != nil {
		return nil, err
	}
	plaintext, err := a.Open(nil, make([]byte, 12), ciphertext, strangerPrefixed(s.id, path))
	if err != nil {
		return nil, err
	}
	if len(plaintext) != paddedSize {
		return nil, errors.New("not of its one size")
	}
	length := binary.BigEndian.Uint32(plaintext[32:36])
	if int(length) > paddedSize-36 || strings.Trim(string(plaintext[36+length:]), "\x00") != "" {
		return nil, errors.New("not padded with zeros")
	}
	return plaintext[36 : 36+length], nil
}

// strangerPad lays a message out as docs/formats.md says, with a salt that a test may choose.
func strangerPad(salt [32]byte, message []byte, paddedSize int) []byte {
	out := make([]byte, paddedSize)
	copy(out, salt[:])
	binary.BigEndian.PutUint32(out[32:], uint32(len(message)))
	copy(out[36:], message)
	return out
}

// strangerDesk makes a manifest and its sections; sign signs the encoding and returns one signature.
func strangerDesk(m *posternv1.Manifest, facts [][]byte, sections []*posternv1.SealedSection, sign func([]byte) (*posternv1.Signature, error)) (*posternv1.SealedNotification, error) {
	m = proto.CloneOf(m)
	for _, f := range facts {
		m.FactsSha256 = append(m.FactsSha256, sha(f))
	}
	slices.SortFunc(m.FactsSha256, slices.Compare)
	for _, s := range sections {
		m.GetOffer().SectionsSha256 = append(m.GetOffer().SectionsSha256, strangerDigest(s.GetPath(), s.GetCiphertext()))
	}
	slices.SortFunc(m.GetOffer().SectionsSha256, slices.Compare)
	payload, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	const payloadType = "application/vnd.postern.manifest.v1"
	sig, err := sign(strangerEncoding(payloadType, payload))
	if err != nil {
		return nil, err
	}
	return &posternv1.SealedNotification{
		Manifest: &posternv1.Signed{Payload: payload, PayloadType: payloadType, Signatures: []*posternv1.Signature{sig}},
		Facts:    facts, Sections: sections,
	}, nil
}

// strangerReference is the reference of an id.
func strangerReference(id string) string {
	bits, err := hex.DecodeString(strings.ReplaceAll(id, "-", "")[:10])
	if err != nil {
		return ""
	}
	n := binary.BigEndian.Uint64(append(make([]byte, 3), bits...)) >> 5
	code, sum := "", 0
	for i := range 7 {
		v := int(n>>(5*(6-i))) & 31
		code += alphabet[v : v+1]
		if i%2 == 0 { // the 7th, 5th, 3rd and 1st count double
			v = v*2/32 + v*2%32
		}
		sum += v
	}
	code += string(alphabet[(33-sum%32)%32])
	return "PN-" + code[:4] + "-" + code[4:]
}
