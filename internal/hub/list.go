package hub

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// ListEvents lists the events of both logs that are within the caller's scope, newest first. That they were asked for is
// an event, committed before the answer; it is not in its own list.
func (h *Hub) ListEvents(ctx context.Context, req *posternv1.ListEventsRequest) (*posternv1.ListEventsResponse, error) {
	who, err := h.auditor(ctx)
	if err != nil {
		return nil, err
	}
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received); err != nil {
		return nil, err
	}
	f, err := h.filter(ctx, req.GetFilter())
	if err != nil {
		return nil, err
	}
	after, err := h.parsePageToken(req.GetPageToken(), who, req.GetFilter())
	if err != nil {
		return nil, err
	}
	cut, out := h.cfg.Ledger.Cut(), &posternv1.ListEventsResponse{}
	if err := h.disclosed(ctx, who, listed(req.GetFilter())); err != nil {
		return nil, err
	}
	next, err := cut.Events(ctx, after, pageSize(req.GetPageSize(), 25, 100), f.where(who.scope), func(at ledger.Logged) (bool, error) {
		e := h.event(at)
		if !who.sees(at) || !f.matches(e, at.Details) {
			return false, nil
		}
		out.Events = append(out.Events, e)
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	out.NextPageToken = h.pageToken(next, who, req.GetFilter())
	for _, g := range []ledger.Log{ledger.Sent, ledger.Received} {
		_, _, checkpoint := cut.Head(g)
		out.Checkpoints = append(out.Checkpoints, checkpoint)
	}
	out.Consistency, err = cut.Proofs(ctx, req.GetKnownLogs(), ledger.Sent, ledger.Received)
	return out, err
}

// filter is an EventFilter that was checked.
type filter struct {
	*posternv1.EventFilter
	kind logv1.Kind // 0 for any
	ids  []string   // of the notification
}

// filter checks a filter: a value that can never match is a mistake, and an empty list would hide it.
func (h *Hub) filter(ctx context.Context, f *posternv1.EventFilter) (filter, error) {
	out := filter{EventFilter: f}
	var wrong []fault.Field
	if f.GetKind() != "" {
		n, ok := plain.Value(logv1.Kind(0), strings.ToUpper(f.GetKind()))
		if out.kind = logv1.Kind(n); !ok || n == 0 || f.GetKind() != strings.ToLower(f.GetKind()) {
			wrong = append(wrong, fault.Field{Path: "filter.kind", Reason: "There is no such kind of event.", Fix: "Use one of: " + strings.Join(kindNames(), ", ") + "."})
		}
	}
	if _, known := posternv1.Outcome_name[int32(f.GetOutcome())]; !known {
		wrong = append(wrong, fault.Field{Path: "filter.outcome", Reason: "There is no such outcome.", Fix: "Use SHARE, WAIT, WITHHOLD or REFER_TO_PERSON."})
	}
	if _, known := posternv1.Route_name[int32(f.GetRoute())]; !known {
		wrong = append(wrong, fault.Field{Path: "filter.route", Reason: "There is no such route.", Fix: "Use STANDARD, URGENT or DUTY."})
	}
	if f.GetStartTime() != nil && f.GetEndTime() != nil && !f.GetStartTime().AsTime().Before(f.GetEndTime().AsTime()) {
		wrong = append(wrong, fault.Field{Path: "filter.end_time", Reason: "It is not after the start.", Fix: "Give an end after the start, or leave one of them out."})
	}
	if err := fault.InvalidFields("BAD_FILTER", "The filter has faults.", wrong); err != nil {
		return out, err
	}
	if f.GetNotification() == "" {
		return out, nil
	}
	var err error
	out.ids, err = h.notificationIDs(ctx, f.GetNotification())
	return out, err
}

// kindNames are the kinds by their names in the log.
func kindNames() []string {
	var all []string
	for n := range logv1.Kind_name {
		if n != 0 {
			all = append(all, kindName(logv1.Kind(n)))
		}
	}
	slices.Sort(all)
	return all
}

// where is what of the filter and of the scope can be told from a leaf or from the index, without opening its record. The
// hour of a leaf is the event's own.
func (f filter) where(s Scope) ledger.Where {
	from, to := uint32(0), uint32(1<<32-1)
	if f.GetStartTime() != nil {
		from, _ = verify.HourOf(f.GetStartTime().AsTime())
	}
	if f.GetEndTime() != nil {
		if hour, ok := verify.HourOf(f.GetEndTime().AsTime()); ok {
			to = hour
		}
	}
	w := ledger.Where{From: from, Any: s.terms(), Leaf: func(l verify.Leaf) bool {
		return l.Hour >= from && l.Hour <= to && (f.kind == 0 || l.Kind == f.kind) && (f.GetRoute() == 0 || slices.Contains(routed, l.Kind))
	}}
	if f.GetEndTime() != nil {
		w.To = to
	}
	for name, value := range map[string]string{"prison": f.GetPrisonId(), "authority": f.GetAuthority(), "rule": f.GetRuleId(),
		"kind": f.GetKind(), "outcome": plain.Enum(f.GetOutcome())} {
		if value != "" {
			w.Terms.Common = append(w.Terms.Common, term(name, value))
		}
	}
	if len(f.ids) == 1 { // of more than one any may match
		w.Terms.Rare = []string{term("notification", f.ids[0])}
	}
	return w
}

// routed are the kinds of event whose Input says the route.
var routed = []logv1.Kind{logv1.Kind_KIND_DECIDED, logv1.Kind_KIND_REDIRECTED}

// term is what an event is indexed by: a field of the filter and its value, without the zero byte that ends a term.
func term(name, value string) string { return name + "/" + strings.ReplaceAll(value, "\x00", "") }

// Terms are what the ledger indexes an event by: what an auditor's filter can ask for.
func Terms(at ledger.Logged) (t ledger.Terms) {
	add := func(name, value string) {
		if text := term(name, value); value != "" && len(value) < 100 && !slices.Contains(t.Common, text) {
			t.Common = append(t.Common, text)
		}
	}
	d := at.Details
	add("kind", kindName(at.Leaf.Kind))
	add("prison", prisonOf(d))
	add("authority", d.GetAuthority())
	add("outcome", plain.Enum(d.GetDecision().GetOutcome()))
	reasons := d.GetDecision().GetReasons()
	for _, c := range d.GetDecision().GetChildren() {
		reasons = append(slices.Clip(reasons), c.GetReasons()...)
	}
	for _, r := range reasons {
		add("rule", r.GetRuleId())
	}
	if d.GetNotificationId() != "" {
		t.Rare = []string{term("notification", d.GetNotificationId())}
	}
	return t
}

func (f filter) matches(e *posternv1.Event, d *logv1.Details) bool {
	at := e.GetRecordTime().AsTime()
	return (f.GetStartTime() == nil || !at.Before(f.GetStartTime().AsTime())) &&
		(f.GetEndTime() == nil || at.Before(f.GetEndTime().AsTime())) &&
		(f.GetPrisonId() == "" || f.GetPrisonId() == e.GetPrisonId()) &&
		(f.GetAuthority() == "" || f.GetAuthority() == e.GetAuthority()) &&
		(f.GetOutcome() == 0 || f.GetOutcome() == e.GetDecision().GetOutcome()) &&
		(f.GetKind() == "" || f.GetKind() == e.GetKind()) &&
		(f.GetRuleId() == "" || fired(e.GetDecision(), f.GetRuleId())) &&
		(f.GetNotification() == "" || slices.Contains(f.ids, e.GetNotificationId())) &&
		(f.GetRoute() == 0 || plain.Enum(f.GetRoute()) == engine.RouteOf(d.GetInput()))
}

// fired reports whether a rule is among the reasons of a decision.
func fired(d *posternv1.Decision, rule string) bool {
	is := func(r *posternv1.Reason) bool { return r.GetRuleId() == rule }
	return slices.ContainsFunc(d.GetReasons(), is) || slices.ContainsFunc(d.GetChildren(), func(c *posternv1.ChildDecision) bool {
		return slices.ContainsFunc(c.GetReasons(), is)
	})
}

// tagSize is how much of the HMAC a page token carries.
const tagSize = 16

// pageToken is a place in the list of one auditor's one question: the place and, over it, caller and filter, an HMAC
// under a key that lives as long as this process.
func (h *Hub) pageToken(at ledger.Position, who auditing, f *posternv1.EventFilter) string {
	if at == "" {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(h.pageTag(at, who, f), at...))
}

func (h *Hub) pageTag(at ledger.Position, who auditing, f *posternv1.EventFilter) []byte {
	question, err := proto.MarshalOptions{Deterministic: true}.Marshal(f)
	if err != nil {
		question = nil // a message that was read can be written
	}
	digest := sha256.Sum256(question)
	mac := hmac.New(sha256.New, h.pageKey[:])
	mac.Write(join(who.party.URI(), ""))
	mac.Write(digest[:])
	mac.Write([]byte(at))
	return mac.Sum(nil)[:tagSize]
}

func (h *Hub) parsePageToken(token string, who auditing, f *posternv1.EventFilter) (ledger.Position, error) {
	if token == "" {
		return "", nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) <= tagSize || !hmac.Equal(b[:tagSize], h.pageTag(ledger.Position(b[tagSize:]), who, f)) {
		return "", fault.New(fault.Invalid, "BAD_PAGE_TOKEN",
			"The page token is of another question or another auditor, or from before this hub last started. Ask again from the first page.")
	}
	return ledger.Position(b[tagSize:]), nil
}
