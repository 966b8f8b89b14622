package envelope_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/section"
	"postern/internal/testkit/stranger"
	posternv1 "postern/proto/postern/v1"
)

// vectorDays is how long the certificates of the vectors hold.
const vectorDays = 1500

// makeVectors writes all vectors anew. Keys, salts and signatures are random, so every file changes.
func makeVectors(t *testing.T) {
	t.Helper()
	check(t, os.MkdirAll(filepath.Dir(vectorFile("x")), 0o755))
	writeVectors(t, "dsse", makeEncodings())
	writeVectors(t, "digests", makeDigests())
	writeVectors(t, "references", makeReferences())
	w := newWorld(t)
	w.desk = w.issue(t, deskURI, ca.IssueConfig{Days: vectorDays})
	w.inbox = w.issue(t, inboxURI, ca.IssueConfig{Days: vectorDays, P256: true})
	w.key, w.public = w.recipient(t, w.inbox)
	writeVectors(t, "sealing", makeSealing(t, w))
	writeVectors(t, "notification", makeNotification(t, w))
	writeVectors(t, "statements", makeStatements(t, w))
}

func writeVectors(t *testing.T, name string, v any) {
	t.Helper()
	b := value(json.MarshalIndent(v, "", "  "))(t)
	check(t, os.WriteFile(vectorFile(name), append(b, '\n'), 0o644))
}

func makeEncodings() (all []encodingVector) {
	for _, c := range [][2]string{{"http://example.com/HelloWorld", "hello world"}, {envelope.TypeAcknowledgement, ""}, {envelope.TypeManifest, "\x00\xff\n"}, {"é", "Ŵ"}} {
		all = append(all, encodingVector{c[0], hexed(c[1]), stranger.Encode(c[0], []byte(c[1]))})
	}
	return all
}

func makeDigests() (v digestVectors) {
	for _, parts := range [][]string{{}, {""}, {"urgency"}, {"a", "bc"}, {"ab", "c"}, {"child/16/home", "Ŵ"}} {
		v.Prefixed = append(v.Prefixed, struct {
			Parts []string `json:"parts"`
			Bytes hexed    `json:"bytes_hex"`
		}{parts, stranger.Frame(parts...)})
	}
	for _, path := range []string{"urgency", "parent/name", "child/2/home"} {
		for _, c := range [][]byte{{}, {0}, []byte("ciphertext")} {
			v.Sections = append(v.Sections, digestVector{path, c, stranger.DigestOfSection(path, c)})
		}
	}
	return v
}

// reference is what the stranger makes of an id.
func reference(id string) string {
	r, err := stranger.Reference(id)
	if err != nil {
		panic(err) // the ids of the vectors are ids
	}
	return r
}

func makeReferences() (v referenceVectors) {
	for _, id := range []string{"00000000-0000-4000-8000-000000000000", "ffffffff-ffff-4fff-bfff-ffffffffffff", "9b2f8a64-0c3e-4d6f-9a51-1c7e2d3b4a59",
		"9b2f8a64-1c3e-4d6f-9a51-1c7e2d3b4a59", "9b2f8a64-2c3e-4d6f-9a51-1c7e2d3b4a59", "ad2b4ad2-a000-4000-8000-000000000000"} {
		v.References = append(v.References, struct {
			ID        string `json:"id"`
			Reference string `json:"reference"`
		}{id, reference(id)})
	}
	good := v.References[2].Reference
	wrong := []byte(good)
	wrong[4] = alphabet[(strings.IndexByte(alphabet, wrong[4])+1)%32]
	pn := v.References[5].Reference
	for _, c := range [][2]string{{good, good}, {strings.ToLower(good), good}, {" " + good[3:], good}, {strings.ReplaceAll(good, "-", " "), good},
		{strings.ReplaceAll(good, "-", ""), good}, {pn, pn}, {pn[3:], pn}, {string(wrong), ""}, {good[:11], ""}, {good + "2", ""}, {"", ""}, {"PN-0000-0000", ""}} {
		v.Typed = append(v.Typed, struct {
			Typed     string `json:"typed"`
			Reference string `json:"reference"`
		}{c[0], c[1]})
	}
	return v
}

func makeSealing(t *testing.T, w *world) sealingVectors {
	t.Helper()
	d := family(t)
	v := sealingVectors{PrivateKey: privateKey(t, w.key), PublicKey: w.public.GetPublicKey(), KeyID: w.key.KeyID(),
		NotificationID: d.Manifest.GetNotificationId(), Sender: deskURI}
	v.Info = stranger.Frame(v.NotificationID, v.Sender, v.KeyID)
	s, enc, err := stranger.NewSealing(v.PublicKey, v.NotificationID, v.Sender)
	check(t, err)
	v.EncapsulatedKey = enc
	for i, p := range append(d.Sections[1:4], envelope.Plain{Path: "parent/language", Message: &posternv1.ParentLanguage{}}) {
		sec, _ := section.Lookup(p.Path)
		message := value(proto.MarshalOptions{Deterministic: true}.Marshal(p.Message))(t)
		salt := bytes.Repeat([]byte{byte(i)}, 32)
		sealed := value(s.SealPlaintext(p.Path, value(stranger.Plaintext(p.Path, salt, message))(t)))(t)
		v.Sections = append(v.Sections, sealingVector{Path: p.Path, ExporterContext: stranger.Frame(p.Path), Key: value(s.Key(p.Path))(t),
			AssociatedData: stranger.Frame(v.NotificationID, p.Path), PaddedSize: sec.PaddedSize, Salt: salt, Ciphertext: sealed.GetCiphertext(), Message: message})
	}
	return v
}

func trustOf(t *testing.T, w *world) trust {
	t.Helper()
	read := func(name string) string { return string(value(os.ReadFile(filepath.Join(w.dir, name, "ca.pem")))(t)) }
	return trust{domain, read("prison"), read("authority"), read("hub"), read("auditor")}
}

func makeNotification(t *testing.T, w *world) notificationVector {
	t.Helper()
	d := family(t)
	d.Manifest.ExpireTime.Seconds = now.AddDate(0, 0, 60).Unix()
	n := w.seal(t, d)
	at := w.verify(t, n)
	v := notificationVector{Trust: trustOf(t, w), At: now, Sender: deskURI, NotificationID: d.Manifest.GetNotificationId(),
		Reference: reference(d.Manifest.GetNotificationId()), ManifestSHA256: at.ManifestSHA256(), PrivateKey: privateKey(t, w.key),
		Whole: value(proto.MarshalOptions{Deterministic: true}.Marshal(n))(t)}
	for _, s := range d.Sections {
		v.Sections = append(v.Sections, openedVector{s.Path, value(proto.Marshal(s.Message))(t)})
	}
	v.Released.Paths, v.Released.Children = []string{"parent/name", "child/2/relationship"}, []uint32{2}
	released, digests := at.Disclose(v.Released.Paths)
	v.Released.Message = value(proto.MarshalOptions{Deterministic: true}.Marshal(released))(t)
	for _, d := range digests {
		v.Released.Digests = append(v.Released.Digests, d)
	}
	v.Refused = []refusedVector{
		{"meant for another trust domain", now, "other.example"},
		{"made in the future", now.Add(-6 * time.Minute), domain},
		{"ended", now.AddDate(0, 0, 60), domain},
	}
	return v
}

func makeStatements(t *testing.T, w *world) statementVectors {
	t.Helper()
	v := statementVectors{Trust: trustOf(t, w)}
	ack := value(proto.Marshal(&posternv1.Acknowledgement{ManifestSha256: sha([]byte("a manifest"))}))(t)
	add := func(name, as string, at time.Time, s *posternv1.Signed, by *identity.Identity) {
		c := statementVector{Name: name, PayloadType: as, At: at, Signed: value(proto.MarshalOptions{Deterministic: true}.Marshal(s))(t)}
		if by != nil {
			c.Party = by.Party().URI()
		}
		v.Cases = append(v.Cases, c)
	}
	good := value(envelope.SignStatement(w.away, envelope.TypeAcknowledgement, ack))(t)
	key := value(w.key.Publish(w.inbox, 1, now, now.AddDate(1, 0, 0)))(t)
	add("an acknowledgement, signed with Ed25519", envelope.TypeAcknowledgement, now, good, w.away)
	add("a recipient key, signed with P-256", envelope.TypeRecipientKey, now, key, w.inbox)
	add("the same as another kind of statement", envelope.TypeReport, now, good, nil)
	add("the same after the certificate ended", envelope.TypeAcknowledgement, now.AddDate(0, 0, 31), good, nil)
	add("the same before the certificate began", envelope.TypeAcknowledgement, now.Add(-6*time.Minute), good, nil)
	edit := func(change func(*posternv1.Signed)) *posternv1.Signed {
		s := proto.CloneOf(good)
		change(s)
		return s
	}
	add("with its type changed on the way", envelope.TypeReport, now, edit(func(s *posternv1.Signed) { s.PayloadType = envelope.TypeReport }), nil)
	add("with its payload changed on the way", envelope.TypeAcknowledgement, now, edit(func(s *posternv1.Signed) { s.Payload[5] ^= 1 }), nil)
	add("with its signature twice", envelope.TypeAcknowledgement, now, edit(func(s *posternv1.Signed) { s.Signatures = append(s.Signatures, s.Signatures[0]) }), nil)
	add("without a certificate", envelope.TypeAcknowledgement, now, edit(func(s *posternv1.Signed) { s.Signatures[0].Certificates = nil }), nil)
	wrong := value(envelope.SignStatement(forge(t, w.dir, "prison", inboxURI), envelope.TypeAcknowledgement, ack))(t)
	add("by an inbox that the prisons' authority vouches for", envelope.TypeAcknowledgement, now, wrong, nil)
	return v
}
