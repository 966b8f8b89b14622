package desk

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Person is the person in prison whom a form is about; empty where this desk does not hold the form.
type Person struct{ FamilyName, GivenName, Number string }

// About is what this desk holds of a notification beside its state: whom it is about and how each of its sections stands,
// for staff of this prison alone. Nothing of it comes from the hub but what the reader may see of the decision.
type About struct {
	Person   Person
	Children []string // what each child is called, by the numbers of the notification
	Route    posternv1.Route
	Until    time.Time // when the permission ends; zero where none was given
	Sections []Standing
}

// Standing is how one section of a notification stands.
type Standing struct {
	Path  string
	Stand Stand
}

// Stand says whether a section goes, and why not.
type Stand uint8

// How a section may stand.
const (
	StandSent       Stand = iota // the decision lets it go
	StandKept                    // it was offered, and no decision lets it go
	StandTakenBack               // the person took it back
	StandNotOffered              // it is filled in, and neither permission nor the route covers it
	StandNotFilled               // it is not filled in
)

// About tells what this desk holds of a notification, by its id or its reference.
func (d *Desk) About(ctx context.Context, name string) (*About, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	out := &About{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		n, err := d.byName(s, name)
		if err != nil || n.GetElsewhere() {
			return err
		}
		f, message, manifest := &posternv1.Form{}, &posternv1.SealedNotification{}, &posternv1.Manifest{}
		if err := d.loadIfThere(s, schema.DeskForm, n.GetFormId(), f); err != nil {
			return err
		}
		if err := d.loadIfThere(s, schema.DeskMessage, n.GetId(), message); err != nil {
			return err
		}
		if err := proto.Unmarshal(message.GetManifest().GetPayload(), manifest); err != nil {
			return fault.New(fault.Internal, "BAD_RECORD", "A record of this desk cannot be read.").Because(err)
		}
		offer := manifest.GetOffer()
		if e := n.GetErasure(); e != nil {
			*out = About{Children: childrenOf(f, n), Route: n.GetRoute(), Sections: sent(n)}
			if end := e.GetPermissionEndTime(); end != nil {
				out.Until = end.AsTime()
			}
			return nil
		}
		*out = About{Person: personOf(f), Children: childrenOf(f, n), Route: offer.GetRoute(), Sections: standings(f, d.forReader(ctx, n), message, offer)}
		if offer.GetConsent().GetState() == posternv1.ConsentState_CONSENT_STATE_GIVEN {
			out.Until = consent.Expiry(offer.GetConsent())
		}
		return nil
	})
	return out, err
}

// People are the persons of several notifications, by the id of each. One whose form is not here has none.
func (d *Desk) People(ctx context.Context, all []*localv1.Notification) (map[string]Person, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	out := map[string]Person{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		clear(out)
		for _, n := range all {
			if n.GetFormId() == "" {
				continue // another prison's, of which only the withdrawal is here
			}
			f := &posternv1.Form{}
			if err := d.loadIfThere(s, schema.DeskForm, n.GetFormId(), f); err != nil {
				return err
			}
			out[n.GetId()] = personOf(f)
		}
		return nil
	})
	return out, err
}

// loadIfThere is load that leaves m empty where there is no such record.
func (d *Desk) loadIfThere(s store.Snapshot, ks store.Keyspace, key string, m proto.Message) error {
	if err := d.load(s, ks, key, m); err != nil && fault.KindOf(err) != fault.NotFound {
		return err
	}
	return nil
}

func personOf(f *posternv1.Form) Person {
	name := f.GetParent().GetName()
	return Person{FamilyName: name.GetFamilyName(), GivenName: name.GetGivenName(), Number: f.GetPrisonNumber()}
}

// childrenOf are what the children of a notification are called, in the order of their numbers in it.
func childrenOf(f *posternv1.Form, n *localv1.Notification) []string {
	out := make([]string, len(n.GetFormChildren()))
	for i, number := range n.GetFormChildren() {
		if int(number) > len(f.GetChildren()) {
			continue // the form is not here
		}
		identity := f.GetChildren()[number-1].GetIdentity()
		out[i] = identity.GetGivenName()
		if out[i] == "" {
			out[i] = identity.GetKnownAs()
		}
	}
	return out
}

// standings says of every section that a notification could have how it stands, in the order of the form.
func standings(f *posternv1.Form, n *localv1.Notification, message *posternv1.SealedNotification, offer *posternv1.Offer) []Standing {
	taken := partsTakenBack(n)
	var out []Standing
	for child := range len(n.GetFormChildren()) + 1 {
		for _, sec := range section.All() {
			if sec.PerChild != (child > 0) || sec.Class == posternv1.SectionClass_SECTION_CLASS_URGENT && offer.GetRoute() != posternv1.Route_ROUTE_URGENT {
				continue
			}
			path, inForm := sec.Path(child), sec.Pattern
			if child > 0 {
				inForm = sec.Path(int(n.GetFormChildren()[child-1]))
			}
			_, filled := section.Get(f, inForm)
			offered := slices.ContainsFunc(message.GetSections(), func(x *posternv1.SealedSection) bool { return x.GetPath() == path }) ||
				len(message.GetSections()) == 0 && filled && consent.Covers(offer.GetConsent(), path) // sealed to nobody, as nobody has a key
			s := Standing{Path: path, Stand: StandNotFilled}
			switch {
			case slices.Contains(n.GetDecision().GetPaths(), path):
				s.Stand = StandSent
			case offered:
				s.Stand = StandKept
			case filled:
				s.Stand = StandNotOffered
			}
			if s.Stand != StandNotFilled && len(taken) > 0 && consent.Withdrawn(taken, path) {
				s.Stand = StandTakenBack
			}
			out = append(out, s)
		}
	}
	return out
}

// sent are the sections that went of a notification of which nothing else is known any more.
func sent(n *localv1.Notification) (out []Standing) {
	taken := partsTakenBack(n)
	for _, path := range n.GetDecision().GetPaths() {
		s := Standing{Path: path, Stand: StandSent}
		if len(taken) > 0 && consent.Withdrawn(taken, path) {
			s.Stand = StandTakenBack
		}
		out = append(out, s)
	}
	return out
}

// Actions are what may still be done about a notification, as far as its reader sees: the desk's own methods ask again.
type Actions struct {
	Withdraw bool // there is something to take back, or to object to
	Call     bool // a call about it still belongs to it
	Consider bool // the safeguarding lead may decide on it
	Review   bool // and has to look again at what was shared urgently
	ByHand   bool // it goes by the manual route
	Close    bool // that it went by hand may be noted, also once the person has taken it back
	Move     bool // that the person has moved may be recorded, or that they are back
	Read     bool // the safeguarding lead has an objection to read
	Correct  bool // another form may put it right
	Back     bool // all of it was taken back, so that what is still to be done does not rest on permission
	Waits    bool // and the hub has not said yet what that came to
	Refused  bool // and the hub did not take it
	Unasked  bool // and the hub that is here never had it, though the team has: a person asks the team to stop
}

// ActionsOf are the actions of a notification as it is shown.
func ActionsOf(n *localv1.Notification) Actions {
	offered := n.GetAuthority() != "" || n.GetElsewhere()
	about := n.GetAuthority() != "" || len(n.GetFormChildren()) > 0
	out := Actions{Withdraw: offered && !withdrawnBefore(n, nil), Call: about && takesCalls(n), Consider: mayConsider(n), Review: mayReview(n), ByHand: byHand(n), Close: mayHaveGone(n), Back: back(n),
		Move: !n.GetElsewhere() && n.GetErasure() == nil, Read: unreadObjection(n),
		Correct: about && !n.GetElsewhere() && n.GetErasure() == nil && n.GetSupersededBy() == "" && n.GetFollows() == "" && !back(n)}
	for _, w := range n.GetWithdrawals() {
		if len(w.GetPaths()) == 0 && takesBack(w) {
			out.Waits = out.Waits || pendingWithdrawal(w)
			out.Unasked = !n.GetElsewhere() && n.GetState() == stateDelivered && says(w.GetAnswer(), ruleWithdrawn)
			out.Refused = says(w.GetAnswer(), ruleRefused) && n.GetState() != stateWithdrawn && n.GetState() != stateStopAsked
		}
	}
	return out
}

// Reconsidered reports whether a notification puts right what was shared under the duty, and the safeguarding lead has not
// considered yet whether that is shared too.
func Reconsidered(n *localv1.Notification) bool {
	return n.GetRoute() == posternv1.Route_ROUTE_DUTY && n.GetState() == stateReferred && len(n.GetConsiderations()) == 0 &&
		slices.ContainsFunc(n.GetTasks(), func(t *localv1.Task) bool {
			return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_CONSIDER_DUTY
		})
}

// Heard is when the hub last answered this desk, and whether it has been silent for longer than the desk leaves it alone:
// then all that a team or the hub does is as of that time. It is zero until the first answer after a start.
func (d *Desk) Heard() (at time.Time, silent bool) {
	if nano := d.answered.Load(); nano != 0 {
		at = time.Unix(0, nano)
	}
	return at, d.cfg.Clock().Sub(at) > silence(d.cfg.Poll)
}

// silence is after how long without an answer people are told: a few missed polls, and never less than a minute.
func silence(poll time.Duration) time.Duration { return max(3*poll, time.Minute) }

// CorrectionOf is a form to begin a draft with that puts an earlier one right: all that the earlier one says, under a new
// id that BeginDraft gives, with nothing that came in since. It is asked through again from the beginning, permission too. What was shared under
// the duty keeps its route, and is considered anew: what the safeguarding lead decided was about what it said then.
func (d *Desk) CorrectionOf(ctx context.Context, name string) (*posternv1.Form, error) {
	if _, err := d.fillsIn(ctx); err != nil {
		return nil, err
	}
	f := &posternv1.Form{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		n, err := d.byName(s, name)
		switch {
		case err != nil:
			return err
		case !ActionsOf(n).Correct:
			return ended(n, "put right")
		}
		return d.load(s, schema.DeskForm, n.GetFormId(), f)
	})
	f.Supersedes, f.FormId, f.Gate, f.Calls, f.Consideration, f.ConsiderationReasons = f.GetFormId(), "", 0, nil, nil, ""
	return f, err
}
