package auditor_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/auditor"
	"postern/internal/engine"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/plain"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// history lets a hub live through what a seed says: families of every route from two prisons, replies, redirects,
// withdrawals and their answers, teams that are away for days, refusals, and days that pass.
func history(t *testing.T, seed uint64, acts int, edits ...func(*testkit.Config)) *testkit.Exchange {
	t.Helper()
	x := testkit.NewExchange(t, edits...)
	r := rand.New(rand.NewPCG(seed, 58))
	prisons, authorities := []string{testkit.HMPBristol, testkit.HMPParc}, []string{testkit.Bristol, testkit.Lancashire}
	one := func(all []string) string { return all[r.IntN(len(all))] }
	mine := map[string][]string{}
	team := func() (*testkit.Inbox, *localv1.Item) {
		in := x.Inbox(one(authorities))
		if items := in.Items(); len(items) > 0 {
			return in, items[r.IntN(len(items))]
		}
		return nil, nil
	}
	worker := rpc.WithPerson(t.Context(), rpc.Person{ID: "LEE"})
	for range acts {
		prison := one(prisons)
		switch r.IntN(10) {
		case 0, 1, 2:
			form := []func() *posternv1.Form{
				func() *posternv1.Form { return formtest.New(one(authorities)) }, func() *posternv1.Form { return formtest.New(authorities...) },
				func() *posternv1.Form { return formtest.Urgent(one(authorities), 1) }, func() *posternv1.Form { return formtest.Duty(one(authorities), 1) },
				formtest.Declined, func() *posternv1.Form { return formtest.Enquiry(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN) },
			}[r.IntN(6)]
			mine[prison] = append(mine[prison], x.Desk(prison).Take(form())...)
		case 3: // whatever the desk makes of it
			if len(mine[prison]) > 0 {
				_, _ = x.Desk(prison).Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: one(mine[prison]),
					Paths: [][]string{nil, {"child/1/phone"}}[r.IntN(2)], Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
			}
		case 4:
			if in, item := team(); in != nil {
				_, _ = in.ReplyItem(worker, &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: item.GetId()}, Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT}})
				_, _ = in.RecordOutcome(worker, &localv1.RecordOutcomeRequest{Item: &localv1.Seen{Id: item.GetId()}, Outcome: posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_MADE})
			}
		case 5:
			if in, item := team(); in != nil {
				_, _ = in.RedirectItem(worker, &localv1.RedirectItemRequest{Id: item.GetId(), Authority: one(authorities)})
			}
		case 6:
			in := x.Inbox(one(authorities))
			for _, item := range in.Items() {
				_, _ = in.AnswerStop(worker, &localv1.AnswerStopRequest{Id: item.GetId(), Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED})
			}
		case 7:
			_, _ = x.Submission(prison).Submit(t.Context(), &posternv1.SubmitRequest{}) // is refused
		case 8:
			x.Inbox(one(authorities)).Link.Down(r.IntN(2) == 0)
		case 9:
			for range r.IntN(3) * (1 + r.IntN(2)*r.IntN(2)*11) { // a clock that leaps erases nothing
				x.Clock.Advance(24 * time.Hour)
				_, _ = x.Hub.StepRetention(t.Context())
			}
		}
		x.Clock.Advance(time.Duration(r.IntN(3000)) * time.Second)
		x.Settle()
		_, _ = x.Hub.StepRetention(t.Context())
	}
	return x
}

// recount counts the events of both logs again, from the hub's own ledger and without the auditor's code.
type recount struct {
	cells map[string]map[string]int // by and name, to how often each notification; "" for none
	took  map[string][]time.Duration
	begun int // notifications with a decision that fits
}

func recounted(t *testing.T, x *testkit.Exchange, f *posternv1.EventFilter) recount {
	t.Helper()
	out := recount{map[string]map[string]int{}, map[string][]time.Duration{}, 0}
	first, chosen := map[string]map[string]time.Time{}, map[string]bool{}
	of := f.GetKind()
	if of == "" {
		of = "decided"
	}
	_, err := x.Ledger.Events(t.Context(), "", 1<<30, func(at ledger.Logged) (bool, error) {
		d, kind := at.Details, strings.ToLower(plain.Enum(at.Leaf.Kind))
		prison, id := d.GetSender().GetPrisonId(), d.GetNotificationId()
		if _, after, ok := strings.Cut(d.GetCaller(), "/prison/"); prison == "" && ok {
			prison = strings.TrimSuffix(after, "/desk")
		}
		rules := map[string]bool{}
		for _, r := range d.GetDecision().GetReasons() {
			rules[r.GetRuleId()] = true
		}
		for _, c := range d.GetDecision().GetChildren() {
			for _, r := range c.GetReasons() {
				rules[r.GetRuleId()] = true
			}
		}
		route := ""
		if in, err := engine.ParseInput(d.GetInput()); err == nil {
			route = in.Route
		}
		when := at.Core.GetEventTime().AsTime()
		fits := (f.GetPrisonId() == "" || f.GetPrisonId() == prison) && (f.GetAuthority() == "" || f.GetAuthority() == d.GetAuthority()) &&
			(f.GetOutcome() == 0 || f.GetOutcome() == d.GetDecision().GetOutcome()) && (f.GetRuleId() == "" || rules[f.GetRuleId()]) &&
			(f.GetKind() == "" || f.GetKind() == kind) && (f.GetRoute() == 0 || plain.Enum(f.GetRoute()) == route) &&
			(f.GetNotification() == "" || f.GetNotification() == id) &&
			(f.GetStartTime() == nil || !when.Before(f.GetStartTime().AsTime())) && (f.GetEndTime() == nil || when.Before(f.GetEndTime().AsTime()))
		what := map[string]string{"decided": "first", "delivered": "delivered", "replied": "answered"}[kind]
		if kind == "delivered" && len(at.Core.GetSubjectSha256()) > 0 || strings.HasPrefix(d.GetRefusal(), "OFFER") {
			what = ""
		}
		if what != "" {
			if first[what] == nil {
				first[what] = map[string]time.Time{}
			}
			if was, ok := first[what][id]; !ok || when.Before(was) {
				first[what][id] = when
			}
		}
		if !fits {
			return true, nil
		}
		chosen[id] = chosen[id] || kind == "decided"
		add := func(by, name string) {
			at := by + " " + name
			if out.cells[at] == nil {
				out.cells[at] = map[string]int{}
			}
			if name != "" {
				out.cells[at][id]++
			}
		}
		if kind != "disclosed_to_auditor" || f.GetKind() != "" {
			add("kind", kind)
		}
		if kind != of {
			return true, nil
		}
		add("prison", prison)
		add("authority", d.GetAuthority())
		add("route", route)
		add("outcome", map[bool]string{true: plain.Enum(d.GetDecision().GetOutcome())}[d.GetDecision().GetOutcome() > 0])
		for rule := range rules {
			if f.GetRuleId() == "" || f.GetRuleId() == rule {
				add("rule", rule)
			}
		}
		return true, nil
	})
	noError(t, err)
	for id, is := range chosen {
		if !is {
			continue
		}
		out.begun++
		for _, what := range []string{"delivered", "answered"} {
			if end, ok := first[what][id]; ok {
				out.took[what] = append(out.took[what], end.Sub(first["first"][id]))
			}
		}
	}
	return out
}

// rowsOf is how many events a list with a filter has, and about how many notifications.
func rowsOf(t *testing.T, a *auditor.Auditor, f *posternv1.EventFilter) (events, notifications uint64) {
	t.Helper()
	about := map[string]bool{}
	req := &posternv1.ListEventsRequest{Filter: f, PageSize: 100}
	for {
		out, err := a.ListEvents(t.Context(), &localv1.ListEventsRequest{Request: req})
		noError(t, err)
		for _, e := range out.GetResponse().GetEvents() {
			events++
			if e.GetNotificationId() != "" {
				about[e.GetNotificationId()] = true
			}
		}
		if req.PageToken = out.GetResponse().GetNextPageToken(); req.PageToken == "" {
			return events, uint64(len(about))
		}
	}
}

func statistics(t *testing.T, a *auditor.Auditor, f *posternv1.EventFilter) *localv1.GetStatisticsResponse {
	t.Helper()
	out, err := a.GetStatistics(t.Context(), &localv1.GetStatisticsRequest{Filter: f})
	noError(t, err)
	return out
}

// Of any history and any question, the numbers are those of a direct recount, and each filter lists exactly its rows.
func TestStatisticsAreARecount(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(testkit.N(3, 60)) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			x := history(t, seed, testkit.N(60, 150))
			if seed == 0 { // what was delivered is deleted in time, of which a leap is a day
				for range 100 {
					x.Clock.Advance(24 * time.Hour)
					x.Settle()
					_, _ = x.Hub.StepRetention(t.Context())
				}
			}
			a := audits(t, x).Auditor
			r := rand.New(rand.NewPCG(seed, 1))
			begin := testkit.Now.Add(time.Duration(r.IntN(48)) * time.Hour)
			day := &posternv1.EventFilter{StartTime: timestamppb.New(begin), EndTime: timestamppb.New(begin.Add(24 * time.Hour))}
			for _, f := range []*posternv1.EventFilter{nil, day, {PrisonId: testkit.HMPParc}, {Authority: testkit.Lancashire, Outcome: posternv1.Outcome_OUTCOME_SHARE},
				{Route: posternv1.Route_ROUTE_URGENT}, {RuleId: "consent_given"}, {Kind: "redirected"}, {Kind: "decided", PrisonId: testkit.HMPBristol}} {
				out, want := statistics(t, a, f), recounted(t, x, f)
				got := map[string]bool{}
				for _, c := range out.GetCounts() {
					at := c.GetBy() + " " + c.GetName()
					events, notifications := 0, len(want.cells[at])
					for id, n := range want.cells[at] {
						if events += n; id == "" {
							notifications--
						}
					}
					got[at], seen[at] = true, seen[at] || events > 0
					if int(c.GetEvents()) != events || int(c.GetNotifications()) != notifications {
						t.Errorf("%v: %s: %d events about %d, want %d about %d", f, at, c.GetEvents(), c.GetNotifications(), events, notifications)
					}
					if n, of := rowsOf(t, a, c.GetFilter()); n != c.GetEvents() || of != c.GetNotifications() {
						t.Errorf("%v: %s: %d events about %d, and %v lists %d about %d", f, at, c.GetEvents(), c.GetNotifications(), c.GetFilter(), n, of)
					}
				}
				for at, rows := range want.cells {
					if !got[at] && len(rows) > 0 {
						t.Errorf("%v: nothing is said of %s", f, at)
					}
				}
				for _, d := range out.GetDurations() {
					took := slices.Sorted(slices.Values(want.took[d.GetName()]))
					rank := func(percent int) uint64 {
						for n, each := range took {
							if (n+1)*100 >= percent*len(took) {
								return uint64(each / time.Second)
							}
						}
						return 0
					}
					if int(d.GetNotifications()) != want.begun || int(d.GetMeasured()) != len(took) || d.GetMedianSeconds() != rank(50) || d.GetP90Seconds() != rank(90) {
						t.Errorf("%v: %v, want %d of %d, %d and %d", f, d, len(took), want.begun, rank(50), rank(90))
					}
					if _, of := rowsOf(t, a, d.GetFilter()); of != d.GetNotifications() {
						t.Errorf("%v: %v, and its filter lists %d", f, d, of)
					}
				}
			}
		})
	}
	for _, at := range []string{"kind withdrawn", "kind stop_asked", "kind stop_answered", "kind redirected", "kind undelivered", "kind refused", "kind replied", "kind erased",
		"outcome SHARE", "outcome WITHHOLD", "route STANDARD", "route URGENT", "route DUTY"} {
		if !seen[at] {
			t.Errorf("no history had %s", at)
		}
	}
	t.Logf("seen: %v", slices.Sorted(maps.Keys(seen)))
}

// What is outside an auditor's scope is not counted, and is said to be missing; the logs are counted whole, at a checkpoint.
func TestStatisticsAreOfTheAuditorsScope(t *testing.T) {
	x := history(t, 7, 30)
	all := statistics(t, audits(t, x).Auditor, nil)
	x.ScopeAuditor(testkit.HMPParc)
	part := statistics(t, audits(t, x).Auditor, nil)
	decided := func(out *localv1.GetStatisticsResponse, by, name string) (n uint64) {
		for _, c := range out.GetCounts() {
			if c.GetBy() == by && c.GetName() == name {
				n = c.GetEvents()
			}
		}
		return n
	}
	if n := decided(part, "prison", testkit.HMPParc); n == 0 || n != decided(all, "prison", testkit.HMPParc) || decided(part, "kind", "decided") != n || decided(part, "prison", testkit.HMPBristol) > 0 {
		t.Errorf("in scope %v", part)
	}
	for _, out := range []*localv1.GetStatisticsResponse{all, part} {
		if len(out.GetLogs()) != 2 {
			t.Fatalf("counted %v", out.GetLogs())
		}
		for _, l := range out.GetLogs() {
			if l.GetSize() == 0 || l.GetRoot() == "" || (l.GetAbsent() > 0) != (out == part) || !strings.HasPrefix(l.GetCheckpoint(), fmt.Sprintf("%s\n%d\n%s\n", l.GetOrigin(), l.GetSize(), l.GetRoot())) {
				t.Errorf("counted in %v", l)
			}
		}
	}
}

// A log of which the hub leaves out or alters anything is not counted at all.
func TestNothingIsCountedOfALogThatDoesNotHold(t *testing.T) {
	x := history(t, 3, 20)
	for name, edit := range map[string]func(*posternv1.ExportLogResponse){
		"an altered decision": func(r *posternv1.ExportLogResponse) { r.Entries[0].Body.Details[60] ^= 1 },
		"an altered leaf":     func(r *posternv1.ExportLogResponse) { r.Entries[0].Leaf[3] ^= 1; r.Entries[0].Body = nil },
		"an entry left out":   func(r *posternv1.ExportLogResponse) { r.Entries = r.Entries[1:] },
	} {
		x.ToHub(testkit.AuditorPath).Answers(func(method string, b []byte) []byte {
			r := &posternv1.ExportLogResponse{}
			if !strings.HasSuffix(method, "/ExportLog") || proto.Unmarshal(b, r) != nil || len(r.GetEntries()) == 0 {
				return b
			}
			edit(r)
			out, err := proto.Marshal(r)
			noError(t, err)
			return out
		})
		if out, err := audits(t, x).GetStatistics(t.Context(), &localv1.GetStatisticsRequest{}); err == nil {
			t.Errorf("%s: counted %v", name, out)
		}
	}
}
