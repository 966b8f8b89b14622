package envelope

import (
	"bytes"
	"crypto/hpke"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// A team that finds a child elsewhere passes a notification on: the desk's own bytes, and beside them the keys of the
// sections that the team itself was sent, sealed to the other authority's key. So the other team opens what the desk
// sealed, verifies the desk's signature over it, and sees who passed it on; the hub opens nothing, as before.

// Redirector returns the inbox that passed the notification on, and whether one did.
func (v *Verified) Redirector() (identity.Party, bool) { return v.redirector, v.redirect != nil }

// Recipient returns the authority that a notification is for and the id of the key that opens it: of one that was
// passed on, those that the team named.
func (v *Verified) Recipient() (authority, keyID string) {
	if v.redirect != nil {
		return v.redirect.GetAuthority(), v.redirect.GetRecipientKeyId()
	}
	return v.manifest.GetOffer().GetAuthority(), v.manifest.GetOffer().GetRecipientKeyId()
}

// Redirect makes the redirection of a notification to the authority of a key. A notification is passed on once: who got
// it that way telephones.
func (v *Verified) Redirect(from *RecipientPrivate, to *posternv1.RecipientKey, signer *identity.Identity) (*posternv1.Redirection, error) {
	if v.redirect != nil || signer.Party().ID == to.GetAuthority() {
		return nil, fault.New(fault.Precondition, "PASSED_ON", "A notification is passed on once, to another authority.")
	}
	keys, err := v.sectionKeys(from)
	if err != nil {
		return nil, err
	}
	payload, err := proto.Marshal(&posternv1.Redirect{ManifestSha256: v.sha256, Authority: to.GetAuthority(), RecipientKeyId: to.GetKeyId()})
	if err != nil {
		return nil, fault.From(err)
	}
	out := &posternv1.Redirection{}
	if out.Redirect, err = SignStatement(signer, TypeRedirect, payload); err != nil {
		return nil, err
	}
	public, err := hpke.MLKEM768X25519().NewPublicKey(to.GetPublicKey())
	if err != nil {
		return nil, unverified("BAD_KEY", "The recipient key is not a key.").Because(err)
	}
	id := v.manifest.GetNotificationId()
	enc, context, err := hpke.NewSender(public, hpke.HKDFSHA256(), hpke.ExportOnly(), lengthPrefixed(id, signer.Party().URI(), to.GetKeyId()))
	if err != nil {
		return nil, fault.From(err)
	}
	out.EncapsulatedKey = enc
	for _, path := range v.Paths() {
		wrapping, err := context.Export(string(lengthPrefixed(path)), keySize)
		if err != nil {
			return nil, fault.From(err)
		}
		aead, err := newAEAD(wrapping)
		if err != nil {
			return nil, err
		}
		// A zero nonce is safe as it is for a section: one fresh context, one key a path, used once.
		out.SectionKeys = append(out.SectionKeys, &posternv1.SealedSection{
			Path: path, Ciphertext: aead.Seal(nil, make([]byte, aead.NonceSize()), keys[path], lengthPrefixed(id, path))})
	}
	return out, nil
}

// checkRedirection checks who passed a notification on and to whom, and that the keys are those of the sections in it,
// each once.
func (v *Verified) checkRedirection(c VerifyConfig) error {
	all, offer := v.notification.GetRedirections(), v.manifest.GetOffer()
	switch {
	case len(all) == 0:
		return nil
	case c.Redirected.IsZero() || offer == nil:
		return malformed("UNEXPECTED_REDIRECTION", "Only a team passes a notification on, and only what it was sent.")
	case len(all) > 1:
		return malformed("PASSED_ON_TWICE", "A notification is passed on once.")
	}
	party, err := VerifyStatement(all[0].GetRedirect(), TypeRedirect, c.Anchors, c.Redirected)
	if err != nil {
		return err
	}
	r := &posternv1.Redirect{}
	if err := unmarshalStrict(all[0].GetRedirect().GetPayload(), r, "redirect"); err != nil {
		return err
	}
	var keyed []string
	for _, k := range all[0].GetSectionKeys() {
		keyed = append(keyed, k.GetPath())
	}
	switch {
	case party.Role != posternv1.Role_ROLE_INBOX || party.Domain != c.Audience || party.ID != offer.GetAuthority():
		return fault.New(fault.Denied, "NOT_THE_RECIPIENT", "Only the team that a notification was sent to may pass it on.")
	case !bytes.Equal(r.GetManifestSha256(), v.sha256):
		return unverified("REDIRECT_OF_ANOTHER", "The redirect is about another notification.")
	case r.GetAuthority() == "" || r.GetAuthority() == party.ID || r.GetRecipientKeyId() == "" || len(all[0].GetEncapsulatedKey()) == 0:
		return malformed("INCOMPLETE_REDIRECT", "The redirect lacks the other authority or its key.")
	case !slices.Equal(slices.Sorted(slices.Values(keyed)), slices.Sorted(slices.Values(v.Paths()))):
		return malformed("WRONG_SECTION_KEYS", "The redirect does not have the key of each section, once.")
	}
	v.redirect, v.redirector = r, party
	return nil
}

// redirectionsOf are the redirections with the keys of these paths only.
func (v *Verified) redirectionsOf(paths []string) []*posternv1.Redirection {
	var out []*posternv1.Redirection
	for _, r := range v.notification.GetRedirections() {
		only := &posternv1.Redirection{Redirect: r.GetRedirect(), EncapsulatedKey: r.GetEncapsulatedKey()}
		for _, k := range r.GetSectionKeys() {
			if slices.Contains(paths, k.GetPath()) {
				only.SectionKeys = append(only.SectionKeys, k)
			}
		}
		out = append(out, only)
	}
	return out
}

// sectionKeys are the keys of the sections by path, for whom the notification is for: exported from the desk's
// encapsulated key, or unwrapped from the redirection.
func (v *Verified) sectionKeys(key *RecipientPrivate) (map[string][]byte, error) {
	if _, id := v.Recipient(); id != key.keyID {
		return nil, fault.New(fault.Precondition, "KEY_UNKNOWN", "The sections were sealed to another key.")
	}
	enc, from := v.manifest.GetOffer().GetEncapsulatedKey(), v.sender
	if v.redirect != nil {
		enc, from = v.notification.GetRedirections()[0].GetEncapsulatedKey(), v.redirector
	}
	id := v.manifest.GetNotificationId()
	context, err := hpke.NewRecipient(enc, key.hpke, hpke.HKDFSHA256(), hpke.ExportOnly(), lengthPrefixed(id, from.URI(), key.keyID))
	if err != nil {
		return nil, unverified("BAD_SECTION", "The sealed sections do not open.").Because(err)
	}
	keys := map[string][]byte{}
	for _, path := range v.Paths() {
		if keys[path], err = context.Export(string(lengthPrefixed(path)), keySize); err != nil {
			return nil, fault.From(err)
		}
	}
	if v.redirect == nil {
		return keys, nil
	}
	for _, wrapped := range v.notification.GetRedirections()[0].GetSectionKeys() {
		aead, err := newAEAD(keys[wrapped.GetPath()])
		if err != nil {
			return nil, err
		}
		unwrapped, err := aead.Open(nil, make([]byte, aead.NonceSize()), wrapped.GetCiphertext(), lengthPrefixed(id, wrapped.GetPath()))
		if err != nil || len(unwrapped) != keySize {
			return nil, unverified("BAD_SECTION", "The key of a section does not open.").Because(err)
		}
		keys[wrapped.GetPath()] = unwrapped
	}
	return keys, nil
}
