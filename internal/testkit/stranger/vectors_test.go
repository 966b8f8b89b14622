package stranger

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	posternv1 "postern/proto/postern/v1"
)

// vectors reads a file of vectors, which the program made.
func vectors[T any](t *testing.T, name string) (v T) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("..", "..", "envelope", "testdata", "vectors", name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// unhex is what a vector has in hex.
func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func equal(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s is %x, and in the vectors %x", what, got, want)
	}
}

func TestEncodings(t *testing.T) {
	for _, v := range vectors[[]struct {
		Type     string `json:"payload_type"`
		Payload  string `json:"payload_hex"`
		Encoding string `json:"encoding_hex"`
	}](t, "dsse") {
		equal(t, "the encoding of "+v.Type, Encode(v.Type, unhex(t, v.Payload)), unhex(t, v.Encoding))
	}
	v := vectors[struct {
		Framed []struct {
			Parts []string `json:"parts"`
			Bytes string   `json:"bytes_hex"`
		} `json:"length_prefixed"`
		Sections []struct {
			Path       string `json:"path"`
			Ciphertext string `json:"ciphertext_hex"`
			Digest     string `json:"sha256_hex"`
		} `json:"sections"`
	}](t, "digests")
	for _, f := range v.Framed {
		equal(t, "a frame", Frame(f.Parts...), unhex(t, f.Bytes))
	}
	for _, s := range v.Sections {
		equal(t, "the digest of "+s.Path, DigestOfSection(s.Path, unhex(t, s.Ciphertext)), unhex(t, s.Digest))
	}
	if len(v.Framed) == 0 || len(v.Sections) == 0 {
		t.Error("there are no vectors")
	}
}

func TestReferences(t *testing.T) {
	v := vectors[struct {
		References []struct{ ID, Reference string }
		Typed      []struct{ Typed, Reference string }
	}](t, "references")
	for _, r := range v.References {
		if got, err := Reference(r.ID); err != nil || got != r.Reference {
			t.Errorf("the reference of %s is %s: %v", r.ID, got, err)
		}
	}
	for _, r := range v.Typed {
		if got, err := ReadReference(r.Typed); got != r.Reference || err == nil != (r.Reference != "") {
			t.Errorf("%q is read as %q: %v", r.Typed, got, err)
		}
	}
	if len(v.References) == 0 || len(v.Typed) == 0 {
		t.Error("there are no vectors")
	}
}

// TestSealing: from the same keys and salts come the same bytes.
func TestSealing(t *testing.T) {
	v := vectors[struct {
		Private      string `json:"recipient_private_key_hex"`
		Public       []byte `json:"recipient_public_key_base64"`
		KeyID        string `json:"recipient_key_id"`
		Encapsulated []byte `json:"encapsulated_key_base64"`
		ID           string `json:"notification_id"`
		Sender       string `json:"sender"`
		Info         string `json:"info_hex"`
		Sections     []struct {
			Path       string `json:"path"`
			Context    string `json:"exporter_context_hex"`
			Key        string `json:"key_hex"`
			Data       string `json:"associated_data_hex"`
			Ciphertext []byte `json:"ciphertext_base64"`
			Salt       string `json:"salt_hex"`
			Message    string `json:"message_hex"`
		} `json:"sections"`
	}](t, "sealing")
	if KeyID(v.Public) != v.KeyID {
		t.Error("another key id")
	}
	equal(t, "info", info(v.ID, v.Sender, v.KeyID), unhex(t, v.Info))
	s, err := Unsealing(unhex(t, v.Private), v.Encapsulated, v.ID, v.Sender, v.KeyID)
	if err != nil || len(v.Sections) == 0 {
		t.Fatal(err)
	}
	for _, c := range v.Sections {
		key, err := s.Key(c.Path)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "the key of "+c.Path, key, unhex(t, c.Key))
		m, err := s.Open(&posternv1.SealedSection{Path: c.Path, Ciphertext: c.Ciphertext})
		if err != nil {
			t.Fatal(err)
		}
		want := proto.Clone(m)
		proto.Reset(want)
		if err := proto.Unmarshal(unhex(t, c.Message), want); err != nil || !proto.Equal(m, want) {
			t.Errorf("%s opens as %v", c.Path, m)
		}
		plaintext, err := Plaintext(c.Path, unhex(t, c.Salt), unhex(t, c.Message))
		if err != nil {
			t.Fatal(err)
		}
		again, err := s.SealPlaintext(c.Path, plaintext)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "sealed again "+c.Path, again.GetCiphertext(), c.Ciphertext)
	}
}

type trusted struct {
	Domain    string `json:"domain"`
	Prison    string `json:"prison_pem"`
	Authority string `json:"authority_pem"`
	Hub       string `json:"hub_pem"`
	Auditor   string `json:"auditor_pem"`
}

func (v trusted) trust(t *testing.T) *Trust {
	t.Helper()
	trust, err := NewTrust(v.Domain, map[string][]byte{"prison": []byte(v.Prison), "authority": []byte(v.Authority), "hub": []byte(v.Hub), "auditor": []byte(v.Auditor)})
	if err != nil {
		t.Fatal(err)
	}
	return trust
}

func TestStatements(t *testing.T) {
	v := vectors[struct {
		Trust trusted `json:"trust"`
		Cases []struct {
			Name   string    `json:"name"`
			Type   string    `json:"payload_type"`
			At     time.Time `json:"at"`
			Signed []byte    `json:"signed_base64"`
			Party  string    `json:"party"`
		} `json:"cases"`
	}](t, "statements")
	trust := v.Trust.trust(t)
	held := 0
	for _, c := range v.Cases {
		s := &posternv1.Signed{}
		if err := proto.Unmarshal(c.Signed, s); err != nil {
			t.Fatal(err)
		}
		kind, ok := bytes.CutPrefix([]byte(c.Type), []byte(payloadType("")))
		p, err := trust.Signer(s, string(kind), c.At)
		if !ok || p.URI != c.Party && err == nil || err == nil != (c.Party != "") {
			t.Errorf("%s: signed by %q: %v", c.Name, p.URI, err)
		}
		if err == nil {
			held++
		}
	}
	if held == 0 || held == len(v.Cases) {
		t.Errorf("%d of %d statements hold", held, len(v.Cases))
	}
}

func TestNotification(t *testing.T) {
	v := vectors[struct {
		Trust    trusted   `json:"trust"`
		At       time.Time `json:"at"`
		Sender   string    `json:"sender"`
		Digest   string    `json:"manifest_sha256_hex"`
		Private  string    `json:"recipient_private_key_hex"`
		Sections []struct {
			Path    string `json:"path"`
			Message string `json:"message_hex"`
		} `json:"sections"`
		Released struct {
			Paths   []string `json:"paths"`
			Digests []string `json:"sections_sha256_hex"`
			Message []byte   `json:"notification_base64"`
		} `json:"released"`
		Refused []struct {
			Why      string    `json:"why"`
			At       time.Time `json:"at"`
			Audience string    `json:"audience"`
		} `json:"refused"`
	}](t, "notification")
	trust, n := v.Trust.trust(t), &posternv1.SealedNotification{}
	if err := proto.Unmarshal(v.Released.Message, n); err != nil {
		t.Fatal(err)
	}
	c, err := trust.CheckNotification(n, v.At)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "the manifest's digest", c.Digest, unhex(t, v.Digest))
	if c.Sender.URI != v.Sender || len(c.Sections) != len(v.Released.Digests) {
		t.Errorf("it is of %s, with %d sections", c.Sender.URI, len(c.Sections))
	}
	for i, d := range v.Released.Digests {
		equal(t, "the digest of a section", c.Sections[i], unhex(t, d))
	}
	o := c.Manifest.GetOffer()
	s, err := Unsealing(unhex(t, v.Private), o.GetEncapsulatedKey(), c.Manifest.GetNotificationId(), v.Sender, o.GetRecipientKeyId())
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, want := range v.Sections {
		i := slices.IndexFunc(n.GetSections(), func(s *posternv1.SealedSection) bool { return s.GetPath() == want.Path })
		if i < 0 {
			continue
		}
		m, err := s.Open(n.GetSections()[i])
		if err != nil {
			t.Fatal(err)
		}
		again := proto.Clone(m)
		proto.Reset(again)
		if err := proto.Unmarshal(unhex(t, want.Message), again); err != nil || !proto.Equal(m, again) {
			t.Errorf("%s opens as %v", want.Path, m)
		}
		opened++
	}
	if opened != len(v.Released.Paths) {
		t.Errorf("%d sections open of %d", opened, len(v.Released.Paths))
	}
	for _, r := range v.Refused {
		other := *trust
		if r.Audience != v.Trust.Domain {
			other.Domain = r.Audience
		}
		if _, err := other.CheckNotification(n, r.At); err == nil {
			t.Errorf("%s: it holds", r.Why)
		}
	}
}
