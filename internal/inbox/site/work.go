package site

import (
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Each page here does one thing about a notification. It carries how many deeds its reader has seen: of two workers at one
// notification the second is shown it again, with what the first did. A second press, or the page gone back to and sent
// again, says the same by the same person, and changes nothing.

func seenField(seen string) web.Field { return web.Field{Name: "seen", Kind: web.Hidden, Value: seen} }

// seenIn is how many deeds the sender of a form had seen; nil when the form does not say.
func seenIn(f *web.Form) *uint32 {
	n, err := strconv.ParseUint(f.Text("seen"), 10, 32)
	if err != nil {
		return nil
	}
	seen := uint32(n)
	return &seen
}

func about(r *web.Request, f *web.Form) *localv1.Seen {
	return &localv1.Seen{Id: r.PathValue("reference"), Deeds: seenIn(f)}
}

// page is the page of the notification that is asked for, under the name by which it is.
func (s *site) page(r *web.Request) string { return pageOf(r.PathValue("reference")) }

// pageOf is the page of a notification, by its id: two may share a reference.
func pageOf(id string) string { return "/notifications/" + url.PathEscape(id) }

// done leads back to the notification after something was done about it. Who was too late sees it with what was done.
func (s *site) done(r *web.Request, err error, told string) (web.Response, error) {
	if f := (*fault.Error)(nil); errors.As(err, &f) && (f.Reason == "CHANGED" || f.Reason == "WITHDRAWN_FURTHER") {
		view, failed := s.notification(r)
		if failed != nil {
			return nil, failed
		}
		n := view.Data.(*notification)
		n.Changed = r.T("inbox.changed")
		if len(n.History) > 0 {
			n.Changed += " " + n.History[0]
		}
		view.Status = conflict
		return view, nil
	}
	if err != nil {
		return nil, err
	}
	if err := r.Tell(told); err != nil {
		return nil, err
	}
	return web.SeeOther(s.page(r)), nil
}

// ask shows the question of one of these pages.
func (s *site) ask(form func(*web.Request, opened) *web.Form) web.Handler {
	return func(r *web.Request) (web.Response, error) {
		o, err := s.open(r)
		if err != nil {
			return nil, err
		}
		return s.question(r, o, form(r, o)), nil
	}
}

func (s *site) question(r *web.Request, o opened, f *web.Form) web.View {
	f.Fields = append(f.Fields, seenField(strconv.Itoa(len(o.GetItem().GetWork().GetDeeds()))))
	return web.View{Back: s.page(r), Form: f, About: o.GetItem().GetReference()}
}

// take reads an answer and does with it what act does. A fault shows the question again, with what was seen before.
func (s *site) take(form func(*web.Request, opened) *web.Form, told string, act func(*web.Request, *web.Form) error) web.Handler {
	return func(r *web.Request) (web.Response, error) {
		o, err := s.open(r)
		if err != nil {
			return nil, err
		}
		view := s.question(r, o, form(r, o))
		view.Form.Read(r)
		if err := act(r, view.Form); fault.KindOf(err) == fault.Invalid {
			return r.Again(view, err)
		} else {
			return s.done(r, err, told)
		}
	}
}

// givenForm asks who is to have the notification.
func (s *site) givenForm(r *web.Request, o opened) *web.Form {
	people, err := s.people(r)
	if err != nil {
		people.me = "" // the page that sends it will say so
	}
	f := web.Field{Name: "to", Kind: web.One, Label: r.T("inbox.given"), IsPageHeading: true, Value: people.me,
		Options: []web.Option{{Value: people.me, Text: r.T("inbox.me")}}}
	for _, staff := range people.order {
		f.Options = append(f.Options, people.choice(r, staff))
	}
	f.Options = append(f.Options, r.Or(), web.Option{Value: nobody, Text: r.T("inbox.nobody")})
	form := web.NewForm(f)
	form.Submit = "inbox.save"
	return form
}

func (s *site) give(r *web.Request, f *web.Form) error {
	f.Require("inbox.to_required", "to")
	if err := f.Err(); err != nil {
		return err
	}
	out, err := s.inbox.AssignItems(r.Context(), &localv1.AssignItemsRequest{To: strings.TrimPrefix(f.Text("to"), nobody), Items: []*localv1.Seen{about(r, f)}})
	if err == nil && len(out.GetChanged()) > 0 {
		return fault.New(fault.Precondition, "CHANGED", "A colleague was quicker.")
	}
	return err
}

// replies are the words for what a team can answer, in the order in which they are offered.
var replies = []struct {
	code     posternv1.ReplyCode
	id, hint string
}{
	{posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT, "inbox.reply_new", "inbox.reply_new_hint"},
	{posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN, "inbox.reply_known", ""},
	{posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE, "inbox.reply_no_trace", ""},
	{posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA, "inbox.reply_elsewhere", "inbox.reply_elsewhere_hint"},
	{posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, "inbox.reply_detail", "inbox.reply_detail_hint"},
}

// said is a reply in words.
func said(r *web.Request, reply *posternv1.Reply) string {
	for _, one := range replies {
		if one.code != reply.GetCode() {
			continue
		}
		text := r.T(one.id)
		names := make([]string, len(reply.GetPaths()))
		for n, path := range reply.GetPaths() {
			names[n] = plain.PathWordsIn(r.Language, path)
		}
		if len(names) > 0 {
			text += ": " + strings.Join(names, ", ")
		}
		return text
	}
	return plain.Words(plain.Enum(reply.GetCode()))
}

// replyForm asks what the team answers: whether they take it up, and whether the family is known to them.
func (s *site) replyForm(r *web.Request, o opened) *web.Form {
	f := web.Field{Name: "reply", Kind: web.One, Label: r.T("inbox.reply_page"), IsPageHeading: true, Hint: r.T("inbox.reply_hint")}
	for _, one := range replies {
		option := web.Option{Value: plain.Enum(one.code), Text: r.T(one.id)}
		if one.hint != "" {
			option.Hint = r.T(one.hint)
		}
		if one.code == posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL {
			detail := web.Field{Name: "paths", Kind: web.Many, Label: r.T("inbox.reply_which")}
			for _, path := range askable(o.GetItem().GetChildNumbers()) {
				detail.Options = append(detail.Options, web.Option{Value: path, Text: plain.PathWordsIn(r.Language, path)})
			}
			option.Fields = []web.Field{detail}
		}
		f.Options = append(f.Options, option)
	}
	form := web.NewForm(f)
	form.Submit = "inbox.reply_send"
	return form
}

// askable are the sections that a team may ask for. The inbox refuses the others whatever this offers.
func askable(children []uint32) (paths []string) {
	for _, sec := range section.All() {
		if sec.Class == posternv1.SectionClass_SECTION_CLASS_URGENT || slices.Contains([]string{"home", "carer", "safety", "phone"}, sec.Name) {
			continue
		}
		if !sec.PerChild {
			paths = append(paths, sec.Path(0))
			continue
		}
		for _, n := range children {
			paths = append(paths, sec.Path(int(n)))
		}
	}
	return paths
}

func (s *site) reply(r *web.Request, f *web.Form) error {
	f.Require("inbox.reply_required", "reply")
	reply := &posternv1.Reply{}
	if code, ok := plain.Value(posternv1.ReplyCode(0), f.Text("reply")); ok {
		reply.Code = posternv1.ReplyCode(code)
	}
	if reply.GetCode() == posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL {
		f.Require("inbox.reply_which_required", "paths")
		reply.Paths = f.Choices("paths")
	}
	if err := f.Err(); err != nil {
		return err
	}
	_, err := s.inbox.ReplyItem(r.Context(), &localv1.ReplyItemRequest{Item: about(r, f), Reply: reply})
	return err
}

// outcomes are the words for what can come of a notification.
var outcomes = map[posternv1.FamilyOutcomeCode]string{
	posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_MADE: "inbox.outcome_made", posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_ACCEPTED: "inbox.outcome_accepted",
	posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_DECLINED: "inbox.outcome_declined", posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_NOT_REACHED: "inbox.outcome_not_reached",
	posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_ALREADY_SUPPORTED: "inbox.outcome_supported", posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_PASSED_TO_SOCIAL_CARE: "inbox.outcome_social_care",
	posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_ADVICE_GIVEN: "inbox.outcome_advice",
}

func (s *site) outcomeForm(r *web.Request, o opened) *web.Form {
	f := web.Field{Name: "outcome", Kind: web.One, Label: r.T("inbox.outcome_page"), IsPageHeading: true, Hint: r.T("inbox.outcome_hint"), Value: plain.Enum(o.GetItem().GetWork().GetOutcome())}
	for n := posternv1.FamilyOutcomeCode(1); outcomes[n] != ""; n++ {
		f.Options = append(f.Options, web.Option{Value: plain.Enum(n), Text: r.T(outcomes[n])})
	}
	form := web.NewForm(f)
	form.Submit = "inbox.save"
	return form
}

func (s *site) outcome(r *web.Request, f *web.Form) error {
	f.Require("inbox.outcome_required", "outcome")
	if err := f.Err(); err != nil {
		return err
	}
	code, _ := plain.Value(posternv1.FamilyOutcomeCode(0), f.Text("outcome"))
	_, err := s.inbox.RecordOutcome(r.Context(), &localv1.RecordOutcomeRequest{Item: about(r, f), Outcome: posternv1.FamilyOutcomeCode(code)})
	return err
}

// hows are the words for how somebody was told.
var hows = map[localv1.ToldHow]string{localv1.ToldHow_TOLD_HOW_FACE_TO_FACE: "inbox.method_face_to_face", localv1.ToldHow_TOLD_HOW_PHONE: "inbox.method_phone", localv1.ToldHow_TOLD_HOW_LETTER: "inbox.method_letter"}

// told is that somebody was told, in words.
func told(r *web.Request, t *localv1.Told) string {
	whom := r.T("inbox.told_carer")
	if t.GetWhom() == localv1.ToldWhom_TOLD_WHOM_CHILD {
		whom = r.T("inbox.told_child", "number", t.GetChildNumber())
	}
	day, err := time.Parse(time.DateOnly, t.GetToldDate())
	if err != nil {
		return whom
	}
	return r.T("inbox.did_tell", "whom", whom, "day", plain.Date(r.Language, day), "how", r.T(hows[t.GetHow()]))
}

// toldForm asks who of the family was told, when and how. The law asks that they are.
func (s *site) toldForm(r *web.Request, o opened) *web.Form {
	whom := web.Field{Name: "whom", Kind: web.One, Label: r.T("inbox.told_whom"), Options: []web.Option{{Value: "0", Text: r.T("inbox.told_carer")}}}
	for _, n := range o.GetItem().GetChildNumbers() {
		whom.Options = append(whom.Options, web.Option{Value: strconv.Itoa(int(n)), Text: r.T("inbox.told_child", "number", n)})
	}
	how := web.Field{Name: "how", Kind: web.One, Label: r.T("inbox.told_how")}
	for n := localv1.ToldHow(1); hows[n] != ""; n++ {
		how.Options = append(how.Options, web.Option{Value: plain.Enum(n), Text: r.T(hows[n])})
	}
	form := web.NewForm(whom, web.Field{Name: "day", Path: "told_date", Kind: web.Date, Label: r.T("inbox.told_day"), Value: s.now().In(s.zone).Format(time.DateOnly)}, how)
	form.Submit = "inbox.save"
	return form
}

func (s *site) tell(r *web.Request, f *web.Form) error {
	f.Require("inbox.told_whom_required", "whom")
	f.Require("inbox.told_day_required", "day")
	f.Require("inbox.told_how_required", "how")
	day, _ := f.Day("day")
	if err := f.Err(); err != nil {
		return err
	}
	t := &localv1.Told{Whom: localv1.ToldWhom_TOLD_WHOM_CARER, ToldDate: day.Format(time.DateOnly)}
	if n, err := strconv.ParseUint(f.Text("whom"), 10, 32); err == nil && n > 0 {
		t.Whom, t.ChildNumber = localv1.ToldWhom_TOLD_WHOM_CHILD, uint32(n)
	}
	how, _ := plain.Value(localv1.ToldHow(0), f.Text("how"))
	t.How = localv1.ToldHow(how)
	_, err := s.inbox.RecordTold(r.Context(), &localv1.RecordToldRequest{Item: about(r, f), Told: t})
	return err
}
