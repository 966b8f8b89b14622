package inbox_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/outlet/outlettest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// stoodIn is a team with two deputies and a mail server. An ordinary week, and an answer on the next working day.
type stoodIn struct {
	*testkit.Exchange
	t      *testing.T
	in     *testkit.Inbox
	server *outlettest.Server
}

func newStoodIn(t *testing.T) *stoodIn {
	t.Helper()
	x := testkit.NewExchange(t)
	s := &stoodIn{x, t, x.Inbox(testkit.Bristol), outlettest.Serve(t, true)}
	s.restart()
	s.set(func(*localv1.TeamSettings) {})
	return s
}

func (s *stoodIn) restart() {
	mail := s.server.Sender()
	s.in.Restart(func(c *inbox.Config) { c.Outlets.Mail = &mail })
}

func (s *stoodIn) set(edit func(*localv1.TeamSettings)) {
	s.t.Helper()
	next := must(s.in.GetSettings(s.t.Context(), &localv1.GetSettingsRequest{}))(s.t).GetSettings()
	next.Hours = []*posternv1.OpeningHours{{Days: []uint32{1, 2, 3, 4, 5}, Opens: "08:30", Closes: "17:00"}}
	next.AnswerDays = 1
	next.Colleagues = []*localv1.Colleague{{StaffId: "LEE", Name: "Lee Example", Mailbox: "lee@council.example"}, {StaffId: "KIT", Name: "Kit Example", Mailbox: "kit@council.example"}, {StaffId: "ANN", Name: "Ann Example"}}
	next.Deputies, next.AlertAddresses = []string{"LEE", "KIT"}, []string{"duty@council.example"}
	edit(next)
	must(s.in.ChangeSettings(as(s.t, "MAX", "TEAM_MANAGER"), &localv1.ChangeSettingsRequest{Settings: next}))(s.t)
}

// friday is a moment of a Friday in London, far enough ahead of the exchange's own.
func friday(clock string) time.Time {
	zone, err := time.LoadLocation("Europe/London")
	if err != nil {
		panic(err) // a build without time zones has no other test either
	}
	at, _ := time.Parse("15:04", clock)
	day := testkit.Now.In(zone)
	for day = day.AddDate(0, 0, 1); day.Weekday() != time.Friday; {
		day = day.AddDate(0, 0, 1)
	}
	return time.Date(day.Year(), day.Month(), day.Day(), at.Hour(), at.Minute(), 0, 0, zone)
}

func (s *stoodIn) at(now time.Time) { s.Clock.Advance(now.Sub(s.Clock.Now())) }

// comes is something that comes on Friday at half past four: due on Monday at five, after nine hours of the team's, half
// of which have gone on Monday at half past twelve.
func (s *stoodIn) comes() (id string) {
	s.t.Helper()
	s.at(friday("16:30"))
	id = s.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))[0]
	s.Settle()
	s.sent("duty@council.example") // as ever, at once
	return id
}

// look lets the inbox look after its deputies and send what there is to send, and wants mails to these mailboxes.
func (s *stoodIn) sent(want ...string) {
	s.t.Helper()
	before := len(s.server.Mails())
	for range 3 { // looking again tells nobody again
		must(s.in.StepDeputies(s.t.Context()))(s.t)
	}
	for worked := true; worked; {
		worked = must(s.in.StepOutlet(s.t.Context(), "mail"))(s.t)
	}
	var got []string
	for _, m := range s.server.Mails()[before:] {
		got = append(got, m.To)
	}
	if !slices.Equal(got, want) {
		s.t.Errorf("at %s mails went to %q, want %q", s.Clock.Now().Format(time.RFC1123), got, want)
	}
}

var midMonday = friday("12:30").AddDate(0, 0, 3)

// The deputy is told once when half of the team's hours have gone and nobody has answered: not at night, not again after a
// start, with a reference and a link and nothing else.
func TestTheDeputyIsToldAtHalfOfTheTime(t *testing.T) {
	s := newStoodIn(t)
	id := s.comes()
	s.at(friday("20:00").AddDate(0, 0, 1)) // half of it by the clock on the wall, and nobody is there
	s.sent()
	s.at(midMonday.Add(-time.Minute))
	s.sent()
	s.at(midMonday)
	s.sent("lee@council.example")
	s.restart()
	s.at(midMonday.Add(24 * time.Hour))
	s.sent()
	last := s.server.Mails()[len(s.server.Mails())-1].Text
	reference := item(t, s.in, id).GetReference()
	for _, said := range []string{"Subject: Postern: " + reference, "https://inbox.council.example/notifications/" + reference} {
		if !strings.Contains(last, said) {
			t.Errorf("the mail does not say %q: %s", said, last)
		}
	}
	names := []string{"Lee", "Bristol", "prison"}
	f := formtest.New(testkit.Bristol)
	names = append(names, f.GetParent().GetName().GetFamilyName(), f.GetChildren()[0].GetIdentity().GetFamilyName())
	for _, name := range names {
		if name != "" && strings.Contains(last, name) {
			t.Errorf("the mail says %q: %s", name, last)
		}
	}
	a := item(t, s.in, id).GetWork().GetDeputyAlerts()
	if len(a) != 1 || a[0].GetStaffId() != "LEE" || !a[0].GetTellTime().AsTime().Equal(midMonday) {
		t.Errorf("it is noted as %v", a)
	}
	if deeds := item(t, s.in, id).GetWork().GetDeeds(); len(deeds) != 0 {
		t.Errorf("who answers meanwhile would be held up by %v", deeds)
	}
}

// Who acts in time keeps the deputy from being told, also when the mail was on its way and the server down.
func TestWhoActsSparesTheDeputy(t *testing.T) {
	s := newStoodIn(t)
	id := s.comes()
	s.server.Fail(errEnded)
	s.at(midMonday)
	must(s.in.StepDeputies(t.Context()))(t)
	if _, err := s.in.StepOutlet(t.Context(), "mail"); fault.From(err).Reason != "MAIL" {
		t.Fatal(err)
	}
	if a := item(t, s.in, id).GetWork().GetDeputyAlerts(); len(a) != 1 || a[0].GetTellTime() != nil {
		t.Errorf("not told, it is noted as %v", a)
	}
	must(s.in.ReplyItem(as(t, "ANN"), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: id, Deeds: proto.Uint32(0)}, Reply: &posternv1.Reply{Code: accepted}}))(t)
	s.server.Fail(nil)
	s.Clock.Advance(testkit.MaxWait + time.Hour)
	s.sent()
	if left := must(s.in.ListParcels(t.Context(), nil))(t).GetParcels(); len(left) != 0 {
		t.Errorf("%v still waits", left)
	}
	if a := item(t, s.in, id).GetWork().GetDeputyAlerts(); a[0].GetTellTime() != nil {
		t.Errorf("never told, it is noted as %v", a)
	}
}

// A withdrawal is a turn of its own, of which the deputy is told although they were told of the notification.
func TestAStopRequestIsATurnOfItsOwn(t *testing.T) {
	s := newStoodIn(t)
	id := s.comes()
	s.at(midMonday)
	s.sent("lee@council.example")
	must(s.Desk(testkit.HMPBristol).Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}))(t)
	s.Settle()
	s.sent("duty@council.example")
	s.at(midMonday.Add(135 * time.Minute)) // due on the same day at five
	s.sent("lee@council.example")
	s.at(midMonday.AddDate(0, 0, 1))
	s.sent()
}

func TestWhoIsToldWhenSomebodyIsAway(t *testing.T) {
	monday := midMonday.Format(time.DateOnly)
	leave := func(staff ...string) func(*localv1.TeamSettings) {
		return func(s *localv1.TeamSettings) {
			for _, id := range staff {
				s.Leave = append(s.Leave, &localv1.Leave{StaffId: id, FirstDate: monday, LastDate: monday})
			}
		}
	}
	morning := friday("08:30").AddDate(0, 0, 3)
	for name, c := range map[string]struct {
		set    func(*localv1.TeamSettings)
		holder string
		at     time.Time
		want   []string
	}{
		"the first deputy is away":               {leave("LEE"), "", midMonday, []string{"kit@council.example"}},
		"every deputy is away":                   {leave("LEE", "KIT"), "", midMonday, []string{"duty@council.example"}},
		"the first deputy has it":                {leave(), "LEE", midMonday, []string{"kit@council.example"}},
		"who has it is away":                     {leave("ANN"), "ANN", morning, []string{"lee@council.example"}},
		"who has it is away, and so is the team": {leave("ANN"), "ANN", morning.Add(-time.Minute), nil},
		"who has it is there":                    {leave("LEE"), "ANN", morning, nil},
		"who has it is away, and every deputy":   {leave("ANN", "LEE", "KIT"), "ANN", morning, []string{"duty@council.example"}},
		"nobody is a deputy":                     {func(s *localv1.TeamSettings) { s.Deputies = nil }, "", midMonday, nil},
		"a holiday on the Monday":                {func(s *localv1.TeamSettings) { s.Holidays = []*localv1.Holiday{{Date: monday, Name: "A day off"}} }, "", midMonday, nil},
		"a team without hours, half by the wall": {func(s *localv1.TeamSettings) { s.Hours = nil }, "", friday("16:30").AddDate(0, 0, 1), []string{"lee@council.example"}},
		"two spans of one day that run into each other": {func(s *localv1.TeamSettings) {
			s.Hours = append(s.Hours, &posternv1.OpeningHours{Days: []uint32{1}, Opens: "09:00", Closes: "12:00"})
		}, "", midMonday, []string{"lee@council.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStoodIn(t)
			id := s.comes()
			s.set(c.set)
			if c.holder != "" {
				must(s.in.AssignItems(as(t, "MAX"), &localv1.AssignItemsRequest{To: c.holder, Items: []*localv1.Seen{{Id: id}}}))(t)
			}
			s.at(c.at)
			s.sent(c.want...)
			s.sent()
		})
	}
}

// Whatever write the process ends at, and whether it was done, the deputy is told once.
func TestADeputyIsToldOnceWhereverTheProcessEnds(t *testing.T) {
	for at := 1; at <= 2; at++ {
		for _, after := range []bool{false, true} {
			s := newStoodIn(t)
			s.comes()
			s.at(midMonday)
			mail := s.server.Sender()
			s.in.Restart(func(c *inbox.Config) {
				c.Outlets.Mail, c.Store = &mail, &crashing{Store: c.Store, at: at, after: after}
			})
			before := len(s.server.Mails())
			_, _ = s.in.StepDeputies(t.Context())
			_, _ = s.in.StepOutlet(t.Context(), "mail")
			s.restart()
			for range 2 {
				must(s.in.StepDeputies(t.Context()))(t)
				for worked := true; worked; {
					worked = must(s.in.StepOutlet(t.Context(), "mail"))(t)
				}
			}
			ids := map[string]bool{}
			for _, m := range s.server.Mails()[before:] {
				_, id, _ := strings.Cut(m.Text, "Message-ID: ")
				id, _, _ = strings.Cut(id, "\r\n")
				ids[id] = true
			}
			if len(ids) != 1 || ids[""] {
				t.Errorf("ended at write %d (%v): mails with the ids %v", at, after, ids)
			}
		}
	}
}

// A deputy's mailbox that does not work can be mended in the settings, and doctor says when deputies cannot be told.
func TestADeputysMailboxIsMended(t *testing.T) {
	s := newStoodIn(t)
	s.set(func(ts *localv1.TeamSettings) { ts.Colleagues[0].Mailbox = "nobody@council.example" })
	s.comes()
	s.at(midMonday)
	must(s.in.StepDeputies(t.Context()))(t)
	if _, err := s.in.StepOutlet(t.Context(), "mail"); fault.From(err).Reason != "MAIL" {
		t.Fatal(err)
	}
	s.set(func(*localv1.TeamSettings) {})
	s.Clock.Advance(testkit.MaxWait)
	s.sent("lee@council.example")
	s.in.Restart(func(c *inbox.Config) { c.Outlets.Mail = nil })
	found := must(s.in.Examine(t.Context(), nil))(t).GetFindings()
	if !slices.ContainsFunc(found, func(f *localv1.Finding) bool {
		return f.GetCheck() == "deputies" && strings.Contains(f.GetWords(), "no mail")
	}) {
		t.Errorf("doctor finds %v", found)
	}
}

// A deputy who is none any more while the mail waits is not told, and the next one is in their place.
func TestWhoIsNoDeputyAnyMoreIsNotWaitedFor(t *testing.T) {
	s := newStoodIn(t)
	s.set(func(ts *localv1.TeamSettings) { ts.Colleagues[0].Mailbox = "nobody@council.example" })
	s.comes()
	s.at(midMonday)
	must(s.in.StepDeputies(t.Context()))(t)
	if _, err := s.in.StepOutlet(t.Context(), "mail"); fault.From(err).Reason != "MAIL" {
		t.Fatal(err)
	}
	s.set(func(ts *localv1.TeamSettings) { ts.Deputies = []string{"KIT"} })
	s.Clock.Advance(testkit.MaxWait)
	s.sent("kit@council.example")
	s.Clock.Advance(testkit.MaxWait)
	s.sent()
}
