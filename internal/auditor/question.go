package auditor

import (
	"regexp"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/plain"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Question is which events to list, as a person typed it; what is empty leaves nothing out.
type Question struct {
	Since, Until string // a date, at its beginning, or a time
	Prison       string
	Authority    string // a GSS code
	Outcome      string // by its short name
	Rule         string
	Kind         string
	Notification string // an id or a reference
	Route        string // by its short name
}

// The parts of a Question by name, for whoever says which of them is wrong. Order is no part: it is that Until is not
// after Since.
const (
	Since, Until, Prison, Authority, Outcome = "since", "until", "prison", "authority", "outcome"
	Rule, Kind, Notification, Route, Order   = "rule", "kind", "notification", "route", "order"
)

var (
	prisonCode    = regexp.MustCompile(`^[A-Z]{3}$`)
	authorityCode = regexp.MustCompile(`^[ENSW][0-9]{8}$`)
	ruleName      = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// Filter is the question as the hub takes it, with times in a zone, and the names of the parts that can match nothing: a
// slip, whose empty list would read as an answer.
func (q Question) Filter(zone *time.Location) (f *posternv1.EventFilter, wrong []string) {
	bad := func(name string, is bool) {
		if is {
			wrong = append(wrong, name)
		}
	}
	f = &posternv1.EventFilter{PrisonId: q.Prison, Authority: q.Authority, RuleId: q.Rule, Kind: q.Kind, Notification: q.Notification}
	bad(Prison, q.Prison != "" && !prisonCode.MatchString(q.Prison))
	bad(Authority, q.Authority != "" && !authorityCode.MatchString(q.Authority))
	bad(Rule, q.Rule != "" && !ruleName.MatchString(q.Rule))
	if q.Outcome != "" {
		n, ok := plain.Value(posternv1.Outcome(0), q.Outcome)
		bad(Outcome, !ok || n == 0)
		f.Outcome = posternv1.Outcome(n)
	}
	if q.Route != "" {
		n, ok := plain.Value(posternv1.Route(0), q.Route)
		bad(Route, !ok || n == 0)
		f.Route = posternv1.Route(n)
	}
	n, ok := plain.Value(logv1.Kind(0), strings.ToUpper(q.Kind))
	bad(Kind, q.Kind != "" && (!ok || n == 0 || q.Kind != strings.ToLower(q.Kind)))
	_, err := envelope.ParseReference(q.Notification)
	bad(Notification, q.Notification != "" && err != nil && !envelope.ValidID(q.Notification))
	for _, t := range []struct {
		name, text string
		to         **timestamppb.Timestamp
	}{{Since, q.Since, &f.StartTime}, {Until, q.Until, &f.EndTime}} {
		*t.to, ok = moment(t.text, zone)
		bad(t.name, !ok)
	}
	bad(Order, f.StartTime != nil && f.EndTime != nil && !f.StartTime.AsTime().Before(f.EndTime.AsTime()))
	return f, wrong
}

// moment reads a date or a time.
func moment(text string, zone *time.Location) (*timestamppb.Timestamp, bool) {
	if text == "" {
		return nil, true
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return timestamppb.New(t), true
		}
	}
	return nil, false
}

// Kinds are the kinds of events by name, in the order of their numbers.
func Kinds() []string {
	var all []string
	for n := int32(1); ; n++ {
		if _, ok := logv1.Kind_name[n]; !ok {
			return all
		}
		all = append(all, kindName(logv1.Kind(n)))
	}
}

// kindName is the name of a kind in the log.
func kindName(k logv1.Kind) string { return strings.ToLower(plain.Enum(k)) }

// Flags are the flags with which `audit list` answers a question.
func Flags(f *posternv1.EventFilter) string {
	var all []string
	add := func(name, value string) {
		if value != "" {
			all = append(all, "--"+name+" "+value)
		}
	}
	if f.GetStartTime() != nil {
		add(Since, f.GetStartTime().AsTime().Format(time.RFC3339Nano))
	}
	if f.GetEndTime() != nil {
		add(Until, f.GetEndTime().AsTime().Format(time.RFC3339Nano))
	}
	add(Kind, f.GetKind())
	add(Prison, f.GetPrisonId())
	add(Authority, f.GetAuthority())
	add(Outcome, plain.Enum(f.GetOutcome()))
	add(Route, plain.Enum(f.GetRoute()))
	add(Rule, f.GetRuleId())
	add(Notification, f.GetNotification())
	return strings.Join(all, " ")
}
