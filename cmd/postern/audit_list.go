package main

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// eventFlags are the flags of a filter, as they were typed.
type eventFlags struct {
	since, until, prison, authority, outcome, rule, kind, notification string
}

func (a *app) auditListCommand() *cobra.Command {
	var f eventFlags
	var limit uint32
	var token string
	c := &cobra.Command{Use: "list", Short: "List the events within this auditor's scope, newest first", Args: exactly(0)}
	c.Flags().StringVar(&f.since, "since", "", "only events at or after this time: 2026-11-22 or 2026-11-22T09:30:00Z")
	c.Flags().StringVar(&f.until, "until", "", "only events before this time; a date alone is its beginning")
	c.Flags().StringVar(&f.prison, "prison", "", "only events of this prison, such as BLI")
	c.Flags().StringVar(&f.authority, "authority", "", "only events of this authority (GSS code)")
	c.Flags().StringVar(&f.outcome, "outcome", "", "only decisions with this outcome: SHARE, WAIT, WITHHOLD, REFER_TO_PERSON")
	c.Flags().StringVar(&f.rule, "rule", "", "only decisions in which this rule was a reason, such as consent_given")
	c.Flags().StringVar(&f.kind, "kind", "", "only events of this kind, such as decided")
	c.Flags().StringVar(&f.notification, "notification", "", "only events of this notification, by its id or reference")
	c.Flags().Uint32Var(&limit, "limit", 100, "at most so many events")
	c.Flags().StringVar(&token, "page-token", "", "go on where a list with the same flags ended: it says the token on stderr")
	coverage := coverageFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		filter, err := f.filter()
		if err != nil {
			return err
		}
		if *coverage {
			return a.auditCoverage(c, f.prison)
		}
		if limit == 0 {
			return usage("--limit is the number of events to list, at least 1")
		}
		return a.auditor(c.Context(), func(ctx context.Context, auditor localv1.AuditorServiceClient) error {
			events, next, err := listEvents(ctx, auditor, filter, token, limit)
			if err != nil {
				return err
			}
			if next != "" {
				fmt.Fprintf(a.err, "There are more: --page-token %s\n", next)
			}
			return list(a, events, eventMap, "No events.", []string{"EVENT", "TIME", "KIND", "REFERENCE", "PRISON", "AUTHORITY", "OUTCOME"}, func(e *posternv1.Event) []string {
				return []string{e.GetEventId(), when(e.GetRecordTime()), e.GetKind(), e.GetReference(), e.GetPrisonId(), e.GetAuthority(), plain.Enum(e.GetDecision().GetOutcome())}
			})
		})
	}
	return c
}

var (
	prisonCode    = regexp.MustCompile(`^[A-Z]{3}$`)
	authorityCode = regexp.MustCompile(`^[ENSW][0-9]{8}$`)
	ruleName      = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
)

// filter checks what was typed. A value that can match nothing is a slip, and is told by the name of its flag: an empty
// list would read as an answer.
func (f eventFlags) filter() (*posternv1.EventFilter, error) {
	for _, flag := range []struct {
		name, value string
		pattern     *regexp.Regexp
		fix         string
	}{
		{"prison", f.prison, prisonCode, "three capital letters, such as BLI"},
		{"authority", f.authority, authorityCode, "a GSS code, such as E06000023"},
		{"rule", f.rule, ruleName, "the id of a rule, such as consent_given; `postern policy catalogue` lists them"},
	} {
		if flag.value != "" && !flag.pattern.MatchString(flag.value) {
			return nil, usage(fmt.Sprintf("--%s is %s, not %q", flag.name, flag.fix, flag.value))
		}
	}
	out := &posternv1.EventFilter{PrisonId: f.prison, Authority: f.authority, RuleId: f.rule, Kind: f.kind, Notification: f.notification}
	if f.outcome != "" {
		n, ok := plain.Value(posternv1.Outcome(0), f.outcome)
		if !ok || n == 0 {
			return nil, usage(fmt.Sprintf("--outcome is SHARE, WAIT, WITHHOLD or REFER_TO_PERSON, not %q", f.outcome))
		}
		out.Outcome = posternv1.Outcome(n)
	}
	if n, ok := plain.Value(logv1.Kind(0), strings.ToUpper(f.kind)); f.kind != "" && (!ok || n == 0 || f.kind != strings.ToLower(f.kind)) {
		return nil, usage(fmt.Sprintf("--kind is one of %s, not %q", strings.Join(kinds(), ", "), f.kind))
	}
	if _, err := envelope.ParseReference(f.notification); f.notification != "" && err != nil && !envelope.ValidID(f.notification) {
		return nil, usage(fmt.Sprintf("--notification is an id or a reference such as PN-7K3F-9Q2M, not %q", f.notification))
	}
	var err error
	if out.StartTime, err = moment("since", f.since); err != nil {
		return nil, err
	}
	if out.EndTime, err = moment("until", f.until); err != nil {
		return nil, err
	}
	if out.StartTime != nil && out.EndTime != nil && !out.StartTime.AsTime().Before(out.EndTime.AsTime()) {
		return nil, usage("--until is not after --since: no event can be between them")
	}
	return out, nil
}

// kinds are the kinds of events by name, in the order of their numbers.
func kinds() []string {
	var all []string
	for n := int32(1); ; n++ {
		if _, ok := logv1.Kind_name[n]; !ok {
			return all
		}
		all = append(all, strings.ToLower(plain.Enum(logv1.Kind(n))))
	}
}

// moment reads a time of a flag: a date, at its beginning on the wall of this machine, or a full time.
func moment(flag, value string) (*timestamppb.Timestamp, error) {
	if value == "" {
		return nil, nil
	}
	for _, layout := range []string{time.DateOnly, "2006-01-02T15:04", time.RFC3339} {
		if t, err := time.ParseInLocation(layout, value, time.Local); err == nil {
			return timestamppb.New(t), nil
		}
	}
	return nil, usage(fmt.Sprintf("--%s is a date such as 2026-11-22 or a time such as 2026-11-22T09:30:00Z, not %q", flag, value))
}

// listEvents asks for pages until there are enough, and returns the token of the rest.
func listEvents(ctx context.Context, auditor localv1.AuditorServiceClient, filter *posternv1.EventFilter, token string, limit uint32) ([]*posternv1.Event, string, error) {
	var events []*posternv1.Event
	req := &posternv1.ListEventsRequest{Filter: filter, PageToken: token}
	for {
		req.PageSize = min(100, limit-uint32(len(events)))
		out, err := auditor.ListEvents(ctx, &localv1.ListEventsRequest{Request: req})
		if err != nil {
			return nil, "", err
		}
		events = append(events, out.GetResponse().GetEvents()...)
		req.PageToken = out.GetResponse().GetNextPageToken()
		if req.PageToken == "" || uint32(len(events)) >= limit {
			return events, req.PageToken, nil
		}
	}
}

func eventMap(e *posternv1.Event) map[string]any {
	m := plain.Map(e)
	m["id"] = e.GetEventId()
	return m
}
