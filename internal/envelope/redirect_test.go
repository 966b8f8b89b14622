package envelope_test

import (
	"bytes"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// passOn seals for Bristol, releases some of it, and lets Bristol pass it on to Lancashire.
func (w *world) passOn(tb failer, d envelope.Draft, to *posternv1.RecipientKey, paths ...string) *posternv1.SealedNotification {
	tb.Helper()
	n, _ := w.verify(tb, w.seal(tb, d)).Disclose(paths)
	v := value(envelope.Verify(n, w.released()))(tb)
	n = proto.CloneOf(n)
	n.Redirections = []*posternv1.Redirection{value(v.Redirect(w.key, to, w.inbox))(tb)}
	return n
}

func (w *world) redirected() envelope.VerifyConfig {
	c := w.released()
	c.Redirected = now
	return c
}

// What a team was sent and passes on is opened by the other team as the desk sealed it, and by nobody with another key.
func TestRedirectOpensWhatWasReleased(t *testing.T) {
	w := newWorld(t)
	key, to := w.recipient(t, w.away)
	rapid.Check(t, func(t *rapid.T) {
		d := drawDraft(t, 4)
		v := w.verify(t, w.seal(t, d))
		paths := subset(t, v, "released")
		n, _ := v.Disclose(paths)
		if len(n.GetSections()) == 0 {
			return // nothing was released, so there is nothing to pass on
		}
		first := value(envelope.Verify(n, w.released()))(t)
		n = proto.CloneOf(n)
		n.Redirections = []*posternv1.Redirection{value(first.Redirect(w.key, to, w.inbox))(t)}
		v = value(envelope.Verify(n, w.redirected()))(t)
		if authority, id := v.Recipient(); authority != lancs || id != to.GetKeyId() {
			t.Fatalf("it is for %s, key %s", authority, id)
		}
		if by, ok := v.Redirector(); !ok || by != w.inbox.Party() || !bytes.Equal(v.ManifestSHA256(), first.ManifestSHA256()) {
			t.Fatalf("%v passed it on", by)
		}
		if !samePlains(value(first.Open(w.key))(t), value(v.Open(key))(t)) {
			t.Fatal("the other team reads something else")
		}
		_, err := v.Open(w.key)
		assertReason(t, err, "KEY_UNKNOWN")
		less, _ := v.Disclose(paths[:len(paths)/2])
		if v, err := envelope.Verify(less, w.redirected()); err != nil || len(v.Paths()) > 0 && len(value(v.Open(key))(t)) != len(v.Paths()) {
			t.Fatalf("with less of it released: %v", err)
		}
	})
}

func TestRedirectRefusals(t *testing.T) {
	w := newWorld(t)
	key, to := w.recipient(t, w.away)
	paths := []string{"parent/name", "child/1/relationship", "child/1/phone"}
	good := w.passOn(t, family(t), to, paths...)
	if v, err := envelope.Verify(good, w.redirected()); err != nil || len(value(v.Open(key))(t)) != len(paths) {
		t.Fatal(err)
	}
	other := w.passOn(t, family(t), to, paths...)
	signed := func(by *identity.Identity, r *posternv1.Redirect) *posternv1.Signed {
		return value(envelope.SignStatement(by, envelope.TypeRedirect, value(proto.Marshal(r))(t)))(t)
	}
	stated := &posternv1.Redirect{}
	check(t, proto.Unmarshal(good.GetRedirections()[0].GetRedirect().GetPayload(), stated))
	for name, c := range map[string]struct {
		change func(*posternv1.SealedNotification)
		want   string
	}{
		"by another team": {func(n *posternv1.SealedNotification) { n.Redirections[0].Redirect = signed(w.away, stated) }, "NOT_THE_RECIPIENT"},
		"by a desk":       {func(n *posternv1.SealedNotification) { n.Redirections[0].Redirect = signed(w.desk, stated) }, "NOT_THE_RECIPIENT"},
		"of another notification": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].Redirect = other.GetRedirections()[0].GetRedirect()
		}, "REDIRECT_OF_ANOTHER"},
		"back to the same team": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].Redirect = signed(w.inbox, &posternv1.Redirect{ManifestSha256: stated.GetManifestSha256(), Authority: bristol, RecipientKeyId: stated.GetRecipientKeyId()})
		}, "INCOMPLETE_REDIRECT"},
		"to nobody": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].Redirect = signed(w.inbox, &posternv1.Redirect{ManifestSha256: stated.GetManifestSha256(), RecipientKeyId: stated.GetRecipientKeyId()})
		}, "INCOMPLETE_REDIRECT"},
		"to no key": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].Redirect = signed(w.inbox, &posternv1.Redirect{ManifestSha256: stated.GetManifestSha256(), Authority: stated.GetAuthority()})
		}, "INCOMPLETE_REDIRECT"},
		"without what the key opens": {func(n *posternv1.SealedNotification) { n.Redirections[0].EncapsulatedKey = nil }, "INCOMPLETE_REDIRECT"},
		"as another statement": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].Redirect = value(envelope.SignStatement(w.inbox, envelope.TypeReport, n.GetRedirections()[0].GetRedirect().GetPayload()))(t)
		}, "WRONG_PAYLOAD_TYPE"},
		"twice": {func(n *posternv1.SealedNotification) { n.Redirections = append(n.Redirections, n.Redirections[0]) }, "PASSED_ON_TWICE"},
		"a key too few": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].SectionKeys = n.Redirections[0].SectionKeys[1:]
		}, "WRONG_SECTION_KEYS"},
		"a key of a section that was not released": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].SectionKeys = append(n.Redirections[0].SectionKeys, &posternv1.SealedSection{Path: "child/2/relationship"})
		}, "WRONG_SECTION_KEYS"},
		"a field that nobody knows": {func(n *posternv1.SealedNotification) {
			n.Redirections[0].ProtoReflect().SetUnknown([]byte{0x7a, 0x01, 0x00})
		}, "UNKNOWN_CONTENT"},
	} {
		n := proto.CloneOf(good)
		c.change(n)
		if _, err := envelope.Verify(n, w.redirected()); err == nil {
			t.Errorf("%s is accepted", name)
		} else {
			assertReason(t, err, c.want)
		}
	}
	// Where nobody may pass anything on, as at a hub that a desk submits to.
	_, err := envelope.Verify(good, w.released())
	assertReason(t, err, "UNEXPECTED_REDIRECTION")
	// What was passed on is not passed on again, and not to oneself.
	v := value(envelope.Verify(good, w.redirected()))(t)
	_, err = v.Redirect(key, w.public, w.away)
	assertReason(t, err, "PASSED_ON")
	n, _ := w.verify(t, w.seal(t, family(t))).Disclose(paths)
	first := value(envelope.Verify(n, w.released()))(t)
	_, err = first.Redirect(w.key, w.public, w.inbox)
	assertReason(t, err, "PASSED_ON")
}

// Whatever byte of a redirection is changed, it is refused or opens to the same.
func TestRedirectTampered(t *testing.T) {
	w := newWorld(t)
	key, to := w.recipient(t, w.away)
	good := w.passOn(t, family(t), to, "parent/name", "child/1/phone")
	want := value(value(envelope.Verify(good, w.redirected()))(t).Open(key))(t)
	wire := value(proto.Marshal(good.GetRedirections()[0]))(t)
	rapid.Check(t, func(t *rapid.T) {
		b := bytes.Clone(wire)
		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		r := &posternv1.Redirection{}
		if proto.Unmarshal(b, r) != nil {
			return
		}
		n := proto.CloneOf(good)
		n.Redirections = []*posternv1.Redirection{r}
		v, err := envelope.Verify(n, w.redirected())
		if err != nil {
			return
		}
		if authority, _ := v.Recipient(); authority != lancs {
			t.Fatalf("it goes to %s now", authority)
		}
		if got, err := v.Open(key); err == nil && !samePlains(got, want) {
			t.Fatal("it opens to something else")
		}
	})
}
