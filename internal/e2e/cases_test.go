//go:build e2e

package e2e

import (
	"testing"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// caseStops are the desk's pages about what is already taken, in their main states, with the names that are in them.
func caseStops(t *testing.T, x *testkit.Exchange, desk *testkit.Desk, sharedID string) (stops []stop, seeded []string) {
	take := func(edit func(*posternv1.Form), authorities ...string) string {
		f := formtest.New(authorities...)
		f.Gate = posternv1.Gate_GATE_NOT_DONE
		for _, c := range f.GetChildren() {
			if c.GetAuthority() == testkit.Lancashire { // the desk has a postcode table
				c.Home.Postcode = "ZZ99 6TW"
			}
		}
		edit(f)
		seeded = append(seeded, personal(f.ProtoReflect())...)
		return desk.Take(f)[0]
	}
	as := func(*posternv1.Form) {}
	waits, two, checked := take(as, testkit.Bristol), take(as, testkit.Bristol, testkit.Bristol), take(as, testkit.Bristol)
	byHand := take(func(f *posternv1.Form) { f.Gate, f.Children[0].AuthorityChecked = posternv1.Gate_GATE_NO_HOLD, true }, testkit.Lancashire)
	hand2 := take(func(f *posternv1.Form) { f.Gate, f.Children[0].AuthorityChecked = posternv1.Gate_GATE_NO_HOLD, true }, testkit.Lancashire)
	took := take(func(f *posternv1.Form) { f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NO }, testkit.Bristol) // what is to be done for the child stays
	urgent := formtest.Urgent(testkit.Bristol, 1)
	urgent.Urgency.Calls[0].Result, urgent.Urgency.Calls[0].Who = posternv1.CallResult_CALL_RESULT_ANSWERED, "Duty worker"
	seeded = append(seeded, personal(urgent.ProtoReflect())...)
	review := desk.Take(urgent)[0]
	x.Settle()
	if _, err := desk.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: took, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "ALL", Roles: []string{"ORDERLY_OFFICER"}})
	told := formtest.Urgent(testkit.Bristol, 1)
	told.GetUrgency().AuthorisedBy = nil
	draft, err := desk.BeginDraft(ctx, &localv1.Draft{Form: told})
	if err != nil {
		t.Fatal(err)
	}
	concern := func(step string) string { return "/drafts/" + draft.GetId() + "/" + step }
	at := func(id, then string) string { return "/notifications/" + envelope.Reference(id) + then }
	const reception, lead, protection, orderly = "RECEPTION_OFFICER", "SAFEGUARDING_LEAD", "PUBLIC_PROTECTION", "ORDERLY_OFFICER"
	return []stop{
		{name: "tonight", who: reception, path: "/tonight"},
		{name: "list", who: reception, path: "/notifications", wrong: map[string]string{"find": "Nobody"}},
		{name: "list-waiting-cy", who: reception, path: "/notifications?show=waiting&lang=cy"},
		{name: "notification-waiting", who: reception, path: at(waits, "")},
		{name: "notification-delivered", who: reception, path: at(sharedID, "")},
		{name: "notification-delivered-cy", who: reception, path: at(sharedID, "?lang=cy")},
		{name: "notification-by-hand", who: lead, path: at(byHand, "")},
		{name: "notification-withdrawn", who: reception, path: at(took, "")},
		{name: "withdraw", who: reception, path: at(two, "/withdraw"), wrong: map[string]string{}, right: map[string]string{"what": "ALL", "method": "PAPER"}, lands: at(two, "/withdrawn")},
		{name: "withdraw-delivered", who: reception, path: at(sharedID, "/withdraw")},
		{name: "withdrawn", who: reception, path: at(took, "/withdrawn")},
		{name: "by-slip", who: reception, path: "/withdraw", wrong: map[string]string{}},
		{name: "call", who: reception, path: at(waits, "/call"), wrong: map[string]string{"clock": "25:99"}, right: map[string]string{"result": "NO_ANSWER"}, lands: at(waits, "")},
		{name: "request", who: reception, path: at(byHand, "/request")},
		{name: "request-cy", who: reception, path: at(byHand, "/request?lang=cy")},
		{name: "close-manual", who: reception, path: at(hand2, "/close-manual"), wrong: map[string]string{"to": ""}, right: map[string]string{"how": "POST", "to": "The front door"}, lands: at(hand2, "")},
		{name: "moved", who: reception, path: at(waits, "/moved"), wrong: map[string]string{}, right: map[string]string{"prison": "OTHER"}, lands: at(waits, "")},
		{name: "decisions", who: lead, path: "/decisions"},
		{name: "consider", who: lead, path: at(byHand, "/consider"), wrong: map[string]string{}},
		{name: "consider-cy", who: lead, path: at(byHand, "/consider?lang=cy")},
		{name: "review", who: lead, path: at(review, "/review"), wrong: map[string]string{}},
		{name: "review-cy", who: lead, path: at(review, "/review?lang=cy")},
		{name: "protection", who: protection, path: "/protection"},
		{name: "gate", who: protection, path: "/protection/" + envelope.Reference(checked), wrong: map[string]string{}, right: map[string]string{"gate": "HOLD"}, lands: "/protection"},
		{name: "concern", who: orderly, path: "/concern"},
		{name: "urgency", who: orderly, path: concern("urgency"), wrong: map[string]string{"said": ""}},
		{name: "urgent-calls", who: orderly, path: concern("calls"), wrong: map[string]string{}},
		{name: "authorised-cy", who: orderly, path: concern("authorised?lang=cy"), wrong: map[string]string{"staff": ""}},
		{name: "sought", who: orderly, path: concern("sought"), wrong: map[string]string{"not_asked": ""}},
	}, seeded
}
