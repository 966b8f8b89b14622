package subject

import (
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// chapter is one record: a form, a draft, a line of the arrivals, a notification.
type chapter struct {
	Where   string `json:"id"` // such as form/ and its id
	Heading string `json:"heading"`
	Why     Why    `json:"-"` // for which all of it is held back
	Parts   []part `json:"parts"`
}

// part is what an officer decides about at a time.
type part struct {
	Where   string `json:"id"` // within the chapter, such as child/1/home
	Heading string `json:"heading"`
	Source  string `json:"source"` // how it is known; empty for what is no section
	Lines   []line `json:"lines"`
	Why     Why    `json:"-"`
}

// line is a plain.Line as JSON has it.
type line struct {
	Label string `json:"label"`
	Value string `json:"value"`
}

// why is for what a part is held back; that of its chapter goes first.
func (p part) why(c chapter) Why {
	if c.Why != Given {
		return c.Why
	}
	return p.Why
}

// add adds a part to a chapter, unless it says nothing.
func (c *chapter) add(where, heading string, why Why, said ...plain.Line) {
	if len(said) > 0 {
		c.Parts = append(c.Parts, part{Where: where, Heading: heading, Lines: asLines(said), Why: why})
	}
}

func asLines(said []plain.Line) []line {
	out := make([]line, len(said))
	for i, l := range said {
		out[i] = line(l)
	}
	return out
}

// chapters are all that is held, in the order in which it came about.
func (h Held) chapters(lang words.Language) (out []chapter) {
	for _, f := range h.Forms {
		c := chapter{Where: "form/" + f.GetFormId(), Why: f.Why, Heading: lang.Text("subject.form", words.Args{"time": plain.When(lang, f.TakeTime)})}
		ofForm(lang, &c, f.Form)
		out = append(out, c)
	}
	for _, n := range h.Notifications {
		out = append(out, n.chapter(lang, n.place(h.Forms)))
	}
	for _, d := range h.Drafts {
		id := "subject.draft"
		switch {
		case d.GetPractice():
			id = "subject.draft_practice"
		case d.GetSendTime() != nil:
			id = "subject.draft_sent"
		}
		c := chapter{Where: "draft/" + d.GetId(), Why: d.Why, Heading: lang.Text(id, words.Args{"time": plain.When(lang, d.GetChangeTime().AsTime())})}
		c.add("kept", lang.Text("subject.until", nil), Given, lines(lang, &localv1.Draft{ExpireTime: d.GetExpireTime()})...)
		ofForm(lang, &c, d.GetForm())
		c.add("staff", lang.Text("subject.staff", nil), Staff, lines(lang, &localv1.Draft{BeginStaffId: d.GetBeginStaffId(), ChangeStaffId: d.GetChangeStaffId()})...)
		out = append(out, c)
	}
	for i, a := range h.Arrivals {
		c := chapter{Where: "arrival/" + strconv.Itoa(i+1), Heading: lang.Text("subject.arrival", nil)}
		ofForm(lang, &c, a)
		out = append(out, c)
	}
	return out
}

// ofForm adds what a form says.
func ofForm(lang words.Language, c *chapter, f *posternv1.Form) {
	came := lines(lang, f, "reception", "tonight", "gate", "consent", "parent", "children", "urgency", "lawful_basis", "calls", "consideration", "consideration_reasons", "supersedes")
	if r := f.GetReception(); r != nil {
		came = append(came, plain.Line{Label: plain.FieldIn(lang, "reception"), Value: plain.EnumIn(lang, r.GetReason())})
		came = append(came, lines(lang, r, "reason")...)
	}
	if t := f.GetTonight(); t != nil {
		came = append(came, plain.Line{Label: plain.FieldIn(lang, "tonight"), Value: plain.EnumIn(lang, t.GetAnswer())})
		came = append(came, lines(lang, t, "answer")...)
	}
	c.add("form", lang.Text("subject.part_form", nil), Given, came...)
	if agreed := proto.CloneOf(f.GetConsent()); agreed != nil {
		if agreed.GetNotice() != nil {
			agreed.Notice.Sha256 = nil
		}
		covers := make([]string, len(agreed.GetSections()))
		for i, p := range agreed.GetSections() {
			covers[i] = strings.Replace(p, "{n}", numbers(agreed.GetChildren()), 1)
		}
		c.add("consent", lang.Text("subject.part_consent", nil), Given, append(lines(lang, agreed, "witness", "sections"),
			pathLines(lang, "sections", covers)...)...)
		c.add("consent/witness", lang.Text("subject.staff", nil), Staff, lines(lang, &posternv1.Consent{Witness: agreed.GetWitness()})...)
	}
	c.add("lawful_basis", lang.Text("subject.part_basis", nil), Given, lines(lang, f.GetLawfulBasis())...)
	for child := range len(f.GetChildren()) + 1 {
		for _, s := range section.All() {
			if s.PerChild != (child > 0) {
				continue
			}
			path := s.Path(child)
			if m, ok := section.Get(f, path); ok {
				p := part{Where: path, Heading: plain.PathWordsIn(lang, path), Source: plain.ProvenanceIn(lang, m), Lines: asLines(plain.LinesIn(lang, m)), Why: ofSection(s, m)}
				if len(p.Lines) == 0 && p.Why != Safeguarding {
					p.Why = Given // nothing was said
				}
				c.Parts = append(c.Parts, p)
			}
		}
		if child > 0 {
			outside := f.GetChildren()[child-1]
			c.add("child/"+strconv.Itoa(child), lang.Text("subject.part_place", words.Args{"number": child}), Whereabouts, lines(lang,
				&posternv1.Child{Authority: outside.GetAuthority(), InCare: outside.GetInCare(), AddressConfidential: outside.GetAddressConfidential(),
					AuthorityChecked: outside.GetAuthorityChecked()})...)
		}
	}
	c.add("gate", lang.Text("subject.part_gate", nil), Safeguarding, lines(lang, &posternv1.Form{Gate: f.GetGate()})...)
	c.add("calls", lang.Text("subject.part_calls", nil), Safeguarding, lines(lang, &posternv1.Form{Calls: f.GetCalls()})...)
	c.add("consideration", lang.Text("subject.part_consideration", nil), Safeguarding, append(considerationLines(lang, f.GetConsideration()),
		lines(lang, &posternv1.Form{ConsiderationReasons: f.GetConsiderationReasons()})...)...)
	c.add("supersedes", lang.Text("subject.part_connected", nil), Safeguarding, lines(lang, &posternv1.Form{Supersedes: f.GetSupersedes()})...)
}

// ofSection is for what a section is held back, or looked at. Who else it is about said nothing to the prison: it is in the
// copy only where the person said it, and never where somebody lives or can be met. What came later is held back.
func ofSection(s section.Section, m proto.Message) Why {
	if !s.PerChild && s.Class != posternv1.SectionClass_SECTION_CLASS_URGENT {
		return Given // about the person
	}
	said := ThirdParty
	if p := plain.Source(m); p.GetBasis() == posternv1.Basis_BASIS_PARENT_SAID {
		said = Said
	}
	switch m := m.(type) {
	case *posternv1.Urgency:
		return Safeguarding
	case *posternv1.ChildRelationship:
		return Given
	case *posternv1.ChildHome, *posternv1.ChildPhone, *posternv1.ChildSchool, *posternv1.ChildSafety, *posternv1.ChildWorker:
		return Whereabouts
	case *posternv1.ChildNeeds:
		health := func(n posternv1.Need) bool {
			return n == posternv1.Need_NEED_HEALTH || n == posternv1.Need_NEED_DISABILITY
		}
		if slices.ContainsFunc(m.GetCodes(), health) || m.GetCommunicationNeeds() != "" {
			return Harm
		}
		return said
	case *posternv1.ChildIdentity, *posternv1.ChildCarer, *posternv1.ChildKnowledge:
		return said
	}
	return ThirdParty
}

// chapter is what is held of a notification beside its form; place is for what it is held back to which council it went.
func (n Notification) chapter(lang words.Language, place Why) chapter {
	full, seen := n.Full, n.Seen
	c := chapter{Where: "notification/" + full.GetId(), Why: n.Why, Heading: lang.Text("subject.notification", words.Args{"reference": full.GetReference()})}
	if full.GetElsewhere() {
		c.Heading = lang.Text("subject.elsewhere", words.Args{"reference": full.GetReference()})
	}
	became := []plain.Line{{Label: plain.FieldIn(lang, "state"), Value: n.Stands}}
	became = append(became, lines(lang, &localv1.Notification{Reference: seen.GetReference(), CreateTime: seen.GetCreateTime(), Route: seen.GetRoute(),
		SlipCode: seen.GetSlipCode(), FormId: seen.GetFormId()})...)
	if e := seen.GetErasure(); e != nil {
		became = append(became, lines(lang, e, "same_children")...)
	}
	c.add("state", lang.Text("subject.part_state", nil), Given, became...)
	c.add("to", lang.Text("subject.part_to", nil), place, lines(lang, &localv1.Notification{AuthorityName: seen.GetAuthorityName()})...)
	c.add("sealed", lang.Text("subject.part_sealed", nil), Given, n.sealed(lang)...)
	c.add("sent", lang.Text("subject.part_sent", nil), Given, pathLines(lang, "paths", seen.GetDecision().GetPaths())...)
	c.add("decision", lang.Text("subject.part_decision", nil), ofDecision(seen.GetDecision()), decisionLines(lang, seen.GetDecision())...)
	for _, w := range full.GetWithdrawals() {
		c.withdrawal(lang, w)
	}
	if m := full.GetMove(); m != nil {
		c.add("move", lang.Text("subject.part_move", nil), Given, lines(lang, &localv1.RecordedMove{PrisonName: m.GetPrisonName(), RecordTime: m.GetRecordTime()})...)
		c.add("move/staff", lang.Text("subject.staff", nil), Staff, lines(lang, &localv1.RecordedMove{StaffId: m.GetStaffId()})...)
	}
	if m := full.GetManual(); m != nil {
		c.add("manual", lang.Text("subject.part_manual", nil), Given, lines(lang, m, "staff_id", "to")...)
		c.add("manual/to", lang.Text("subject.part_to", nil), place, lines(lang, &localv1.ManualClosure{To: m.GetTo()})...)
		c.add("manual/staff", lang.Text("subject.staff", nil), Staff, lines(lang, &localv1.ManualClosure{StaffId: m.GetStaffId()})...)
	}
	c.add("reply", lang.Text("subject.part_reply", nil), ofReply(full.GetReply()), lines(lang, &localv1.Notification{Reply: full.GetReply()})...)
	c.atWork(lang, full)
	if !n.Erase.IsZero() || full.GetErasure() == nil {
		when := lang.Text("subject.erase_open", nil)
		if !n.Erase.IsZero() {
			when = plain.When(lang, n.Erase)
		}
		c.add("erase", lang.Text("subject.part_erase", nil), Given, plain.Line{Label: plain.FieldIn(lang, "erase_time"), Value: when})
	}
	return c
}

// atWork adds what people at the prison did and have to do about a notification.
func (c *chapter) atWork(lang words.Language, n *localv1.Notification) {
	hold := func(where, id string, all ...plain.Line) { c.add(where, lang.Text(id, nil), Safeguarding, all...) }
	decision := decisionLines(lang, n.GetDecision())
	for _, l := range plain.ToDoIn(lang, n.GetDecision().GetObligations()) {
		decision = append(decision, plain.Line{Label: plain.FieldIn(lang, "obligations"), Value: l})
	}
	hold("decision/full", "subject.part_decision_full", decision...)
	hold("gate", "subject.part_gate", lines(lang, &localv1.Notification{Gate: n.GetGate()})...)
	for i, call := range n.GetCalls() {
		hold("calls/"+strconv.Itoa(i+1), "subject.part_calls", lines(lang, call)...)
	}
	for i, r := range n.GetConsiderations() {
		hold("considerations/"+strconv.Itoa(i+1), "subject.part_consideration", append(considerationLines(lang, r.GetCodes()), lines(lang, r, "id", "codes", "answer")...)...)
		hold("considerations/"+strconv.Itoa(i+1)+"/answer", "subject.part_answer", decisionLines(lang, r.GetAnswer())...)
	}
	hold("review", "subject.part_review", lines(lang, n.GetReview())...)
	hold("tasks", "subject.part_tasks", lines(lang, &localv1.Notification{Tasks: n.GetTasks()})...)
	hold("connected", "subject.part_connected", lines(lang, &localv1.Notification{Followups: n.GetFollowups(), Follows: n.GetFollows(),
		Supersedes: n.GetSupersedes(), SupersededBy: n.GetSupersededBy(), Reseals: n.GetReseals(), ResealedBy: n.GetResealedBy(), SameAs: n.GetSameAs()})...)
}

// withdrawal adds what the person took back or objected to, and what was answered.
func (c *chapter) withdrawal(lang words.Language, w *localv1.TakenWithdrawal) {
	heading, where := lang.Text("subject.part_withdrawal", nil), "withdrawals/"+w.GetId()
	if w.GetObjection() {
		heading = lang.Text("subject.part_objection", nil)
	}
	what := pathLines(lang, "paths", w.GetPaths())
	if len(what) == 0 {
		what = []plain.Line{{Label: plain.FieldIn(lang, "paths"), Value: lang.Text("subject.all", nil)}}
	}
	c.add(where, heading, Given, append(what, lines(lang, &localv1.TakenWithdrawal{Method: w.GetMethod(), TakeTime: w.GetTakeTime(), ReadTime: w.GetReadTime()})...)...)
	c.add(where+"/answer", lang.Text("subject.part_answer", nil), Given, decisionLines(lang, w.GetAnswer())...)
	c.add(where+"/staff", lang.Text("subject.staff", nil), Staff, lines(lang, &localv1.TakenWithdrawal{ReadStaffId: w.GetReadStaffId()})...)
}

// sealed says which sections were sealed to whom, and by which permission.
func (n Notification) sealed(lang words.Language) (out []plain.Line) {
	for _, m := range n.Messages {
		offer := m.Manifest.GetOffer()
		if m.ID != n.Full.GetId() || offer == nil {
			continue
		}
		var paths []string
		for _, s := range m.Sections {
			if s.GetPath() != "urgency" { // what is in it is held back, and that it is there
				paths = append(paths, s.GetPath())
			}
		}
		out = append(out, pathLines(lang, "sections", paths)...)
		out = append(out, lines(lang, &posternv1.Offer{Route: offer.GetRoute()})...)
		out = append(out, lines(lang, offer.GetLawfulBasis())...)
		if agreed := offer.GetConsent(); agreed.GetState() != posternv1.ConsentState_CONSENT_STATE_UNSPECIFIED {
			out = append(out, lines(lang, &posternv1.Consent{State: agreed.GetState(), GiveTime: agreed.GetGiveTime(), ExpireTime: agreed.GetExpireTime()})...)
		}
	}
	return out
}

// decisionLines are what was decided and why, a line each, without what people have to do about it.
func decisionLines(lang words.Language, d *posternv1.Decision) (out []plain.Line) {
	if d == nil {
		return nil
	}
	d = proto.CloneOf(d)
	d.Obligations = nil
	for _, l := range plain.DecisionIn(lang, d) {
		out = append(out, plain.Line{Label: plain.FieldIn(lang, "decision"), Value: strings.TrimSpace(l)})
	}
	return append(out, lines(lang, &posternv1.Decision{DecideTime: d.GetDecideTime(), PolicyRevision: d.GetPolicyRevision()})...)
}

func considerationLines(lang words.Language, codes *posternv1.Consideration) []plain.Line {
	if codes == nil {
		return nil
	}
	return append(pathLines(lang, "paths", codes.GetPaths()), lines(lang, codes, "paths")...)
}

// pathLines name sections, or children.
func pathLines(lang words.Language, field string, paths []string) (out []plain.Line) {
	for _, p := range paths {
		name := plain.PathWordsIn(lang, p)
		if child, ok := strings.CutPrefix(p, "child/"); ok && !strings.Contains(child, "/") {
			name = lang.Text("subject.child", words.Args{"number": child})
		}
		out = append(out, plain.Line{Label: plain.FieldIn(lang, field), Value: name})
	}
	return out
}

func numbers(all []uint32) string {
	out := make([]string, len(all))
	for i, n := range all {
		out[i] = strconv.Itoa(int(n))
	}
	return strings.Join(out, ", ")
}
