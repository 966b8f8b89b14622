package envelope_test

import (
	"bytes"
	"encoding/binary"
	"encoding/pem"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/testkit/stranger"
	posternv1 "postern/proto/postern/v1"
)

// privateKey is the private HPKE key in a key file.
func privateKey(tb failer, key *envelope.RecipientPrivate) []byte {
	tb.Helper()
	block, _ := pem.Decode(value(key.MarshalPEM())(tb))
	return block.Bytes
}

// TestAStrangerOpensWhatADeskSeals, and takes it for what package envelope takes it for.
func TestAStrangerOpensWhatADeskSeals(t *testing.T) {
	w := newWorld(t)
	private := privateKey(t, w.key)
	rapid.Check(t, func(t *rapid.T) {
		d := drawDraft(t, 2)
		n := w.seal(t, d)
		o := w.verify(t, n).Manifest().GetOffer()
		s := value(stranger.Unsealing(private, o.GetEncapsulatedKey(), d.Manifest.GetNotificationId(), deskURI, o.GetRecipientKeyId()))(t)
		for i, got := range n.GetSections() {
			if message := value(s.Open(got))(t); !proto.Equal(message, d.Sections[i].Message) {
				t.Fatalf("the stranger opens %s as %v, sealed was %v", got.GetPath(), message, d.Sections[i].Message)
			}
			if !bytes.Equal(stranger.DigestOfSection(got.GetPath(), got.GetCiphertext()), envelope.SectionDigest(got)) {
				t.Fatal("another digest")
			}
		}
		id := d.Manifest.GetNotificationId()
		if r := value(stranger.Reference(id))(t); r != envelope.Reference(id) {
			t.Fatalf("references %s and %s", r, envelope.Reference(id))
		}
	})
}

// Whoever can open some sections of a notification, and guesses right what is in one that was dropped, cannot tell that from
// its digest: each begins with random bytes of its own, also where the same is sealed twice.
func TestAGuessIsNotTheSection(t *testing.T) {
	w := newWorld(t)
	private := privateKey(t, w.key)
	salts := map[string]bool{string(make([]byte, 32)): true}
	for range 3 {
		d := family(t)
		n := w.seal(t, d)
		o := w.verify(t, n).Manifest().GetOffer()
		s := value(stranger.Unsealing(private, o.GetEncapsulatedKey(), d.Manifest.GetNotificationId(), deskURI, o.GetRecipientKeyId()))(t)
		for i, got := range n.GetSections() {
			message := value(proto.Marshal(d.Sections[i].Message))(t)
			guess := value(s.SealPlaintext(got.GetPath(), value(stranger.Plaintext(got.GetPath(), make([]byte, 32), message))(t)))(t).GetCiphertext()
			salt := make([]byte, 32) // the key makes one stream of bytes, so what differs is the salt
			for at := range salt {
				salt[at] = got.GetCiphertext()[at] ^ guess[at]
			}
			if salts[string(salt)] {
				t.Errorf("%s begins as another section did, or as a guess does", got.GetPath())
			}
			salts[string(salt)] = true
		}
		for _, b := range n.GetFacts() {
			f := &posternv1.FactsBlock{}
			check(t, proto.Unmarshal(b, f))
			if salts[string(f.GetSalt())] {
				t.Error("two facts blocks have one salt")
			}
			salts[string(f.GetSalt())] = true
		}
	}
}

// hostile is a desk that seals and signs whatever it likes.
type hostile struct {
	*world
	manifest *posternv1.Manifest
	facts    [][]byte
	sealing  *stranger.Sealing
}

func newHostile(tb failer, w *world) hostile {
	tb.Helper()
	d := family(tb)
	h := hostile{world: w, manifest: d.Manifest}
	o := h.manifest.GetOffer()
	o.Suite, o.RecipientKeyId = 1, w.key.KeyID()
	var err error
	h.sealing, o.EncapsulatedKey, err = stranger.NewSealing(w.public.GetPublicKey(), h.manifest.GetNotificationId(), deskURI)
	check(tb, err)
	for _, c := range d.Children {
		block := &posternv1.FactsBlock{Salt: make([]byte, 32), Facts: &posternv1.FactsBlock_Child{Child: c}}
		h.facts = append(h.facts, value(proto.Marshal(block))(tb))
	}
	return h
}

// open sends one plaintext under a path and opens it as an inbox would.
func (h hostile) open(tb failer, path string, plaintext []byte) ([]envelope.Plain, error) {
	tb.Helper()
	s := value(h.sealing.SealPlaintext(path, plaintext))(tb)
	n := value(h.send(s))(tb)
	return value(envelope.Verify(overWire(tb, n), h.whole()))(tb).Open(h.key)
}

// send makes the manifest of these sections and signs it.
func (h hostile) send(sections ...*posternv1.SealedSection) (*posternv1.SealedNotification, error) {
	m := proto.CloneOf(h.manifest)
	for _, f := range h.facts {
		m.FactsSha256 = append(m.FactsSha256, sha(f))
	}
	slices.SortFunc(m.FactsSha256, slices.Compare)
	for _, s := range sections {
		m.GetOffer().SectionsSha256 = append(m.GetOffer().SectionsSha256, stranger.DigestOfSection(s.GetPath(), s.GetCiphertext()))
	}
	slices.SortFunc(m.GetOffer().SectionsSha256, slices.Compare)
	payload, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	signed, err := envelope.SignStatement(h.desk, envelope.TypeManifest, payload)
	return &posternv1.SealedNotification{Manifest: signed, Facts: h.facts, Sections: sections}, err
}

// padded lays out any bytes as the message of child/1/phone.
func padded(t *testing.T, message []byte) []byte {
	t.Helper()
	return value(stranger.Plaintext("child/1/phone", bytes.Repeat([]byte{1}, 32), message))(t)
}

// TestPlaintextsHaveOneLayout: an inbox opens what a stranger lays out as docs/formats.md says, and nothing that is laid
// out another way.
func TestPlaintextsHaveOneLayout(t *testing.T) {
	w := newWorld(t)
	h := newHostile(t, w)
	const path, size = "child/1/phone", 256
	phone := &posternv1.ChildPhone{CarerPhone: "01632 960123"}
	message := value(proto.Marshal(phone))(t)
	good := padded(t, message)
	later := value(proto.Marshal(&posternv1.Provenance{Known: 99}))(t)
	withLength := func(n uint32) []byte {
		b := bytes.Clone(good)
		binary.BigEndian.PutUint32(b[32:], n)
		return b
	}
	cases := map[string]struct {
		path      string
		plaintext []byte
		want      string // "" when it opens
	}{
		"as it should be":            {path, good, ""},
		"with an empty message":      {path, padded(t, nil), ""},
		"nothing":                    {path, nil, "BAD_SECTION"},
		"no padding":                 {path, good[:36+len(message)], "BAD_SECTION"},
		"a byte short":               {path, good[:size-1], "BAD_SECTION"},
		"a byte long":                {path, append(bytes.Clone(good), 0), "BAD_SECTION"},
		"the size of another":        {"child/1/home", good, "BAD_SECTION"},
		"a length beyond the end":    {path, withLength(size - 36 + 1), "BAD_SECTION"},
		"a length of four gigabytes": {path, withLength(1<<32 - 1), "BAD_SECTION"},
		"padding that is not zero":   {path, append(bytes.Clone(good[:size-1]), 1), "BAD_SECTION"},
		"a message cut short":        {path, withLength(uint32(len(message) - 1)), "BAD_SECTION"},
		"padding in the message":     {path, withLength(uint32(len(message) + 1)), "MALFORMED"},
		"a field to come":            {path, padded(t, laterField), "UNKNOWN_CONTENT"},
		"a value to come":            {path, padded(t, append([]byte{0x0a, byte(len(later))}, later...)), "UNKNOWN_CONTENT"},
		"no message at all":          {path, padded(t, []byte{0xff}), "MALFORMED"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			opened, err := h.open(t, c.path, c.plaintext)
			if c.want == "" {
				check(t, err)
				if len(opened) != 1 || opened[0].Path != path {
					t.Errorf("opened %v", opened)
				}
				return
			}
			refusedAs(t, err, c.want)
		})
	}
}
