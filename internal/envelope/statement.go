package envelope

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strconv"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// The payload types, one per kind of statement. A signature over one never verifies as another.
const (
	TypeManifest        = "application/vnd.postern.manifest.v1"
	TypeRecipientKey    = "application/vnd.postern.recipient-key.v1"
	TypeAcknowledgement = "application/vnd.postern.acknowledgement.v1"
	TypeReport          = "application/vnd.postern.report.v1"
	TypeRedirect        = "application/vnd.postern.redirect.v1"
	TypeStopRequest     = "application/vnd.postern.stop-request.v1"
	TypeStopAnswer      = "application/vnd.postern.stop-answer.v1"
	TypeDirectory       = "application/vnd.postern.directory.v1"
	TypeAgreement       = "application/vnd.postern.agreement.v1"
	TypeExport          = "application/vnd.postern.export.v1"
	TypeExtract         = "application/vnd.postern.extract.v1"
	TypeEvidence        = "application/vnd.postern.evidence.v1"
	TypePolicy          = "application/vnd.postern.policy.v1"
)

// maxSignatures bounds the work of one verification: an agreement may be signed by every prison and authority.
const maxSignatures = 512

// preAuthentication is the DSSE v1 pre-authentication encoding of a payload and its type.
func preAuthentication(payloadType string, payload []byte) []byte {
	out := []byte("DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " ")
	return append(out, payload...)
}

// SignStatement signs payload as a statement of the given type with the identity's certificate key.
func SignStatement(i *identity.Identity, payloadType string, payload []byte) (*posternv1.Signed, error) {
	s := &posternv1.Signed{Payload: payload, PayloadType: payloadType}
	if err := AddSignature(s, i); err != nil {
		return nil, err
	}
	return s, nil
}

// AddSignature adds the identity's signature to a statement, over the same bytes. A desk with a renewed certificate
// signs the same manifest again this way, after dropping its old signature.
func AddSignature(s *posternv1.Signed, i *identity.Identity) error {
	cert := i.Certificate() // once: the chain must be that of the key, also while the certificate is renewed
	key := cert.PrivateKey.(crypto.Signer)
	message, opts := preAuthentication(s.GetPayloadType(), s.GetPayload()), crypto.SignerOpts(crypto.Hash(0))
	if _, ok := key.Public().(*ecdsa.PublicKey); ok {
		digest := sha256.Sum256(message)
		message, opts = digest[:], crypto.SHA256
	}
	sig, err := key.Sign(rand.Reader, message, opts)
	if err != nil {
		return fault.New(fault.Internal, "SIGN", "The statement could not be signed.").Because(err)
	}
	s.Signatures = append(s.Signatures, &posternv1.Signature{Signature: sig, Certificates: slices.Clone(cert.Certificate)})
	return nil
}

// VerifyStatement verifies a statement with exactly one signature and returns who signed it. Certificates are judged
// at the time `at`. The caller still has to check that this party may make this statement.
func VerifyStatement(s *posternv1.Signed, payloadType string, a *identity.Anchors, at time.Time) (identity.Party, error) {
	if len(s.GetSignatures()) != 1 {
		return identity.Party{}, unverified("NOT_ONE_SIGNATURE", "The statement does not have exactly one signature.")
	}
	parties, err := VerifySignatures(s, payloadType, a, at)
	if err != nil {
		return identity.Party{}, err
	}
	return parties[0], nil
}

// VerifySignatures verifies every signature of a statement and returns the parties in order. One that does not hold
// fails the whole: a list is what its signers agreed to, not a choice.
func VerifySignatures(s *posternv1.Signed, payloadType string, a *identity.Anchors, at time.Time) ([]identity.Party, error) {
	if s.GetPayloadType() != payloadType {
		return nil, unverified("WRONG_PAYLOAD_TYPE", "The statement is of another kind than it should be.")
	}
	if n := len(s.GetSignatures()); n == 0 || n > maxSignatures {
		return nil, unverified("NO_SIGNATURE", "The statement has no signature, or too many.")
	}
	message := preAuthentication(payloadType, s.GetPayload())
	parties := make([]identity.Party, len(s.GetSignatures()))
	for i, sig := range s.GetSignatures() {
		p, err := verifyOne(sig, message, a, at)
		if err != nil {
			return nil, err
		}
		parties[i] = p
	}
	return parties, nil
}

func verifyOne(sig *posternv1.Signature, message []byte, a *identity.Anchors, at time.Time) (identity.Party, error) {
	party, leaf, known := a.Known(sig.GetCertificates(), at)
	if !known {
		chain := make([]*x509.Certificate, len(sig.GetCertificates()))
		for i, der := range sig.GetCertificates() {
			c, err := x509.ParseCertificate(der)
			if err != nil {
				return identity.Party{}, unverified("BAD_CERTIFICATE", "A certificate of the statement cannot be read.").Because(err)
			}
			chain[i] = c
		}
		var err error
		if party, err = a.Verify(chain, at); err != nil {
			return identity.Party{}, err
		}
		leaf = chain[0]
	}
	if !signatureHolds(leaf.PublicKey, message, sig.GetSignature()) {
		return identity.Party{}, unverified("BAD_SIGNATURE", "The signature does not match the statement: something was changed on the way.")
	}
	return party, nil
}

func signatureHolds(key any, message, sig []byte) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return ed25519.Verify(key, message, sig)
	case *ecdsa.PublicKey:
		digest := sha256.Sum256(message)
		return key.Curve == elliptic.P256() && ecdsa.VerifyASN1(key, digest[:], sig)
	}
	return false
}

func unverified(reason, message string) *fault.Error {
	return fault.New(fault.Unverified, reason, message)
}
