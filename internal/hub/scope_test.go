package hub_test

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/hub"
	"postern/internal/ledger"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// scoped is what an auditor of some scope is shown in pages of two, by kind and prison or authority.
func scoped(t *testing.T, w *world, f *posternv1.EventFilter) (seen []string) {
	audit := w.Audit(testkit.AuditorPath)
	for token := ""; ; {
		page := must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: f, PageSize: 2, PageToken: token}))(t)
		for _, e := range page.GetEvents() {
			seen = append(seen, strings.TrimSpace(e.GetKind()+" "+e.GetPrisonId()+" "+e.GetAuthority()))
		}
		if token = page.GetNextPageToken(); token == "" {
			return seen
		}
	}
}

// withScope starts the hub of a busy world again with another scope for its auditor.
func withScope(t *testing.T, s map[string]hub.Scope) *world {
	w := newWorld(t, func(c *testkit.Config) { c.Hub = func(h *hub.Config) { h.Auditors = s } })
	w.decided(w.shareable())
	must(w.submit(testkit.HMPParc, w.Seal(testkit.HMPParc, formtest.New(testkit.Lancashire))[0]))(t)
	if _, err := w.submit(testkit.HMPParc, w.shareable()); err == nil {
		t.Fatal("taken")
	}
	w.Settle()
	return w
}

// TestAnAuditorSeesTheirScope: what is outside is not in a list, not by its id, not in a proof, and has no body in an
// export; and "outside" and "not there" answer alike.
func TestAnAuditorSeesTheirScope(t *testing.T) {
	const bli, bristol = "decided BLI E06000023", "delivered BLI E06000023"
	const pri, lancashire, refused = "decided PRI E10000017", "delivered PRI E10000017", "refused PRI"
	const directory = "directory_changed"
	for name, c := range map[string]struct {
		scope hub.Scope
		want  []string
	}{
		"all":          {hub.Scope{All: true}, []string{lancashire, bristol, refused, pri, bli, directory}},
		"a prison":     {hub.Scope{Prisons: []string{"BLI"}}, []string{bristol, bli, directory}},
		"the other":    {hub.Scope{Prisons: []string{"PRI"}}, []string{lancashire, refused, pri, directory}},
		"an authority": {hub.Scope{Authorities: []string{testkit.Lancashire}}, []string{lancashire, pri, directory}},
		"both":         {hub.Scope{Prisons: []string{"BLI"}, Authorities: []string{testkit.Lancashire}}, []string{lancashire, bristol, pri, bli, directory}},
		"nobody":       {hub.Scope{Prisons: []string{"XXX"}}, []string{directory}},
	} {
		t.Run(name, func(t *testing.T) {
			w := withScope(t, map[string]hub.Scope{"ig": c.scope})
			seen := slices.DeleteFunc(scoped(t, w, nil), func(s string) bool { return s == "disclosed_to_auditor" })
			slices.Sort(seen)
			slices.Sort(c.want)
			if !slices.Equal(seen, c.want) {
				t.Errorf("sees %q, want %q", seen, c.want)
			}
			audit := w.Audit(testkit.AuditorPath)
			for _, at := range w.all() {
				e := at.Leaf.EventID
				id := hex.EncodeToString(e[:])
				shown := strings.TrimSpace(strings.ToLower(strings.TrimPrefix(at.Leaf.Kind.String(), "KIND_")) + " " + prisonIn(at.Details) + " " + at.Details.GetAuthority())
				want := slices.Contains(c.want, shown)
				if at.Leaf.Kind == logv1.Kind_KIND_DISCLOSED_TO_AUDITOR {
					continue
				}
				_, err := audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: id})
				_, proof := audit.GetProof(t.Context(), &posternv1.GetProofRequest{EventId: id})
				if (err == nil) != want || (proof == nil) != want {
					t.Errorf("%s by its id: %v, %v", shown, err, proof)
				}
				if !want {
					_, absent := audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: strings.Repeat("ab", 16)})
					if fault.From(err).Error() != fault.From(absent).Error() || fault.From(proof).Reason != "NOT_FOUND" {
						t.Errorf("outside is %v, not there is %v", err, absent)
					}
				}
			}
		})
	}
}

// Whatever became of what a prison sent, its auditor sees: arrived, given up as it was decided again, asked to be stopped, and
// erased in the end.
func TestWhatBecameOfItIsInThePrisonsScope(t *testing.T) {
	w := newWorld(t, func(c *testkit.Config) {
		c.Hub = func(h *hub.Config) { h.Auditors = map[string]hub.Scope{"ig": {Prisons: []string{testkit.HMPBristol}}} }
	})
	stopped, kept := w.shareable(), w.shareable()
	w.decided(stopped)
	w.decided(kept)
	w.settle()
	w.withdraw(testkit.HMPBristol, idOf(t, stopped))
	w.settle()
	ending := formtest.New(testkit.Bristol)
	ending.Consent.ExpireTime = timestamppb.New(w.Clock.Now().Add(2 * time.Hour))
	w.decided(w.one(ending))
	w.try() // a send began, and its permission ends
	w.Clock.Advance(3 * time.Hour)
	w.settle()
	w.Clock.Advance(100 * 24 * time.Hour)
	for must(w.Hub.StepRetention(t.Context()))(t) {
	}
	seen := scoped(t, w, nil)
	kinds := map[logv1.Kind]int{}
	for _, e := range w.all() {
		kinds[e.Leaf.Kind]++
	}
	for kind, n := range map[logv1.Kind]int{logv1.Kind_KIND_DELIVERED: 3, logv1.Kind_KIND_UNDELIVERED: 1, stopAsked: 1, logv1.Kind_KIND_ERASED: 2} {
		name := strings.ToLower(strings.TrimPrefix(kind.String(), "KIND_"))
		got := len(slices.DeleteFunc(slices.Clone(seen), func(s string) bool { return s != name+" BLI "+testkit.Bristol }))
		if got != n || kinds[kind] != n {
			t.Errorf("%s: %d are shown of %d, want %d", name, got, kinds[kind], n)
		}
	}
}

// all are all events of the hub.
func (w *world) all() (all []ledger.Logged) {
	w.t.Helper()
	_, err := w.Ledger.Events(w.t.Context(), "", 1<<30, func(e ledger.Logged) (bool, error) { all = append(all, e); return true, nil })
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func prisonIn(d *logv1.Details) string {
	if d.GetSender().GetPrisonId() != "" {
		return d.GetSender().GetPrisonId()
	}
	if strings.HasSuffix(d.GetCaller(), "/prison/PRI/desk") {
		return "PRI"
	}
	return ""
}

func TestAnAuditorNobodyNamedMayNotAsk(t *testing.T) {
	w := withScope(t, map[string]hub.Scope{"somebody": {All: true}})
	audit := w.Audit(testkit.AuditorPath)
	_, list := audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{})
	_, get := audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: strings.Repeat("ab", 16)})
	for _, err := range []error{list, get} {
		wantFault(t, err, fault.Denied, "AUDITOR_UNKNOWN")
	}
	if n := len(w.events(logv1.Kind_KIND_DISCLOSED_TO_AUDITOR)); n > 0 {
		t.Errorf("%d disclosures", n)
	}
}

// TestWhoeverLooksIsLookedAt: every question and every opened body is an event in the received log, before its answer.
func TestWhoeverLooksIsLookedAt(t *testing.T) {
	w := busy(t)
	audit := w.Audit(testkit.AuditorPath)
	sent, _, _ := w.Ledger.Head(ledger.Sent)
	must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: &posternv1.EventFilter{PrisonId: "BLI", Outcome: refer}}))(t)
	decided := w.events(logv1.Kind_KIND_DECIDED)[0]
	id := hex.EncodeToString(decided.Leaf.EventID[:])
	must(audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: decided.Details.GetNotificationId()}))(t)
	must(audit.GetProof(t.Context(), &posternv1.GetProofRequest{EventId: id}))(t)
	if _, err := audit.GetEvent(t.Context(), &posternv1.GetEventRequest{Id: strings.Repeat("ab", 16)}); err == nil {
		t.Fatal("found")
	}
	looked := w.events(logv1.Kind_KIND_DISCLOSED_TO_AUDITOR)
	want := []string{`{"filter":{"outcome":"REFER_TO_PERSON","prison_id":"BLI"}}`, `{"event":"` + id + `"}`, `{"event":"` + id + `"}`}
	if len(looked) != len(want) {
		t.Fatalf("%d disclosures", len(looked))
	}
	for i, at := range looked {
		if at.Log != ledger.Received || at.Details.GetQuestion() != want[i] || at.Details.GetCaller() != w.Identity(testkit.AuditorPath).Party().URI() || !json.Valid([]byte(at.Details.GetQuestion())) {
			t.Errorf("disclosure %d in the %v log: %v", i, at.Log, at.Details)
		}
		if opened := i > 0; opened != (string(at.Core.GetFollowsEvent()) == string(decided.Leaf.EventID[:])) {
			t.Errorf("disclosure %d follows %x", i, at.Core.GetFollowsEvent())
		}
	}
	if now, _, _ := w.Ledger.Head(ledger.Sent); now != sent {
		t.Error("desks can see that somebody looks")
	}
}

// TestAPageTokenIsForOneQuestionOfOneAuditor: another filter, another auditor, a changed byte, a hub that started again.
func TestAPageTokenIsForOneQuestionOfOneAuditor(t *testing.T) {
	w := busy(t)
	audit := w.Audit(testkit.AuditorPath)
	f := &posternv1.EventFilter{Kind: "decided"}
	page := must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: f, PageSize: 1}))(t)
	token := page.GetNextPageToken()
	if next := must(audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: f, PageSize: 2, PageToken: token}))(t); len(next.GetEvents()) != 2 {
		t.Fatalf("the next page has %d events", len(next.GetEvents()))
	}
	refused := func(what string, filter *posternv1.EventFilter, token string) {
		t.Helper()
		_, err := audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{Filter: filter, PageToken: token})
		if fault.From(err).Reason != "BAD_PAGE_TOKEN" {
			t.Errorf("%s: %v", what, err)
		}
	}
	refused("another filter", &posternv1.EventFilter{Kind: "delivered"}, token)
	refused("no filter", nil, token)
	for i := range token {
		changed := []byte(token)
		changed[i] = 'A' + (changed[i]-'A'+1)%26
		refused("changed", f, string(changed))
	}
	refused("shortened", f, token[:10])
	w.RestartHub()
	refused("after a restart", f, token)
}
