package stranger

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // Europe/London wherever this runs

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "postern/proto/postern/v1"
)

// today is the civil date in Europe/London.
func today(now time.Time) string {
	l, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic(err) // the tables are built in
	}
	return now.In(l).Format(civil)
}

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
	day, _ := time.Parse(civil, f.AsOfDate)
	switch born := id.Born.(type) {
	case *pb.ChildIdentity_DateOfBirth:
		if d, err := time.Parse(civil, born.DateOfBirth); err == nil {
			f.Age = &pb.ChildFacts_AgeYears{AgeYears: uint32(wholeYears(d, day))}
		}
	case *pb.ChildIdentity_AgeYears:
		age := born.AgeYears
		if d, err := time.Parse(civil, id.GetProvenance().GetAsOfDate()); err == nil {
			age += uint32(wholeYears(d, day))
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

// address is a home in lower case, with commas and runs of spaces as one space.
func address(h *pb.ChildHome) string {
	return plainName(strings.ReplaceAll(strings.Join(h.GetAddressLines(), " "), ",", " ")) + "|" + bare(h.GetPostcode())
}

// tells says whether a home says enough to tell it from another.
func tells(h *pb.ChildHome) bool { return isKnown(h) && len(h.AddressLines) > 0 }

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
	for _, r := range sectionTable {
		if r.ofChild() {
			facts.Known = append(facts.Known, &pb.SectionKnown{Path: r.at(number), Known: knownOf(r.of(f, c))})
		}
	}
	return facts
}

// groupHomes numbers the addresses at which more than one of these children lives: because the form says so, or because
// the homes are the same.
func groupHomes(f *pb.Form, numbers []int, facts []*pb.ChildFacts) {
	keys, count, group := make([]string, len(numbers)), map[string]int{}, map[string]uint32{}
	for i, n := range numbers {
		h := f.Children[n-1].Home
		for h.GetSameAsChild() != 0 {
			n = int(h.SameAsChild)
			h = f.Children[n-1].Home
		}
		switch {
		case tells(h):
			keys[i] = address(h)
		case isKnown(h):
			keys[i] = fmt.Sprint("the home of child ", n)
		}
		count[keys[i]]++
	}
	for i, k := range keys {
		if k == "" || count[k] < 2 {
			continue
		}
		if group[k] == 0 {
			group[k] = uint32(len(group) + 1)
		}
		facts[i].SameAddressGroup = group[k]
	}
}

// hubKnown is known for the hub.
func hubKnown(f *pb.Form) []*pb.SectionKnown {
	var out []*pb.SectionKnown
	for _, r := range sectionTable {
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

// contentRef is of all that a part tells, without ids, times, calls and the gate.
func contentRef(key []byte, f *pb.Form, p *part) []byte {
	told := []string{"content", bare(f.PrisonNumber), p.authority, f.Route.String(), f.Enquiry.String()}
	say := func(path string, m proto.Message) {
		if !isNil(m) {
			m = proto.Clone(m)
			clearTimes(m.ProtoReflect())
			told = append(told, path, string(mustMarshal(m)))
		}
	}
	say("reception", f.Reception)
	consent := p.project(f.Consent)
	if consent != nil {
		consent.Id = ""
	}
	say("consent", consent)
	say("consideration", p.consider(f.Consideration, f.ConsiderationReasons))
	for path, m := range p.sections(f) {
		say(path, m)
	}
	return mac(key, told...)
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
		stated := slices.ContainsFunc(f.Known, func(k *pb.SectionKnown) bool { return k.Path == path && k.Known == knownOf(m) })
		if !stated || contradicts(f, m, opened, facts) {
			bad[path] = true
		}
	}
	var out []string
	for n := 1; n <= 16; n++ {
		for _, r := range sectionTable {
			if p := r.at(n); r.ofChild() && bad[p] {
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
			together, same := f.SameAddressGroup != 0 && f.SameAddressGroup == g.SameAddressGroup, address(s) == address(other)
			if together && !same || !together && same && tells(s) && tells(other) {
				return true
			}
		}
	}
	return false
}
