package envelope_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// TestManifestRules: the desk's own signature does not make a wrong manifest right.
func TestManifestRules(t *testing.T) {
	w := newWorld(t)
	good := w.seal(t, family(t))
	const someID = "9b2f8a64-0c3e-4d6f-9a51-1c7e2d3b4a59"
	offer := func(change func(*posternv1.Offer)) func(*posternv1.Manifest) {
		return func(m *posternv1.Manifest) { change(m.GetOffer()) }
	}
	cases := map[string]struct {
		change func(*posternv1.Manifest)
		want   string // "" when it holds
	}{
		"nothing changed":           {func(*posternv1.Manifest) {}, ""},
		"it replaces another":       {func(m *posternv1.Manifest) { m.Supersedes = someID }, ""},
		"another prison":            {func(m *posternv1.Manifest) { m.Sender.PrisonId = "BWI" }, "SENDER_MISMATCH"},
		"no sender":                 {func(m *posternv1.Manifest) { m.Sender = nil }, "SENDER_MISMATCH"},
		"no audience":               {func(m *posternv1.Manifest) { m.Audience = "" }, "WRONG_AUDIENCE"},
		"another audience":          {func(m *posternv1.Manifest) { m.Audience = "hub.example" }, "WRONG_AUDIENCE"},
		"no id":                     {func(m *posternv1.Manifest) { m.NotificationId = "" }, "BAD_ID"},
		"an id in capitals":         {func(m *posternv1.Manifest) { m.NotificationId = "9B2F8A64-0C3E-4D6F-9A51-1C7E2D3B4A59" }, "BAD_ID"},
		"an id that tells the time": {func(m *posternv1.Manifest) { m.NotificationId = "018f8a64-0c3e-7d6f-9a51-1c7e2d3b4a59" }, "BAD_ID"},
		"it replaces nonsense":      {func(m *posternv1.Manifest) { m.Supersedes = "PN-7K3F-9Q2M" }, "BAD_ID"},
		"no times":                  {func(m *posternv1.Manifest) { m.CreateTime, m.ExpireTime = nil, nil }, "BAD_TIMES"},
		"no end":                    {func(m *posternv1.Manifest) { m.ExpireTime = nil }, "BAD_TIMES"},
		"no beginning":              {func(m *posternv1.Manifest) { m.CreateTime = nil }, "BAD_TIMES"},
		"a time that is none":       {func(m *posternv1.Manifest) { m.CreateTime.Nanos = -1 }, "BAD_TIMES"},
		"an end at the beginning":   {func(m *posternv1.Manifest) { m.ExpireTime = m.CreateTime }, "BAD_TIMES"},
		"made in ten minutes":       {func(m *posternv1.Manifest) { m.CreateTime.Seconds += 600 }, "FROM_THE_FUTURE"},
		"ended":                     {func(m *posternv1.Manifest) { m.CreateTime.Seconds -= 9; m.ExpireTime = timestamppb.New(now) }, "EXPIRED"},
		"no statement":              {func(m *posternv1.Manifest) { m.Statement = nil }, "NO_STATEMENT"},
		"an enquiry with sections":  {func(m *posternv1.Manifest) { m.Statement = &posternv1.Manifest_Enquiry{Enquiry: &posternv1.Enquiry{}} }, "UNEXPECTED_SECTIONS"},
		"a withdrawal with sections": {func(m *posternv1.Manifest) {
			m.Statement = &posternv1.Manifest_Withdrawal{Withdrawal: &posternv1.Withdrawal{}}
		}, "UNEXPECTED_SECTIONS"},
		"no authority":               {offer(func(o *posternv1.Offer) { o.Authority = "" }), "INCOMPLETE_OFFER"},
		"no consent":                 {offer(func(o *posternv1.Offer) { o.Consent = nil }), "INCOMPLETE_OFFER"},
		"no route":                   {offer(func(o *posternv1.Offer) { o.Route = 0 }), "INCOMPLETE_OFFER"},
		"sealed with no suite":       {offer(func(o *posternv1.Offer) { o.Suite = 0 }), "BAD_SUITE"},
		"a suite to come":            {offer(func(o *posternv1.Offer) { o.Suite = 2 }), "BAD_SUITE"},
		"no key id":                  {offer(func(o *posternv1.Offer) { o.RecipientKeyId = "" }), "BAD_SUITE"},
		"no encapsulated key":        {offer(func(o *posternv1.Offer) { o.EncapsulatedKey = nil }), "BAD_SUITE"},
		"a digest missing":           {offer(func(o *posternv1.Offer) { o.SectionsSha256 = o.SectionsSha256[1:] }), "UNPINNED_SECTION"},
		"a digest too many":          {offer(func(o *posternv1.Offer) { o.SectionsSha256 = append(o.SectionsSha256, highest) }), "MISSING_SECTION"},
		"no digests":                 {offer(func(o *posternv1.Offer) { o.SectionsSha256 = nil }), "UNPINNED_SECTION"},
		"digests in another order":   {offer(func(o *posternv1.Offer) { slices.Reverse(o.SectionsSha256) }), "UNSORTED_DIGESTS"},
		"facts in another order":     {func(m *posternv1.Manifest) { slices.Reverse(m.FactsSha256) }, "UNSORTED_DIGESTS"},
		"a digest of facts missing":  {func(m *posternv1.Manifest) { m.FactsSha256 = m.FactsSha256[1:] }, "UNPINNED_FACTS"},
		"a digest of facts too many": {func(m *posternv1.Manifest) { m.FactsSha256 = append(m.FactsSha256, highest) }, "WRONG_FACTS"},
		"a field to come":            {func(m *posternv1.Manifest) { m.ProtoReflect().SetUnknown(laterField) }, "UNKNOWN_CONTENT"},
		"a field to come, deep down": {func(m *posternv1.Manifest) { m.GetOffer().Consent.ProtoReflect().SetUnknown(laterField) }, "UNKNOWN_CONTENT"},
		"a value to come":            {offer(func(o *posternv1.Offer) { o.Route = 99 }), "UNKNOWN_CONTENT"},
		"a value to come, deep down": {offer(func(o *posternv1.Offer) { o.Consent.State = 99 }), "UNKNOWN_CONTENT"},
		"a staff role to come":       {func(m *posternv1.Manifest) { m.Sender.StaffRole = -1 }, "UNKNOWN_CONTENT"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := envelope.Verify(overWire(t, resign(t, good, w.desk, c.change)), w.whole())
			if c.want == "" {
				check(t, err)
				return
			}
			refusedAs(t, err, c.want)
		})
	}
}

// highest sorts after every digest.
var highest = slices.Repeat([]byte{255}, 32)

// TestFactsRules: facts are checked though the desk has signed their digests.
func TestFactsRules(t *testing.T) {
	w := newWorld(t)
	good := w.seal(t, family(t)) // the facts of child 1, child 2, the hub
	salt := make([]byte, 32)
	child := func(n uint32) *posternv1.FactsBlock {
		return &posternv1.FactsBlock{Salt: salt, Facts: &posternv1.FactsBlock_Child{Child: &posternv1.ChildFacts{Number: n}}}
	}
	hub := &posternv1.FactsBlock{Salt: salt, Facts: &posternv1.FactsBlock_Hub{Hub: &posternv1.HubFacts{Gate: posternv1.Gate_GATE_HOLD}}}
	cases := map[string]struct {
		block *posternv1.FactsBlock // put in the place of child 2's
		want  string
	}{
		"no salt":                 {edit(child(2), func(f *posternv1.FactsBlock) { f.Salt = nil }), "UNSALTED_FACTS"},
		"a short salt":            {edit(child(2), func(f *posternv1.FactsBlock) { f.Salt = salt[1:] }), "UNSALTED_FACTS"},
		"a long salt":             {edit(child(2), func(f *posternv1.FactsBlock) { f.Salt = append(salt, 0) }), "UNSALTED_FACTS"},
		"nothing":                 {&posternv1.FactsBlock{Salt: salt}, "EMPTY_FACTS"},
		"the hub's twice":         {hub, "WRONG_FACTS"},
		"child 1 twice":           {child(1), "BAD_CHILD_NUMBER"},
		"child 0":                 {child(0), "BAD_CHILD_NUMBER"},
		"child 17":                {child(17), "BAD_CHILD_NUMBER"},
		"child 2³²-1":             {child(1<<32 - 1), "BAD_CHILD_NUMBER"},
		"of a child not offered":  {child(3), "SECTION_WITHOUT_CHILD"},
		"a field to come":         {edit(child(2), func(f *posternv1.FactsBlock) { f.ProtoReflect().SetUnknown(laterField) }), "UNKNOWN_CONTENT"},
		"a value to come":         {edit(child(2), func(f *posternv1.FactsBlock) { f.GetChild().CarerKnown = 99 }), "UNKNOWN_CONTENT"},
		"a value to come, listed": {edit(child(2), func(f *posternv1.FactsBlock) { f.GetChild().Known = []*posternv1.SectionKnown{{Known: 99}} }), "UNKNOWN_CONTENT"},
		"as they should be":       {child(2), ""},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := envelope.Verify(withFacts(t, w, good, 1, value(proto.Marshal(c.block))(t)), w.whole())
			if c.want == "" {
				check(t, err)
				return
			}
			refusedAs(t, err, c.want)
		})
	}
	t.Run("bytes that are no facts", func(t *testing.T) {
		_, err := envelope.Verify(withFacts(t, w, good, 1, []byte{0xff}), w.whole())
		refusedAs(t, err, "MALFORMED")
	})
	t.Run("of children, in an enquiry", func(t *testing.T) {
		n := w.seal(t, family(t))
		n.Sections = nil
		n = resign(t, n, w.desk, func(m *posternv1.Manifest) { m.Statement = &posternv1.Manifest_Enquiry{Enquiry: &posternv1.Enquiry{}} })
		_, err := envelope.Verify(n, w.whole())
		refusedAs(t, err, "UNEXPECTED_FACTS")
	})
}

func edit(f *posternv1.FactsBlock, change func(*posternv1.FactsBlock)) *posternv1.FactsBlock {
	change(f)
	return f
}

// withFacts replaces one facts block, and its digest in a manifest signed again.
func withFacts(t *testing.T, w *world, n *posternv1.SealedNotification, i int, block []byte) *posternv1.SealedNotification {
	t.Helper()
	out := proto.CloneOf(n)
	out.Facts[i] = block
	return resign(t, out, w.desk, func(m *posternv1.Manifest) {
		m.FactsSha256 = nil
		for _, b := range out.Facts {
			m.FactsSha256 = append(m.FactsSha256, sha(b))
		}
		slices.SortFunc(m.FactsSha256, slices.Compare)
	})
}

// TestSectionRules: paths are checked though the desk has signed their digests.
func TestSectionRules(t *testing.T) {
	w := newWorld(t)
	good := w.seal(t, family(t))
	cases := map[string]struct {
		change func(*posternv1.SealedNotification)
		want   string
	}{
		"an unknown path":         {func(n *posternv1.SealedNotification) { n.Sections[0].Path = "parent/offence" }, "BAD_PATH"},
		"no path":                 {func(n *posternv1.SealedNotification) { n.Sections[0].Path = "" }, "BAD_PATH"},
		"a pattern":               {func(n *posternv1.SealedNotification) { n.Sections[2].Path = "child/{n}/relationship" }, "BAD_PATH"},
		"a second spelling":       {func(n *posternv1.SealedNotification) { n.Sections[2].Path = "child/01/relationship" }, "BAD_PATH"},
		"a path twice":            {func(n *posternv1.SealedNotification) { n.Sections[4].Path = "child/1/relationship" }, "BAD_PATH"},
		"a child without facts":   {func(n *posternv1.SealedNotification) { n.Sections[2].Path = "child/3/relationship" }, "SECTION_WITHOUT_CHILD"},
		"a child beyond the last": {func(n *posternv1.SealedNotification) { n.Sections[2].Path = "child/17/relationship" }, "SECTION_WITHOUT_CHILD"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			n := proto.CloneOf(good)
			c.change(n)
			_, err := envelope.Verify(resign(t, n, w.desk, func(m *posternv1.Manifest) {
				m.GetOffer().SectionsSha256 = nil
				for _, s := range n.Sections {
					m.GetOffer().SectionsSha256 = append(m.GetOffer().SectionsSha256, envelope.SectionDigest(s))
				}
				slices.SortFunc(m.GetOffer().SectionsSha256, slices.Compare)
			}), w.whole())
			refusedAs(t, err, c.want)
		})
	}
}

// forge makes a certificate for any party from any anchor, as the holder of that anchor's key could.
func forge(t *testing.T, dir, anchor, uri string) *identity.Identity {
	t.Helper()
	parent := value(tls.LoadX509KeyPair(filepath.Join(dir, anchor, "ca.pem"), filepath.Join(dir, anchor, "ca-key.pem")))(t)
	public, key, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: now, NotAfter: now.AddDate(0, 0, 30),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs: []*url.URL{value(url.Parse(uri))(t)}}
	der := value(x509.CreateCertificate(rand.Reader, template, parent.Leaf, public, parent.PrivateKey))(t)
	private := value(x509.MarshalPKCS8PrivateKey(key))(t)
	cert, keyFile := filepath.Join(t.TempDir(), "cert.pem"), filepath.Join(t.TempDir(), "key.pem")
	check(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	check(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), 0o600))
	return value(identity.Load(cert, keyFile))(t)
}
