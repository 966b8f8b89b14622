package desk

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// waitAgain is how long the desk waits when the hub says WAIT with a time that has passed here: its clock is behind ours.
const waitAgain = time.Minute

// open reports whether something of a notification may still go: it was not withdrawn, put right by another form, sent by
// hand or closed by the safeguarding lead.
func open(n *localv1.Notification) bool {
	if n.GetElsewhere() || n.GetErasure() != nil || n.GetSupersededBy() != "" || n.GetResealedBy() != "" || n.GetManual() != nil || lastConsidered(n, false) != nil || takenBack(n) {
		return false
	}
	switch n.GetState() {
	case stateQueued, stateWaiting, stateReferred:
		return true
	case stateAccepted, stateDelivered, stateUndelivered:
		return len(openChildren(n)) > 0
	case stateWithheld:
		return lastConsidered(n, true) != nil // the safeguarding lead has thought again
	}
	return false
}

// openChildren are the children of a decision that wait or need a decision by a person, do not go on elsewhere yet, and were
// not taken back.
func openChildren(n *localv1.Notification, outcomes ...posternv1.Outcome) []uint32 {
	if len(outcomes) == 0 {
		outcomes = []posternv1.Outcome{posternv1.Outcome_OUTCOME_WAIT, posternv1.Outcome_OUTCOME_REFER_TO_PERSON}
	}
	var out []uint32
	for _, c := range n.GetDecision().GetChildren() {
		gone := slices.ContainsFunc(n.GetFollowups(), func(f *localv1.Followup) bool { return slices.Contains(f.GetChildNumbers(), c.GetNumber()) })
		if slices.Contains(outcomes, c.GetOutcome()) && !gone && !childTakenBack(n, c.GetNumber()) {
			out = append(out, c.GetNumber())
		}
	}
	return out
}

// waits reports whether anything of a notification waits for something ordinary that may still come.
func waits(n *localv1.Notification) bool {
	return open(n) && (n.GetState() == stateWaiting || len(openChildren(n, posternv1.Outcome_OUTCOME_WAIT)) > 0)
}

// submitAgainAt is when the desk submits a notification again by itself: at once when something came in that the hub has
// not heard of, otherwise when what it waits for is due.
func submitAgainAt(n *localv1.Notification) (time.Time, bool) {
	switch {
	case n == nil || n.GetResubmitting() || n.GetState() == stateQueued || !open(n):
		return time.Time{}, false
	case n.GetChanges() > n.GetChangesTold():
		return time.Unix(0, 0), true
	case n.GetResubmitTime() != nil && waits(n):
		return n.GetResubmitTime().AsTime(), true
	}
	return time.Time{}, false
}

// StepClocks submits again one notification for which it is time, and reports whether there was one.
func (d *Desk) StepClocks(ctx context.Context) (bool, error) {
	var ids []string
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		ids = nil
		end := binary.BigEndian.AppendUint64(nil, uint64(max(d.cfg.Clock().Unix(), 0)+1))
		return s.Scan(schema.DeskDue, nil, end, func(key, _ []byte) (bool, error) {
			ids = append(ids, string(key[8:]))
			return true, nil
		})
	})
	for _, id := range ids { // one that cannot be made again does not stop the others
		again := d.submitAgain(ctx, id)
		if again == nil {
			return true, nil
		}
		err = errors.Join(err, again)
	}
	return false, err
}

// submitAgain makes a notification again from its form and what came in since, and spools it: under its own id while
// nothing of it was ever shared, otherwise what is left of it as a new one. A crash before the transaction leaves it
// due, and it is made again.
func (d *Desk) submitAgain(ctx context.Context, id string) error {
	d.submit.Lock() // or a withdrawal or a form that puts this one right could come between
	defer d.submit.Unlock()
	n, message, f := &localv1.Notification{}, &posternv1.SealedNotification{}, &posternv1.Form{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		return errors.Join(d.load(s, schema.DeskNotification, id, n), d.load(s, schema.DeskMessage, id, message), d.load(s, schema.DeskForm, n.GetFormId(), f))
	})
	if err != nil {
		return err
	}
	if at, due := submitAgainAt(n); !due || at.After(d.cfg.Clock()) {
		return nil // somebody else did it between the look and the lock: a second manifest would take the first one's place
	}
	if n.GetShared() && len(left(n)) == 0 { // as when a hub that had lost it decided otherwise
		return d.change(ctx, id, func(_ store.Tx, n *localv1.Notification) error {
			n.ChangesTold, n.ResubmitTime = n.GetChanges(), nil
			return nil
		})
	}
	c, err := d.composeAgain(n, message, f)
	if err != nil {
		return err
	}
	sealed, err := d.seal(schema.DeskMessage, c.state.GetId(), c.message)
	if err != nil {
		return err
	}
	if err := failpoint.Hit(failpoint.DeskDue); err != nil {
		return err
	}
	err = d.change(ctx, id, func(tx store.Tx, now *localv1.Notification) error {
		if !proto.Equal(n, now) {
			return nil // an update came meanwhile; if it is still due it is found again
		}
		now.ChangesTold = now.GetChanges()
		if n.GetShared() {
			going, _ := goesOn(n)
			now.Followups = append(now.Followups, &localv1.Followup{Id: c.state.GetId(), ChildNumbers: going})
			return d.putNew(tx, c, sealed)
		}
		now.State, now.Resubmitting, now.UpdateTime = after(now.GetState(), submittedAgain), true, c.state.GetUpdateTime()
		sum := sha256.Sum256(message.GetManifest().GetPayload())
		now.Route, now.EarlierManifestSha256 = c.state.GetRoute(), append(now.GetEarlierManifestSha256(), sum[:])
		if err := tx.Put(schema.DeskMessage, []byte(id), sealed); err != nil {
			return err
		}
		return d.enqueue(tx, hubDestination, id, id)
	})
	if err == nil {
		d.nudge()
		// A crash here: it is in the spool and not due any more, and goes by itself.
		err = failpoint.Hit(failpoint.DeskRemade)
	}
	return err
}

// left are the children, by their numbers in a notification that was shared, who go on in a new one: those who wait, and
// once something came in all who did not go.
func left(n *localv1.Notification) []uint32 {
	if n.GetChanges() > n.GetChangesTold() {
		return openChildren(n)
	}
	return openChildren(n, posternv1.Outcome_OUTCOME_WAIT)
}

// goesOn are those of the children who are left that go on in the next notification, and the safeguarding lead's order by
// which they do: those whom an order is about, and otherwise all who are left, by permission as before. One child never
// takes another's permission away.
func goesOn(n *localv1.Notification) (children []uint32, order *localv1.RecordedConsideration) {
	all := left(n)
	children = slices.DeleteFunc(slices.Clone(all), func(number uint32) bool { return !ordered(n, number) })
	if len(children) == 0 {
		return all, nil
	}
	return children, lastConsidered(n, true)
}

func (d *Desk) composeAgain(n *localv1.Notification, message *posternv1.SealedNotification, f *posternv1.Form) (composed, error) {
	manifest := &posternv1.Manifest{}
	if err := proto.Unmarshal(message.GetManifest().GetPayload(), manifest); err != nil {
		return composed{}, err
	}
	facts, err := hubFacts(message)
	if err != nil {
		return composed{}, err
	}
	consentID, err := envelope.NewID(d.cfg.Rand)
	if err != nil {
		return composed{}, err
	}
	// The sender stays who took the form: whoever did the check would tell a team of the check.
	m := making{id: n.GetId(), slipCode: n.GetSlipCode(), first: facts.GetFirstSubmitTime().AsTime(), sender: manifest.GetSender(),
		replaces: manifest.GetSupersedes(), reason: manifest.GetOffer().GetChangeReason(), maybeSent: n.GetMaybeSentSha256()}
	children, order := n.GetFormChildren(), lastConsidered(n, true)
	var going []uint32
	if n.GetShared() {
		going, order = goesOn(n)
		m.id, m.slipCode, m.replaces, m.reason, m.maybeSent = "", "", "", 0, nil
		children = inForm(n, going)
	}
	if order != nil { // it goes whatever was permitted
		m.sender = d.sender(Staff{ID: order.GetCodes().GetStaffId(), Role: order.GetCodes().GetRole()})
	} else if m.withdrawn = partsSaid(n); n.GetShared() && len(m.withdrawn) > 0 {
		m.withdrawn, _ = pathsThere(m.withdrawn, going)
	}
	part := form.Again(withCasework(f, n, order), d.cfg.Clock()).PartOf(earlierPart(n, manifest, facts, children), consentID)
	c, err := d.composePart(part, n.GetFormId(), d.directory.Load(), m)
	if err != nil || !n.GetShared() {
		return c, err
	}
	c.state.Follows, c.state.LeftOutPaths = n.GetId(), m.withdrawn
	c.state.Gate, c.state.Calls, c.state.Move = n.GetGate(), callsOf(n, going), n.GetMove()
	if order != nil {
		c.state.Considerations = n.GetConsiderations()
	}
	return c, nil
}

// earlierPart is what a notification was about, or those of its children who go on.
func earlierPart(n *localv1.Notification, m *posternv1.Manifest, facts *posternv1.HubFacts, children []uint32) form.Earlier {
	return form.Earlier{Authority: n.GetAuthority(), Children: children, Source: m.GetOffer().GetDestinationSource(),
		PostcodeVintage: facts.GetPostcodeVintage(), DestinationChecked: facts.GetDestinationChecked()}
}

// inForm gives the numbers in the form of children by their numbers in the notification.
func inForm(n *localv1.Notification, numbers []uint32) []uint32 {
	var out []uint32
	for _, number := range numbers {
		if number > 0 && int(number) <= len(n.GetFormChildren()) {
			out = append(out, n.GetFormChildren()[number-1])
		}
	}
	return out
}

// callsOf are the calls about these children of a notification, or about all, with the numbers that they get when they go
// on by themselves.
func callsOf(n *localv1.Notification, numbers []uint32) []*localv1.RecordedCall {
	var out []*localv1.RecordedCall
	for _, c := range n.GetCalls() {
		i := slices.Index(numbers, c.GetChildNumber())
		if c.GetChildNumber() > 0 && i < 0 {
			continue
		}
		c = proto.CloneOf(c)
		c.ChildNumber = uint32(i + 1) // 0 for all
		out = append(out, c)
	}
	return out
}

// orderOf is the order by which a notification goes as it is, if it goes by one.
func orderOf(n *localv1.Notification) *localv1.RecordedConsideration {
	if n.GetRoute() != posternv1.Route_ROUTE_DUTY {
		return nil // it may be about a child who goes on elsewhere
	}
	return lastConsidered(n, true)
}

// withCasework is the form as it would be filled in now: with the check and the calls that came in since it was taken, and the
// safeguarding lead's order if it goes by one. Another authority's calls are not in the notification, so they do not get into its part.
func withCasework(f *posternv1.Form, n *localv1.Notification, order *localv1.RecordedConsideration) *posternv1.Form {
	f = proto.CloneOf(f)
	if g := n.GetGate().GetGate(); g != posternv1.Gate_GATE_UNSPECIFIED {
		f.Gate = g
	}
	for _, c := range n.GetCalls() {
		call := &posternv1.Call{CallTime: c.GetCallTime(), Result: c.GetResult()}
		if about := inForm(n, []uint32{c.GetChildNumber()}); len(about) > 0 {
			call.ChildNumber = about[0]
		}
		f.Calls = append(f.Calls, call)
		if f.GetUrgency() != nil {
			f.Urgency.Calls = append(f.Urgency.Calls, &posternv1.UrgencyCall{
				Number: c.GetNumber(), CallTime: c.GetCallTime(), Result: c.GetResult(), Who: c.GetWho(), Reference: c.GetReference()})
		}
	}
	if c := order; c != nil {
		f.Route, f.Consideration, f.ConsiderationReasons = posternv1.Route_ROUTE_DUTY, c.GetCodes(), c.GetReasons()
		f.LawfulBasis = basisOf(c.GetCodes().GetLaw())
	}
	return f
}

// basisOf is the lawful basis of what a person decided to share without permission.
func basisOf(law posternv1.ConsiderationLaw) *posternv1.LawfulBasis {
	if law == posternv1.ConsiderationLaw_CONSIDERATION_LAW_DUTY_S16LA {
		return &posternv1.LawfulBasis{Article6: posternv1.Article6Basis_ARTICLE6_BASIS_LEGAL_OBLIGATION, Schedule1Paragraph: 18,
			Gateway: "ca2004.s16LA", Confidentiality: posternv1.Confidentiality_CONFIDENTIALITY_STATUTORY_DUTY}
	}
	return &posternv1.LawfulBasis{Article6: posternv1.Article6Basis_ARTICLE6_BASIS_PUBLIC_TASK, Schedule1Paragraph: 18,
		Gateway: "ca2004.s28", Confidentiality: posternv1.Confidentiality_CONFIDENTIALITY_OVERRIDING_PUBLIC_INTEREST}
}

// settled takes in what the newest decision means for the clocks.
func (d *Desk) settled(n *localv1.Notification) {
	n.ResubmitTime = nil
	n.Shared = n.GetShared() || n.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
	if due := n.GetDecision().GetDueTime(); due != nil && (n.GetState() == stateWaiting || len(openChildren(n, posternv1.Outcome_OUTCOME_WAIT)) > 0) {
		n.ResubmitTime = timestamppb.New(due.AsTime())
		if now := d.cfg.Clock(); !due.AsTime().After(now) {
			n.ResubmitTime = timestamppb.New(now.Add(waitAgain))
		}
	}
	if n.GetSupersededBy() != "" {
		n.State = after(n.GetState(), replaced)
	}
	if c := lastConsidered(n, false); c.GetAnswer() != nil { // recorded while this was on its way
		n.State = after(n.GetState(), notToShare)
	}
}
