package subject

import (
	"slices"
	"strconv"

	"postern/internal/plain"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// shown is a part as a page shows it.
type shown struct {
	Heading, Source, Class, Mark string
	Lines                        []line
	Decide                       bool
}

type shownChapter struct {
	Heading string
	Parts   []shown
}

// view is what a page shows of the chapters: with what an officer decides, or without. Nothing in it acts on a screen.
func view(lang words.Language, chapters []chapter, officer bool) (out []shownChapter) {
	for _, c := range chapters {
		to := shownChapter{Heading: plain.Visible(c.Heading)}
		for _, p := range c.Parts {
			s := shown{Heading: plain.Visible(p.Heading), Source: plain.Visible(p.Source)}
			for _, l := range p.Lines {
				s.Lines = append(s.Lines, line{plain.Visible(l.Label), plain.Visible(l.Value)})
			}
			if officer {
				s.mark(lang, p.why(c))
			}
			to.Parts = append(to.Parts, s)
		}
		out = append(out, to)
	}
	return out
}

// mark says whether a part is in the person's copy, and why not.
func (s *shown) mark(lang words.Language, why Why) {
	switch why {
	case Given:
		s.Mark = lang.Text("subject.given", nil)
	case Said:
		s.Mark, s.Class, s.Decide = lang.Text("subject.think", words.Args{"why": whyIn(lang, why)}), "think", true
	default:
		s.Mark, s.Class, s.Decide = lang.Text("subject.held", words.Args{"why": whyIn(lang, why)}), "held", true
	}
}

var whyWords = map[Why]string{
	Said: "subject.why_said", Safeguarding: "subject.why_safeguarding", Whereabouts: "subject.why_whereabouts", ThirdParty: "subject.why_third_party",
	Harm: "subject.why_harm", Staff: "subject.why_staff", NotTold: "subject.why_not_told", OtherNumber: "subject.why_other_number", Unnamed: "subject.why_unnamed",
}

func whyIn(lang words.Language, why Why) string { return lang.Text(whyWords[why], nil) }

// about is what Article 15 has a controller say beside the copy. It is the same for everybody about whom something is held.
func (h Held) about(lang words.Language) []string {
	say := func(id string) string {
		return lang.Text(id, words.Args{"prison": plain.Visible(h.Prison), "date": plain.Date(lang, h.MakeTime), "days": h.KeptDays})
	}
	out := []string{say("subject.about")}
	if len(ofThePerson(h.chapters(lang))) == 0 {
		out = append(out, say("subject.nothing"))
	}
	return append(out, say("subject.purpose"), say("subject.recipients"), say("subject.source"), say("subject.rules"), say("subject.kept"),
		say("subject.left_out"), say("subject.rights"), say("subject.complain"))
}

// toOfficer is what whoever decides about the copy has to know first.
func (h Held) toOfficer(lang words.Language) []string {
	say := func(id string, args words.Args) string { return lang.Text(id, args) }
	_, heldBack := considered(lang, h.chapters(lang))
	out := []string{say("subject.officer", words.Args{"page": Page}),
		say("subject.officer_made", words.Args{"time": plain.When(lang, h.MakeTime), "id": plain.Visible(h.StaffID), "prison": plain.Visible(h.Prison),
			"forms": len(h.Forms), "drafts": len(h.Drafts), "arrivals": len(h.Arrivals), "notifications": len(h.Notifications), "held": heldBack}),
		say("subject.officer_time", nil), say("subject.officer_ask", nil)}
	if h.onHold() {
		out = append(out, say("subject.officer_hold", nil))
	}
	if slices.ContainsFunc(h.Notifications, func(n Notification) bool { return n.Why == NotTold }) || slices.ContainsFunc(h.Forms, func(f Form) bool { return f.Why == NotTold }) {
		out = append(out, say("subject.officer_untold", nil))
	}
	if h.Unreadable {
		out = append(out, say("subject.officer_unread", nil))
	}
	for _, c := range h.Earlier {
		out = append(out, say("subject.officer_earlier", words.Args{"time": plain.When(lang, c.GetMakeTime().AsTime()), "id": plain.Visible(c.GetStaffId())}))
	}
	return append(out, say("subject.officer_erased", nil), say("subject.officer_elsewhere", nil), say("subject.officer_end", words.Args{"parts": strconv.Itoa(heldBack)}))
}

// onHold reports whether the public-protection check of anything here found that a person must decide.
func (h Held) onHold() bool {
	hold := posternv1.Gate_GATE_HOLD
	return slices.ContainsFunc(h.Notifications, func(n Notification) bool { return n.Full.GetGate().GetGate() == hold }) ||
		slices.ContainsFunc(h.Forms, func(f Form) bool { return f.GetGate() == hold })
}
