package desk

import (
	"context"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// byHand reports whether a notification may go by hand now: it could, it was not sealed again, so that the family would be told
// of twice, the person has not taken it back, and the safeguarding lead has not decided that it stays here.
func byHand(n *localv1.Notification) bool {
	return mayHaveGone(n) && n.GetResealedBy() == "" && !back(n) && lastConsidered(n, false) == nil
}

// mayHaveGone reports whether a notification may have gone by hand: its decision says so and nobody has noted that it was
// done, or it could not be delivered. What went before it was taken back or sealed again is noted
// too, or nobody would know whom to ask to stop.
func mayHaveGone(n *localv1.Notification) bool {
	if n.GetManual() != nil || n.GetSupersededBy() != "" || n.GetErasure() != nil {
		return false
	}
	for _, o := range n.GetDecision().GetObligations() {
		if o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE {
			return n.GetState() == stateReferred || back(n)
		}
	}
	return n.GetState() == stateUndelivered
}

var noManualRoute = fault.New(fault.Precondition, "NO_MANUAL_ROUTE", "This notification does not go by hand. `postern desk status` says what has to be done about it.")

// RequestBasis is the id of the words by which a printed request goes. Nobody is to read of an agreement that there is not.
func RequestBasis(route posternv1.Route) string {
	switch route {
	case posternv1.Route_ROUTE_URGENT:
		return "case.request_basis_urgent"
	case posternv1.Route_ROUTE_DUTY:
		return "case.request_basis_duty"
	default:
		return "case.request_basis"
	}
}

// GetRequestForSupport returns what a printed request says: what the person agreed to tell, and nothing else.
func (d *Desk) GetRequestForSupport(ctx context.Context, req *localv1.GetRequestForSupportRequest) (*localv1.GetRequestForSupportResponse, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	out := &localv1.GetRequestForSupportResponse{ReplyTo: d.cfg.ReplyTo}
	f := &posternv1.Form{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		n, err := d.byName(s, req.GetId())
		if err != nil {
			return err
		}
		if n.GetErasure() != nil {
			return erased(n)
		}
		if !byHand(n) {
			return noManualRoute
		}
		shown, err := d.shown(s, n)
		if err != nil {
			return err
		}
		out.Notification = d.forReader(ctx, shown)
		return d.load(s, schema.DeskForm, n.GetFormId(), f)
	})
	if err != nil {
		return nil, err
	}
	n, dir := out.GetNotification(), d.directory.Load()
	prison, _ := dir.Prison(d.cfg.Identity.Party().ID)
	out.Prison = prison.GetName()
	out.FrontDoor, out.PhoneNumber, _ = dir.PhoneNow(n.GetAuthority(), d.doorFor(n), d.cfg.Clock())
	consentID, err := envelope.NewID(d.cfg.Rand)
	if err != nil {
		return nil, err
	}
	part := form.Again(withCasework(f, n, orderOf(n)), d.cfg.Clock()).PartOf(form.Earlier{Authority: n.GetAuthority(), Children: n.GetFormChildren()}, consentID)
	out.Route = part.Route
	taken := partsTakenBack(n)
	for _, s := range part.Sections {
		if len(taken) > 0 && consent.Withdrawn(taken, s.Path) {
			continue
		}
		b, err := proto.Marshal(s.Message)
		if err != nil {
			return nil, fault.From(err)
		}
		out.Sections = append(out.Sections, &localv1.OpenedSection{Path: s.Path, Content: b})
	}
	if part.Consent != nil {
		out.ConsentExpireTime = timestamppb.New(consent.Expiry(part.Consent))
	}
	return out, nil
}

// CloseManual closes the manual route. The same again changes nothing.
func (d *Desk) CloseManual(ctx context.Context, req *localv1.CloseManualRequest) (*localv1.CloseManualResponse, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	m := &localv1.ManualClosure{How: req.GetHow(), To: strings.TrimSpace(req.GetTo()), SendTime: req.GetSendTime(), StaffId: by.ID}
	if err := d.checkClosure(m); err != nil {
		return nil, err
	}
	d.submit.Lock()
	defer d.submit.Unlock()
	n, err := d.named(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if was := n.GetManual(); was != nil && was.GetHow() == m.GetHow() && was.GetTo() == m.GetTo() && (req.GetSendTime() == nil || proto.Equal(was.GetSendTime(), m.GetSendTime())) {
		return &localv1.CloseManualResponse{Notification: d.forReader(ctx, n)}, nil
	}
	if n.GetErasure() != nil {
		return nil, erased(n)
	}
	if !mayHaveGone(n) { // also what was taken back since it went
		return nil, noManualRoute
	}
	err = d.change(ctx, n.GetId(), func(_ store.Tx, n *localv1.Notification) error {
		n.Manual, n.State, n.UpdateTime = m, after(n.GetState(), sentByHand), d.now()
		return nil
	})
	if err != nil {
		return nil, err
	}
	all, err := d.show(ctx, []string{n.GetId()})
	if err != nil {
		return nil, err
	}
	return &localv1.CloseManualResponse{Notification: all[0]}, nil
}

// checkClosure fills in now for a time that is not given.
func (d *Desk) checkClosure(m *localv1.ManualClosure) error {
	if m.GetSendTime() == nil {
		m.SendTime = d.now()
	}
	var fields []fault.Field
	if _, known := localv1.ManualRoute_name[int32(m.GetHow())]; !known || m.GetHow() == localv1.ManualRoute_MANUAL_ROUTE_UNSPECIFIED {
		fields = append(fields, fault.Field{Path: "how", Reason: "It is not said how it was sent.", Fix: "Use PHONE, POST, SECURE_MAIL, PORTAL or BY_HAND."})
	}
	if m.GetTo() == "" || len(m.GetTo()) > maxWords {
		fields = append(fields, fault.Field{Path: "to", Reason: "It is not said to whom it was sent.", Fix: "Name the team, in at most 200 characters."})
	}
	if at := m.GetSendTime().AsTime(); !m.GetSendTime().IsValid() || at.After(d.cfg.Clock().Add(time.Minute)) {
		fields = append(fields, fault.Field{Path: "send_time", Reason: "This time has not come yet.", Fix: "Give the time when it was sent, or leave it out for now."})
	}
	return fault.InvalidFields("BAD_CLOSURE", "The manual route cannot be closed like this.", fields)
}
