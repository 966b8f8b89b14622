package engine

import (
	"maps"
	"slices"
	"strconv"
	"sync"

	"postern/internal/section"
)

// json is the Input as JSON: what marshal writes of its value, byte for byte, without making that. A remembered decision
// needs no value; where one is evaluated, what it says is held against these bytes first.
func (in *Input) json() []byte {
	b, _ := in.written()
	return b
}

// written is the Input as JSON, and where in it the leaves are.
func (in *Input) written() ([]byte, places) {
	w := fields{writer: writer{b: make([]byte, 0, 4096)}}
	w.braces(func() {
		w.object("agreement", func() {
			a := in.Agreement
			w.set("child", a.Child)
			w.text("end_date", a.EndDate)
			w.leaf("end_time", a.EndTime)
			w.text("id", a.ID)
			w.yes("in_force", a.InForce)
			w.set("parent", a.Parent)
		})
		w.yes("already_notified", in.AlreadyNotified)
		w.object("caller", func() {
			w.text("jurisdiction", in.Caller.Jurisdiction)
			w.yes("known", in.Caller.Known)
			w.text("prison_id", in.Caller.PrisonID)
		})
		w.list("calls", len(in.Calls), func(i int) {
			c := in.Calls[i]
			w.element(func() {
				w.number("child", c.Child)
				w.text("result", c.Result, "time", c.Time)
			})
		})
		w.text("change_reason", in.ChangeReason)
		w.list("children", len(in.Children), func(i int) { in.Children[i].json(&w) })
		in.Consent.json(&w)
		if in.Consideration != nil {
			in.Consideration.json(&w)
		}
		w.text("destination_source", in.DestinationSource)
		w.object("enquiry", func() {
			w.text("ask_again_date", in.Enquiry.AskAgainDate, "not_asked_reason", in.Enquiry.NotAskedReason, "outcome", in.Enquiry.Outcome)
		})
		w.text("first_notification", in.FirstNotification)
		w.leaf("first_submit_time", in.FirstSubmitTime)
		w.text("gate", in.Gate)
		w.leaf("now", in.Now)
		w.object("parent", func() {
			in.Parent.json(&w, func() {})
			w.set("permitted", in.Parent.Permitted)
		})
		w.object("reception", func() {
			w.text("reason", in.Reception.Reason)
			w.leaf("receive_date", in.Reception.ReceiveDate)
		})
		in.Recipient.json(&w)
		w.yes("redirected", in.Redirected)
		w.text("route", in.Route, "statement", in.Statement)
		w.yes("supersedes", in.Supersedes)
		w.text("today", in.Today)
		w.object("urgency", func() { w.text("authorised_role", in.Urgency.AuthorisedRole, "reason", in.Urgency.Reason) })
	})
	return w.b, w.leaves
}

func (c Consent) json(w *fields) {
	w.object("consent", func() {
		w.text("ask_again_date", c.AskAgainDate)
		w.texts("authorities", c.Authorities)
		w.yes("capacity_concern", c.CapacityConcern)
		w.numbers("children", c.Children)
		w.leaf("expire_time", c.ExpireTime)
		w.yes("follows_child", c.FollowsChild)
		w.leaf("give_time", c.GiveTime)
		w.yes("grantor_under_18", c.GrantorUnder18)
		w.text("jurisdiction", c.Jurisdiction, "state", c.State, "understood", c.Understood)
	})
}

func (c *Consideration) json(w *fields) {
	w.object("consideration", func() {
		w.text("helps_function", c.HelpsFunction, "law", c.Law)
		w.numbers("not_more_detrimental", c.NotMoreDetrimental)
		w.text("parent_told", c.ParentTold)
		w.texts("paths", c.Paths)
		w.text("relevant", c.Relevant, "role", c.Role, "time", c.Time)
	})
}

func (r Recipient) json(w *fields) {
	door := func(name string, d FrontDoor) {
		w.object(name, func() {
			w.yes("in_hours", d.InHours)
			w.text("name", d.Name, "phone_now", d.PhoneNow)
		})
	}
	w.object("recipient", func() {
		w.number("age_limit", int(r.AgeLimit))
		w.text("authority", r.Authority)
		door("early_help", r.EarlyHelp)
		w.yes("enrolled", r.Enrolled)
		w.text("jurisdiction", r.Jurisdiction)
		w.yes("known", r.Known)
		door("safeguarding", r.Safeguarding)
	})
}

// json writes what is known of sections, with what lies between `known` and `offered` in the order of the keys.
func (s Sections) json(w *fields, between func()) {
	w.object("known", func() {
		for _, name := range s.names() {
			w.comma()
			w.string(name)
			w.b = append(w.b, ':')
			w.string(s.Known[name])
		}
	})
	between()
	w.set("offered", s.Offered)
}

// names are the sections of which something is known, sorted. Nearly always these are all of a child or all of the parent.
func (s Sections) names() []string {
	for _, all := range namesOf() {
		if len(all) == len(s.Known) && !slices.ContainsFunc(all, func(name string) bool { _, ok := s.Known[name]; return !ok }) {
			return all
		}
	}
	return slices.Sorted(maps.Keys(s.Known))
}

// namesOf are the names of the sections of a child and of the others, sorted.
var namesOf = sync.OnceValue(func() (names [2][]string) {
	for i, child := range []bool{false, true} {
		for _, s := range section.Of(child) {
			names[i] = append(names[i], s.Name)
		}
		slices.Sort(names[i])
	}
	return names
})

func (c Child) json(w *fields) {
	w.element(func() {
		w.yes("address_confidential", c.AddressConfidential)
		if c.AgeYears != nil {
			w.number("age_years", *c.AgeYears)
		}
		w.text("as_of_date", c.AsOfDate, "carer_is_adult", c.CarerIsAdult, "carer_known", c.CarerKnown)
		w.yes("in_care", c.InCare)
		c.Sections.json(w, func() {
			w.text("lived_with_before", c.LivedWithBefore)
			w.number("number", c.Number)
		})
		w.yes("outward_code_only", c.OutwardCodeOnly)
		w.text("parental_responsibility", c.ParentalResponsibility)
		w.set("permitted", c.Permitted)
		w.text("primary_carer_before", c.PrimaryCarerBefore)
		w.number("same_address_group", c.SameAddressGroup)
		w.yes("unborn", c.Unborn)
	})
}

// fields writes the fields of objects, in the order in which it is told of them: that of their keys.
type fields struct {
	writer
	leaves places
	n      int // of leaves so far
}

// leaf writes the next of leaves.
func (w *fields) leaf(key, value string) {
	w.key(key)
	from := len(w.b)
	w.string(value)
	w.leaves[w.n] = place{from, len(w.b)}
	w.n++
}

func (w *fields) comma() { w.b = append(w.b, ',') }

// key writes a key of ours, which needs no care.
func (w *fields) key(key string) {
	w.b = append(w.b, `,"`...)
	w.b = append(w.b, key...)
	w.b = append(w.b, `":`...)
}

func (w *fields) object(key string, inside func()) {
	w.key(key)
	w.braces(inside)
}

// element writes an object in a list.
func (w *fields) element(inside func()) {
	w.comma()
	w.braces(inside)
}

func (w *fields) braces(inside func()) {
	open := len(w.b)
	inside()
	w.enclose(open, '{', '}')
}

func (w *fields) list(key string, n int, element func(int)) {
	w.key(key)
	open := len(w.b)
	for i := range n {
		element(i)
	}
	w.enclose(open, '[', ']')
}

// text writes keys, each followed by its string.
func (w *fields) text(pairs ...string) {
	for i := 0; i < len(pairs); i += 2 {
		w.key(pairs[i])
		w.string(pairs[i+1])
	}
}

func (w *fields) yes(key string, b bool) {
	w.key(key)
	w.b = strconv.AppendBool(w.b, b)
}

func (w *fields) number(key string, n int) {
	w.key(key)
	w.b = strconv.AppendInt(w.b, int64(n), 10)
}

func (w *fields) texts(key string, all []string) {
	w.list(key, len(all), func(i int) { w.comma(); w.string(all[i]) })
}

func (w *fields) numbers(key string, all []int) {
	w.list(key, len(all), func(i int) { w.comma(); w.b = strconv.AppendInt(w.b, int64(all[i]), 10) })
}

func (w *fields) set(key string, all []string) {
	var few [16]string
	sorted := append(few[:0], all...)
	slices.Sort(sorted)
	w.texts(key, slices.Compact(sorted))
}
