package desk

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/plain"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Preview is what would become of a form if it were sent now: the same draft as for sending, decided by the same engine
// on the same input, with the rules and the directory that were last synced. It works without the hub.
//
// The hub's decision is what counts. It alone knows: rules and a directory newer than the desk's; what was withdrawn at
// another prison; and the hour at which the form arrives.
type Preview struct {
	Policy    PolicyAge
	Directory uint64 // the number of the directory's revision; 0 for none yet
	Parts     []PreviewPart
}

// PolicyAge says which rules the desk looks ahead by, and how old they are.
type PolicyAge struct {
	Revision string
	BuiltIn  bool      // the rules of this program
	Since    time.Time // when they came here; zero for rules that no hub has confirmed yet
	Checked  time.Time // when the hub last said that they are in force; zero for not since the desk was started
}

// PreviewPart is what would become one notification.
type PreviewPart struct {
	Authority string // the code; empty for the outcome of asking, which goes to no team
	Name      string // of the authority
	Team      string // its early help
	Route     posternv1.Route
	Children  []uint32 // their numbers in the form, in the order of their numbers here
	// Decision is the decision of now, as whoever asks may see it.
	Decision *posternv1.Decision
	// Then is the decision of now, or where that waits for the public-protection check, what will be decided once the
	// check holds nothing back. What goes and what stays is by this one.
	Then     *posternv1.Decision
	Sections []PreviewSection // whatever the form says of these children and the parent

	offered []string // the paths that would be sealed
}

// PreviewSection is one section of the form and what becomes of it.
type PreviewSection struct {
	Path    string // with the number of the child in the notification
	Child   uint32 // the number of the child in the form; 0 for the parent
	Message proto.Message
	Fate    Fate
	Reasons []*posternv1.Reason // the policy's, for what stays or waits
}

// Fate is what becomes of a section.
type Fate uint8

// The fates.
const (
	Goes      Fate = iota // the council will see it
	Waits                 // it would go with a child who waits
	Stays                 // the rules keep it here
	NotAgreed             // the person did not agree to tell it
	NoKey                 // the team has no key yet, so nothing can be sealed to it
)

// Preview looks ahead at a form. A form with faults is refused with all of them, as it is when it is sent.
func (d *Desk) Preview(ctx context.Context, lang words.Language, f *posternv1.Form) (*Preview, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	dir := d.directory.Load().At(d.cfg.Clock())
	checked, err := d.check(lang, f, dir)
	if err != nil {
		return nil, err
	}
	earlier, err := d.earlier(ctx, f)
	if err != nil {
		return nil, err
	}
	rules, err := d.Policy(ctx)
	if err != nil {
		return nil, err
	}
	out := &Preview{Directory: dir.Number()}
	if out.Policy, err = d.policyAge(ctx); err != nil {
		return nil, err
	}
	for _, p := range checked.Parts(func() string { return "" }) { // no rule reads the id of a consent
		m := making{first: d.waitsSince(p, earlier), sender: d.sender(by), earlier: putRight(earlier, p.Authority)}
		part, err := d.lookAhead(ctx, rules, p, dir, m)
		if err != nil {
			return nil, err
		}
		part.settle(checked.Form(), p)
		if !by.mayKnow() && awaitsCheck(part.Decision) {
			part.Decision = uncertain(part.Decision)
		}
		out.Parts = append(out.Parts, part)
	}
	return out, nil
}

// lookAhead decides on a part as the hub would.
func (d *Desk) lookAhead(ctx context.Context, rules *engine.Engine, p form.Part, dir *directory.Directory, m making) (PreviewPart, error) {
	a, _ := dir.Authority(p.Authority)
	out := PreviewPart{Authority: p.Authority, Name: a.GetName(), Route: p.Route, Children: formNumbers(p)}
	door, _ := dir.FrontDoor(p.Authority, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP)
	out.Team = door.GetName()
	draft, _ := d.draft(p, dir, &m)
	facts := engine.Facts{Manifest: draft.Manifest, Children: draft.Children, Hub: draft.Hub, CallerPrison: m.sender.GetPrisonId(), Now: d.cfg.Clock()}
	for _, s := range draft.Sections {
		facts.OfferedPaths = append(facts.OfferedPaths, s.Path)
	}
	in := engine.Offered(dir, facts)
	first, err := d.sharedBefore(ctx, draft)
	if err != nil {
		return out, err
	}
	in.SentBefore(first)
	out.Decision, _ = rules.Decide(ctx, in)
	out.Then = out.Decision
	if awaitsCheck(out.Decision) {
		in.Gate = plain.Enum(posternv1.Gate_GATE_NO_HOLD)
		out.Then, _ = rules.Decide(ctx, in)
	}
	out.offered = facts.OfferedPaths
	return out, nil
}

// sharedBefore is the id of a notification of this desk by which the same content was shared, and counts as sent as long as
// its permission holds.
// The hub looks for it in its own rows in the same way.
func (d *Desk) sharedBefore(ctx context.Context, draft envelope.Draft) (id string, err error) {
	ref := draft.Hub.GetContentRef()
	if draft.Manifest.GetOffer().GetRoute() != posternv1.Route_ROUTE_STANDARD || draft.Manifest.GetSupersedes() != "" {
		return "", nil
	}
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		last := time.Time{}
		return s.Scan(schema.DeskContent, ref, store.PrefixEnd(ref), func(key, _ []byte) (bool, error) {
			n := &localv1.Notification{}
			if err := d.load(s, schema.DeskNotification, string(key[len(ref):]), n); err != nil && !errors.Is(err, notHere) {
				return false, err
			}
			at := n.GetDecision().GetDecideTime().AsTime()
			if !countsAsSent(n) || !at.After(last) {
				return true, nil
			}
			_, end, err := d.permission(s, n)
			if end.IsZero() || d.cfg.Clock().Before(end) {
				id, last = n.GetId(), at
			}
			return true, err
		})
	})
	return id, err
}

// countsAsSent reports whether the same is not sent again, as far as the desk was told: it was shared, and was neither taken
// back nor decided otherwise since, nor does it lie undelivered.
func countsAsSent(n *localv1.Notification) bool {
	return n.GetShared() && len(n.GetWithdrawals()) == 0 && n.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && n.GetState() != stateUndelivered
}

// settle says of every section of the form that belongs to the part what becomes of it.
func (p *PreviewPart) settle(f *posternv1.Form, part form.Part) {
	add := func(s section.Section, number int, inForm uint32) {
		m, ok := section.Get(f, s.Path(int(inForm)))
		if !ok {
			return
		}
		path := s.Path(number)
		for _, sealed := range part.Sections {
			if sealed.Path == path {
				m = sealed.Message // with the address in full
			}
		}
		row := PreviewSection{Path: path, Child: inForm, Message: m}
		row.Fate, row.Reasons = p.fate(path, slices.ContainsFunc(part.Sections, func(x form.PartSection) bool { return x.Path == path }))
		p.Sections = append(p.Sections, row)
	}
	for _, s := range section.All() {
		if !s.PerChild {
			add(s, 0, 0)
		}
	}
	for _, child := range part.Children {
		for _, s := range section.All() {
			if s.PerChild {
				add(s, child.Number, uint32(child.FormNumber))
			}
		}
	}
}

// fate is what becomes of a section that the route permits to be told, or does not.
func (p *PreviewPart) fate(path string, permitted bool) (Fate, []*posternv1.Reason) {
	n, _ := section.ChildOf(path)
	var child *posternv1.ChildDecision
	for _, c := range p.Then.GetChildren() {
		if int(c.GetNumber()) == n {
			child = c
		}
	}
	outcome, reasons := p.Then.GetOutcome(), p.Then.GetReasons()
	if child != nil {
		outcome, reasons = child.GetOutcome(), append(slices.Clone(child.GetReasons()), reasons...)
	}
	var about []*posternv1.Reason
	for _, r := range reasons {
		if slices.Contains(r.GetPaths(), path) {
			about = append(about, r)
		}
	}
	switch {
	case slices.Contains(p.Then.GetPaths(), path):
		return Goes, nil
	case !permitted:
		return NotAgreed, nil
	case !slices.Contains(p.offered, path):
		return NoKey, nil
	case len(about) > 0:
		return Stays, about
	case outcome == posternv1.Outcome_OUTCOME_WAIT:
		return Waits, reasons
	default:
		return Stays, reasons
	}
}

// policyAge is by which rules the desk looks ahead, when they came, and when the hub last said that they are in force.
func (d *Desk) policyAge(ctx context.Context) (PolicyAge, error) {
	kept, err := d.keptPolicy(ctx)
	if err != nil {
		return PolicyAge{}, err
	}
	rules, err := d.Policy(ctx)
	if err != nil {
		return PolicyAge{}, err
	}
	age := PolicyAge{Revision: rules.Revision(), BuiltIn: len(kept.GetSignatures()) == 0}
	if at := d.rules.checked.Load(); at != nil {
		age.Checked = *at
	}
	var row []byte
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		row, err = s.Get(schema.DeskMeta, keyRulesTime)
		return err
	})
	if err != nil || row == nil || kept.GetRevision() != age.Revision {
		return age, err
	}
	if err := age.Since.UnmarshalText(row); err != nil {
		return age, fault.New(fault.Internal, "POLICY_STORED", "The stored policy cannot be read.").Because(err)
	}
	return age, nil
}
