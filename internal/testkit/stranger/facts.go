package stranger

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"regexp"
	"strings"
	"time"
	_ "time/tzdata" // Europe/London wherever this runs

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "postern/proto/postern/v1"
)

var london = func() *time.Location {
	l, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic(err) // the tables are built in
	}
	return l
}()

const civil = "2006-01-02"

// isNil is for messages behind an interface, where a nil pointer is a message that is not there.
func isNil(m proto.Message) bool { return m == nil || !m.ProtoReflect().IsValid() }

// knownOf is what a section says of itself; one that is not there was not asked.
func knownOf(m proto.Message) pb.Known {
	if isNil(m) {
		return pb.Known_KNOWN_NOT_ASKED
	}
	p, _ := m.(interface{ GetProvenance() *pb.Provenance })
	return p.GetProvenance().GetKnown()
}

func isKnown(m proto.Message) bool { return knownOf(m) == pb.Known_KNOWN_KNOWN }

// answer is what a section says, or NOT_KNOWN where the section or the answer is not there.
func answer(m proto.Message, a pb.Answer) pb.Answer {
	if !isKnown(m) || a == pb.Answer_ANSWER_UNSPECIFIED {
		return pb.Answer_ANSWER_NOT_KNOWN
	}
	return a
}

// wholeYears is how many years lie between two civil dates.
func wholeYears(from, to time.Time) int {
	y := to.Year() - from.Year()
	if to.Month() < from.Month() || to.Month() == from.Month() && to.Day() < from.Day() {
		y--
	}
	return max(y, 0)
}

// setAge draws the age from an identity.
func setAge(f *pb.ChildFacts, id *pb.ChildIdentity) {
	if !isKnown(id) {
		return
	}
	today, _ := time.Parse(civil, f.AsOfDate)
	switch born := id.Born.(type) {
	case *pb.ChildIdentity_DateOfBirth:
		if d, err := time.Parse(civil, born.DateOfBirth); err == nil {
			f.Age = &pb.ChildFacts_AgeYears{AgeYears: uint32(wholeYears(d, today))}
		}
	case *pb.ChildIdentity_AgeYears:
		age := born.AgeYears
		if d, err := time.Parse(civil, id.GetProvenance().GetAsOfDate()); err == nil {
			age += uint32(wholeYears(d, today))
		}
		f.Age = &pb.ChildFacts_AgeYears{AgeYears: age}
	case *pb.ChildIdentity_DueDate:
		f.Age = &pb.ChildFacts_Unborn{Unborn: true}
	}
}

func carerKnown(c *pb.ChildCarer) pb.Answer {
	if isKnown(c) && (c.Name != "" || c.Relationship != pb.Relationship_RELATIONSHIP_UNSPECIFIED) {
		return pb.Answer_ANSWER_YES
	}
	return pb.Answer_ANSWER_NO
}

var (
	fullPostcode = regexp.MustCompile(`^[A-Z]{1,2}[0-9][A-Z0-9]?[0-9][A-Z]{2}$`)
	outwardCode  = regexp.MustCompile(`^[A-Z]{1,2}[0-9][A-Z0-9]?$`)
)

func bare(s string) string { return strings.ToUpper(strings.ReplaceAll(s, " ", "")) }

func outwardOnly(h *pb.ChildHome) bool {
	p := bare(h.GetPostcode())
	return isKnown(h) && !fullPostcode.MatchString(p) && outwardCode.MatchString(p)
}

// address is a home but for letter case, spaces and commas; empty where it says no address.
func address(h *pb.ChildHome) string {
	if !isKnown(h) {
		return ""
	}
	s := strings.Join(append(append([]string{}, h.AddressLines...), h.Postcode), "")
	return strings.Map(func(r rune) rune {
		if r == ' ' || r == ',' {
			return -1
		}
		return r
	}, strings.ToLower(s))
}

// childFacts draws the facts of one child; its home must be written in full.
func childFacts(f *pb.Form, c *pb.Child, number int, today string) *pb.ChildFacts {
	facts := &pb.ChildFacts{
		Number: uint32(number), AsOfDate: today,
		CarerKnown:             carerKnown(c.Carer),
		CarerIsAdult:           answer(c.Carer, c.Carer.GetIsAdult()),
		PrimaryCarerBefore:     answer(c.Relationship, c.Relationship.GetPrimaryCarerBefore()),
		LivedWithBefore:        answer(c.Relationship, c.Relationship.GetLivedWithBefore()),
		ParentalResponsibility: answer(c.Relationship, c.Relationship.GetParentalResponsibility()),
		InCare:                 c.InCare,
		AddressConfidential:    c.AddressConfidential,
		OutwardCodeOnly:        outwardOnly(c.Home),
	}
	setAge(facts, c.Identity)
	for i := range sectionTable {
		if r := &sectionTable[i]; r.ofChild() {
			facts.Known = append(facts.Known, &pb.SectionKnown{Path: r.at(number), Known: knownOf(r.of(f, c))})
		}
	}
	return facts
}

// groupHomes numbers the addresses at which more than one child lives.
func groupHomes(children []*pb.Child, facts []*pb.ChildFacts) {
	count, group := map[string]int{}, map[string]uint32{}
	for _, c := range children {
		count[address(c.Home)]++
	}
	for i, c := range children {
		a := address(c.Home)
		if a == "" || count[a] < 2 {
			continue
		}
		if group[a] == 0 {
			group[a] = uint32(len(group) + 1)
		}
		facts[i].SameAddressGroup = group[a]
	}
}

// hubKnown is known for the hub.
func hubKnown(f *pb.Form) []*pb.SectionKnown {
	var out []*pb.SectionKnown
	for i := range sectionTable {
		r := &sectionTable[i]
		if strings.HasPrefix(r.path, "parent/") || r.class == "U" && f.Route == pb.Route_ROUTE_URGENT {
			out = append(out, &pb.SectionKnown{Path: r.path, Known: knownOf(r.of(f, nil))})
		}
	}
	return out
}

// mac is a reference under the desk's own key.
func mac(key []byte, parts ...string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(Frame(parts...))
	return h.Sum(nil)
}

func plainName(s string) string { return strings.ToLower(strings.Join(strings.Fields(s), " ")) }

// childRef is what tells a child from others.
func childRef(key []byte, prisonNumber string, c *pb.Child) []byte {
	id := c.Identity
	born := id.GetDateOfBirth() + "/" + id.GetDueDate()
	return mac(key, "child", bare(prisonNumber), plainName(id.GetGivenName()), plainName(id.GetFamilyName()), born)
}

// contentRef is of all that a notification tells, without ids, times, calls and the gate.
func contentRef(key []byte, f *pb.Form, authority string) []byte {
	c := proto.Clone(f).(*pb.Form)
	c.FormId, c.Supersedes, c.Gate, c.Calls, c.Tonight, c.ConsiderationReasons = "", "", 0, nil, nil, ""
	if c.Consent != nil {
		c.Consent.Id = ""
	}
	clearTimes(c.ProtoReflect())
	return mac(key, "content", authority, string(mustMarshal(c)))
}

// clearTimes takes every time out of a message, and the calls to the front door with it.
func clearTimes(m protoreflect.Message) {
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.Message().FullName() == "google.protobuf.Timestamp", f.Message().Name() == "UrgencyCall":
			m.Clear(f)
		case f.IsList():
			for i := range v.List().Len() {
				clearTimes(v.List().Get(i).Message())
			}
		default:
			clearTimes(v.Message())
		}
		return true
	})
}

// Mismatches compares what was opened with the facts and names the paths that contradict them.
func Mismatches(facts map[int]*pb.ChildFacts, opened map[string]proto.Message) []string {
	bad := map[string]bool{}
	for path, m := range opened {
		_, n := rowOf(path)
		f := facts[n]
		if n == 0 || f == nil {
			continue
		}
		for _, k := range f.Known {
			if k.Path == path && k.Known != knownOf(m) {
				bad[path] = true
			}
		}
		if contradicts(f, m, opened, facts) {
			bad[path] = true
		}
	}
	var out []string
	for n := 1; n <= 16; n++ {
		for i := range sectionTable {
			if p := sectionTable[i].at(n); sectionTable[i].ofChild() && bad[p] {
				out = append(out, p)
			}
		}
	}
	return out
}

// contradicts says whether one opened section of a child contradicts its facts.
func contradicts(f *pb.ChildFacts, m proto.Message, opened map[string]proto.Message, all map[int]*pb.ChildFacts) bool {
	switch s := m.(type) {
	case *pb.ChildIdentity:
		drawn := &pb.ChildFacts{AsOfDate: f.AsOfDate}
		setAge(drawn, s)
		was := &pb.ChildFacts{AsOfDate: f.AsOfDate, Age: f.Age}
		return !bytes.Equal(mustMarshal(drawn), mustMarshal(was))
	case *pb.ChildRelationship:
		return f.PrimaryCarerBefore != answer(s, s.PrimaryCarerBefore) || f.LivedWithBefore != answer(s, s.LivedWithBefore) ||
			f.ParentalResponsibility != answer(s, s.ParentalResponsibility)
	case *pb.ChildCarer:
		return f.CarerKnown != carerKnown(s) || f.CarerIsAdult != answer(s, s.IsAdult)
	case *pb.ChildHome:
		if isKnown(s) && (f.InCare || f.AddressConfidential) || s.SameAsChild != 0 || f.OutwardCodeOnly != outwardOnly(s) {
			return true
		}
		for path, o := range opened {
			other, ok := o.(*pb.ChildHome)
			_, n := rowOf(path)
			g := all[n]
			if !ok || g == nil || g.Number == f.Number {
				continue
			}
			same := address(s) != "" && address(s) == address(other)
			if same != (f.SameAddressGroup != 0 && f.SameAddressGroup == g.SameAddressGroup) {
				return true
			}
		}
	}
	return false
}
