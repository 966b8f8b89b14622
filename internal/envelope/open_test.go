package envelope_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	posternv1 "postern/proto/postern/v1"
)

// TestOnlyTheRecipientOpens: another inbox's key, and another key of the same inbox, open nothing.
func TestOnlyTheRecipientOpens(t *testing.T) {
	w := newWorld(t)
	v := w.verify(t, w.seal(t, family(t)))
	other, _ := w.recipient(t, w.away)
	next, _ := w.recipient(t, w.inbox)
	for _, key := range []*envelope.RecipientPrivate{other, next} {
		_, err := v.Open(key)
		refusedAs(t, err, "KEY_UNKNOWN")
	}
}

// TestAKeyIDIsNotAKey: a manifest that names the recipient's key while sealed to another does not open.
func TestAKeyIDIsNotAKey(t *testing.T) {
	w := newWorld(t)
	_, other := w.recipient(t, w.away)
	other = proto.CloneOf(other)
	other.KeyId = w.key.KeyID()
	v := w.verify(t, value(envelope.Seal(family(t), other, w.desk))(t))
	_, err := v.Open(w.key)
	refusedAs(t, err, "BAD_SECTION")
}

// TestWhatDoesNotOpen: the desk, or somebody with its key, signs what does not fit together. Each ciphertext opens
// under its own path, notification, sender and key alone, and one that does not open fails the whole.
func TestWhatDoesNotOpen(t *testing.T) {
	w := newWorld(t)
	otherPrison := family(t)
	otherPrison.Manifest.Sender.PrisonId = "BWI"
	fromBerwyn := value(envelope.Seal(otherPrison, w.public, w.other))(t)
	again := family(t)
	cases := map[string]func(n *posternv1.SealedNotification, m *posternv1.Manifest){
		"ciphertexts of two children swapped": func(n *posternv1.SealedNotification, _ *posternv1.Manifest) {
			swapCiphertexts(n.Sections[2], n.Sections[4])
		},
		"a section under another path": func(n *posternv1.SealedNotification, _ *posternv1.Manifest) { n.Sections[2].Path = "child/1/knowledge" },
		"a section of another notification": func(n *posternv1.SealedNotification, _ *posternv1.Manifest) {
			n.Sections[2].Ciphertext = w.seal(t, again).GetSections()[2].GetCiphertext()
		},
		"another id": func(_ *posternv1.SealedNotification, m *posternv1.Manifest) { m.NotificationId = newID(t) },
		"an encapsulated key of another": func(_ *posternv1.SealedNotification, m *posternv1.Manifest) {
			m.GetOffer().EncapsulatedKey = w.verify(t, w.seal(t, again)).Manifest().GetOffer().GetEncapsulatedKey()
		},
		"an encapsulated key that is none": func(_ *posternv1.SealedNotification, m *posternv1.Manifest) { m.GetOffer().EncapsulatedKey = []byte{1} },
		"what another desk sealed": func(n *posternv1.SealedNotification, m *posternv1.Manifest) {
			theirs := &posternv1.Manifest{}
			check(t, proto.Unmarshal(fromBerwyn.GetManifest().GetPayload(), theirs))
			m.NotificationId, m.GetOffer().EncapsulatedKey = theirs.GetNotificationId(), theirs.GetOffer().GetEncapsulatedKey()
			n.Sections = fromBerwyn.GetSections()
		},
		"an empty ciphertext":  func(n *posternv1.SealedNotification, _ *posternv1.Manifest) { n.Sections[4].Ciphertext = nil },
		"a changed ciphertext": func(n *posternv1.SealedNotification, _ *posternv1.Manifest) { n.Sections[4].Ciphertext[40] ^= 1 },
		"a lengthened one": func(n *posternv1.SealedNotification, _ *posternv1.Manifest) {
			n.Sections[4].Ciphertext = append(n.Sections[4].Ciphertext, 0)
		},
		"a key id of another": func(_ *posternv1.SealedNotification, m *posternv1.Manifest) {
			m.GetOffer().RecipientKeyId = "0123456789abcdef"
		},
		"a key id with a space": func(_ *posternv1.SealedNotification, m *posternv1.Manifest) { m.GetOffer().RecipientKeyId += " " },
	}
	good := w.seal(t, family(t))
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			n := proto.CloneOf(good)
			v := value(envelope.Verify(resealed(t, w, n, change), w.whole()))(t)
			_, err := v.Open(w.key)
			refused(t, err)
		})
	}
}

// resealed changes sections and manifest and signs digests and all again, as a hostile desk could.
func resealed(t *testing.T, w *world, n *posternv1.SealedNotification, change func(*posternv1.SealedNotification, *posternv1.Manifest)) *posternv1.SealedNotification {
	t.Helper()
	return resign(t, n, w.desk, func(m *posternv1.Manifest) {
		change(n, m)
		m.GetOffer().SectionsSha256 = nil
		for _, s := range n.Sections {
			m.GetOffer().SectionsSha256 = append(m.GetOffer().SectionsSha256, envelope.SectionDigest(s))
		}
		slices.SortFunc(m.GetOffer().SectionsSha256, slices.Compare)
	})
}
