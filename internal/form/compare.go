package form

import (
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// addressGroups numbers the addresses at which two or more of these children of a form live, from 1 in the order of the
// children; 0 is for a child who lives with none of the others, or of whom that is not known. Children live together
// when the form says so, or when their addresses are the same as typed but for letter case, spaces and commas.
func addressGroups(f *posternv1.Form, numbers []int) []uint32 {
	keys, count := make([]string, len(numbers)), map[string]int{}
	for i, n := range numbers {
		home := f.GetChildren()[n-1].GetHome()
		for same := home.GetSameAsChild(); same != 0; same = home.GetSameAsChild() {
			n, home = int(same), f.GetChildren()[same-1].GetHome()
		}
		switch {
		case tellsApart(home):
			keys[i] = address(home)
		case home.GetProvenance().GetKnown() == known:
			keys[i] = fmt.Sprintf("the home of child %d", n)
		}
		count[keys[i]]++
	}
	groups, numbered := make([]uint32, len(numbers)), map[string]uint32{}
	for i, key := range keys {
		if key == "" || count[key] < 2 {
			continue
		}
		if numbered[key] == 0 {
			numbered[key] = uint32(len(numbered) + 1)
		}
		groups[i] = numbered[key]
	}
	return groups
}

// tellsApart reports whether a home says enough to tell it from another: a postcode alone does not.
func tellsApart(h *posternv1.ChildHome) bool {
	return h.GetProvenance().GetKnown() == known && len(h.GetAddressLines()) > 0
}

// address is a home as one comparable text.
func address(h *posternv1.ChildHome) string {
	lines := strings.ReplaceAll(strings.Join(h.GetAddressLines(), " "), ",", " ")
	return fold(lines) + "|" + strings.ReplaceAll(fold(h.GetPostcode()), " ", "")
}

// CompareFacts returns the paths, sorted, of opened sections that contradict the facts that came with them: known when
// it was said not to be, another age, carer or relationship, a home where none may be, two homes that were said to be
// one or one that was said to be two. facts are those of one notification, opened its sections by path; neither needs
// to be complete, and only what was opened is compared. Sections of the parent have no facts an inbox sees.
func CompareFacts(facts []*posternv1.ChildFacts, opened map[string]proto.Message) []string {
	var wrong []string
	for path, m := range opened {
		n, ok := section.ChildOf(path)
		if !ok {
			continue
		}
		f := factsOf(facts, n)
		if f == nil || !knownAsStated(f, path, m) || contradicts(f, m) || livesElsewhere(f, facts, m, opened) {
			wrong = append(wrong, path)
		}
	}
	slices.Sort(wrong)
	return wrong
}

func factsOf(facts []*posternv1.ChildFacts, n int) *posternv1.ChildFacts {
	i := slices.IndexFunc(facts, func(f *posternv1.ChildFacts) bool { return f.GetNumber() == uint32(n) })
	if i < 0 {
		return nil
	}
	return facts[i]
}

func knownAsStated(f *posternv1.ChildFacts, path string, m proto.Message) bool {
	s, ok := m.(sourced)
	return ok && slices.ContainsFunc(f.GetKnown(), func(k *posternv1.SectionKnown) bool {
		return k.GetPath() == path && k.GetKnown() == s.GetProvenance().GetKnown()
	})
}

// contradicts draws the facts again from one section and compares those that rest on it.
func contradicts(f *posternv1.ChildFacts, m proto.Message) bool {
	switch m := m.(type) {
	case *posternv1.ChildIdentity:
		again := childFacts(&posternv1.Child{Identity: m}, f.GetAsOfDate())
		return !proto.Equal(&posternv1.ChildFacts{Age: again.Age}, &posternv1.ChildFacts{Age: f.Age})
	case *posternv1.ChildCarer:
		again := childFacts(&posternv1.Child{Carer: m}, "")
		return again.CarerKnown != f.CarerKnown || again.CarerIsAdult != f.CarerIsAdult
	case *posternv1.ChildRelationship:
		again := childFacts(&posternv1.Child{Relationship: m}, "")
		return again.PrimaryCarerBefore != f.PrimaryCarerBefore || again.LivedWithBefore != f.LivedWithBefore ||
			again.ParentalResponsibility != f.ParentalResponsibility
	case *posternv1.ChildHome:
		return m.GetProvenance().GetKnown() == known && (f.GetInCare() || f.GetAddressConfidential()) ||
			m.GetSameAsChild() != 0 || // a part gives every home in full
			outwardOnly(m) != f.GetOutwardCodeOnly()
	default:
		return false
	}
}

// livesElsewhere compares an opened home with the opened homes of the other children.
func livesElsewhere(f *posternv1.ChildFacts, facts []*posternv1.ChildFacts, m proto.Message, opened map[string]proto.Message) bool {
	home, ok := m.(*posternv1.ChildHome)
	if !ok {
		return false
	}
	for _, other := range facts {
		theirs, ok := opened[fmt.Sprintf("child/%d/home", other.GetNumber())].(*posternv1.ChildHome)
		if !ok || other.GetNumber() == f.GetNumber() {
			continue
		}
		together := f.GetSameAddressGroup() != 0 && f.GetSameAddressGroup() == other.GetSameAddressGroup()
		same := address(home) == address(theirs)
		if together && !same || !together && same && tellsApart(home) && tellsApart(theirs) {
			return true
		}
	}
	return false
}
