package envelope_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/identity/ca"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// overWire is a notification as the other side gets it.
func overWire(tb failer, n *posternv1.SealedNotification) *posternv1.SealedNotification {
	tb.Helper()
	out := &posternv1.SealedNotification{}
	check(tb, proto.Unmarshal(value(proto.Marshal(n))(tb), out))
	return out
}

// TestTheWayOfANotification: whatever a desk seals, the hub verifies, any part of it is released, and the inbox opens
// exactly that part.
func TestTheWayOfANotification(t *testing.T) {
	w := newWorld(t)
	signers := []string{"Ed25519", "P-256"}
	p256 := w.issue(t, deskURI, ca.IssueConfig{P256: true})
	rapid.Check(t, func(t *rapid.T) {
		signer := w.desk
		if rapid.SampledFrom(signers).Draw(t, "signer") == "P-256" {
			signer = p256
		}
		d := drawDraft(t, 16)
		before := proto.CloneOf(d.Manifest)
		sealed := value(envelope.Seal(d, w.public, signer))(t)
		if !proto.Equal(before, d.Manifest) {
			t.Fatal("Seal changed the draft")
		}

		atHub := value(envelope.Verify(overWire(t, sealed), w.whole()))(t)
		if atHub.Sender() != signer.Party() || !proto.Equal(atHub.Hub(), d.Hub) {
			t.Fatalf("sender %v, hub facts %v", atHub.Sender(), atHub.Hub())
		}
		if !slices.EqualFunc(atHub.Children(), d.Children, func(a, b *posternv1.ChildFacts) bool { return proto.Equal(a, b) }) {
			t.Fatalf("children are %v, want %v", atHub.Children(), d.Children)
		}
		var paths, released []string
		var want []envelope.Plain
		for _, s := range d.Sections {
			paths = append(paths, s.Path)
			if rapid.Bool().Draw(t, s.Path) {
				released, want = append(released, s.Path), append(want, s)
			}
		}
		if !slices.Equal(atHub.Paths(), paths) {
			t.Fatalf("paths are %v, want %v", atHub.Paths(), paths)
		}
		checkManifest(t, atHub, before, w.key.KeyID())

		disclosed, digests := atHub.Disclose(released)
		atInbox := value(envelope.Verify(overWire(t, disclosed), w.released()))(t)
		if !bytes.Equal(atInbox.ManifestSHA256(), atHub.ManifestSHA256()) || !slices.EqualFunc(atInbox.Digests(), digests, bytes.Equal) {
			t.Fatal("the inbox sees another manifest, or other sections, than the hub released")
		}
		opened := value(atInbox.Open(w.key))(t)
		if !samePlains(opened, want) || !slices.IsSortedFunc(opened, func(a, b envelope.Plain) int { return strings.Compare(a.Path, b.Path) }) {
			t.Fatalf("opened %v, want %v", opened, want)
		}
	})
}

// checkManifest: sealing fills in its own fields and no other, and lists digests in order.
func checkManifest(t *rapid.T, v *envelope.Verified, before *posternv1.Manifest, keyID string) {
	m := proto.CloneOf(v.Manifest())
	o := m.GetOffer()
	if !sorted(m.FactsSha256) || !sorted(o.SectionsSha256) || !slices.EqualFunc(o.SectionsSha256, v.Digests(), bytes.Equal) {
		t.Fatal("digests are not the sorted digests of the sections")
	}
	if o.Suite != envelope.SuiteHybrid || o.RecipientKeyId != keyID || len(o.EncapsulatedKey) != 1120 {
		t.Fatalf("suite %d, key %s, %d bytes encapsulated", o.Suite, o.RecipientKeyId, len(o.EncapsulatedKey))
	}
	m.FactsSha256, o.SectionsSha256, o.Suite, o.RecipientKeyId, o.EncapsulatedKey = nil, nil, 0, "", nil
	if !proto.Equal(m, before) {
		t.Fatal("sealing changed the manifest")
	}
}

// TestLengthTellsNothing: for one section every value, from none to the longest that fits, gives one length.
func TestLengthTellsNothing(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		d, r := family(t), newRand(rapid.Uint64().Draw(t, "seed"))
		d.Sections = nil
		for _, s := range section.All() {
			d.Sections = append(d.Sections, envelope.Plain{Path: s.Path(2), Message: drawSection(s, r)})
		}
		for i, sealed := range w.seal(t, d).GetSections() {
			if got, want := len(sealed.GetCiphertext()), section.All()[i].PaddedSize+16; got != want {
				t.Fatalf("%s is %d bytes of ciphertext, want %d", sealed.GetPath(), got, want)
			}
		}
	})
}

// TestTheLongestSection: a section may fill its size to the last byte and no further, and the fault names the field of
// the form without its value.
func TestTheLongestSection(t *testing.T) {
	w := newWorld(t)
	d := family(t)
	home := &posternv1.ChildHome{}
	d.Sections = []envelope.Plain{{Path: "child/2/home", Message: home}}
	const room = 3072 - 32 - 4 - 3 // salt, length, and the key and length of the one field
	home.AddressLines = []string{strings.Repeat("x", room)}
	opened := value(w.verify(t, w.seal(t, d)).Open(w.key))(t)
	if !samePlains(opened, d.Sections) {
		t.Error("the longest section does not come back")
	}
	home.AddressLines[0] += "x"
	_, err := envelope.Seal(d, w.public, w.desk)
	refusedAs(t, err, "SECTION_TOO_LONG")
	if !strings.Contains(err.Error(), "children[1].home") || strings.Contains(err.Error(), "xxx") {
		t.Errorf("the fault says %q", err)
	}
}

// TestTheLargestNotificationFits: 16 children with every section, long facts and a consent that names every path go in
// one message.
func TestTheLargestNotificationFits(t *testing.T) {
	w := newWorld(t)
	d := family(t)
	d.Children, d.Sections = nil, nil
	c := d.Manifest.GetOffer().GetConsent()
	for n := range 16 {
		d.Children = append(d.Children, &posternv1.ChildFacts{Number: uint32(n + 1), AsOfDate: "2026-11-20"})
	}
	for _, s := range section.All() {
		for n := 1; n <= 16 && (s.PerChild || n == 1); n++ {
			c.Sections = append(c.Sections, s.Path(n))
			d.Sections = append(d.Sections, envelope.Plain{Path: s.Path(n), Message: s.New()})
			if s.PerChild {
				d.Children[n-1].Known = append(d.Children[n-1].Known, &posternv1.SectionKnown{Path: s.Path(n), Known: posternv1.Known_KNOWN_KNOWN})
			}
		}
	}
	n := w.seal(t, d)
	w.verify(t, n)
	if size := proto.Size(n); size > maxOnWire-8<<10 {
		t.Errorf("the largest notification has %d bytes; a hub takes %d and the statement may grow", size, maxOnWire)
	}
}

// TestTwoSealsShareNothing: sealing the same draft again gives other keys, salts, ciphertexts and digests, so that
// nobody can tell that two notifications say the same.
func TestTwoSealsShareNothing(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		d := drawDraft(t, 3)
		seen := map[string]bool{}
		for range 2 {
			n := w.seal(t, d)
			m := w.verify(t, n).Manifest()
			secrets := slices.Concat([][]byte{m.GetOffer().GetEncapsulatedKey()}, m.GetFactsSha256(), m.GetOffer().GetSectionsSha256(), n.GetFacts())
			for _, s := range n.GetSections() {
				secrets = append(secrets, s.GetCiphertext(), s.GetCiphertext()[:32])
			}
			for _, b := range secrets {
				if seen[string(b)] {
					t.Fatal("two seals share a digest, a facts block, a key or a ciphertext")
				}
			}
			for _, b := range secrets {
				seen[string(b)] = true
			}
		}
	})
}

// TestAlikeFactsHaveDifferentDigests: two children of whom the same is known have different digests.
func TestAlikeFactsHaveDifferentDigests(t *testing.T) {
	w := newWorld(t)
	d := family(t)
	d.Children, d.Hub, d.Sections = []*posternv1.ChildFacts{{Number: 1}, {Number: 1}}, nil, nil
	n := w.seal(t, d)
	if bytes.Equal(n.GetFacts()[0], n.GetFacts()[1]) {
		t.Error("alike facts give alike blocks: an inbox could tell that a child was left out")
	}
}

func TestWhatCannotBeSealed(t *testing.T) {
	w := newWorld(t)
	cases := map[string]struct {
		change func(*envelope.Draft)
		key    *posternv1.RecipientKey
		want   string
	}{
		"sections without a key":    {func(*envelope.Draft) {}, nil, "NO_RECIPIENT_KEY"},
		"a key that is none":        {func(*envelope.Draft) {}, &posternv1.RecipientKey{KeyId: w.key.KeyID(), PublicKey: []byte("short")}, "BAD_KEY"},
		"two sections of one path":  {func(d *envelope.Draft) { d.Sections = append(d.Sections, d.Sections[0]) }, w.public, "SECTION_TWICE"},
		"two sections of one child": {func(d *envelope.Draft) { d.Sections = append(d.Sections, d.Sections[3]) }, w.public, "SECTION_TWICE"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			d := family(t)
			c.change(&d)
			_, err := envelope.Seal(d, c.key, w.desk)
			assertReason(t, err, c.want)
		})
	}
	t.Run("an unknown section", func(t *testing.T) {
		d := family(t)
		d.Sections[0].Path = "parent/offence"
		_, err := envelope.Seal(d, w.public, w.desk)
		assertReason(t, err, "UNKNOWN_SECTION")
	})
	t.Run("a key without an offer", func(t *testing.T) {
		d := family(t)
		d.Manifest.Statement = &posternv1.Manifest_Enquiry{Enquiry: &posternv1.Enquiry{}}
		_, err := envelope.Seal(d, w.public, w.desk)
		assertReason(t, err, "SEAL_WITHOUT_OFFER")
	})
}

// TestWithoutAKeyNothingIsSealed: suite and key fields stay empty and the statement verifies.
func TestWithoutAKeyNothingIsSealed(t *testing.T) {
	w := newWorld(t)
	cases := map[string]func(*envelope.Draft){
		"an offer": func(*envelope.Draft) {},
		"an enquiry": func(d *envelope.Draft) {
			d.Children = nil
			d.Manifest.Statement = &posternv1.Manifest_Enquiry{Enquiry: &posternv1.Enquiry{Outcome: posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED}}
		},
		"a withdrawal": func(d *envelope.Draft) {
			d.Children, d.Hub = nil, nil
			d.Manifest.Statement = &posternv1.Manifest_Withdrawal{Withdrawal: &posternv1.Withdrawal{
				Withdraws: newID(t), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}}
		},
	}
	for name, change := range cases {
		t.Run(name, func(t *testing.T) {
			d := family(t)
			d.Sections = nil
			change(&d)
			v := w.verify(t, value(envelope.Seal(d, nil, w.desk))(t))
			o := v.Manifest().GetOffer()
			if o.GetSuite() != 0 || o.GetRecipientKeyId() != "" || len(o.GetEncapsulatedKey()) > 0 || len(v.Paths()) > 0 {
				t.Errorf("sealing fields are not empty: %v", o)
			}
			if v.Hub() == nil {
				t.Error("Hub is nil")
			}
			if _, err := v.Open(w.key); err == nil {
				t.Error("there was nothing to open, and it opened")
			}
		})
	}
}
