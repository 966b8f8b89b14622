package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/auditor"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func (a *app) auditListCommand() *cobra.Command {
	var f auditor.Question
	var limit uint32
	var token string
	c := &cobra.Command{Use: "list", Short: "List the events within this auditor's scope, newest first", Args: exactly(0)}
	questionFlags(c, &f)
	c.Flags().Uint32Var(&limit, "limit", 100, "at most so many events")
	c.Flags().StringVar(&token, "page-token", "", "go on where a list with the same flags ended: it says the token on stderr")
	coverage := coverageFlag(c)
	c.RunE = func(c *cobra.Command, _ []string) error {
		filter, err := eventFilter(f)
		if err != nil {
			return err
		}
		if *coverage {
			return a.auditCoverage(c, f.Prison)
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

// questionFlags are the flags that say which events.
func questionFlags(c *cobra.Command, f *auditor.Question) {
	c.Flags().StringVar(&f.Since, "since", "", "only events at or after this time: 2026-11-22 or 2026-11-22T09:30:00Z")
	c.Flags().StringVar(&f.Until, "until", "", "only events before this time; a date alone is its beginning")
	c.Flags().StringVar(&f.Prison, "prison", "", "only events of this prison, such as BLI")
	c.Flags().StringVar(&f.Authority, "authority", "", "only events of this authority (GSS code)")
	c.Flags().StringVar(&f.Outcome, "outcome", "", "only decisions with this outcome: SHARE, WAIT, WITHHOLD, REFER_TO_PERSON")
	c.Flags().StringVar(&f.Rule, "rule", "", "only decisions in which this rule was a reason, such as consent_given")
	c.Flags().StringVar(&f.Route, "route", "", "only decisions on this route: STANDARD, URGENT, DUTY")
	c.Flags().StringVar(&f.Kind, "kind", "", "only events of this kind, such as decided")
	c.Flags().StringVar(&f.Notification, "notification", "", "only events of this notification, by its id or reference")
}

// eventFilter is what was typed as a filter. What can match nothing is told by the name of its flag.
func eventFilter(q auditor.Question) (*posternv1.EventFilter, error) {
	filter, wrong := q.Filter(time.Local)
	if len(wrong) == 0 {
		return filter, nil
	}
	moment := "a date such as 2026-11-22 or a time such as 2026-11-22T09:30:00Z"
	flag := map[string]struct{ value, fix string }{
		auditor.Prison:       {q.Prison, "three capital letters, such as BLI"},
		auditor.Authority:    {q.Authority, "a GSS code, such as E06000023"},
		auditor.Rule:         {q.Rule, "the id of a rule, such as consent_given; `postern policy catalogue` lists them"},
		auditor.Outcome:      {q.Outcome, "SHARE, WAIT, WITHHOLD or REFER_TO_PERSON"},
		auditor.Route:        {q.Route, "STANDARD, URGENT or DUTY"},
		auditor.Kind:         {q.Kind, "one of " + strings.Join(auditor.Kinds(), ", ")},
		auditor.Notification: {q.Notification, "an id or a reference such as PN-7K3F-9Q2M"},
		auditor.Since:        {q.Since, moment},
		auditor.Until:        {q.Until, moment},
	}
	name := wrong[0]
	if name == auditor.Order {
		return nil, usage("--until is not after --since: no event can be between them")
	}
	return nil, usage(fmt.Sprintf("--%s is %s, not %q", name, flag[name].fix, flag[name].value))
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
