// Package consent says what a person's consent reaches: until when, which sections, which authority, and how it looks
// to one authority alone.
//
// Consent here is what the person agreed to tell. It is neither the lawful basis nor the family's agreement to be
// helped, and policy may always allow less than it covers. The package is pure: no clock, no randomness, no I/O. It
// guarantees that whatever is unset, withdrawn, not understood or unknown covers nothing, and that a projection names
// no other authority and no other authority's children. It does not check that a consent is well formed (package form
// does), nor whether it has ended: a caller compares Expiry with its own clock.
package consent

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// Term is how long a consent lasts that names no end.
const Term = 90 * 24 * time.Hour

// Expiry returns the moment from which the consent no longer holds: expire_time, or Term after give_time. It is the
// zero time, long past, for a consent that has neither.
func Expiry(c *posternv1.Consent) time.Time {
	switch {
	case c.GetExpireTime() != nil:
		return c.GetExpireTime().AsTime()
	case c.GetGiveTime() != nil:
		return c.GetGiveTime().AsTime().Add(Term)
	default:
		return time.Time{}
	}
}

// askAgain is after how many days a person is asked again who could not be asked, or who agreed without understanding.
var askAgain = [...]int{1, 3}

// AskAgain returns the days on which to ask again after a day on which nobody could: the next and the third. After the
// last of them a person decides.
func AskAgain(since time.Time) []time.Time {
	days := make([]time.Time, len(askAgain))
	for i, n := range askAgain {
		days[i] = since.AddDate(0, 0, n)
	}
	return days
}

// Reaches reports whether the person agreed that this authority may be told: they named it, or the consent follows the
// child to the team where the child lives. The caller vouches that the child does live there.
func Reaches(c *posternv1.Consent, authority string) bool {
	return authority != "" && (c.GetFollowsChild() || slices.Contains(c.GetAuthorities(), authority))
}

// Covers reports whether the person agreed to tell the section at path, such as `child/2/home`, to whomever the consent
// reaches. They must have said yes, said it back, named the child and the section, and not withdrawn either. The
// minimum is no exception: it is the smallest bundle a page offers, not something a yes brings with it. One section
// follows another: safety travels with its home, so that nobody gets an address without the way to knock safely.
// The urgent section is never covered, since its route rests on no consent.
func Covers(c *posternv1.Consent, path string) bool {
	s, ok := section.Lookup(path)
	if !ok || s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT ||
		c.GetState() != posternv1.ConsentState_CONSENT_STATE_GIVEN ||
		c.GetUnderstood() != posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_YES ||
		withdrawn(c, path) {
		return false
	}
	if child, ok := strings.CutSuffix(path, "/safety"); ok && Covers(c, child+"/home") {
		return true
	}
	if n, ok := section.ChildOf(path); ok && !slices.Contains(c.GetChildren(), uint32(n)) {
		return false
	}
	return slices.Contains(c.GetSections(), path) || slices.Contains(c.GetSections(), s.Pattern)
}

// withdrawn reports whether path falls under the withdrawal: it has none for all, one for the child or one for itself.
func withdrawn(c *posternv1.Consent, path string) bool {
	w := c.GetWithdrawal()
	return w != nil && Withdrawn(w.GetPaths(), path)
}

// Withdrawn reports whether the section at path falls under a withdrawal of these paths: none for all of it, child/2
// for a child, child/2/home for one section.
func Withdrawn(paths []string, path string) bool {
	return len(paths) == 0 || slices.ContainsFunc(paths, func(p string) bool {
		return p == path || strings.HasPrefix(path, p+"/")
	})
}

// Project returns the consent as one authority may see it, under a fresh id: only that authority's children, which
// children maps from their numbers in the form to their numbers there; concrete paths for what is covered; and itself
// as the only recipient. An authority the consent does not reach gets no section and no recipient. The projection of
// no consent is none. Projecting keeps the meaning: Covers answers the same for every section of those children.
func Project(c *posternv1.Consent, authority string, children map[int]int, id string) *posternv1.Consent {
	if c == nil {
		return nil
	}
	// Field by field, so that a field added to the message stays home until somebody decides here that it travels.
	out := &posternv1.Consent{
		Id:              id,
		Version:         c.GetVersion(),
		Jurisdiction:    c.GetJurisdiction(),
		State:           c.GetState(),
		CapacityConcern: c.GetCapacityConcern(),
		GrantorUnder_18: c.GetGrantorUnder_18(),
		Understood:      c.GetUnderstood(),
		FollowsChild:    c.GetFollowsChild(),
		Notice:          proto.CloneOf(c.GetNotice()),
		Method:          c.GetMethod(),
		Witness:         proto.CloneOf(c.GetWitness()),
		GiveTime:        proto.CloneOf(c.GetGiveTime()),
		ExpireTime:      proto.CloneOf(c.GetExpireTime()),
		AskAgainDate:    c.GetAskAgainDate(),
		EvidenceSha256:  slices.Clone(c.GetEvidenceSha256()),
		Withdrawal:      projectWithdrawal(c.GetWithdrawal(), children),
		SlipGiven:       c.GetSlipGiven(),
	}
	numbers := slices.SortedFunc(maps.Keys(children), func(a, b int) int { return cmp.Compare(children[a], children[b]) })
	for _, n := range numbers {
		if slices.Contains(c.GetChildren(), uint32(n)) {
			out.Children = append(out.Children, uint32(children[n]))
		}
	}
	if !Reaches(c, authority) {
		return out
	}
	out.Authorities = []string{authority}
	for _, s := range section.All() {
		if !s.PerChild && Covers(c, s.Pattern) {
			out.Sections = append(out.Sections, s.Pattern)
		}
	}
	for _, n := range numbers {
		for _, s := range section.All() {
			if s.PerChild && Covers(c, s.Path(n)) {
				out.Sections = append(out.Sections, s.Path(children[n]))
			}
		}
	}
	return out
}

// projectWithdrawal keeps the withdrawn paths that mean something to the authority. When none is left there is no
// withdrawal to show: one without paths would say that everything was withdrawn.
func projectWithdrawal(w *posternv1.ConsentWithdrawal, children map[int]int) *posternv1.ConsentWithdrawal {
	if w == nil {
		return nil
	}
	out := &posternv1.ConsentWithdrawal{WithdrawTime: proto.CloneOf(w.GetWithdrawTime()), Method: w.GetMethod()}
	for _, p := range w.GetPaths() {
		part := strings.SplitN(p, "/", 3)
		if part[0] != "child" || len(part) < 2 {
			out.Paths = append(out.Paths, p)
			continue
		}
		old, err := strconv.Atoi(part[1])
		if renumbered, ok := children[old]; err == nil && ok {
			part[1] = strconv.Itoa(renumbered)
			out.Paths = append(out.Paths, strings.Join(part, "/"))
		}
	}
	if len(w.GetPaths()) > 0 && len(out.Paths) == 0 {
		return nil
	}
	return out
}
