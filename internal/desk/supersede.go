package desk

import (
	"bytes"
	"context"
	"errors"
	"slices"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// prior is a notification of an earlier form, the references of the children it was about, and when it was first submitted.
type prior struct {
	*localv1.Notification
	children [][]byte
	first    *timestamppb.Timestamp
	had      *prior // where its team cannot have it, the nearest one of the chain before it that the team may have; nil for none
}

// known is what its team may have of it: itself, or what it was to put right. Only that may be named to the team.
func (p *prior) known() *prior {
	if p.had != nil {
		return p.had
	}
	return p
}

// earlier finds the notifications that a form puts right: those of the form it names, by its id or by a reference.
func (d *Desk) earlier(ctx context.Context, f *posternv1.Form) (out []prior, err error) {
	name := f.GetSupersedes()
	if name == "" {
		return nil, nil
	}
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		out = nil
		formID := name
		if n, err := d.byName(s, name); err == nil {
			formID = n.GetFormId()
		}
		all, err := d.ofForm(s, formID)
		if err != nil || len(all) == 0 {
			return errors.Join(err, fault.InvalidFields("FORM_UNKNOWN", "The form that this one puts right is not at this desk.", []fault.Field{{
				Path: "supersedes", Reason: "No earlier form has this name.",
				Fix: "Give the form_id of the earlier form or the reference of its notification; leave it out for a new form."}}))
		}
		if all[0].GetErasure() != nil {
			return fault.InvalidFields("FORM_ERASED", "The form that this one puts right was erased.", []fault.Field{{
				Path: "supersedes", Reason: "Its business was finished, and it was erased on " + form.Today(all[0].GetErasure().GetEraseTime().AsTime()) + ", as the period of this desk says.",
				Fix: "Leave it out: this is a new form."}})
		}
		chain, err := d.chain(s, all[0].GetId())
		if err != nil {
			return err
		}
		for _, l := range chain { // what was said of an earlier one still was said of what put that right
			if err := agreedSince(f, l.Notification); err != nil {
				return err
			}
		}
		if err := consideredBefore(f, all); err != nil {
			return err
		}
		for _, n := range all {
			p, err := d.prior(s, n)
			if err != nil {
				return err
			}
			for at, steps := n, 0; p.had == nil && neverWent(at) && at.GetSupersedes() != "" && steps < maxChain; steps++ {
				before := &localv1.Notification{}
				if err := d.loadIfThere(s, schema.DeskNotification, at.GetSupersedes(), before); err != nil {
					return err
				}
				if at = before; at.GetShared() {
					had, err := d.prior(s, at)
					if err != nil {
						return err
					}
					p.had = &had
				}
			}
			out = append(out, p)
		}
		return nil
	})
	return out, err
}

// maxChain bounds how many corrections before one are looked at.
const maxChain = 64

func (d *Desk) prior(s store.Snapshot, n *localv1.Notification) (prior, error) {
	message := &posternv1.SealedNotification{}
	if err := d.load(s, schema.DeskMessage, n.GetId(), message); err != nil {
		return prior{}, err
	}
	facts, err := hubFacts(message)
	return prior{Notification: n, children: facts.GetChildRefs(), first: facts.GetFirstSubmitTime()}, err
}

// neverWent reports whether the hub has decided on a notification, and never to send anything of it: once another puts it right,
// nothing ever goes. Of what is on its way to a hub, or was with one that is lost, nobody knows.
func neverWent(n *localv1.Notification) bool {
	return n.GetDecision() != nil && !n.GetResubmitting() && !n.GetShared() && len(n.GetMaybeSentSha256()) == 0 && n.GetState() != stateQueued
}

// agreedSince refuses a form that would put right by the same permission what the person has taken back, all of it or a part:
// they must have agreed again since.
func agreedSince(f *posternv1.Form, n *localv1.Notification) error {
	given := f.GetConsent().GetGiveTime()
	if f.GetRoute() > posternv1.Route_ROUTE_STANDARD || given == nil || given.AsTime().After(lastTakenBack(n)) {
		return nil
	}
	return fault.InvalidFields("PERMISSION_TAKEN_BACK", "The person took this permission back.", []fault.Field{{
		Path: "consent.give_time", Reason: "The person took permission back after this, and nothing goes by it any more.",
		Fix: "Ask the person again. If they agree, give the time of that."}})
}

// consideredBefore refuses a form of the duty route that nobody has considered, unless it puts right what went by that route:
// what was not shared under the duty begins with the safeguarding lead.
func consideredBefore(f *posternv1.Form, earlier []*localv1.Notification) error {
	byDuty := func(n *localv1.Notification) bool { return n.GetRoute() == posternv1.Route_ROUTE_DUTY }
	if f.GetRoute() != posternv1.Route_ROUTE_DUTY || f.GetConsideration() != nil || slices.ContainsFunc(earlier, byDuty) {
		return nil
	}
	return fault.InvalidFields("NOT_CONSIDERED", "Nobody has considered the duty to share.", []fault.Field{{
		Path: "consideration", Reason: "The form that this one puts right did not go by the duty route, and nobody has considered this one.",
		Fix: "Send it by the route of the earlier form, or ask the safeguarding lead to fill in what they decided."}})
}

// ofForm lists the notifications of a form, and those in which children of them went on.
func (d *Desk) ofForm(s store.Snapshot, formID string) (all []*localv1.Notification, err error) {
	row, err := s.Get(schema.DeskFormParts, []byte(formID))
	if err != nil {
		return nil, err
	}
	var ids []string
	for ; len(row) >= idSize; row = row[idSize:] {
		ids = append(ids, string(row[:idSize]))
	}
	for ; len(ids) > 0; ids = ids[1:] {
		n := &localv1.Notification{}
		if err := d.load(s, schema.DeskNotification, ids[0], n); err != nil {
			return nil, err
		}
		all = append(all, n)
		for _, next := range n.GetFollowups() {
			ids = append(ids, next.GetId())
		}
	}
	return all, nil
}

// byName loads a notification by its id or its reference.
func (d *Desk) byName(s store.Snapshot, name string) (*localv1.Notification, error) {
	id, err := d.find(s, name)
	if err != nil {
		return nil, err
	}
	n := &localv1.Notification{}
	return n, d.load(s, schema.DeskNotification, id, n)
}

// hubFacts are the facts for the hub alone in a notification of our own.
func hubFacts(message *posternv1.SealedNotification) (*posternv1.HubFacts, error) {
	for _, b := range message.GetFacts() {
		block := &posternv1.FactsBlock{}
		if err := proto.Unmarshal(b, block); err != nil {
			return nil, fault.New(fault.Internal, "BAD_RECORD", "A record of this desk cannot be read.").Because(err)
		}
		if block.GetHub() != nil {
			return block.GetHub(), nil
		}
	}
	return &posternv1.HubFacts{}, nil
}

// putRight is the earlier notification to the same authority, if there is one: only that team may hear that what it has
// is replaced.
func putRight(earlier []prior, authority string) *prior {
	for i, p := range earlier {
		if p.GetAuthority() == authority && p.GetFollows() == "" {
			return &earlier[i]
		}
	}
	return nil
}

// changeReason says why a notification replaces an earlier one: a child is new in it, or something is put right.
func changeReason(earlier *prior, children [][]byte) posternv1.ChangeReason {
	for _, ref := range children {
		if !slices.ContainsFunc(earlier.children, func(old []byte) bool { return bytes.Equal(old, ref) }) {
			return posternv1.ChangeReason_CHANGE_REASON_CHILD_ADDED
		}
	}
	return posternv1.ChangeReason_CHANGE_REASON_CORRECTION
}

// replace marks the earlier notifications as put right. What was never shared of them is over with that: the new form
// speaks for it. What a team has stays with the team.
func (d *Desk) replace(tx store.Tx, earlier []prior, parts []composed) error {
	for _, p := range earlier {
		n := &localv1.Notification{}
		if err := d.load(tx, schema.DeskNotification, p.GetId(), n); err != nil {
			return err
		}
		before := proto.CloneOf(n)
		n.SupersededBy = parts[0].state.GetId()
		for _, c := range parts {
			if c.state.GetAuthority() == n.GetAuthority() {
				n.SupersededBy = c.state.GetId()
			}
		}
		n.State = after(n.GetState(), replaced)
		if n.GetState() != before.GetState() {
			n.UpdateTime = parts[0].state.GetUpdateTime()
		}
		if err := d.put(tx, before, n); err != nil {
			return err
		}
	}
	return nil
}
