package envelope_test

import (
	"bytes"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
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
