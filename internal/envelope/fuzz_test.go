package envelope_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/identity"
	"postern/internal/section"
	"postern/internal/testkit/stranger"
	posternv1 "postern/proto/postern/v1"
)

// The seeds are the committed vectors, so that what a fuzzer finds stays a finding.

// FuzzVerify: changed wire bytes of a notification are refused, or mean exactly the same, at a hub and at an inbox.
func FuzzVerify(f *testing.F) {
	v := readVectors[notificationVector](f, "notification")
	key := recipientFrom(f, v.PrivateKey)
	config := envelope.VerifyConfig{Audience: v.Trust.Domain, Anchors: v.Trust.anchors(f), At: v.At}
	n := &posternv1.SealedNotification{}
	check(f, proto.Unmarshal(v.Whole, n))
	atInbox := value(envelope.Verify(withoutHub(f, n), config))(f) // all that could be released
	config.Whole = true
	atHub := newOriginal(f, n, config, key)
	released := atHub
	released.verified, released.config.Whole = atInbox, false

	f.Add(v.Whole)
	f.Add(v.Released.Message)
	f.Add(v.Whole[:len(v.Whole)/2])
	f.Add(append(bytes.Clone(v.Whole), v.Released.Message...)) // protobuf merges them
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		atHub.refusedOrSame(t, wire)
		released.refusedOrSame(t, wire)
	})
}

// withoutHub is the notification without the facts for the hub alone.
func withoutHub(tb failer, n *posternv1.SealedNotification) *posternv1.SealedNotification {
	out := proto.CloneOf(n)
	out.Facts = nil
	for _, b := range n.GetFacts() {
		block := &posternv1.FactsBlock{}
		check(tb, proto.Unmarshal(b, block))
		if block.GetHub() == nil {
			out.Facts = append(out.Facts, b)
		}
	}
	return out
}

// FuzzOpen: whatever a hostile desk seals under whatever path, an inbox refuses it or opens a message of the path's own
// type that is laid out in the one way.
func FuzzOpen(f *testing.F) {
	w := newWorld(f)
	h := newHostile(f, w)
	for i, s := range section.All() {
		message := s.New()
		fill(message.ProtoReflect(), newRand(uint64(i)))
		f.Add(s.Path(1), value(stranger.Plaintext(s.Path(1), make([]byte, 32), value(proto.Marshal(message))(f)))(f))
	}
	f.Add("child/2/home", []byte("short"))
	f.Add("child/{n}/home", make([]byte, 3072))
	f.Fuzz(func(t *testing.T, path string, plaintext []byte) {
		s := value(h.sealing.SealPlaintext(path, plaintext))(t)
		n, err := h.send(s)
		if err != nil {
			return
		}
		wire, err := proto.Marshal(n)
		if err != nil {
			return // a path that is not UTF-8 cannot be sent
		}
		got := &posternv1.SealedNotification{}
		check(t, proto.Unmarshal(wire, got))
		v, err := envelope.Verify(got, w.whole())
		if err != nil {
			refused(t, err)
			return
		}
		opened, err := v.Open(w.key)
		if err != nil {
			refused(t, err)
			return
		}
		sec, ok := section.Lookup(path)
		if !ok || len(opened) != 1 || opened[0].Path != path || opened[0].Message.ProtoReflect().Type() != sec.New().ProtoReflect().Type() {
			t.Fatalf("opened %d sections, not one of %q", len(opened), path)
		}
		if again := value(h.sealing.Open(s))(t); !proto.Equal(again, opened[0].Message) {
			t.Fatal("a stranger reads another message")
		}
	})
}

// FuzzVerifyStatement: changed bytes of a signed statement are refused, or are the same statement by the same party.
func FuzzVerifyStatement(f *testing.F) {
	v := readVectors[statementVectors](f, "statements")
	anchors := v.Trust.anchors(f)
	type statement struct{ payloadType, payload, party string }
	made := map[statement]bool{}
	at := map[string]time.Time{}
	for _, c := range v.Cases {
		f.Add(c.PayloadType, c.Signed)
		if c.Party == "" {
			continue
		}
		s := &posternv1.Signed{}
		check(f, proto.Unmarshal(c.Signed, s))
		made[statement{c.PayloadType, string(s.GetPayload()), c.Party}] = true
		at[c.PayloadType] = c.At
	}
	f.Fuzz(func(t *testing.T, payloadType string, wire []byte) {
		s := &posternv1.Signed{}
		if proto.Unmarshal(wire, s) != nil {
			return
		}
		when, ok := at[payloadType]
		if !ok {
			when = now
		}
		party, err := envelope.VerifyStatement(s, payloadType, anchors, when)
		if err != nil {
			refused(t, err)
			return
		}
		if !made[statement{payloadType, string(s.GetPayload()), party.URI()}] {
			t.Fatalf("%s never stated %x as %q", party, s.GetPayload(), payloadType)
		}
	})
}

// FuzzParseReference: what is read is a reference in its one spelling, which is read as itself.
func FuzzParseReference(f *testing.F) {
	v := readVectors[referenceVectors](f, "references")
	for _, r := range v.Typed {
		f.Add(r.Typed)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		got, err := envelope.ParseReference(typed)
		if err != nil {
			refusedAs(t, err, "BAD_REFERENCE")
			return
		}
		if again, err := envelope.ParseReference(got); err != nil || again != got || len(got) != 12 {
			t.Fatalf("%q is read as %q, and that as %q (%v)", typed, got, again, err)
		}
	})
}

// FuzzParseRecipient: a key file is refused, or what is read from it writes a file that is read as the same key.
func FuzzParseRecipient(f *testing.F) {
	seed := make([]byte, 32)
	f.Add(value(recipientFrom(f, seed).MarshalPEM())(f))
	f.Add([]byte("-----BEGIN POSTERN RECIPIENT KEY-----\n-----END POSTERN RECIPIENT KEY-----\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, file []byte) {
		key, err := envelope.ParseRecipient(file)
		if err != nil {
			refusedAs(t, err, "BAD_RECIPIENT_KEY")
			return
		}
		written := value(key.MarshalPEM())(t)
		again := value(envelope.ParseRecipient(written))(t)
		if again.KeyID() != key.KeyID() || !bytes.Equal(value(again.MarshalPEM())(t), written) {
			t.Fatal("another key")
		}
	})
}

// FuzzParseSlipCode: what is read is a code in its one spelling, which is read as itself.
func FuzzParseSlipCode(f *testing.F) {
	code := value(envelope.NewSlipCode(rand.Reader))(f)
	f.Add(code)
	f.Add(strings.ToLower(strings.ReplaceAll(code, "-", " ")))
	f.Add("7K3F9-2MQXC")
	f.Fuzz(func(t *testing.T, typed string) {
		got, err := envelope.ParseSlipCode(typed)
		if err != nil {
			refusedAs(t, err, "BAD_SLIP_CODE")
			return
		}
		if again, err := envelope.ParseSlipCode(got); err != nil || again != got || len(got) != 11 {
			t.Fatalf("%q is read as %q, and that as %q (%v)", typed, got, again, err)
		}
	})
}

// ofExchange is the recorded exchange, as far as it is needed here.
type ofExchange struct {
	Domain  string            `json:"domain"`
	Anchors map[string]string `json:"anchors_pem"`
	Calls   []struct {
		Time    time.Time `json:"time"`
		Method  string    `json:"method"`
		Request []byte    `json:"request_base64"`
		Answer  []byte    `json:"answer_base64"`
	} `json:"calls"`
}

func readExchange(f *testing.F) (v ofExchange, anchors *identity.Anchors) {
	f.Helper()
	check(f, json.Unmarshal(value(os.ReadFile(vectorFile("exchange")))(f), &v))
	a := v.Anchors
	return v, trust{v.Domain, a["prison"], a["authority"], a["hub"], a["auditor"]}.anchors(f)
}

// FuzzVerifyRecipientKey: changed bytes of a published key are refused, or are the same key; and nothing follows it that
// its continuity key has not signed.
func FuzzVerifyRecipientKey(f *testing.F) {
	v, anchors := readExchange(f)
	page := &posternv1.ListAuthoritiesResponse{}
	check(f, proto.Unmarshal(v.Calls[0].Answer, page))
	made := map[string]bool{}
	var first *posternv1.RecipientKey
	for _, b := range page.GetEntries() {
		e := &posternv1.DirectoryEntry{}
		check(f, proto.Unmarshal(b, e))
		if s := e.GetAuthority().GetRecipientKey(); s != nil {
			first = value(envelope.VerifyRecipientKey(s, anchors, v.Calls[0].Time))(f)
			made[string(s.GetPayload())] = true
			f.Add(value(proto.Marshal(s))(f))
			s.Signatures = append(s.Signatures, &posternv1.Signature{Signature: make([]byte, 64)})
			f.Add(value(proto.Marshal(s))(f))
		}
	}
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		s := &posternv1.Signed{}
		if proto.Unmarshal(wire, s) != nil {
			return
		}
		if _, err := envelope.VerifyRecipientKey(s, anchors, v.Calls[0].Time); err != nil {
			refused(t, err)
		} else if !made[string(s.GetPayload())] {
			t.Fatalf("a recipient key that nobody signed: %x", s.GetPayload())
		}
		if envelope.Follows(s, first) {
			t.Fatal("a key follows that its predecessor never signed")
		}
	})
}

// FuzzOpenStopRequest: changed bytes of a stop request are refused, or ask for the same.
func FuzzOpenStopRequest(f *testing.F) {
	v, anchors := readExchange(f)
	var at time.Time
	var good *posternv1.Signed
	for _, c := range v.Calls {
		q := &posternv1.SubmitRequest{}
		if strings.HasSuffix(c.Method, "/Submit") && proto.Unmarshal(c.Request, q) == nil && q.GetNotification().GetStopRequest() != nil {
			at, good = c.Time, q.GetNotification().GetStopRequest()
			f.Add(value(proto.Marshal(good))(f))
			f.Add(value(proto.Marshal(q.GetNotification().GetManifest()))(f))
		}
	}
	_, desk, err := envelope.OpenStopRequest(good, anchors, at)
	check(f, err)
	f.Fuzz(func(t *testing.T, wire []byte) {
		s := &posternv1.Signed{}
		if proto.Unmarshal(wire, s) != nil {
			return
		}
		_, by, err := envelope.OpenStopRequest(s, anchors, at)
		if err != nil {
			refused(t, err)
			return
		}
		if by != desk || !bytes.Equal(s.GetPayload(), good.GetPayload()) {
			t.Fatalf("%s never asked for that", by)
		}
	})
}

// FuzzOpensNowhereElse: what was sealed for one path, notification, sender and key opens under no other, whoever signs
// for it. The fuzzer says which section is laid under which path, and what of the rest is another's.
func FuzzOpensNowhereElse(f *testing.F) {
	w := newWorld(f)
	other, otherPublic := w.recipient(f, w.inbox)
	h := newHostile(f, w)
	sealed := map[string]*posternv1.SealedSection{}
	var paths []string
	for i, s := range section.All() {
		message := s.New()
		fill(message.ProtoReflect(), newRand(uint64(i)))
		path := s.Path(1)
		paths, sealed[path] = append(paths, path), value(h.sealing.Seal(path, message))(f)
	}
	another := "9b2f8a64-0c3e-4d6f-9a51-1c7e2d3b4a59"
	f.Add(uint8(0), uint8(0), uint8(0))
	f.Add(uint8(3), uint8(4), uint8(0))
	f.Add(uint8(3), uint8(3), uint8(1))
	f.Add(uint8(3), uint8(3), uint8(2))
	f.Add(uint8(3), uint8(3), uint8(4))
	f.Fuzz(func(t *testing.T, from, to, swaps uint8) {
		was, is := paths[int(from)%len(paths)], paths[int(to)%len(paths)]
		m, by, key := proto.CloneOf(h.manifest), w.desk, w.key
		if swaps&1 != 0 {
			m.NotificationId = another
		}
		if swaps&2 != 0 {
			m.Sender.PrisonId, by = w.other.Party().ID, w.other
		}
		if swaps&4 != 0 {
			m.GetOffer().RecipientKeyId, key = otherPublic.GetKeyId(), other
		}
		n := value(hostile{&world{desk: by}, m, h.facts, nil}.send(&posternv1.SealedSection{Path: is, Ciphertext: sealed[was].GetCiphertext()}))(t)
		opened, err := value(envelope.Verify(overWire(t, n), w.whole()))(t).Open(key)
		if asSealed := was == is && swaps&7 == 0; asSealed != (err == nil) || asSealed && len(opened) != 1 {
			t.Fatalf("%s laid under %s, swapped %03b: %d open, %v", was, is, swaps&7, len(opened), err)
		}
	})
}
