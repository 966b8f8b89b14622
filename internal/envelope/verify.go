package envelope

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// maxSkew is how far ahead of ours a sender's clock may be.
const maxSkew = 5 * time.Minute

// VerifyConfig says how a notification is verified.
type VerifyConfig struct {
	Audience   string            // our trust domain
	Anchors    *identity.Anchors // who may vouch for the sender
	At         time.Time         // when certificates and expiry are judged: now at a hub, the decision's time at an inbox
	Whole      bool              // whether every facts block and section of the manifest must be there, as at a hub
	Redirected time.Time         // when the certificate of a team that passes it on is judged; zero where nobody may
}

// Verified is a notification whose signature, digests and shape hold. Only Verify makes one.
type Verified struct {
	manifest     *posternv1.Manifest
	sha256       []byte
	sender       identity.Party
	children     []*posternv1.ChildFacts
	hub          *posternv1.HubFacts
	notification *posternv1.SealedNotification
	blocks       []int    // of each facts block: the number of its child, 0 for the hub's
	paths        []string // of each section
	digests      [][]byte
	redirect     *posternv1.Redirect
	redirector   identity.Party
}

// Manifest returns the manifest; callers must not change it.
func (v *Verified) Manifest() *posternv1.Manifest { return v.manifest }

// ManifestSHA256 returns the SHA-256 of the manifest as signed.
func (v *Verified) ManifestSHA256() []byte { return v.sha256 }

// Signed returns the notification as it came.
func (v *Verified) Signed() *posternv1.SealedNotification { return v.notification }

// Sender returns the desk that signed.
func (v *Verified) Sender() identity.Party { return v.sender }

// Children returns the facts of the children, by number.
func (v *Verified) Children() []*posternv1.ChildFacts { return v.children }

// Hub returns the facts for the hub alone; never nil.
func (v *Verified) Hub() *posternv1.HubFacts { return v.hub }

// Paths returns the paths of the sealed sections, in the order of the message; callers must not change them.
func (v *Verified) Paths() []string { return v.paths }

// Verify checks the signature of the manifest, who signed it, whom and when it is for, and that every facts block and
// section is one that the manifest pins, each once. It reads no section.
func Verify(n *posternv1.SealedNotification, c VerifyConfig) (*Verified, error) {
	sender, err := VerifyStatement(n.GetManifest(), TypeManifest, c.Anchors, c.At)
	if err != nil {
		return nil, err
	}
	m := &posternv1.Manifest{}
	if err := unmarshalStrict(n.GetManifest().GetPayload(), m, "manifest"); err != nil {
		return nil, err
	}
	// Nothing but what is signed or pinned may reach a team: a hub forwards no field that it does not know.
	if (c.Whole || !c.Redirected.IsZero()) && !known(n.ProtoReflect()) {
		return nil, malformed("UNKNOWN_CONTENT", "The notification holds a field this version does not know. Update this side first.")
	}
	v := &Verified{manifest: m, sha256: digest(n.GetManifest().GetPayload()), sender: sender, hub: &posternv1.HubFacts{}, notification: n}
	for _, check := range []func(VerifyConfig) error{v.checkEnvelope, v.checkStatement, v.checkFacts, v.checkSections, v.checkRedirection} {
		if err := check(c); err != nil {
			return nil, err
		}
	}
	return v, nil
}

func malformed(reason, message string) *fault.Error { return fault.New(fault.Invalid, reason, message) }

func (v *Verified) checkEnvelope(c VerifyConfig) error {
	m := v.manifest
	switch {
	case v.sender.Role != posternv1.Role_ROLE_DESK:
		return fault.New(fault.Denied, "NOT_A_DESK", "Only a prison's desk may sign a notification.")
	case m.GetSender().GetPrisonId() != v.sender.ID:
		return fault.New(fault.Denied, "SENDER_MISMATCH", "The sender in the manifest is not the desk that signed it.")
	case m.GetAudience() != c.Audience:
		return fault.New(fault.Denied, "WRONG_AUDIENCE", "The notification is meant for another trust domain.")
	case !slices.IsSortedFunc(m.GetFactsSha256(), bytes.Compare) || !slices.IsSortedFunc(m.GetOffer().GetSectionsSha256(), bytes.Compare):
		return malformed("UNSORTED_DIGESTS", "The digests are not in order, so they would tell what was left out.")
	case !ValidID(m.GetNotificationId()):
		return malformed("BAD_ID", "The notification's id is not a random UUID in its canonical spelling.")
	case m.GetSupersedes() != "" && !ValidID(m.GetSupersedes()):
		return malformed("BAD_ID", "The id of the notification it replaces is not a UUID in its canonical spelling.")
	case !m.GetCreateTime().IsValid() || !m.GetExpireTime().IsValid() || !m.GetCreateTime().AsTime().Before(m.GetExpireTime().AsTime()):
		return malformed("BAD_TIMES", "The notification's times are missing or in the wrong order.")
	case m.GetCreateTime().AsTime().After(c.At.Add(maxSkew)):
		return malformed("FROM_THE_FUTURE", "The notification was made in the future. Check the desk's clock.")
	case !c.At.Before(m.GetExpireTime().AsTime()):
		return malformed("EXPIRED", "The notification has expired. The desk makes a new one.")
	}
	return nil
}

func (v *Verified) checkStatement(c VerifyConfig) error {
	n := v.notification
	if n.GetStopRequest() != nil && v.manifest.GetWithdrawal() == nil {
		return malformed("UNEXPECTED_STOP_REQUEST", "Only a withdrawal has a stop request.")
	}
	switch s := v.manifest.GetStatement().(type) {
	case *posternv1.Manifest_Offer:
		o := s.Offer
		sealed := len(o.GetSectionsSha256()) > 0
		// The other routes need no consent: where nobody could ask, none is stated.
		unasked := o.GetRoute() == posternv1.Route_ROUTE_STANDARD && o.GetConsent() == nil
		if o.GetAuthority() == "" || unasked || o.GetRoute() == posternv1.Route_ROUTE_UNSPECIFIED {
			return malformed("INCOMPLETE_OFFER", "The offer lacks its authority, route or consent.")
		}
		if o.GetSuite() == 0 && (sealed || o.GetRecipientKeyId() != "" || len(o.GetEncapsulatedKey()) > 0) {
			return malformed("BAD_SUITE", "The offer names no sealing suite but holds sealed content.")
		}
		if o.GetSuite() != 0 && (o.GetSuite() != SuiteHybrid || o.GetRecipientKeyId() == "" || len(o.GetEncapsulatedKey()) == 0) {
			return malformed("BAD_SUITE", "The offer's sealing suite is unknown or incomplete.")
		}
	case *posternv1.Manifest_Enquiry, *posternv1.Manifest_Withdrawal, *posternv1.Manifest_Considered, *posternv1.Manifest_Receptions:
		if len(n.GetSections()) > 0 {
			return malformed("UNEXPECTED_SECTIONS", "Only an offer has sections.")
		}
		if c := v.manifest.GetConsidered(); c != nil && (!ValidID(c.GetConsiders()) || c.GetConsideration() == nil) {
			return malformed("INCOMPLETE_CONSIDERATION", "The consideration lacks what was considered, or its codes.")
		}
		if w := v.manifest.GetWithdrawal(); w != nil {
			if err := v.checkWithdrawal(w, c); err != nil {
				return err
			}
		}
		if r := v.manifest.GetReceptions(); r != nil {
			if err := checkReceptions(r, c.At); err != nil {
				return err
			}
		}
	default:
		return malformed("NO_STATEMENT", "The manifest states nothing.")
	}
	return nil
}

// checkFacts parses the facts blocks and matches each with its digest in the manifest.
func (v *Verified) checkFacts(c VerifyConfig) error {
	blocks := v.notification.GetFacts()
	digests := make([][]byte, len(blocks))
	for i, b := range blocks {
		digests[i] = digest(b)
	}
	left, ok := pinned(digests, v.manifest.GetFactsSha256())
	if !ok {
		return unverified("UNPINNED_FACTS", "A facts block is not one that the sender signed.")
	}
	hubs := 0
	v.blocks = make([]int, len(blocks))
	for i, b := range blocks {
		f := &posternv1.FactsBlock{}
		if err := unmarshalStrict(b, f, "facts block"); err != nil {
			return err
		}
		if len(f.GetSalt()) != saltSize {
			return malformed("UNSALTED_FACTS", "A facts block lacks its salt.")
		}
		switch facts := f.GetFacts().(type) {
		case *posternv1.FactsBlock_Child:
			v.children = append(v.children, facts.Child)
			v.blocks[i] = int(facts.Child.GetNumber())
		case *posternv1.FactsBlock_Hub:
			v.hub = facts.Hub
			hubs++
		default:
			return malformed("EMPTY_FACTS", "A facts block is empty.")
		}
	}
	if hubs > 1 || (c.Whole && left > 0) || (!c.Whole && hubs > 0) {
		return malformed("WRONG_FACTS", "The facts are not the ones that belong here.")
	}
	slices.SortFunc(v.children, func(a, b *posternv1.ChildFacts) int { return int(a.GetNumber()) - int(b.GetNumber()) })
	for i, f := range v.children {
		if f.GetNumber() == 0 || f.GetNumber() > maxChildren || (i > 0 && v.children[i-1].GetNumber() == f.GetNumber()) {
			return malformed("BAD_CHILD_NUMBER", "The children are not numbered from 1, each once.")
		}
	}
	if v.manifest.GetOffer() == nil && len(v.children) > 0 {
		return malformed("UNEXPECTED_FACTS", "Only an offer has facts about children.")
	}
	return nil
}

// maxChildren is the limit of children a form (DESIGN §13).
const maxChildren = 16

// checkSections matches each section with its digest in the manifest, and its path with a child that has facts.
func (v *Verified) checkSections(c VerifyConfig) error {
	sections := v.notification.GetSections()
	v.paths, v.digests = make([]string, len(sections)), make([][]byte, len(sections))
	for i, s := range sections {
		v.paths[i], v.digests[i] = s.GetPath(), SectionDigest(s)
	}
	left, ok := pinned(v.digests, v.manifest.GetOffer().GetSectionsSha256())
	if !ok {
		return unverified("UNPINNED_SECTION", "A section is not one that the sender signed.")
	}
	for i, path := range v.paths {
		if _, ok := section.Lookup(path); !ok || slices.Contains(v.paths[:i], path) {
			return malformed("BAD_PATH", "A section's path is unknown or there twice.")
		}
		if n, ok := section.ChildOf(path); ok && !v.hasChild(n) {
			return malformed("SECTION_WITHOUT_CHILD", "A section is about a child without facts.")
		}
	}
	if c.Whole && left > 0 {
		return malformed("MISSING_SECTION", "A section that the sender signed is missing.")
	}
	return nil
}

func (v *Verified) hasChild(n int) bool {
	return slices.ContainsFunc(v.children, func(f *posternv1.ChildFacts) bool { return int(f.GetNumber()) == n })
}

// sorted returns digests in order, in a list of its own.
func sorted(digests [][]byte) [][]byte {
	out := slices.Clone(digests)
	slices.SortFunc(out, bytes.Compare)
	return out
}

// pinned reports whether every digest is one of those that the sender signed, which are sorted, each once; left is how many
// of these there are besides.
func pinned(digests, signed [][]byte) (left int, ok bool) {
	left = len(signed)
	for _, d := range sorted(digests) {
		at, found := slices.BinarySearchFunc(signed, d, bytes.Compare)
		if !found {
			return left, false
		}
		signed = signed[at+1:] // a digest that is there twice may be taken twice
		left--
	}
	return left, true
}

// Disclose puts the sections at the given paths into a fresh notification, with the same manifest and the facts of
// those children only who have a section in it. It never holds the facts for the hub alone. It returns the digests of
// the sections in it, sorted. The fresh notification shares its bytes with the verified one: callers change neither.
func (v *Verified) Disclose(paths []string) (*posternv1.SealedNotification, [][]byte) {
	out := &posternv1.SealedNotification{Manifest: v.notification.GetManifest(), Redirections: v.redirectionsOf(paths)}
	var digests [][]byte
	children := map[int]bool{}
	for i, s := range v.notification.GetSections() {
		if !slices.Contains(paths, s.GetPath()) {
			continue
		}
		out.Sections = append(out.Sections, s)
		digests = append(digests, v.digests[i])
		if n, ok := section.ChildOf(s.GetPath()); ok {
			children[n] = true
		}
	}
	for i, b := range v.notification.GetFacts() {
		if children[v.blocks[i]] { // no section is child 0's
			out.Facts = append(out.Facts, b)
		}
	}
	slices.SortFunc(digests, slices.Compare)
	return out, digests
}

// Digests returns the digests of the sections in the notification, sorted.
func (v *Verified) Digests() [][]byte {
	return sorted(v.digests)
}

// Open opens every section with the recipient's private key, in the order of the paths. One that does not open, or is
// not what its path says, fails the whole: a team must not act on half of what was released.
func (v *Verified) Open(key *RecipientPrivate) ([]Plain, error) {
	keys, err := v.sectionKeys(key)
	if err != nil {
		return nil, err
	}
	var out []Plain
	for _, s := range v.notification.GetSections() {
		m, err := openSection(keys[s.GetPath()], v.manifest.GetNotificationId(), s)
		if err != nil {
			return nil, err
		}
		out = append(out, Plain{s.GetPath(), m})
	}
	slices.SortFunc(out, func(a, b Plain) int { return strings.Compare(a.Path, b.Path) })
	return out, nil
}

func openSection(key []byte, id string, s *posternv1.SealedSection) (proto.Message, error) {
	aead, err := newAEAD(key)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, make([]byte, aead.NonceSize()), s.GetCiphertext(), lengthPrefixed(id, s.GetPath()))
	if err != nil {
		return nil, unverified("BAD_SECTION", "A sealed section does not open.").Because(err)
	}
	return unpad(s.GetPath(), plaintext)
}
