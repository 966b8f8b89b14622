package directory

import (
	"bytes"
	"maps"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// The reasons why a recipient key is not taken in place of the one that is trusted.
const (
	KeyReplayed     = "KEY_REPLAYED"      // an older one
	KeySwapped      = "KEY_SWAPPED"       // another one of the same version
	KeyNotContinued = "KEY_NOT_CONTINUED" // a newer one that its predecessor did not sign
)

// VerifyPublished verifies a key that an inbox has published. Its certificate is judged when the key was made, so that a
// key outlives the certificate that vouched for it.
func VerifyPublished(signed *posternv1.Signed, anchors *identity.Anchors, now time.Time) (*posternv1.RecipientKey, error) {
	claim := &posternv1.RecipientKey{}
	if err := proto.Unmarshal(signed.GetPayload(), claim); err != nil {
		return nil, fault.New(fault.Unverified, "BAD_KEY", "A published recipient key cannot be read.").Because(err)
	}
	at := claim.GetCreateTime().AsTime()
	if at.After(now.Add(maxSkew)) {
		return nil, fault.New(fault.Unverified, "KEY_TIME", "A published recipient key says that it was made in the future. Check the clocks.")
	}
	return envelope.VerifyRecipientKey(signed, anchors, at)
}

// Succeeds judges a verified recipient key beside the trusted one, which may be nil: whether it is to be trusted from now
// on. It is false without an error for the very key that is trusted already. A first key is trusted for its certificate;
// a later one only when its predecessor's continuity key signed it too, so that neither a hub nor whoever holds the
// authority's certificate can put another key in its place. Whatever else is newer, a person must confirm.
func Succeeds(trusted *posternv1.RecipientKey, signed *posternv1.Signed, next *posternv1.RecipientKey) (bool, error) {
	switch {
	case trusted == nil:
		return true, nil
	case next.GetVersion() < trusted.GetVersion():
		return false, fault.Newf(fault.Precondition, KeyReplayed, "The recipient key of %s is version %d, and version %d is in use already.",
			next.GetAuthority(), next.GetVersion(), trusted.GetVersion())
	case next.GetVersion() == trusted.GetVersion() && next.GetKeyId() == trusted.GetKeyId() && bytes.Equal(next.GetContinuityKey(), trusted.GetContinuityKey()):
		return false, nil
	case next.GetVersion() == trusted.GetVersion():
		return false, fault.Newf(fault.Precondition, KeySwapped, "The recipient key of %s is another one than the version %d in use. Telephone the authority.",
			next.GetAuthority(), trusted.GetVersion())
	case !envelope.Follows(signed, trusted):
		return false, fault.Newf(fault.Precondition, KeyNotContinued,
			"The recipient key of %s, version %d, is not signed by the key before it. Telephone the authority, compare the key's id, and confirm it.",
			next.GetAuthority(), next.GetVersion())
	}
	return true, nil
}

// WithKeys is the directory with other recipient keys in the place of its own. An authority that the directory gives no
// key stays without one: an operator must be able to end sending.
func (d *Directory) WithKeys(keys map[string]*posternv1.RecipientKey) *Directory {
	with := *d
	with.keys = maps.Clone(d.keys)
	for code, key := range keys {
		if with.keys[code] != nil {
			with.keys[code] = key
		}
	}
	return &with
}
