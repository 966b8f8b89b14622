package stranger

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"time"

	posternv1 "postern/proto/postern/v1"
)

// Checked is a notification that holds.
type Checked struct {
	Manifest *posternv1.Manifest
	Digest   []byte // SHA-256 of the manifest
	Sender   Party
	Children map[uint32]*posternv1.ChildFacts
	Sections [][]byte // the digests of the sections that are there, ascending
}

// CheckNotification checks what reaches an inbox: what a hub let through of what a desk has sent. The time is the one at
// which it was decided. Redirections it does not look at.
func (t *Trust) CheckNotification(n *posternv1.SealedNotification, at time.Time) (*Checked, error) {
	signer, err := t.Signer(n.GetManifest(), manifestType, at)
	if err != nil {
		return nil, err
	}
	m := &posternv1.Manifest{}
	if err := read(n.GetManifest().GetPayload(), m); err != nil {
		return nil, err
	}
	c := &Checked{m, hash(n.GetManifest().GetPayload()), signer, map[uint32]*posternv1.ChildFacts{}, nil}
	if err := t.checkManifest(m, signer, at); err != nil {
		return nil, err
	}
	if n.GetStopRequest() != nil {
		return nil, errors.New("something that does not come with an offer")
	}
	if err := c.checkFacts(n.GetFacts()); err != nil {
		return nil, err
	}
	return c, c.checkSections(n.GetSections())
}

func (t *Trust) checkManifest(m *posternv1.Manifest, signer Party, at time.Time) error {
	ascending := func(a, b []byte) int { return bytes.Compare(a, b) }
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	from, until := m.GetCreateTime(), m.GetExpireTime()
	offer := m.GetOffer()
	standard := offer.GetRoute() == posternv1.Route_ROUTE_STANDARD
	sealed := offer.GetSuite() == 1 && offer.GetRecipientKeyId() != "" && len(offer.GetEncapsulatedKey()) > 0
	unsealed := offer.GetSuite() == 0 && offer.GetRecipientKeyId() == "" && len(offer.GetEncapsulatedKey())+len(offer.GetSectionsSha256()) == 0
	for _, rule := range []struct {
		holds bool
		name  string
	}{
		{signer.Kind == "desk" && signer.ID == m.GetSender().GetPrisonId(), "the sender is not who signed"},
		{m.GetAudience() == t.Domain, "it is for another trust domain"},
		{slices.IsSortedFunc(m.GetFactsSha256(), ascending), "the digests of the facts do not ascend"},
		{slices.IsSortedFunc(offer.GetSectionsSha256(), ascending), "the digests of the sections do not ascend"},
		{uuid.MatchString(m.GetNotificationId()), "the id is no UUID"},
		{m.GetSupersedes() == "" || uuid.MatchString(m.GetSupersedes()), "what it supersedes is no UUID"},
		{from.IsValid() && until.IsValid() && from.AsTime().Before(until.AsTime()), "it ends before it begins"},
		{!from.AsTime().After(at.Add(5 * time.Minute)), "it is from the future"},
		{at.Before(until.AsTime()), "it has expired"},
		{offer.GetAuthority() != "" && offer.GetRoute() != 0 && (offer.GetConsent() != nil || !standard), "no whole offer"},
		{sealed || unsealed, "no suite"},
	} {
		if !rule.holds {
			return errors.New(rule.name)
		}
	}
	return nil
}

// pinned says whether each of some digests is listed, each listed one for one of them.
func pinned(listed, digests [][]byte) bool {
	listed = slices.Clone(listed)
	for _, d := range digests {
		i := slices.IndexFunc(listed, func(l []byte) bool { return bytes.Equal(l, d) })
		if i < 0 {
			return false
		}
		listed = slices.Delete(listed, i, i+1)
	}
	return true
}

func (c *Checked) checkFacts(blocks [][]byte) error {
	var digests [][]byte
	for _, b := range blocks {
		digests = append(digests, hash(b))
		block := &posternv1.FactsBlock{}
		if err := read(b, block); err != nil {
			return err
		}
		child := block.GetChild()
		number := child.GetNumber()
		if len(block.GetSalt()) != 32 || child == nil || number < 1 || number > 16 || c.Children[number] != nil {
			return errors.New("no block with the facts of one child")
		}
		c.Children[number] = child
	}
	if !pinned(c.Manifest.GetFactsSha256(), digests) {
		return errors.New("facts that the manifest does not list")
	}
	return nil
}

func (c *Checked) checkSections(sections []*posternv1.SealedSection) error {
	paths, used := map[string]bool{}, map[uint32]bool{}
	for _, s := range sections {
		_, child, err := lookup(s.GetPath())
		if err != nil {
			return err
		}
		if paths[s.GetPath()] {
			return fmt.Errorf("%s is there twice", s.GetPath())
		}
		if child > 0 && c.Children[uint32(child)] == nil {
			return fmt.Errorf("%s has no facts", s.GetPath())
		}
		paths[s.GetPath()], used[uint32(child)] = true, true
		c.Sections = append(c.Sections, DigestOfSection(s.GetPath(), s.GetCiphertext()))
	}
	for number := range c.Children {
		if !used[number] {
			return fmt.Errorf("facts of child %d without a section", number)
		}
	}
	if !pinned(c.Manifest.GetOffer().GetSectionsSha256(), c.Sections) {
		return errors.New("a section that the manifest does not list")
	}
	slices.SortFunc(c.Sections, bytes.Compare)
	return nil
}
