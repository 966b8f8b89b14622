package stranger

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "postern/proto/postern/v1"
)

var authorityCode = regexp.MustCompile(`^(E06|E08|E09|E10|W06)[0-9]{6}$`)

// part is what of a form concerns one authority: the numbers that its children have in the form, in order.
type part struct {
	authority string
	children  []int
}

// number is the number in the notification of a child by its number in the form, 0 when it is not there.
func (p *part) number(inForm int) int { return slices.Index(p.children, inForm) + 1 }

// path is a path of the form in the numbers of the notification.
func (p *part) path(inForm string) (string, bool) {
	m := childPath.FindStringSubmatch(inForm)
	if m == nil {
		return inForm, !strings.HasPrefix(inForm, "child/")
	}
	var n int
	fmt.Sscan(m[1], &n)
	if n = p.number(n); n == 0 {
		return "", false
	}
	return fmt.Sprintf("child/%d%s", n, m[2]), true
}

// paths translates paths and drops those of other authorities' children.
func (p *part) paths(inForm []string) []string {
	var out []string
	for _, s := range inForm {
		if t, ok := p.path(s); ok && !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out
}

// expand turns patterns into the paths of the children who are covered.
func expand(sections []string, children []uint32) []string {
	var out []string
	for _, s := range sections {
		if !strings.Contains(s, "{n}") {
			out = append(out, s)
			continue
		}
		for _, n := range children {
			out = append(out, strings.Replace(s, "{n}", fmt.Sprint(n), 1))
		}
	}
	return out
}

// project is the consent for one authority, under an id of its own.
func (p *part) project(c *pb.Consent) *pb.Consent {
	if c == nil {
		return nil
	}
	out := proto.Clone(c).(*pb.Consent)
	out.Id = newUUID()
	out.Sections = p.paths(expand(c.Sections, c.Children))
	out.Children, out.Authorities = nil, nil
	for _, n := range c.Children {
		if k := p.number(int(n)); k > 0 {
			out.Children = append(out.Children, uint32(k))
		}
	}
	slices.Sort(out.Children)
	if slices.Contains(c.Authorities, p.authority) {
		out.Authorities = []string{p.authority}
	}
	if w := out.Withdrawal; w != nil && len(w.Paths) > 0 {
		w.Paths = p.paths(expand(w.Paths, c.Children))
	}
	return out
}

// consider is a person's decision in the numbers of the notification.
func (p *part) consider(c *pb.Consideration, reasons string) *pb.Consideration {
	if c == nil {
		return nil
	}
	out := proto.Clone(c).(*pb.Consideration)
	out.Paths, out.NotMoreDetrimental = p.paths(c.Paths), nil
	for _, n := range c.NotMoreDetrimental {
		if k := p.number(int(n)); k > 0 {
			out.NotMoreDetrimental = append(out.NotMoreDetrimental, uint32(k))
		}
	}
	if reasons != "" {
		out.ReasonsSha256 = digest([]byte(reasons))
	}
	return out
}

// written copies a form so that every home stands in full and no child has a home that nobody may tell.
func written(form *pb.Form) (*pb.Form, error) {
	f := proto.Clone(form).(*pb.Form)
	if f.Route == pb.Route_ROUTE_UNSPECIFIED {
		f.Route = pb.Route_ROUTE_STANDARD
	}
	if len(f.Children) > 16 {
		return nil, errors.New("more than 16 children")
	}
	for i, c := range f.Children {
		if !authorityCode.MatchString(c.Authority) {
			return nil, fmt.Errorf("child %d: %q is no authority", i+1, c.Authority)
		}
		if c.InCare || c.AddressConfidential {
			if isKnown(c.Home) {
				return nil, fmt.Errorf("child %d: a home that must not be recorded", i+1)
			}
		}
		if h := c.Home; h.GetSameAsChild() != 0 {
			if int(h.SameAsChild) > i {
				return nil, fmt.Errorf("child %d: the same home as a later child", i+1)
			}
			other := f.Children[h.SameAsChild-1].Home
			h.AddressLines, h.Postcode, h.SameAsChild = other.GetAddressLines(), other.GetPostcode(), 0
		}
	}
	return f, nil
}

// split says which authorities a form goes to, with which children. On the standard route only with the person's consent.
func split(f *pb.Form) []*part {
	var parts []*part
	for i, c := range f.Children {
		if f.Route == pb.Route_ROUTE_STANDARD && !slices.Contains(f.Consent.GetChildren(), uint32(i+1)) {
			continue
		}
		named := slices.Contains(f.Consent.GetAuthorities(), c.Authority) || f.Consent.GetFollowsChild()
		if f.Route == pb.Route_ROUTE_STANDARD && !named {
			continue
		}
		at := slices.IndexFunc(parts, func(p *part) bool { return p.authority == c.Authority })
		if at < 0 {
			parts, at = append(parts, &part{authority: c.Authority}), len(parts)
		}
		parts[at].children = append(parts[at].children, i+1)
	}
	return parts
}

// authorised are the paths, in the numbers of the notification, that the route lets go.
func (p *part) authorised(f *pb.Form, consent *pb.Consent, c *pb.Consideration) map[string]bool {
	ok := map[string]bool{}
	given := consent.GetState() == pb.ConsentState_CONSENT_STATE_GIVEN
	each := func(r *sectionRow, path string) {
		switch {
		case f.Route == pb.Route_ROUTE_DUTY:
			ok[path] = slices.Contains(c.GetPaths(), path)
		case r.class == "U":
			ok[path] = f.Route == pb.Route_ROUTE_URGENT
		case f.Route == pb.Route_ROUTE_URGENT && (r.class == "M" || r.urgent):
			ok[path] = true
		default:
			ok[path] = given && (r.class == "M" || slices.Contains(consent.GetSections(), path))
		}
	}
	for i := range sectionTable {
		if r := &sectionTable[i]; r.ofChild() {
			for n := range p.children {
				each(r, r.at(n+1))
			}
		} else {
			each(r, r.path)
		}
	}
	return ok
}

// kept is what a later manifest of the same notification keeps of the first.
type kept struct {
	id, slip, supersedes string
	first                time.Time
	sender               *pb.Sender
	change               pb.ChangeReason
}

// offer builds the notification of one part of a form.
func (d *Desk) offer(f *pb.Form, p *part, k kept, now time.Time) (*pb.SealedNotification, error) {
	today := now.In(london).Format(civil)
	consent, considered := p.project(f.Consent), p.consider(f.Consideration, f.ConsiderationReasons)
	key := d.Directory.Key(p.authority, now)
	o := &pb.Offer{
		Route: f.Route, Authority: p.authority, DestinationSource: pb.DestinationSource_DESTINATION_SOURCE_STAFF_CHOICE,
		Consent: consent, LawfulBasis: f.LawfulBasis, ChangeReason: k.change,
	}
	if o.LawfulBasis == nil {
		o.LawfulBasis = d.Basis
	}
	m := d.manifest(k.id, k.sender, now, 30*24*time.Hour)
	m.Reception, m.NoticeVersion, m.Supersedes = f.Reception, f.NoticeVersion, k.supersedes
	m.Statement = &pb.Manifest_Offer{Offer: o}
	n := &pb.SealedNotification{}

	hub := &pb.HubFacts{
		SubjectRef: mac(d.RefKey, "subject", bare(f.PrisonNumber)), ContentRef: contentRef(d.RefKey, f, p.authority),
		FirstSubmitTime: timestamppb.New(k.first), Gate: f.Gate, Consideration: considered,
		SlipCodeSha256: digest([]byte(k.slip)), Known: hubKnown(f),
	}
	if hub.Gate == pb.Gate_GATE_UNSPECIFIED {
		hub.Gate = pb.Gate_GATE_NOT_DONE
	}
	if f.Route == pb.Route_ROUTE_URGENT {
		hub.UrgencyReason, hub.AuthorisedRole = f.Urgency.GetReason(), f.Urgency.GetAuthorisedBy().GetRole()
	}
	for _, c := range f.Calls {
		if k := p.number(int(c.ChildNumber)); c.ChildNumber == 0 || k > 0 {
			hub.Calls = append(hub.Calls, &pb.Call{CallTime: c.CallTime, Result: c.Result, ChildNumber: uint32(k)})
		}
	}
	var children []*pb.Child
	var facts []*pb.ChildFacts
	for i, at := range p.children {
		c := f.Children[at-1]
		children, facts = append(children, c), append(facts, childFacts(f, c, i+1, today))
		hub.ChildRefs = append(hub.ChildRefs, childRef(d.RefKey, f.PrisonNumber, c))
		hub.DestinationChecked = hub.DestinationChecked || c.AuthorityChecked
	}
	groupHomes(children, facts)
	n.Facts = append(n.Facts, mustMarshal(&pb.FactsBlock{Salt: random(32), Facts: &pb.FactsBlock_Hub{Hub: hub}}))
	for _, c := range facts {
		n.Facts = append(n.Facts, mustMarshal(&pb.FactsBlock{Salt: random(32), Facts: &pb.FactsBlock_Child{Child: c}}))
	}
	if key != nil {
		x, enc, err := NewSealing(key.PublicKey, k.id, d.Me.URI)
		if err != nil {
			return nil, err
		}
		ok := p.authorised(f, consent, considered)
		seal := func(r *sectionRow, c *pb.Child, path string) error {
			s := r.of(f, c)
			if isNil(s) || !ok[path] || r.path == "child/{n}/home" && (c.InCare || c.AddressConfidential) {
				return nil
			}
			sealed, err := x.Seal(path, s)
			if err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			n.Sections = append(n.Sections, sealed)
			return nil
		}
		for i := range sectionTable {
			r := &sectionTable[i]
			if !r.ofChild() {
				err = errors.Join(err, seal(r, nil, r.path))
				continue
			}
			for j, c := range children {
				err = errors.Join(err, seal(r, c, r.at(j+1)))
			}
		}
		if err != nil {
			return nil, err
		}
		if len(n.Sections) > 0 {
			o.Suite, o.RecipientKeyId, o.EncapsulatedKey = 1, key.KeyId, enc
			o.SectionsSha256 = sectionDigests(n.Sections)
		}
	}
	return n, d.finish(n, m)
}

// manifest begins a manifest.
func (d *Desk) manifest(id string, sender *pb.Sender, now time.Time, life time.Duration) *pb.Manifest {
	if sender == nil {
		sender = d.Sender
	}
	return &pb.Manifest{
		NotificationId: id, Audience: d.Trust.Domain, Sender: sender,
		CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.Add(life)),
	}
}

// finish pins the facts, serializes and signs.
func (d *Desk) finish(n *pb.SealedNotification, m *pb.Manifest) (err error) {
	m.FactsSha256 = nil
	for _, b := range n.Facts {
		m.FactsSha256 = append(m.FactsSha256, digest(b))
	}
	slices.SortFunc(m.FactsSha256, bytes.Compare)
	n.Manifest, err = d.Me.Sign(TypeManifest, mustMarshal(m))
	return err
}
