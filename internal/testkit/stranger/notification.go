package stranger

import (
	"bytes"
	"encoding/hex"
	"slices"
	"time"

	pb "postern/proto/postern/v1"
)

// Checked is a notification that holds.
type Checked struct {
	Manifest *pb.Manifest
	SHA256   []byte // of the manifest's bytes
	Sender   Party
	Facts    map[int]*pb.ChildFacts
	Hub      *pb.HubFacts
}

// Reader is who reads a notification and when.
type Reader struct {
	Trust    *Trust
	Audience string
	Now      time.Time // when it must hold, and the desk's certificate be good
	Whole    bool      // nothing may be there that we do not know, beside the manifest either
	AtHub    bool
}

func (r *Reader) check(n *pb.SealedNotification) (*Checked, error) {
	p, err := r.Trust.Verify(n.GetManifest(), TypeManifest, r.Now)
	if err != nil {
		return nil, err
	}
	m := &pb.Manifest{}
	c := &Checked{Manifest: m, SHA256: digest(n.Manifest.Payload), Sender: p, Facts: map[int]*pb.ChildFacts{}}
	if err := parseKnown(n.Manifest.Payload, m); err != nil {
		return nil, err
	}
	if (r.AtHub || r.Whole) && !knownOnly(n.ProtoReflect()) {
		return nil, refuse("UNKNOWN_CONTENT", "beside the manifest")
	}
	offer := m.GetOffer()
	ascends := func(l [][]byte) bool { return slices.IsSortedFunc(l, bytes.Compare) }
	unspecifiedKey := offer.GetRecipientKeyId() == "" && len(offer.GetEncapsulatedKey()) == 0
	switch {
	case p.Kind != KindDesk:
		return nil, refuse("NOT_A_DESK", "%s", p.URI)
	case m.GetSender().GetPrisonId() != p.ID:
		return nil, refuse("SENDER_MISMATCH", "%s is not of %q", p.URI, m.GetSender().GetPrisonId())
	case m.Audience != r.Audience:
		return nil, refuse("WRONG_AUDIENCE", "%q", m.Audience)
	case !ascends(m.FactsSha256) || !ascends(offer.GetSectionsSha256()):
		return nil, refuse("UNSORTED_DIGESTS", "")
	case !uuid4.MatchString(m.NotificationId) || m.Supersedes != "" && !uuid4.MatchString(m.Supersedes):
		return nil, refuse("BAD_ID", "%q, %q", m.NotificationId, m.Supersedes)
	case !m.CreateTime.IsValid() || !m.ExpireTime.IsValid() || !m.CreateTime.AsTime().Before(m.ExpireTime.AsTime()):
		return nil, refuse("BAD_TIMES", "")
	case m.CreateTime.AsTime().After(r.Now.Add(5 * time.Minute)):
		return nil, refuse("FROM_THE_FUTURE", "")
	case !r.Now.Before(m.ExpireTime.AsTime()):
		return nil, refuse("EXPIRED", "")
	case m.Statement == nil:
		return nil, refuse("NO_STATEMENT", "")
	case offer != nil && (offer.Authority == "" || offer.Route == pb.Route_ROUTE_UNSPECIFIED ||
		offer.Consent == nil && offer.Route == pb.Route_ROUTE_STANDARD):
		return nil, refuse("INCOMPLETE_OFFER", "")
	case offer != nil && !(offer.Suite == 1 && offer.RecipientKeyId != "" && len(offer.EncapsulatedKey) > 0 ||
		offer.Suite == 0 && unspecifiedKey && len(offer.SectionsSha256) == 0):
		return nil, refuse("BAD_SUITE", "%d", offer.Suite)
	case offer == nil && len(n.Sections) > 0:
		return nil, refuse("UNEXPECTED_SECTIONS", "")
	case m.GetWithdrawal() == nil && n.StopRequest != nil:
		return nil, refuse("UNEXPECTED_STOP_REQUEST", "")
	case r.AtHub && len(n.Redirections) > 0:
		return nil, refuse("UNEXPECTED_REDIRECTIONS", "")
	}
	if err := r.facts(n, c); err != nil {
		return nil, err
	}
	return c, r.sections(n, c)
}

// pinned takes a digest off a list, so that each stands for one thing at most.
type pinned map[string]int

func pin(digests [][]byte) pinned {
	p := pinned{}
	for _, d := range digests {
		p[string(d)]++
	}
	return p
}

func (p pinned) take(d []byte) bool {
	if p[string(d)] == 0 {
		return false
	}
	if p[string(d)]--; p[string(d)] == 0 {
		delete(p, string(d))
	}
	return true
}

func (r *Reader) facts(n *pb.SealedNotification, c *Checked) error {
	pins := pin(c.Manifest.FactsSha256)
	for _, b := range n.Facts {
		if !pins.take(digest(b)) {
			return refuse("UNPINNED_FACTS", "%s", hex.EncodeToString(digest(b)))
		}
		f := &pb.FactsBlock{}
		if err := parseKnown(b, f); err != nil {
			return err
		}
		if len(f.Salt) != 32 {
			return refuse("UNSALTED_FACTS", "%d bytes", len(f.Salt))
		}
		switch {
		case f.GetHub() != nil:
			if !r.AtHub || c.Hub != nil {
				return refuse("WRONG_FACTS", "facts for the hub")
			}
			c.Hub = f.GetHub()
		case f.GetChild() != nil:
			k := f.GetChild()
			if c.Manifest.GetOffer() == nil {
				return refuse("UNEXPECTED_FACTS", "of a child")
			}
			if k.Number < 1 || k.Number > 16 || c.Facts[int(k.Number)] != nil {
				return refuse("BAD_CHILD_NUMBER", "%d", k.Number)
			}
			c.Facts[int(k.Number)] = k
		default:
			return refuse("EMPTY_FACTS", "")
		}
	}
	if r.AtHub && len(pins) > 0 {
		return refuse("WRONG_FACTS", "%d blocks are not here", len(pins))
	}
	return nil
}

func (r *Reader) sections(n *pb.SealedNotification, c *Checked) error {
	pins, seen := pin(c.Manifest.GetOffer().GetSectionsSha256()), map[string]bool{}
	for _, s := range n.Sections {
		row, child := rowOf(s.Path)
		switch {
		case !pins.take(DigestOfSection(s.Path, s.Ciphertext)):
			return refuse("UNPINNED_SECTION", "%q", s.Path)
		case row == nil || seen[s.Path]:
			return refuse("BAD_PATH", "%q", s.Path)
		case child > 0 && c.Facts[child] == nil:
			return refuse("SECTION_WITHOUT_CHILD", "%q", s.Path)
		}
		seen[s.Path] = true
	}
	if r.AtHub && len(pins) > 0 {
		return refuse("MISSING_SECTION", "%d are not here", len(pins))
	}
	return nil
}

// sectionDigests are the digests of the sections that are there, ascending.
func sectionDigests(sections []*pb.SealedSection) [][]byte {
	out := [][]byte{}
	for _, s := range sections {
		out = append(out, DigestOfSection(s.Path, s.Ciphertext))
	}
	slices.SortFunc(out, bytes.Compare)
	return out
}

func sameList(a, b [][]byte) bool { return slices.EqualFunc(a, b, bytes.Equal) }

// within says whether every digest of a is in b.
func within(a, b [][]byte) bool {
	p := pin(b)
	for _, d := range a {
		if !p.take(d) {
			return false
		}
	}
	return true
}

// acknowledgement is the payload that says "I have it".
func acknowledgement(sha []byte) []byte { return append([]byte{0x0a, 0x20}, sha...) }
