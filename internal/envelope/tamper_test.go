package envelope_test

import (
	"bytes"
	"crypto/x509"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

// original is a notification that holds, with what it means.
type original struct {
	wire     []byte
	verified *envelope.Verified
	facts    [][]byte
	opened   []envelope.Plain
	key      *envelope.RecipientPrivate
	config   envelope.VerifyConfig
}

func newOriginal(tb failer, n *posternv1.SealedNotification, c envelope.VerifyConfig, key *envelope.RecipientPrivate) original {
	tb.Helper()
	v := value(envelope.Verify(n, c))(tb)
	return original{value(proto.Marshal(n))(tb), v, n.GetFacts(), value(v.Open(key))(tb), key, c}
}

// refusedOrSame is the promise of the package: bytes that came another way than they were sent are refused, or mean
// exactly the same. It reports which.
func (o original) refusedOrSame(tb failer, wire []byte) (accepted bool) {
	tb.Helper()
	n := &posternv1.SealedNotification{}
	if proto.Unmarshal(wire, n) != nil {
		return false
	}
	v, err := envelope.Verify(n, o.config)
	if err != nil {
		refused(tb, err)
		return false
	}
	if !bytes.Equal(n.GetManifest().GetPayload(), manifestBytes(tb, o.wire)) || !bytes.Equal(v.ManifestSHA256(), o.verified.ManifestSHA256()) ||
		!proto.Equal(v.Manifest(), o.verified.Manifest()) || v.Sender() != o.verified.Sender() {
		tb.Fatal("another manifest was accepted")
	}
	if o.config.Whole && (!slices.EqualFunc(v.Digests(), o.verified.Digests(), bytes.Equal) || len(n.GetFacts()) != len(o.facts)) {
		tb.Fatal("other sections or facts were accepted")
	}
	for _, f := range n.GetFacts() {
		if !slices.ContainsFunc(o.facts, func(g []byte) bool { return bytes.Equal(f, g) }) {
			tb.Fatal("other facts were accepted")
		}
	}
	opened, err := v.Open(o.key)
	if err != nil {
		tb.Fatalf("accepted, and does not open: %v", err)
	}
	if o.config.Whole && !samePlains(opened, o.opened) {
		tb.Fatal("other contents were opened")
	}
	for _, p := range opened {
		if !slices.ContainsFunc(o.opened, func(q envelope.Plain) bool { return samePlains([]envelope.Plain{p}, []envelope.Plain{q}) }) {
			tb.Fatal("other contents were opened")
		}
	}
	return true
}

func manifestBytes(tb failer, wire []byte) []byte {
	n := &posternv1.SealedNotification{}
	check(tb, proto.Unmarshal(wire, n))
	return n.GetManifest().GetPayload()
}

// TestEveryByteCounts changes every byte of a notification at a hub, and every eighth of what is released at an inbox.
func TestEveryByteCounts(t *testing.T) {
	w := newWorld(t)
	d := family(t)
	d.Children, d.Sections = d.Children[:1], d.Sections[2:3] // a small one: every byte takes its time
	atHub := newOriginal(t, w.seal(t, d), w.whole(), w.key)
	disclosed, _ := atHub.verified.Disclose([]string{"child/1/relationship"})
	atInbox := newOriginal(t, disclosed, w.released(), w.key)
	r := newRand(1)
	for _, c := range []struct {
		original
		step int
	}{{atHub, 1}, {atInbox, 8}} {
		o, step, accepted := c.original, c.step, 0
		wire := bytes.Clone(o.wire)
		for i := r.IntN(step); i < len(wire); i += step {
			wire[i] ^= byte(1 + r.IntN(255))
			if o.refusedOrSame(t, wire) {
				accepted++
			}
			wire[i] = o.wire[i]
		}
		if accepted > len(wire)/100 {
			t.Errorf("%d of %d changed bytes were accepted as meaning the same; hardly any byte is free to change", accepted, len(wire))
		}
	}
}

// TestAnyEditIsRefusedOrMeansTheSame makes several random edits to any notification: bytes changed, dropped, doubled,
// inserted, and stretches moved.
func TestAnyEditIsRefusedOrMeansTheSame(t *testing.T) {
	w := newWorld(t)
	rapid.Check(t, func(t *rapid.T) {
		o := newOriginal(t, w.seal(t, drawDraft(t, 3)), w.whole(), w.key)
		wire := bytes.Clone(o.wire)
		for range rapid.IntRange(1, 3).Draw(t, "edits") {
			i := rapid.IntRange(0, len(wire)-1).Draw(t, "at")
			n := rapid.IntRange(1, min(64, len(wire)-i)).Draw(t, "length")
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				wire[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "bits"))
			case 1:
				wire = slices.Delete(wire, i, i+n)
			case 2:
				wire = slices.Insert(wire, i, bytes.Clone(wire[i:i+n])...)
			case 3:
				wire = slices.Insert(wire, i, rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(t, "bytes")...)
			}
			if len(wire) == 0 {
				return
			}
		}
		if !bytes.Equal(wire, o.wire) {
			o.refusedOrSame(t, wire)
		}
	})
}

// TestWhatAHubRefuses changes a good notification as somebody on the way could, or another desk, or a stranger.
func TestWhatAHubRefuses(t *testing.T) {
	w := newWorld(t)
	stranger := newWorld(t) // the same names under other anchors
	type sealed = posternv1.SealedNotification
	another := w.seal(t, family(t))
	otherDraft := family(t)
	otherDraft.Manifest.Sender.PrisonId = "BWI"
	otherDesk := value(envelope.Seal(otherDraft, w.public, w.other))(t)
	by := func(uri string) func(*sealed) {
		return func(n *sealed) {
			n.Manifest.Signatures = nil
			check(t, envelope.AddSignature(n.Manifest, w.issue(t, uri, ca.IssueConfig{})))
		}
	}
	cases := map[string]struct {
		change func(*sealed)
		want   string
	}{
		"a section dropped":             {func(n *sealed) { n.Sections = n.Sections[1:] }, "MISSING_SECTION"},
		"all sections dropped":          {func(n *sealed) { n.Sections = nil }, "MISSING_SECTION"},
		"a section doubled":             {func(n *sealed) { n.Sections = append(n.Sections, n.Sections[0]) }, "UNPINNED_SECTION"},
		"a section replaced by another": {func(n *sealed) { n.Sections[0] = n.Sections[1] }, "UNPINNED_SECTION"},
		"ciphertexts swapped":           {func(n *sealed) { swapCiphertexts(n.Sections[2], n.Sections[4]) }, "UNPINNED_SECTION"},
		"a section renamed":             {func(n *sealed) { n.Sections[2].Path = "child/2/home" }, "UNPINNED_SECTION"},
		"a section of another child":    {func(n *sealed) { n.Sections[2].Path = "child/2/relationship" }, "UNPINNED_SECTION"},
		"a section from elsewhere":      {func(n *sealed) { n.Sections[2] = another.Sections[2] }, "UNPINNED_SECTION"},
		"a section from another desk":   {func(n *sealed) { n.Sections[2] = otherDesk.Sections[2] }, "UNPINNED_SECTION"},
		"a section cut short":           {func(n *sealed) { s := n.Sections[0]; s.Ciphertext = s.Ciphertext[1:] }, "UNPINNED_SECTION"},
		"facts dropped":                 {func(n *sealed) { n.Facts = n.Facts[:2] }, "WRONG_FACTS"},
		"facts doubled":                 {func(n *sealed) { n.Facts = append(n.Facts, n.Facts[0]) }, "UNPINNED_FACTS"},
		"facts from elsewhere":          {func(n *sealed) { n.Facts[0] = another.Facts[0] }, "UNPINNED_FACTS"},
		"facts of a child added":        {func(n *sealed) { n.Facts = append(n.Facts, another.Facts[0]) }, "UNPINNED_FACTS"},
		"the manifest of another":       {func(n *sealed) { n.Manifest = another.Manifest }, "UNPINNED_FACTS"},
		"no manifest":                   {func(n *sealed) { n.Manifest = nil }, "NOT_ONE_SIGNATURE"},
		"no signature":                  {func(n *sealed) { n.Manifest.Signatures = nil }, "NOT_ONE_SIGNATURE"},
		"two signatures":                {func(n *sealed) { check(t, envelope.AddSignature(n.Manifest, w.desk)) }, "NOT_ONE_SIGNATURE"},
		"two signatures of two desks":   {func(n *sealed) { check(t, envelope.AddSignature(n.Manifest, w.other)) }, "NOT_ONE_SIGNATURE"},
		"the signature of another":      {func(n *sealed) { n.Manifest.Signatures = another.Manifest.Signatures }, "BAD_SIGNATURE"},
		"another type said":             {func(n *sealed) { n.Manifest.PayloadType = envelope.TypeReport }, "WRONG_PAYLOAD_TYPE"},
		"no type said":                  {func(n *sealed) { n.Manifest.PayloadType = "" }, "WRONG_PAYLOAD_TYPE"},
		"signed as another type":        {func(n *sealed) { signedAs(t, n.Manifest, envelope.TypeAcknowledgement, w) }, "BAD_SIGNATURE"},
		"signed by another desk":        {by("spiffe://postern.example/prison/BWI/desk"), "SENDER_MISMATCH"},
		"signed by an inbox":            {by(inboxURI), "NOT_A_DESK"},
		"signed by a hub":               {by("spiffe://postern.example/hub/one"), "NOT_A_DESK"},
		"signed by an auditor":          {by("spiffe://postern.example/auditor/one"), "NOT_A_DESK"},
		"signed by an operator":         {by("spiffe://postern.example/operator/one"), "NOT_A_DESK"},
		"signed by a stranger of the name": {func(n *sealed) {
			n.Manifest.Signatures = nil
			check(t, envelope.AddSignature(n.Manifest, stranger.desk))
		}, "CERTIFICATE_ANCHOR"},
		"another's certificate":            {func(n *sealed) { n.Manifest.Signatures[0].Certificates = w.other.Chain() }, "BAD_SIGNATURE"},
		"no certificate":                   {func(n *sealed) { n.Manifest.Signatures[0].Certificates = nil }, "CERTIFICATE_CHAIN"},
		"a certificate that is none":       {func(n *sealed) { n.Manifest.Signatures[0].Certificates[0] = []byte("no") }, "BAD_CERTIFICATE"},
		"a redirection":                    {func(n *sealed) { n.Redirections = []*posternv1.Redirection{{}} }, "UNEXPECTED_REDIRECTION"},
		"a field of a later version":       {func(n *sealed) { n.ProtoReflect().SetUnknown(laterField) }, "UNKNOWN_CONTENT"},
		"a later field in a section":       {func(n *sealed) { n.Sections[0].ProtoReflect().SetUnknown(laterField) }, "UNKNOWN_CONTENT"},
		"a later field beside the payload": {func(n *sealed) { n.Manifest.ProtoReflect().SetUnknown(laterField) }, "UNKNOWN_CONTENT"},
	}
	good := w.seal(t, family(t))
	w.verify(t, good)
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := proto.CloneOf(good)
			c.change(n)
			_, err := envelope.Verify(overWire(t, n), w.whole())
			refusedAs(t, err, c.want)
		})
	}
}

// laterField is field 99 with the value 1, which no message of this version has.
var laterField = []byte{0x98, 0x06, 0x01}

func swapCiphertexts(a, b *posternv1.SealedSection) {
	a.Ciphertext, b.Ciphertext = b.Ciphertext, a.Ciphertext
}

// signedAs replaces the signature by one that the desk made over the same bytes as a statement of another kind.
func signedAs(tb failer, s *posternv1.Signed, payloadType string, w *world) {
	other := value(envelope.SignStatement(w.desk, payloadType, s.GetPayload()))(tb)
	s.Signatures = other.Signatures
}

// TestOrderOnTheWayDoesNotMatter: digests pin the blocks and sections, not their places.
func TestOrderOnTheWayDoesNotMatter(t *testing.T) {
	w := newWorld(t)
	o := newOriginal(t, w.seal(t, family(t)), w.whole(), w.key)
	n := &posternv1.SealedNotification{}
	check(t, proto.Unmarshal(o.wire, n))
	slices.Reverse(n.Sections)
	slices.Reverse(n.Facts)
	if !o.refusedOrSame(t, value(proto.Marshal(n))(t)) {
		t.Error("refused")
	}
}

// TestWhenAndWhereANotificationHolds: certificate, manifest and audience each have their own bounds.
func TestWhenAndWhereANotificationHolds(t *testing.T) {
	w := newWorld(t)
	d := family(t) // from now for 30 days, as is the desk's certificate, which began five minutes ago
	long := family(t)
	long.Manifest.ExpireTime.Seconds += 60 * 24 * 3600
	old := family(t)
	old.Manifest.CreateTime.Seconds -= 24 * 3600
	short, renewed, early := w.seal(t, d), w.seal(t, long), w.seal(t, old)
	at := func(t time.Duration) func(*envelope.VerifyConfig) {
		return func(c *envelope.VerifyConfig) { c.At = c.At.Add(t) }
	}
	const day = 24 * time.Hour
	cases := map[string]struct {
		n      *posternv1.SealedNotification
		change func(*envelope.VerifyConfig)
		want   string // "" when it holds
	}{
		"now":                                  {short, at(0), ""},
		"a sender's clock ahead of ours":       {short, at(-5 * time.Minute), ""},
		"from the future":                      {short, at(-5*time.Minute - time.Nanosecond), "CERTIFICATE_TIME"},
		"from the future, with a certificate":  {renewed, at(-5*time.Minute - time.Nanosecond), "CERTIFICATE_TIME"},
		"just before the end":                  {short, at(30*day - time.Nanosecond), ""},
		"at the end":                           {short, at(30 * day), "EXPIRED"},
		"after the certificate":                {renewed, at(30*day + time.Second), "CERTIFICATE_TIME"},
		"before the certificate":               {early, at(-time.Hour), "CERTIFICATE_TIME"},
		"at no time":                           {short, func(c *envelope.VerifyConfig) { c.At = time.Time{} }, "CERTIFICATE_TIME"},
		"in another domain":                    {short, func(c *envelope.VerifyConfig) { c.Audience = "other.example" }, "WRONG_AUDIENCE"},
		"in no domain":                         {short, func(c *envelope.VerifyConfig) { c.Audience = "" }, "WRONG_AUDIENCE"},
		"with the anchors of the other domain": {short, func(c *envelope.VerifyConfig) { c.Anchors = newWorld(t).anchors }, "CERTIFICATE_ANCHOR"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			config := w.whole()
			c.change(&config)
			_, err := envelope.Verify(c.n, config)
			if c.want == "" {
				check(t, err)
				return
			}
			refusedAs(t, err, c.want)
		})
	}
}

// TestARenewedCertificateSignsTheSameBytes: identity is the manifest, not the signature.
func TestARenewedCertificateSignsTheSameBytes(t *testing.T) {
	w := newWorld(t)
	n := w.seal(t, family(t))
	first := w.verify(t, n)
	n.Manifest.Signatures = nil
	check(t, envelope.AddSignature(n.Manifest, w.issue(t, deskURI, ca.IssueConfig{Now: now.Add(time.Minute), P256: true})))
	again := w.verify(t, n)
	if !bytes.Equal(first.ManifestSHA256(), again.ManifestSHA256()) || !samePlains(value(first.Open(w.key))(t), value(again.Open(w.key))(t)) {
		t.Error("another notification")
	}
}

// TestACertificateOfTheRightNameFromTheWrongAnchor: an authority's certificate authority cannot make a desk.
func TestACertificateOfTheRightNameFromTheWrongAnchor(t *testing.T) {
	w := newWorld(t)
	wrong := forge(t, w.dir, "authority", deskURI)
	n := w.seal(t, family(t))
	n.Manifest.Signatures = nil
	check(t, envelope.AddSignature(n.Manifest, wrong))
	_, err := envelope.Verify(n, w.whole())
	refusedAs(t, err, "CERTIFICATE_ANCHOR")
	if _, err := x509.ParseCertificate(wrong.Chain()[0]); err != nil {
		t.Errorf("the forgery is no certificate at all: %v", err)
	}
}

// TestTheTamperTestsCanFail is their negative control: another notification that holds, and one with less in it, must
// be found out.
func TestTheTamperTestsCanFail(t *testing.T) {
	w := newWorld(t)
	o := newOriginal(t, w.seal(t, family(t)), w.whole(), w.key)
	smaller := family(t)
	smaller.Sections = smaller.Sections[1:]
	for name, d := range map[string]envelope.Draft{"another": family(t), "a smaller one": smaller} {
		wire := value(proto.Marshal(w.seal(t, d)))(t)
		if c := (&catcher{}); !c.catches(func() { o.refusedOrSame(c, wire) }) {
			t.Errorf("%s passes for the original", name)
		}
	}
	if c := (&catcher{}); c.catches(func() { o.refusedOrSame(c, o.wire) }) {
		t.Error("the original does not pass for itself")
	}
}

// catcher is a failer that stops at the first failure and remembers it.
type catcher struct{ failed bool }

func (c *catcher) Helper()               {}
func (c *catcher) Fatal(...any)          { c.failed = true; panic(c) }
func (c *catcher) Fatalf(string, ...any) { c.Fatal() }

func (c *catcher) catches(do func()) (failed bool) {
	defer func() {
		if r := recover(); r != nil && r != any(c) {
			panic(r)
		}
		failed = c.failed
	}()
	do()
	return false
}
