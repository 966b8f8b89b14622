package desk

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/slip"
	"postern/internal/store"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Tonight says whom to telephone at this hour, from the directory on this machine: it asks nobody and checks nothing.
func (d *Desk) Tonight(ctx context.Context, req *localv1.TonightRequest) (*localv1.TonightResponse, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	out := &localv1.TonightResponse{}
	codes := req.GetAuthorities()
	if len(req.GetFormJson()) > 0 {
		var found []string
		out.Answer, found = form.Tonight(req.GetFormJson(), d.cfg.Postcodes)
		if out.Answer != posternv1.TonightAnswer_TONIGHT_ANSWER_YES && out.Answer != posternv1.TonightAnswer_TONIGHT_ANSWER_NOT_SURE {
			return out, nil
		}
		codes = append(slices.Clone(codes), found...)
	}
	dir := d.directory.Load().At(d.cfg.Clock())
	codes = slices.DeleteFunc(slices.Clone(codes), func(code string) bool { _, ok := dir.Authority(code); return !ok })
	if len(codes) == 0 { // better all of them than none
		for _, a := range dir.Authorities() {
			if !slices.Contains(codes, a.GetCode()) { // one may have several entries, each for its days
				codes = append(codes, a.GetCode())
			}
		}
	}
	for _, code := range codes {
		out.Numbers = append(out.Numbers, d.number(dir, code))
	}
	return out, nil
}

func (d *Desk) number(dir *directory.Directory, code string) *localv1.TonightNumber {
	a, _ := dir.Authority(code)
	team, phone, inHours := dir.PhoneNow(code, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING, d.cfg.Clock())
	return &localv1.TonightNumber{Authority: code, Name: a.GetName(), NameCy: a.GetNameCy(), Team: team, Phone: phone, InHours: inHours}
}

// GetSlip makes the person's paper copy of one notification. There is none of what another prison sent, and none where
// the person was not told on purpose: on paper they would be.
func (d *Desk) GetSlip(ctx context.Context, req *localv1.GetSlipRequest) (*localv1.GetSlipResponse, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	lang, ok := words.Parse(req.GetLanguage())
	if !ok && req.GetLanguage() != "" {
		return nil, fault.New(fault.Invalid, "NO_LANGUAGE", "There are slips in English (en) and in Welsh (cy). Use one of them.")
	}
	s, err := d.Slip(ctx, lang, req.GetId())
	if err != nil {
		return nil, err
	}
	out := &localv1.GetSlipResponse{Content: s.Text(lang)}
	if req.GetHtml() {
		out.Content, err = s.HTML(lang)
	}
	return out, err
}

// Slip is what the slip of a notification says, by its id or its reference.
func (d *Desk) Slip(ctx context.Context, lang words.Language, name string) (slip.Slip, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return slip.Slip{}, err
	}
	n, f, m := &localv1.Notification{}, &posternv1.Form{}, &posternv1.SealedNotification{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		id, err := d.find(s, name)
		if err != nil {
			return err
		}
		if err := d.load(s, schema.DeskNotification, id, n); err != nil || n.GetElsewhere() {
			return err
		}
		for _, part := range []struct {
			ks  store.Keyspace
			key string
			m   proto.Message
		}{{schema.DeskForm, n.GetFormId(), f}, {schema.DeskMessage, id, m}} {
			if err := d.load(s, part.ks, part.key, part.m); err != nil && fault.KindOf(err) != fault.NotFound {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return slip.Slip{}, err
	}
	if n.GetErasure() != nil {
		return slip.Slip{}, erased(n)
	}
	if n.GetElsewhere() {
		return slip.Slip{}, fault.New(fault.Precondition, "NO_SLIP", "Another prison sent this, so its slip is there. Here only its withdrawal was taken.")
	}
	return d.slip(lang, forReception(n), f, m) // paper is read by whoever holds it
}

// untold reports whether whoever sent this without consent said that the person was not told. The route is that of the
// notification: the safeguarding lead may have decided to share what the form had asked permission for.
func untold(route posternv1.Route, n *localv1.Notification, f *posternv1.Form) bool {
	switch route {
	case posternv1.Route_ROUTE_URGENT:
		return f.GetUrgency().GetParentTold() != posternv1.Answer_ANSWER_YES
	case posternv1.Route_ROUTE_DUTY:
		considered := f.GetConsideration()
		if last := lastConsidered(n, true); last != nil {
			considered = last.GetCodes()
		}
		return considered.GetParentTold() != posternv1.Answer_ANSWER_YES
	default:
		return false
	}
}

var slipStages = map[localv1.State]slip.Stage{
	stateQueued: slip.Waiting, stateWaiting: slip.Waiting, stateWithheld: slip.Nothing, stateReferred: slip.NotSent,
	stateAccepted: slip.Sent, stateDelivered: slip.Sent, stateClosed: slip.Sent, stateUndelivered: slip.NotDelivered,
	stateWithdrawn: slip.Withdrawn, stateStopAsked: slip.StopAsked,
}

// slip gathers what the slip of a notification says.
func (d *Desk) slip(lang words.Language, n *localv1.Notification, f *posternv1.Form, m *posternv1.SealedNotification) (slip.Slip, error) {
	manifest := &posternv1.Manifest{}
	if err := proto.Unmarshal(m.GetManifest().GetPayload(), manifest); err != nil {
		return slip.Slip{}, fault.New(fault.Internal, "BAD_RECORD", "A record of this desk cannot be read.").Because(err)
	}
	dir, offer := d.directory.Load().At(d.cfg.Clock()), manifest.GetOffer()
	if untold(offer.GetRoute(), n, f) {
		return slip.Slip{}, fault.New(fault.Precondition, "NOT_TOLD", "It is recorded that the person was not told, so there is no slip.")
	}
	prison, _ := dir.Prison(d.cfg.Identity.Party().ID)
	stage := slipStages[n.GetState()]
	if back(n) && stage != slip.Withdrawn && stage != slip.StopAsked {
		stage = slip.Stopped
	}
	s := slip.Slip{
		Stage: stage, Route: offer.GetRoute(), Enquiry: manifest.GetEnquiry(), Wales: prison.GetJurisdiction() == "GB-WLS",
		Prison: called(lang, prison), Reference: n.GetReference(), Code: n.GetSlipCode(),
		Champion: prison.GetChampion(),
	}
	if s.Prison == "" {
		s.Prison = d.cfg.Identity.Party().ID
	}
	if s.Enquiry != nil {
		if n.GetMove() == nil {
			s.AskAgain = askAgain(n, manifest, d.cfg.Clock())
		}
		return s, nil
	}
	a, _ := dir.Authority(n.GetAuthority())
	role := posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP
	if offer.GetRoute() == posternv1.Route_ROUTE_URGENT {
		role = posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING
	}
	s.Unagreed = offer.GetConsent().GetState() != posternv1.ConsentState_CONSENT_STATE_GIVEN || !consent.Reaches(offer.GetConsent(), n.GetAuthority())
	s.Team, s.Services = called(lang, a), a.GetSignposts()
	if s.Team == "" {
		s.Team = n.GetAuthorityName()
	}
	if door, ok := dir.FrontDoor(n.GetAuthority(), role); ok && door.GetName() != "" {
		s.Team = door.GetName() + ", " + s.Team
	}
	if offer.GetRoute() == posternv1.Route_ROUTE_STANDARD && (s.Stage == slip.Sent || s.Stage == slip.Waiting) {
		s.Until = consent.Expiry(offer.GetConsent())
	}
	s.About, s.Without = about(n, childrenOf(f, n), m, offer)
	return s, nil
}

// askAgain is the day on which somebody who could not be asked, or not for permission, is asked again, as the list of those
// says, but none that is past: the paper is for what is to come. There is none for whoever was asked.
func askAgain(n *localv1.Notification, m *posternv1.Manifest, now time.Time) string {
	e := m.GetEnquiry()
	if o := e.GetOutcome(); o != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED && o != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN {
		return e.GetAskAgainDate()
	}
	taken, yesterday := form.Today(n.GetCreateTime().AsTime()), form.Today(now.AddDate(0, 0, -1))
	return askAgainOn(e.GetAskAgainDate(), cmp.Or(m.GetReception().GetReceiveDate(), taken), max(taken, yesterday))
}

// called is what a prison or an authority is called in a language.
func called(lang words.Language, named interface {
	GetName() string
	GetNameCy() string
}) string {
	if cy := named.GetNameCy(); lang == words.Welsh && cy != "" {
		return cy
	}
	return named.GetName()
}

// about lists what goes by whom it is about: what the decision released; before there is one, what was sealed, or what
// the person agreed to where nothing could be sealed; never what was taken back. Of a child that a decision left out,
// nothing goes.
func about(n *localv1.Notification, names []string, m *posternv1.SealedNotification, offer *posternv1.Offer) (told, without []slip.About) {
	paths := n.GetDecision().GetPaths()
	if n.GetDecision() == nil || n.GetState() == stateWaiting {
		paths = offer.GetConsent().GetSections()
		if sealed := m.GetSections(); len(sealed) > 0 {
			paths = nil
			for _, s := range sealed {
				paths = append(paths, s.GetPath())
			}
		}
	}
	if taken := partsTakenBack(n); len(taken) > 0 {
		paths = slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return consent.Withdrawn(taken, p) })
	}
	for child := range len(names) + 1 {
		a := slip.About{Child: child}
		if child > 0 {
			a.Name = names[child-1]
		}
		for _, s := range section.All() {
			if s.PerChild == (child > 0) && slices.Contains(paths, s.Path(child)) {
				a.Paths = append(a.Paths, s.Path(child))
			}
		}
		switch {
		case len(a.Paths) > 0:
			told = append(told, a)
		case child > 0:
			without = append(without, a)
		}
	}
	return told, without
}

// language reads the language of a request; one that nobody knows is English.
func language(tag string) words.Language {
	lang, _ := words.Parse(tag)
	return lang
}
