package directory

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// content is a whole directory, whether it comes from a file or from signed entries, so that both are held to one list
// of rules and their faults read alike.
type content struct {
	authorities []*posternv1.Authority
	prisons     []*posternv1.Prison
	agreements  []*posternv1.DataSharingAgreement
}

// check returns every fault of the directory. It looks at values only; who signed what is for Open.
func (c content) check() []fault.Field {
	k := &checker{}
	codes := map[string]bool{}
	for i, a := range c.authorities {
		k.in(fmt.Sprintf("authorities[%d]", i), func() {
			k.authority(a)
			k.apart(a, c.authorities[:i])
		})
		codes[a.GetCode()] = true
	}
	ids := map[string]bool{}
	for i, p := range c.prisons {
		k.in(fmt.Sprintf("prisons[%d]", i), func() { k.prison(p, ids) })
	}
	agreed := map[string]bool{}
	for i, a := range c.agreements {
		k.in(fmt.Sprintf("agreements[%d]", i), func() { k.agreement(a, codes, ids, agreed) })
	}
	return k.faults
}

// checker collects faults under the path it is in.
type checker struct {
	path   []string
	faults []fault.Field
}

func (k *checker) in(part string, fn func()) {
	k.path = append(k.path, part)
	fn()
	k.path = k.path[:len(k.path)-1]
}

// want adds a fault unless ok, and returns ok.
func (k *checker) want(ok bool, field, reason, fix string) bool {
	if !ok {
		k.faults = append(k.faults, fault.Field{Path: strings.Join(append(k.path, field), "."), Reason: reason, Fix: fix})
	}
	return ok
}

var (
	authorityCode = regexp.MustCompile(`^(E06|E08|E09|E10|W06)[0-9]{6}$`)
	prisonID      = regexp.MustCompile(`^[A-Z]{3}$`)
	phoneNumber   = regexp.MustCompile(`^(\+44|0)[0-9 ]+$`)
	clockTime     = regexp.MustCompile(`^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$`)
)

// apart says which earlier entry of the same authority holds on a day that this one holds on too: on that day nobody
// could say which of the two numbers to ring.
func (k *checker) apart(a *posternv1.Authority, earlier []*posternv1.Authority) {
	for i, b := range earlier {
		overlap := (b.GetEndDate() == "" || a.GetStartDate() <= b.GetEndDate()) && (a.GetEndDate() == "" || b.GetStartDate() <= a.GetEndDate())
		k.want(a.GetCode() != b.GetCode() || !overlap, "start_date", fmt.Sprintf("overlaps authorities[%d], which is of the same authority.", i),
			"End the older entry on the day before this one starts, or keep one of them.")
	}
}

func (k *checker) authority(a *posternv1.Authority) {
	code := a.GetCode()
	switch {
	case strings.HasPrefix(code, "E07"):
		k.want(false, "code", "is the code of a district council, which has no children's services.",
			"Give the county council's code, which starts with E10.")
	case k.want(authorityCode.MatchString(code), "code", "is not the GSS code of an upper-tier authority.",
		"Give nine characters that start with E06, E08, E09, E10 or W06, such as E06000023."):
		k.want(a.GetJurisdiction() == jurisdictionOf(code), "jurisdiction", "does not fit the code.",
			"Give GB-ENG for a code that starts with E and GB-WLS for one that starts with W.")
	}
	k.text(a.GetName(), "name", "Give the authority's name.")

	roles := map[posternv1.FrontDoorRole]int{}
	for i, d := range a.GetFrontDoors() {
		roles[d.GetRole()]++
		k.in(fmt.Sprintf("front_doors[%d]", i), func() { k.frontDoor(d) })
	}
	for _, r := range []posternv1.FrontDoorRole{posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING} {
		name := strings.TrimPrefix(r.String(), "FRONT_DOOR_ROLE_")
		k.want(roles[r] == 1, "front_doors", fmt.Sprintf("has %d entries with the role %s.", roles[r], name),
			"Give exactly one for each of EARLY_HELP and SAFEGUARDING; both may have the same name and numbers.")
	}

	k.champion(a.GetChampion())
	k.in("endpoint", func() { k.endpoint(a.GetEndpoint()) })
	k.want(a.GetRecipientKey() == nil || a.GetEndpoint().GetMode() != posternv1.DeliveryMode_DELIVERY_MODE_UNSPECIFIED,
		"endpoint", "is missing although there is a recipient key.",
		"Say how notifications reach the authority, or leave the key out until it is enrolled.")
	k.want(a.GetAgeLimit() == 18 || a.GetAgeLimit() == 19, "age_limit", "is not 18 or 19.", "Give 18 or 19.")
	k.want(between(a.GetUndeliveredAfterHours(), 1, 240), "undelivered_after_hours", "is not from 1 to 240.",
		"Give the hours after which the prison is told that a notification could not be delivered, such as 24.")
	for i, s := range a.GetSignposts() {
		k.in(fmt.Sprintf("signposts[%d]", i), func() {
			k.text(s.GetName(), "name", "Give the name of the service.")
			k.text(s.GetOffers(), "offers", "Say what it offers, such as someone to talk to for children of people in prison.")
			k.want(s.GetPhone() != "" || s.GetWeb() != "", "phone", "and the web address are both missing.", "Give one of them.")
		})
	}
	k.date(a.GetStartDate(), "start_date")
	if a.GetEndDate() != "" && k.date(a.GetEndDate(), "end_date") {
		k.want(a.GetStartDate() <= a.GetEndDate(), "end_date", "is before start_date.", "Give a later date or leave it out.")
	}
}

func (k *checker) frontDoor(d *posternv1.FrontDoor) {
	k.want(d.GetRole() != posternv1.FrontDoorRole_FRONT_DOOR_ROLE_UNSPECIFIED, "role", "is missing or not known.",
		"Give EARLY_HELP or SAFEGUARDING.")
	k.text(d.GetName(), "name", "Give the local name, such as First Response.")
	k.phone(d.GetPhone(), "phone")
	k.text(d.GetOutOfHoursName(), "out_of_hours_name", "Give the name of the team out of hours.")
	k.phone(d.GetOutOfHoursPhone(), "out_of_hours_phone")
	k.want(len(d.GetHours()) > 0, "hours", "are missing.", `Give them as {days: mon-fri, opens: "08:30", closes: "17:00"}.`)
	for i, h := range d.GetHours() {
		k.in(fmt.Sprintf("hours[%d]", i), func() {
			days := slices.Clone(h.GetDays())
			slices.Sort(days)
			k.want(len(days) > 0 && days[0] >= 1 && days[len(days)-1] <= 7 && len(slices.Compact(days)) == len(h.GetDays()),
				"days", "are missing, not understood or named twice.", "Give a range such as mon-fri or a list such as mon,wed,fri.")
			opens := k.clock(h.GetOpens(), "opens")
			closes := k.clock(h.GetCloses(), "closes")
			if opens && closes {
				k.want(h.GetOpens() < h.GetCloses(), "closes", "is not after opens.",
					"Write hours past midnight as two entries: one that closes at 24:00 and one that opens at 00:00.")
			}
		})
	}
}

func (k *checker) champion(c *posternv1.Champion) {
	k.in("champion", func() {
		k.text(c.GetRole(), "role", "Give the role or team that leads for children of people in prison, never a person's name.")
		if k.want(c.GetPhone() != "" || c.GetMailbox() != "", "phone", "and the mailbox are both missing.", "Give one of them.") && c.GetPhone() != "" {
			k.phone(c.GetPhone(), "phone")
		}
	})
}

func (k *checker) endpoint(e *posternv1.Endpoint) {
	switch e.GetMode() {
	case posternv1.DeliveryMode_DELIVERY_MODE_PUSH:
		host, port, err := net.SplitHostPort(e.GetAddress())
		n, bad := strconv.ParseUint(port, 10, 16)
		k.want(err == nil && host != "" && bad == nil && n > 0, "address", "is not a host and port.",
			"Give where the inbox listens, such as inbox.example:8443.")
	case posternv1.DeliveryMode_DELIVERY_MODE_COLLECT:
		k.want(e.GetAddress() == "", "address", "has no use when the inbox collects.", "Leave it out, or use the mode push.")
	default:
		k.want(e == nil, "mode", "is missing or not known.", "Give push or collect.")
	}
}

func (k *checker) prison(p *posternv1.Prison, seen map[string]bool) {
	if k.want(prisonID.MatchString(p.GetId()), "id", "is not an id of the prison register.", "Give its three capital letters, such as BLI.") {
		k.want(!seen[p.GetId()], "id", "is listed twice.", "Keep one entry for each prison.")
	}
	seen[p.GetId()] = true
	k.text(p.GetName(), "name", "Give the prison's name.")
	k.want(p.GetJurisdiction() == "GB-ENG" || p.GetJurisdiction() == "GB-WLS", "jurisdiction", "is not known.", "Give GB-ENG or GB-WLS.")
	k.champion(p.GetChampion())
}

func (k *checker) agreement(a *posternv1.DataSharingAgreement, codes, ids, seen map[string]bool) {
	if k.text(a.GetId(), "id", "Give the agreement an id.") {
		k.want(!seen[a.GetId()], "id", "is listed twice.", "Keep only the newest version of each agreement.")
	}
	seen[a.GetId()] = true
	k.want(a.GetVersion() > 0, "version", "is missing.", "Count versions from 1.")
	k.known(a.GetPrisons(), "prisons", ids, "prison")
	k.known(a.GetAuthorities(), "authorities", codes, "authority")
	k.agreedSections(a.GetSections())
	start, end := k.date(a.GetStartDate(), "start_date"), k.date(a.GetEndDate(), "end_date")
	if start && end {
		k.want(a.GetStartDate() <= a.GetEndDate(), "end_date", "is before start_date.", "Give a later date.")
	}
	k.date(a.GetReviewDate(), "review_date")
	k.want(between(a.GetContentDays(), 1, 90), "content_days", "is not from 1 to 90.",
		"Give the days after acknowledgement after which released content is deleted, such as 14.")
	k.want(between(a.GetDecisionYears(), 1, 25), "decision_years", "is not from 1 to 25.", "Give the years that decisions are kept, such as 6.")
}

// minimum are the sections without which the policy's `minimum` rule refers every child to a person: an agreement that
// lacks one of them could never share anything and is a mistake.
var minimum = []string{"parent/name", "child/{n}/identity", "child/{n}/home"}

func (k *checker) agreedSections(patterns []string) {
	has := map[string]bool{}
	for i, p := range patterns {
		field := fmt.Sprintf("sections[%d]", i)
		_, known := section.ByPattern(p)
		k.want(known, field, "is not a section.", "Give a pattern such as child/{n}/home.")
		k.want(!has[p], field, "is listed twice.", "Keep it once.")
		has[p] = true
	}
	for _, m := range minimum {
		k.want(has[m], "sections", "lacks "+m+", without which nothing can ever be shared.",
			"Have the agreement made again with the minimum: "+strings.Join(minimum, ", ")+".")
	}
	// Safety says how to approach the carer and what not to mention: an address must never travel without it.
	k.want(!has["child/{n}/home"] || has["child/{n}/safety"], "sections", "allows child/{n}/home without child/{n}/safety.",
		"Have the agreement made again with child/{n}/safety, which travels with home.")
}

func (k *checker) known(list []string, field string, known map[string]bool, what string) {
	k.want(len(list) > 0, field, "is empty.", "Name at least one "+what+".")
	seen := map[string]bool{}
	for i, id := range list {
		f := fmt.Sprintf("%s[%d]", field, i)
		k.want(known[id], f, "is not in this directory.", "Add the "+what+" to the directory or have the agreement made again.")
		k.want(!seen[id], f, "is listed twice.", "Keep it once.")
		seen[id] = true
	}
}

func (k *checker) text(s, field, fix string) bool {
	return k.want(strings.TrimSpace(s) != "", field, "is missing.", fix)
}

func (k *checker) phone(s, field string) {
	digits := len(s) - strings.Count(s, " ")
	k.want(phoneNumber.MatchString(s) && digits >= 10 && digits <= 13, field, "is not a telephone number.",
		"Give 10 or 11 digits that start with 0 (spaces are fine), in quotation marks.")
}

func (k *checker) clock(s, field string) bool {
	return k.want(clockTime.MatchString(s), field, "is not a time of day.", `Give hours and minutes in quotation marks, such as "08:30".`)
}

func (k *checker) date(s, field string) bool {
	_, err := time.Parse(time.DateOnly, s)
	return k.want(err == nil, field, "is missing or not a date.", "Give year, month and day, such as 2026-09-30.")
}

func between(n, low, high uint32) bool { return n >= low && n <= high }

func jurisdictionOf(code string) string {
	if strings.HasPrefix(code, "W") {
		return "GB-WLS"
	}
	return "GB-ENG"
}
