package inbox_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	accepted = posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT
	known    = posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN
)

// as is a call by somebody of the team.
func as(t *testing.T, staff string, roles ...string) context.Context {
	return rpc.WithPerson(t.Context(), rpc.Person{ID: staff, Roles: roles})
}

// item is one item as the team sees it.
func item(t *testing.T, in *testkit.Inbox, id string) *localv1.Item {
	t.Helper()
	return must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t).GetItem()
}

// received is a team that has received something.
func received(t *testing.T) (*testkit.Exchange, *testkit.Inbox, string) {
	t.Helper()
	x := testkit.NewExchange(t)
	id := x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	x.Settle()
	return x, x.Inbox(testkit.Bristol), id
}

func TestAReplyIsRecordedReportedAndHeardOnce(t *testing.T) {
	x, in, id := received(t)
	seen := proto.Uint32(0)
	for range 2 { // a second press says what was seen before the first
		w := must(in.ReplyItem(as(t, "LEE"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id, Deeds: seen}, Reply: &posternv1.Reply{Code: known}}))(t).GetWork()
		if len(w.GetDeeds()) != 1 || w.GetDeeds()[0].GetStaffId() != "LEE" || w.GetAssignedTo() != "LEE" || w.GetReply().GetCode() != known {
			t.Errorf("the work is %v", w)
		}
	}
	x.Settle()
	if n := events(t, x, logv1.Kind_KIND_REPLIED, "ALREADY_KNOWN"); n != 1 {
		t.Errorf("the hub has it %d times", n)
	}
	x.Clock.Advance(2 * time.Hour)
	x.Settle()
	n := x.Desk(testkit.HMPBristol).Get(id).GetNotification()
	if n.GetReply().GetCode() != accepted {
		t.Errorf("the prison hears %v", n.GetReply())
	}
	if i := item(t, in, id); i.GetDueTime() != nil || i.GetWork().GetReply().GetCode() != known {
		t.Errorf("it shows as %v", i)
	}
}

// A team answers while the hub cannot be reached, and its certificate is renewed before it can.
func TestAReplyOutlivesItsCertificate(t *testing.T) {
	x, in, id := received(t)
	own := x.Issue(bristolInbox, testkit.Now.AddDate(0, 0, -29), 30)
	in.Restart(func(c *inbox.Config) { c.Identity = own })
	in.ToHub.Down(true)
	must(in.ReplyItem(as(t, "LEE"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id}, Reply: &posternv1.Reply{Code: known}}))(t)
	x.Settle()
	x.Clock.Advance(48 * time.Hour)
	if err := own.Replace(x.Issue(bristolInbox, x.Clock.Now().AddDate(0, 0, -3), 30)); err != nil {
		t.Fatal(err)
	}
	in.ToHub.Down(false)
	in.ToHub.LoseAnswers(1) // what was taken and not heard of goes once more, under another signature
	for range 2 {
		x.Settle()
		x.Clock.Advance(testkit.MaxWait)
	}
	if n := events(t, x, logv1.Kind_KIND_REPLIED, "ALREADY_KNOWN"); n != 1 {
		t.Errorf("the hub has it %d times", n)
	}
}

func TestTheSecondOfTwoWorkersIsTold(t *testing.T) {
	x, in, id := received(t)
	var wg sync.WaitGroup
	errs := make([]error, 8)
	for n := range errs {
		wg.Go(func() {
			ctx := as(t, string(rune('A'+n)))
			_, errs[n] = in.ReplyItem(ctx, &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id, Deeds: proto.Uint32(0)}, Reply: &posternv1.Reply{Code: accepted}})
		})
	}
	wg.Wait()
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil })
	if len(errs) != 7 {
		t.Fatalf("%d of 8 were told", len(errs))
	}
	for _, err := range errs {
		wantFault(t, err, fault.Precondition, "CHANGED")
	}
	out := must(in.AssignItems(as(t, "Z"), &localv1.AssignItemsRequest{To: "Z", Items: []*localv1.Seen{{Id: id, Deeds: proto.Uint32(0)}}}))(t)
	if len(out.GetAssigned()) != 0 || len(out.GetChanged()) != 1 || item(t, in, id).GetWork().GetAssignedTo() == "Z" {
		t.Errorf("assigned %v", out)
	}
	x.Settle()
	if n := events(t, x, logv1.Kind_KIND_REPLIED, "ACCEPTED_FOR_CONTACT"); n != 1 {
		t.Errorf("the hub heard %d replies", n)
	}
}

// What a team does for itself leaves nothing in the hub, not even that something was done.
func TestAssigningAndTellingTheFamilyStayHere(t *testing.T) {
	x, in, id := received(t)
	before := must(x.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetLogs()
	must(in.AssignItems(as(t, "LEE"), &localv1.AssignItemsRequest{To: "LEE", Items: []*localv1.Seen{{Id: id}}}))(t)
	told := &localv1.Told{Whom: localv1.ToldWhom_TOLD_WHOM_CARER, ToldDate: testkit.Now.Format(time.DateOnly), How: localv1.ToldHow_TOLD_HOW_PHONE}
	for range 2 {
		must(in.RecordTold(as(t, "LEE"), &localv1.RecordToldRequest{Item: &localv1.Seen{Id: id}, Told: told}))(t)
	}
	x.Settle()
	if w := item(t, in, id).GetWork(); len(w.GetDeeds()) != 2 || !proto.Equal(w.GetTold()[0], told) {
		t.Errorf("the work is %v", w)
	}
	after := must(x.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetLogs()
	for n := range before {
		if before[n].GetSize() != after[n].GetSize() {
			t.Errorf("%s grew from %d to %d", before[n].GetOrigin(), before[n].GetSize(), after[n].GetSize())
		}
	}
	for _, wrong := range []*localv1.Told{{}, {Whom: 1, How: 1, ToldDate: "2999-01-01"}, {Whom: 2, How: 1, ToldDate: "2026-01-01"}, {Whom: 2, How: 1, ToldDate: "2026-01-01", ChildNumber: 9}, {Whom: 1, How: 9, ToldDate: "x"}} {
		if _, err := in.RecordTold(as(t, "LEE"), &localv1.RecordToldRequest{Item: &localv1.Seen{Id: id}, Told: wrong}); len(fault.From(err).Fields) == 0 {
			t.Errorf("%v: %v", wrong, err)
		}
	}
	_, err := in.AssignItems(as(t, "LEE"), &localv1.AssignItemsRequest{To: "STRANGER", Items: []*localv1.Seen{{Id: id}}})
	wantFault(t, err, fault.Invalid, "NO_COLLEAGUE")
	_, err = in.AssignItems(t.Context(), &localv1.AssignItemsRequest{To: "LEE"})
	wantFault(t, err, fault.Unauthenticated, "NO_USER")
}

func TestAnOutcomeIsForStatisticsAndNoPrison(t *testing.T) {
	x, in, id := received(t)
	desk := x.Desk(testkit.HMPBristol)
	before := must(proto.Marshal(desk.Get(id)))(t)
	must(in.RecordOutcome(as(t, "LEE"), &localv1.RecordOutcomeRequest{Item: &localv1.Seen{Id: id}, Outcome: posternv1.FamilyOutcomeCode_FAMILY_OUTCOME_CODE_OFFER_MADE}))(t)
	x.Settle()
	x.Clock.Advance(2 * time.Hour)
	x.Settle()
	if n := events(t, x, logv1.Kind_KIND_REPLIED, "OFFER_MADE"); n != 1 {
		t.Errorf("the hub has it %d times", n)
	}
	if after := must(proto.Marshal(desk.Get(id)))(t); string(after) != string(before) {
		t.Error("the prison sees that something came of it")
	}
	_, err := in.RecordOutcome(as(t, "LEE"), &localv1.RecordOutcomeRequest{Item: &localv1.Seen{Id: id}, Outcome: 99})
	wantFault(t, err, fault.Invalid, "OUTCOME")
}

func TestWhatATeamMayNotReplyIsRefusedBeforeItIsSigned(t *testing.T) {
	x, in, id := received(t)
	detail := posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL
	for reason, r := range map[string]*posternv1.Reply{
		"REPLY_CODE": {Code: posternv1.ReplyCode_REPLY_CODE_CLOSED}, "NEVER_ASKED": {Code: detail, Paths: []string{"child/1/phone"}},
		"UNKNOWN_SECTION": {Code: detail, Paths: []string{"child/1/secrets"}}, "REPLY_PATHS": {Code: detail},
	} {
		_, err := in.ReplyItem(as(t, "LEE"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id}, Reply: r})
		wantFault(t, err, fault.Invalid, reason)
	}
	if _, err := x.Desk(testkit.HMPBristol).Withdraw(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}, testkit.Staff); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	_, err := in.ReplyItem(as(t, "LEE"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id}, Reply: &posternv1.Reply{Code: accepted}})
	wantFault(t, err, fault.Precondition, "WITHDRAWN")
	if w := item(t, in, id).GetWork(); len(w.GetDeeds()) != 0 {
		t.Errorf("something was done: %v", w)
	}
	out := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	if out.GetConsent() != nil || len(out.GetItem().GetMarks()) != 0 {
		t.Error("of what was withdrawn there is more than the reference")
	}
}

// A list recognises a family by initials, ages and area, and finds the two items that are about one address.
func TestMarksOfAList(t *testing.T) {
	x := testkit.NewExchange(t)
	one, other := formtest.New(testkit.Bristol), formtest.New(testkit.Bristol)
	identity := one.GetChildren()[0].GetIdentity()
	identity.GivenName, identity.FamilyName, identity.Born = "Éva", "'tHooft", &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: testkit.Now.AddDate(-5, 0, 1).Format(time.DateOnly)}
	other.GetChildren()[0].GetHome().AddressLines = []string{"  " + one.GetChildren()[0].GetHome().GetAddressLines()[0] + ","}
	other.PrisonNumber, other.GetParent().GetName().FamilyName = "A9999ZZ", "Otherparent"
	for _, line := range one.GetChildren()[0].GetHome().GetAddressLines()[1:] {
		home := other.GetChildren()[0].GetHome()
		home.AddressLines = append(home.AddressLines, line)
	}
	x.Desk(testkit.HMPBristol).Take(one)
	x.Desk(testkit.HMPBristol).Take(other)
	x.Settle()
	items := x.Inbox(testkit.Bristol).Items()
	if len(items) != 2 {
		t.Fatalf("%d came", len(items))
	}
	var first *localv1.Mark
	for _, i := range items {
		m := i.GetMarks()[0]
		if m.GetHousehold() != 1 || m.GetArea() == "" {
			t.Errorf("marked as %v", m)
		}
		if m.GetInitials() == "É" {
			first = m
		}
	}
	if first.GetAgeBand() != localv1.AgeBand_AGE_BAND_0_TO_4 {
		t.Errorf("the day before its fifth birthday a child is %v", first)
	}
}

func TestDueCountsWorkingDays(t *testing.T) {
	_, in, id := received(t)
	set := func(edit func(*localv1.TeamSettings)) *localv1.Item {
		t.Helper()
		s := must(in.GetSettings(t.Context(), &localv1.GetSettingsRequest{}))(t).GetSettings()
		s.Hours = []*posternv1.OpeningHours{{Days: []uint32{1, 2, 3, 4, 5}, Opens: "08:30", Closes: "17:00"}}
		s.Holidays, s.AnswerDays = nil, 1
		edit(s)
		must(in.ChangeSettings(as(t, "MAX", "TEAM_MANAGER"), &localv1.ChangeSettingsRequest{Settings: s}))(t)
		return item(t, in, id)
	}
	at := testkit.Now // a day of the week that the cases below count from
	next := func(n int) time.Time {
		day := at
		for n > 0 || day.Weekday() == time.Saturday || day.Weekday() == time.Sunday {
			day = day.AddDate(0, 0, 1)
			if day.Weekday() != time.Saturday && day.Weekday() != time.Sunday {
				n--
			}
		}
		return day
	}
	if got := set(func(*localv1.TeamSettings) {}).GetDueTime().AsTime(); got.Format(time.DateOnly) != next(1).Format(time.DateOnly) {
		t.Errorf("received %v, due %v", at, got)
	}
	holiday := next(1).Format(time.DateOnly)
	if got := set(func(s *localv1.TeamSettings) { s.Holidays = []*localv1.Holiday{{Date: holiday, Name: "A day off"}} }).GetDueTime().AsTime(); got.Format(time.DateOnly) != next(2).Format(time.DateOnly) {
		t.Errorf("with %s off, due %v", holiday, got)
	}
	if got := set(func(s *localv1.TeamSettings) { s.Hours = nil }).GetDueTime(); got == nil {
		t.Error("a team without hours has nothing due")
	}
}

func TestTheTeamsSettings(t *testing.T) {
	_, in, _ := received(t)
	got := must(in.GetSettings(t.Context(), &localv1.GetSettingsRequest{Directory: true}))(t)
	if got.GetAuthority().GetCode() != testkit.Bristol || got.GetSignedBy() == "" || got.GetHubPhone() != testkit.HubPhone || got.GetCanTest() {
		t.Errorf("the directory says %v", got)
	}
	s := got.GetSettings()
	s.Colleagues, s.Deputies, s.AlertAddresses = []*localv1.Colleague{{StaffId: "LEE", Name: "Lee Example", Mailbox: "lee@earlyhelp.example"}}, []string{"LEE"}, []string{"duty@earlyhelp.example"}
	_, err := in.ChangeSettings(as(t, "LEE", "DUTY_WORKER"), &localv1.ChangeSettingsRequest{Settings: s})
	wantFault(t, err, fault.Denied, "NOT_MANAGER")
	for range 2 { // a second press changes nothing
		out := must(in.ChangeSettings(as(t, "MAX", "TEAM_MANAGER"), &localv1.ChangeSettingsRequest{Settings: s}))(t).GetSettings()
		if out.GetVersion() != 1 || len(out.GetChanges()) != 1 || out.GetChanges()[0].GetStaffId() != "MAX" {
			t.Errorf("changed to %v", out)
		}
	}
	late := proto.CloneOf(s)
	late.AnswerDays = 2
	_, err = in.ChangeSettings(as(t, "ANN", "TEAM_MANAGER"), &localv1.ChangeSettingsRequest{Settings: late})
	wantFault(t, err, fault.Precondition, "CHANGED")
	bad := &localv1.TeamSettings{AnswerDays: 99, Hours: []*posternv1.OpeningHours{{Days: []uint32{8}, Opens: "17:00", Closes: "08:00"}}, Holidays: []*localv1.Holiday{{Date: "Christmas"}},
		Colleagues: []*localv1.Colleague{{StaffId: "A B", Name: "x"}, {StaffId: "C", Name: "y"}}, Deputies: []string{"NOBODY", "C"},
		Leave:          []*localv1.Leave{{StaffId: "C", FirstDate: "2026-12-24", LastDate: "2026-12-23"}, {StaffId: "NOBODY", FirstDate: "2026-12-24", LastDate: "2026-12-24"}},
		AlertAddresses: []string{"Duty <a@b.example>", "a@b.example\r\nBcc: c@d.example"}}
	_, err = in.ChangeSettings(as(t, "MAX", "TEAM_MANAGER"), &localv1.ChangeSettingsRequest{Settings: bad})
	if len(fault.From(err).Fields) != 10 {
		t.Errorf("found %v", fault.From(err).Fields)
	}
	_, err = in.SendTest(t.Context(), &localv1.SendTestRequest{})
	wantFault(t, err, fault.Precondition, "NO_ALERTS")
	in.Restart()
	if again := must(in.GetSettings(t.Context(), &localv1.GetSettingsRequest{}))(t).GetSettings(); again.GetColleagues()[0].GetName() != "Lee Example" {
		t.Errorf("after a start they are %v", again)
	}
}

// In summer, in the first hour of a day, a family that was told today was told today.
func TestSomebodyIsToldInTheFirstHourOfASummerDay(t *testing.T) {
	x, in, id := received(t)
	x.Clock.Advance(time.Date(2027, 6, 30, 23, 30, 0, 0, time.UTC).Sub(x.Clock.Now())) // 00:30 on 1 July in London
	_, err := in.RecordTold(rpc.WithPerson(t.Context(), rpc.Person{ID: "LEE"}), &localv1.RecordToldRequest{Item: &localv1.Seen{Id: id},
		Told: &localv1.Told{Whom: localv1.ToldWhom_TOLD_WHOM_CARER, ToldDate: "2027-07-01", How: localv1.ToldHow_TOLD_HOW_PHONE}})
	if err != nil {
		t.Error(err)
	}
}

// Whoever answers that it is not their area has not passed it on yet, and the prison hears that it was taken up.
func TestWhatIsNotOurAreaIsStillToBePassedOn(t *testing.T) {
	x, in, id := received(t)
	must(in.ReplyItem(as(t, "LEE"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id}, Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA}}))(t)
	x.Settle()
	x.Clock.Advance(2 * time.Hour)
	x.Settle()
	if i := item(t, in, id); i.GetDueTime() == nil {
		t.Errorf("nobody has it to do any more, and the prison hears %v", x.Desk(testkit.HMPBristol).Get(id).GetNotification().GetReply().GetCode())
	}
}
