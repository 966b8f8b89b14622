package envelope_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/identity"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// The vectors are for whoever writes a desk or an inbox from docs/formats.md. They are made once: run
//
//	go test ./internal/envelope -run Vectors -update
//
// only when a format changes, and then say so in docs/formats.md.
var update = flag.Bool("update", false, "make the test vectors anew")

// hexed is bytes as hex in JSON; a []byte is base64.
type hexed []byte

func (h hexed) MarshalJSON() ([]byte, error) { return json.Marshal(hex.EncodeToString(h)) }

func (h *hexed) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var err error
	*h, err = hex.DecodeString(s)
	return err
}

type encodingVector struct {
	PayloadType string `json:"payload_type"`
	Payload     hexed  `json:"payload_hex"`
	Encoding    hexed  `json:"encoding_hex"`
}

type digestVectors struct {
	Prefixed []struct {
		Parts []string `json:"parts"`
		Bytes hexed    `json:"bytes_hex"`
	} `json:"length_prefixed"`
	Sections []digestVector `json:"sections"`
}

type digestVector struct {
	Path       string `json:"path"`
	Ciphertext hexed  `json:"ciphertext_hex"`
	SHA256     hexed  `json:"sha256_hex"`
}

// sealingVectors are of one HPKE context. Sealing is random, so they are for opening.
type sealingVectors struct {
	PrivateKey      hexed           `json:"recipient_private_key_hex"`
	PublicKey       []byte          `json:"recipient_public_key_base64"`
	KeyID           string          `json:"recipient_key_id"`
	EncapsulatedKey []byte          `json:"encapsulated_key_base64"`
	NotificationID  string          `json:"notification_id"`
	Sender          string          `json:"sender"`
	Info            hexed           `json:"info_hex"`
	Sections        []sealingVector `json:"sections"`
}

type sealingVector struct {
	Path            string `json:"path"`
	ExporterContext hexed  `json:"exporter_context_hex"`
	Key             hexed  `json:"key_hex"`
	AssociatedData  hexed  `json:"associated_data_hex"`
	PaddedSize      int    `json:"padded_size"`
	Salt            hexed  `json:"salt_hex"`
	Ciphertext      []byte `json:"ciphertext_base64"`
	Message         hexed  `json:"message_hex"`
}

// trust is the anchors of a trust domain, in PEM.
type trust struct {
	Domain    string `json:"domain"`
	Prison    string `json:"prison_pem"`
	Authority string `json:"authority_pem"`
	Hub       string `json:"hub_pem"`
	Auditor   string `json:"auditor_pem"`
}

func (v trust) anchors(tb failer) *identity.Anchors {
	tb.Helper()
	return value(identity.NewAnchors(identity.AnchorConfig{Domain: v.Domain, Prison: []byte(v.Prison), Authority: []byte(v.Authority),
		Hub: []byte(v.Hub), Auditor: []byte(v.Auditor)}))(tb)
}

type notificationVector struct {
	Trust          trust           `json:"trust"`
	At             time.Time       `json:"at"`
	Sender         string          `json:"sender"`
	NotificationID string          `json:"notification_id"`
	Reference      string          `json:"reference"`
	ManifestSHA256 hexed           `json:"manifest_sha256_hex"`
	PrivateKey     hexed           `json:"recipient_private_key_hex"`
	Whole          []byte          `json:"notification_base64"`
	Sections       []openedVector  `json:"sections"`
	Released       releasedVector  `json:"released"`
	Refused        []refusedVector `json:"refused"`
}

type openedVector struct {
	Path    string `json:"path"`
	Message hexed  `json:"message_hex"`
}

// releasedVector is the same notification as an inbox gets it, after a hub dropped what may not pass.
type releasedVector struct {
	Paths    []string `json:"paths"`
	Children []uint32 `json:"children"`
	Digests  []hexed  `json:"sections_sha256_hex"`
	Message  []byte   `json:"notification_base64"`
}

// refusedVector is a time or an audience with which the notification does not hold.
type refusedVector struct {
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
	Audience string    `json:"audience"`
}

type statementVectors struct {
	Trust trust             `json:"trust"`
	Cases []statementVector `json:"cases"`
}

// statementVector holds exactly when Party is not empty.
type statementVector struct {
	Name        string    `json:"name"`
	PayloadType string    `json:"payload_type"`
	At          time.Time `json:"at"`
	Signed      []byte    `json:"signed_base64"`
	Party       string    `json:"party"`
}

type referenceVectors struct {
	References []struct {
		ID        string `json:"id"`
		Reference string `json:"reference"`
	} `json:"references"`
	Typed []struct {
		Typed     string `json:"typed"`
		Reference string `json:"reference"` // "" when it is refused
	} `json:"typed"`
}

func readVectors[T any](tb failer, name string) (v T) {
	tb.Helper()
	d := json.NewDecoder(bytes.NewReader(value(os.ReadFile(vectorFile(name)))(tb)))
	d.DisallowUnknownFields()
	check(tb, d.Decode(&v))
	return v
}

func vectorFile(name string) string { return filepath.Join("testdata", "vectors", name+".json") }

// TestVectors is our side of them; package stranger has the other.
func TestVectors(t *testing.T) {
	if *update {
		makeVectors(t)
	}
	t.Run("digests", func(t *testing.T) {
		for _, s := range readVectors[digestVectors](t, "digests").Sections {
			if got := envelope.SectionDigest(&posternv1.SealedSection{Path: s.Path, Ciphertext: s.Ciphertext}); !bytes.Equal(got, s.SHA256) {
				t.Errorf("the digest of %s is %x, want %x", s.Path, got, s.SHA256)
			}
		}
	})
	t.Run("sealing", func(t *testing.T) {
		v := readVectors[sealingVectors](t, "sealing") // what we open is checked with the notification
		if v.KeyID != recipientFrom(t, v.PrivateKey).KeyID() || v.KeyID != envelope.KeyID(v.PublicKey) {
			t.Errorf("the key's id is not %s", v.KeyID)
		}
	})
	t.Run("notification", func(t *testing.T) { checkNotification(t, readVectors[notificationVector](t, "notification")) })
	t.Run("statements", func(t *testing.T) { checkStatements(t, readVectors[statementVectors](t, "statements")) })
	t.Run("references", func(t *testing.T) {
		v := readVectors[referenceVectors](t, "references")
		for _, r := range v.References {
			if got := envelope.Reference(r.ID); got != r.Reference {
				t.Errorf("the reference of %s is %s, want %s", r.ID, got, r.Reference)
			}
		}
		for _, r := range v.Typed {
			if got, err := envelope.ParseReference(r.Typed); got != r.Reference || err == nil != (r.Reference != "") {
				t.Errorf("%q is read as %q (%v), want %q", r.Typed, got, err, r.Reference)
			}
		}
	})
}

// recipientFrom makes a recipient key of its private bytes, as a key file would hold it.
func recipientFrom(tb failer, private []byte) *envelope.RecipientPrivate {
	tb.Helper()
	block := func(kind string, b []byte) []byte {
		return pem.EncodeToMemory(&pem.Block{Type: kind, Headers: map[string]string{"Digest": envelope.KeyID(b)}, Bytes: b})
	}
	return value(envelope.ParseRecipient(slices.Concat(block("POSTERN RECIPIENT KEY", private), block("POSTERN CONTINUITY KEY", make([]byte, 32)))))(tb)
}

func checkNotification(t *testing.T, v notificationVector) {
	anchors, key := v.Trust.anchors(t), recipientFrom(t, v.PrivateKey)
	config := envelope.VerifyConfig{Audience: v.Trust.Domain, Anchors: anchors, At: v.At, Whole: true}
	n := &posternv1.SealedNotification{}
	check(t, proto.Unmarshal(v.Whole, n))
	whole := value(envelope.Verify(n, config))(t)
	checkOpened(t, whole, key, v, nil)
	disclosed, digests := whole.Disclose(v.Released.Paths)
	want := &posternv1.SealedNotification{}
	check(t, proto.Unmarshal(v.Released.Message, want))
	if !proto.Equal(disclosed, want) {
		t.Error("another message is released")
	}
	if !slices.EqualFunc(digests, v.Released.Digests, func(a []byte, b hexed) bool { return bytes.Equal(a, b) }) {
		t.Errorf("digests %x", digests)
	}
	config.Whole = false
	released := value(envelope.Verify(disclosed, config))(t)
	checkOpened(t, released, key, v, v.Released.Paths)
	var children []uint32
	for _, c := range released.Children() {
		children = append(children, c.GetNumber())
	}
	if !slices.Equal(children, v.Released.Children) {
		t.Errorf("facts of children %v, want %v", children, v.Released.Children)
	}
	for _, r := range v.Refused {
		if _, err := envelope.Verify(n, envelope.VerifyConfig{Audience: r.Audience, Anchors: anchors, At: r.At, Whole: true}); err == nil {
			t.Errorf("%s: accepted", r.Why)
		}
	}
}

func checkOpened(t *testing.T, v *envelope.Verified, key *envelope.RecipientPrivate, want notificationVector, only []string) {
	t.Helper()
	if v.Sender().URI() != want.Sender || v.Manifest().GetNotificationId() != want.NotificationID || !bytes.Equal(v.ManifestSHA256(), want.ManifestSHA256) ||
		envelope.Reference(want.NotificationID) != want.Reference {
		t.Error("another notification")
	}
	opened := value(v.Open(key))(t)
	found := 0
	for _, s := range want.Sections {
		if only != nil && !slices.Contains(only, s.Path) {
			continue
		}
		sec, _ := section.Lookup(s.Path)
		message := sec.New()
		check(t, proto.Unmarshal(s.Message, message))
		if !slices.ContainsFunc(opened, func(p envelope.Plain) bool { return p.Path == s.Path && proto.Equal(p.Message, message) }) {
			t.Errorf("%s is missing or opens otherwise", s.Path)
		}
		found++
	}
	if found != len(opened) {
		t.Errorf("%d sections open, want %d", len(opened), found)
	}
}

func checkStatements(t *testing.T, v statementVectors) {
	anchors := v.Trust.anchors(t)
	for _, c := range v.Cases {
		s := &posternv1.Signed{}
		check(t, proto.Unmarshal(c.Signed, s))
		party, err := envelope.VerifyStatement(s, c.PayloadType, anchors, c.At)
		if c.Party == "" {
			if err == nil {
				t.Errorf("%s: accepted", c.Name)
			}
			continue
		}
		check(t, err)
		if party.URI() != c.Party {
			t.Errorf("%s: signed by %s", c.Name, party)
		}
	}
}
