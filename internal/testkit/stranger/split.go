package stranger

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
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

// covered says whether a consent covers a section, to whomever it reaches. The minimum is no exception, and safety goes
// with its home.
func covered(c *pb.Consent, path string) bool {
	r, n := rowOf(path)
	if r == nil || r.class == "U" || c.GetState() != pb.ConsentState_CONSENT_STATE_GIVEN || c.GetUnderstood() != pb.ConsentUnderstood_CONSENT_UNDERSTOOD_YES {
		return false
	}
	if w := c.Withdrawal; w != nil && (len(w.Paths) == 0 || slices.ContainsFunc(w.Paths, func(p string) bool { return covers(p, path) })) {
		return false
	}
	if r.path == "child/{n}/safety" && covered(c, fmt.Sprintf("child/%d/home", n)) {
		return true
	}
	return (n == 0 || slices.Contains(c.Children, uint32(n))) && (slices.Contains(c.Sections, path) || slices.Contains(c.Sections, r.path))
}

// ends is when a consent ends.
func ends(c *pb.Consent) time.Time {
	if c.GetExpireTime() != nil {
		return c.ExpireTime.AsTime()
	}
	return c.GetGiveTime().AsTime().AddDate(0, 0, 90)
}

// project is the consent for one authority, under an id of its own.
func (p *part) project(c *pb.Consent) *pb.Consent {
	if c == nil {
		return nil
	}
	out := proto.Clone(c).(*pb.Consent)
	out.Id, out.Children, out.Authorities, out.Sections = newUUID(), nil, nil, nil
	for i, n := range p.children {
		if slices.Contains(c.Children, uint32(n)) {
			out.Children = append(out.Children, uint32(i+1))
		}
	}
	if w := out.Withdrawal; w != nil && len(w.Paths) > 0 {
		if w.Paths = p.paths(w.Paths); len(w.Paths) == 0 {
			out.Withdrawal = nil // without paths it would say that all was withdrawn
		}
	}
	if !c.FollowsChild && !slices.Contains(c.Authorities, p.authority) {
		return out
	}
	out.Authorities = []string{p.authority}
	for _, r := range sectionTable {
		if !r.ofChild() && covered(c, r.path) {
			out.Sections = append(out.Sections, r.path)
		}
	}
	for i, n := range p.children {
		for _, r := range sectionTable {
			if r.ofChild() && covered(c, r.at(n)) {
				out.Sections = append(out.Sections, r.at(i+1))
			}
		}
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

// written copies a form so that every home stands in full, and refuses a home that nobody may tell. Which children live
// together by what the form says is still in it.
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
		if (c.InCare || c.AddressConfidential) && isKnown(c.Home) {
			return nil, fmt.Errorf("child %d: a home that must not be recorded", i+1)
		}
		if h := c.Home; h.GetSameAsChild() != 0 {
			if int(h.SameAsChild) > i {
				return nil, fmt.Errorf("child %d: the same home as a later child", i+1)
			}
			other := f.Children[h.SameAsChild-1].Home // of which the same was done before
			h.AddressLines, h.Postcode = other.GetAddressLines(), other.GetPostcode()
		}
	}
	return f, nil
}

// split says which authorities a form goes to, with which children: all of them, whatever was agreed about each.
func split(f *pb.Form) []*part {
	var parts []*part
	for i, c := range f.Children {
		at := slices.IndexFunc(parts, func(p *part) bool { return p.authority == c.Authority })
		if at < 0 {
			parts, at = append(parts, &part{authority: c.Authority}), len(parts)
		}
		parts[at].children = append(parts[at].children, i+1)
	}
	return parts
}

// authorised says whether the route lets a section go, by its path in the notification.
func authorised(f *pb.Form, consent *pb.Consent, c *pb.Consideration, path string, now time.Time) bool {
	r, _ := rowOf(path)
	switch f.Route {
	case pb.Route_ROUTE_DUTY:
		return slices.Contains(c.GetPaths(), path)
	case pb.Route_ROUTE_URGENT:
		if r.path == "child/{n}/school" {
			return f.Urgency.GetReason() == pb.UrgencyReason_URGENCY_REASON_COLLECT_FROM_SCHOOL
		}
		return r.urgent || r.class != "P"
	}
	return covered(consent, path) && now.Before(ends(consent))
}

// callsOf are the calls about the children of a part: those of the form, and those of the urgent section without number,
// name and words. One that is in both is one.
func (p *part) callsOf(f *pb.Form) []*pb.Call {
	var calls []*pb.Call
	for _, c := range f.Calls {
		if k := p.number(int(c.ChildNumber)); c.ChildNumber == 0 || k > 0 {
			calls = append(calls, &pb.Call{CallTime: c.CallTime, Result: c.Result, ChildNumber: uint32(k)})
		}
	}
	for _, c := range f.Urgency.GetCalls() {
		if !slices.ContainsFunc(calls, func(o *pb.Call) bool { return proto.Equal(o.CallTime, c.CallTime) && o.Result == c.Result }) {
			calls = append(calls, &pb.Call{CallTime: c.CallTime, Result: c.Result})
		}
	}
	return calls
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
	o := &pb.Offer{Route: f.Route, Authority: p.authority, DestinationSource: pb.DestinationSource_DESTINATION_SOURCE_STAFF_CHOICE,
		Consent: p.project(f.Consent), LawfulBasis: d.basis(f), ChangeReason: k.change}
	m := d.manifest(k.id, k.sender, now, 30*24*time.Hour)
	m.Reception, m.NoticeVersion, m.Supersedes = f.Reception, f.NoticeVersion, k.supersedes
	m.Statement = &pb.Manifest_Offer{Offer: o}
	n := &pb.SealedNotification{Facts: d.factsOf(f, p, k, now)}
	if key := d.Directory.Key(p.authority, now); key != nil {
		x, enc, err := NewSealing(key.PublicKey, k.id, d.Me.URI)
		if err != nil {
			return nil, err
		}
		o.Suite, o.RecipientKeyId, o.EncapsulatedKey = 1, key.KeyId, enc
		considered := p.consider(f.Consideration, f.ConsiderationReasons)
		for path, s := range p.sections(f) {
			if !authorised(f, o.Consent, considered, path, now) {
				continue
			}
			sealed, err := x.Seal(path, s)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			n.Sections = append(n.Sections, sealed)
		}
		o.SectionsSha256 = sectionDigests(n.Sections)
	}
	return n, d.finish(n, m)
}

// sections are all sections of a part that the form has, by their paths in the notification.
func (p *part) sections(f *pb.Form) iter.Seq2[string, proto.Message] {
	return func(yield func(string, proto.Message) bool) {
		for _, r := range sectionTable {
			if !r.ofChild() {
				if s := r.of(f, nil); s != nil && !yield(r.path, s) {
					return
				}
				continue
			}
			for j, at := range p.children {
				if s := r.of(f, f.Children[at-1]); s != nil && !yield(r.at(j+1), s) {
					return
				}
			}
		}
	}
}

// basis is the lawful basis of a form, or the desk's. The condition of Article 9 stands on every form alike, or it would
// tell of which child it is needed.
func (d *Desk) basis(f *pb.Form) *pb.LawfulBasis {
	b := f.LawfulBasis
	if b == nil {
		return d.Basis
	}
	if b.Article9Condition == "" {
		b = proto.Clone(b).(*pb.LawfulBasis)
		b.Article9Condition = d.Basis.GetArticle9Condition()
	}
	return b
}

// factsOf are the blocks of a part, each with its salt.
func (d *Desk) factsOf(f *pb.Form, p *part, k kept, now time.Time) [][]byte {
	hub := d.hubFacts(f, p, k)
	hub.SlipCodeSha256, hub.Known = digest([]byte(k.slip)), hubKnown(f)
	switch f.Route {
	case pb.Route_ROUTE_URGENT:
		hub.UrgencyReason, hub.AuthorisedRole = f.Urgency.GetReason(), f.Urgency.GetAuthorisedBy().GetRole()
	case pb.Route_ROUTE_DUTY:
		hub.Consideration = p.consider(f.Consideration, f.ConsiderationReasons)
	}
	var facts []*pb.ChildFacts
	for i, at := range p.children {
		c := f.Children[at-1]
		facts = append(facts, childFacts(f, c, i+1, today(now)))
		hub.ChildRefs = append(hub.ChildRefs, childRef(d.RefKey, f.PrisonNumber, c))
	}
	groupHomes(f, p.children, facts)
	blocks := [][]byte{mustMarshal(&pb.FactsBlock{Salt: random(32), Facts: &pb.FactsBlock_Hub{Hub: hub}})}
	for _, c := range facts {
		blocks = append(blocks, mustMarshal(&pb.FactsBlock{Salt: random(32), Facts: &pb.FactsBlock_Child{Child: c}}))
	}
	return blocks
}

// hubFacts are the facts for the hub that an enquiry has too.
func (d *Desk) hubFacts(f *pb.Form, p *part, k kept) *pb.HubFacts {
	hub := &pb.HubFacts{SubjectRef: mac(d.RefKey, "subject", bare(f.PrisonNumber)), ContentRef: contentRef(d.RefKey, f, p),
		FirstSubmitTime: timestamppb.New(k.first), Gate: f.Gate, Calls: p.callsOf(f)}
	if hub.Gate == pb.Gate_GATE_UNSPECIFIED {
		hub.Gate = pb.Gate_GATE_NOT_DONE
	}
	return hub
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
