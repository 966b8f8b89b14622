package site

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/plain"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// settings is what the page of the team shows: its own settings, and beside them what the signed directory says, which
// this page cannot change and does not pretend to.
type settings struct {
	Own, Signed ui.SummaryList
	Manager     bool
	CanTest     bool
	Untold      bool // there are deputies, and this inbox has no way to tell them
	Directory   bool
	HubPhone    string
	Revision    uint64
	SignedBy    string
	Changes     []string
}

func (s *site) team(r *web.Request) (web.Response, error) {
	out, err := s.inbox.GetSettings(r.Context(), &localv1.GetSettingsRequest{Directory: true})
	if err != nil {
		return nil, err
	}
	people, err := s.people(r)
	if err != nil {
		return nil, err
	}
	t := out.GetSettings()
	d := settings{CanTest: out.GetCanTest(), Directory: out.GetAuthority() != nil, HubPhone: out.GetHubPhone(), Revision: out.GetDirectoryRevision(), SignedBy: out.GetSignedBy()}
	if who, ok := r.Person(); ok {
		d.Manager = who.Has(teamManager)
	}
	d.Untold = len(t.GetDeputies()) > 0 && !out.GetSendsMail()
	var hours, holidays, colleagues, deputies, leave []string
	for _, h := range t.GetHours() {
		hours = append(hours, days(r, h.GetDays())+" "+h.GetOpens()+"–"+h.GetCloses())
	}
	for _, h := range t.GetHolidays() {
		holidays = append(holidays, day(r, h.GetDate())+" "+h.GetName())
	}
	for _, c := range t.GetColleagues() {
		colleagues = append(colleagues, strings.TrimSuffix(c.GetName()+" ("+c.GetStaffId()+"), "+c.GetMailbox(), ", "))
	}
	for _, l := range t.GetLeave() {
		leave = append(leave, r.T("inbox.leave_line", "name", people.name(r, l.GetStaffId()), "from", day(r, l.GetFirstDate()), "to", day(r, l.GetLastDate())))
	}
	for _, staff := range t.GetDeputies() {
		deputies = append(deputies, people.name(r, staff))
	}
	list := func(id string, values []string) ui.SummaryRow {
		values = slices.DeleteFunc(values, func(v string) bool { return v == "" })
		for n := range values {
			values[n] = plain.Visible(values[n])
		}
		if len(values) == 0 {
			values = []string{r.T("inbox.none")}
		}
		return ui.SummaryRow{Key: ui.Words{Text: r.T(id)}, Value: ui.Words{Text: lines(values), Classes: "app-answer"}}
	}
	d.Own.Rows = []ui.SummaryRow{list("inbox.hours", hours), list("inbox.holidays", holidays), row(r.T("inbox.answer_days"), strconv.Itoa(int(t.GetAnswerDays()))),
		list("inbox.colleagues", colleagues), list("inbox.deputies", deputies), list("inbox.leave", leave),
		list("inbox.alert_addresses", slices.Clone(t.GetAlertAddresses()))}
	for _, c := range slices.Backward(t.GetChanges()) {
		d.Changes = append(d.Changes, r.T("inbox.did", "when", r.When(c.GetTime().AsTime()), "name", people.name(r, c.GetStaffId()), "what", r.T("inbox.did_change")))
	}
	if a := out.GetAuthority(); a != nil {
		d.Signed.Rows = signedRows(r, a, list)
	}
	return web.View{Template: "team", Data: d}, nil
}

// signedRows are what the directory says of an authority.
func signedRows(r *web.Request, a *posternv1.Authority, list func(string, []string) ui.SummaryRow) []ui.SummaryRow {
	rows := []ui.SummaryRow{row(r.T("inbox.authority"), a.GetName()+" ("+a.GetCode()+")")}
	for _, door := range a.GetFrontDoors() {
		id := "inbox.door_early_help"
		if door.GetRole() == posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING {
			id = "inbox.door_safeguarding"
		}
		said := []string{door.GetName() + ", " + door.GetPhone()}
		for _, h := range door.GetHours() {
			said = append(said, days(r, h.GetDays())+" "+h.GetOpens()+"–"+h.GetCloses())
		}
		rows = append(rows, list(id, append(said, r.T("inbox.out_of_hours", "name", door.GetOutOfHoursName(), "phone", door.GetOutOfHoursPhone()))))
	}
	rows = append(rows, list("inbox.champion", []string{a.GetChampion().GetRole(), a.GetChampion().GetPhone(), a.GetChampion().GetMailbox()}))
	endpoint := r.T("inbox.endpoint_collect")
	if a.GetEndpoint().GetMode() == posternv1.DeliveryMode_DELIVERY_MODE_PUSH {
		endpoint = r.T("inbox.endpoint_push", "address", a.GetEndpoint().GetAddress())
	}
	return append(rows, row(r.T("inbox.endpoint"), endpoint), row(r.T("inbox.undelivered_after"), r.T("inbox.hours_count", "count", a.GetUndeliveredAfterHours())))
}

// days are days of the week in words.
func days(r *web.Request, numbers []uint32) string {
	names := make([]string, len(numbers))
	for n, d := range numbers {
		names[n] = r.T(fmt.Sprintf("weekday.d%d", d))
	}
	if len(names) > 2 && numbers[len(numbers)-1]-numbers[0] == uint32(len(numbers)-1) {
		return r.T("inbox.days", "from", names[0], "to", names[len(names)-1])
	}
	return strings.Join(names, ", ")
}

// settingsForm asks for the settings. Lists are written a line each: whoever changes a holiday retypes no other.
func (s *site) settingsForm(r *web.Request) *web.Form {
	f := web.NewForm()
	for d := 1; d <= 7; d++ {
		f.Fields = append(f.Fields, web.Field{Name: fmt.Sprintf("day%d", d), Label: r.T(fmt.Sprintf("weekday.d%d", d)), Width: 20})
	}
	f.Fields[0].Hint = r.T("inbox.hours_hint")
	f.Fields = append(f.Fields,
		web.Field{Name: "holidays", Kind: web.Lines, Rows: 4, Label: r.T("inbox.holidays"), Hint: r.T("inbox.holidays_hint")},
		web.Field{Name: "answer_days", Label: r.T("inbox.answer_days"), Hint: r.T("inbox.answer_days_hint"), Width: 2, InputMode: "numeric"},
		web.Field{Name: "colleagues", Kind: web.Lines, Rows: 6, Label: r.T("inbox.colleagues"), Hint: r.T("inbox.colleagues_hint")},
		web.Field{Name: "deputies", Kind: web.Lines, Rows: 2, Label: r.T("inbox.deputies"), Hint: r.T("inbox.deputies_hint")},
		web.Field{Name: "leave", Kind: web.Lines, Rows: 3, Label: r.T("inbox.leave"), Hint: r.T("inbox.leave_hint")},
		web.Field{Name: "alert_addresses", Kind: web.Lines, Rows: 3, Label: r.T("inbox.alert_addresses"), Hint: r.T("inbox.alert_addresses_hint")},
		web.Field{Name: "version", Kind: web.Hidden})
	f.Submit = "inbox.save"
	return f
}

func (s *site) askSettings(r *web.Request) (web.Response, error) {
	out, err := s.inbox.GetSettings(r.Context(), &localv1.GetSettingsRequest{})
	if err != nil {
		return nil, err
	}
	t, f := out.GetSettings(), s.settingsForm(r)
	spans := map[uint32][]string{}
	for _, h := range t.GetHours() {
		for _, d := range h.GetDays() {
			spans[d] = append(spans[d], h.GetOpens()+"-"+h.GetCloses())
		}
	}
	for d, all := range spans {
		f.Set(fmt.Sprintf("day%d", d), strings.Join(all, ", "))
	}
	var holidays, colleagues, leave []string
	for _, h := range t.GetHolidays() {
		holidays = append(holidays, h.GetDate()+" "+h.GetName())
	}
	for _, c := range t.GetColleagues() {
		colleagues = append(colleagues, strings.TrimSpace(c.GetStaffId()+" "+c.GetName()+" "+c.GetMailbox()))
	}
	for _, l := range t.GetLeave() {
		leave = append(leave, l.GetStaffId()+" "+l.GetFirstDate()+" "+l.GetLastDate())
	}
	f.Set("holidays", strings.Join(holidays, "\n"))
	f.Set("answer_days", strconv.Itoa(int(t.GetAnswerDays())))
	f.Set("colleagues", strings.Join(colleagues, "\n"))
	f.Set("leave", strings.Join(leave, "\n"))
	f.Set("deputies", strings.Join(t.GetDeputies(), "\n"))
	f.Set("alert_addresses", strings.Join(t.GetAlertAddresses(), "\n"))
	f.Set("version", strconv.Itoa(int(t.GetVersion())))
	return web.View{Template: "settings", Form: f, Back: "/team"}, nil
}

func (s *site) takeSettings(r *web.Request) (web.Response, error) {
	f := s.settingsForm(r)
	f.Read(r)
	view := web.View{Template: "settings", Form: f, Back: "/team"}
	version, err := strconv.ParseUint(f.Text("version"), 10, 32)
	if err != nil {
		return nil, fault.New(fault.Invalid, "NO_VERSION", "This is not the form of the settings.")
	}
	t := &localv1.TeamSettings{Version: uint32(version), Hours: readHours(f, r)}
	n, err := strconv.ParseUint(cmp.Or(f.Text("answer_days"), "x"), 10, 16)
	if err != nil {
		reason, fix := r.Language.Fault("inbox.answer_days_wrong", nil)
		f.Fail(fault.Field{Path: "answer_days", Reason: reason, Fix: fix})
	}
	t.AnswerDays = uint32(n)
	for _, line := range written(f.Text("holidays")) {
		date, name, _ := strings.Cut(line, " ")
		t.Holidays = append(t.Holidays, &localv1.Holiday{Date: date, Name: strings.TrimSpace(name)})
	}
	for _, line := range written(f.Text("colleagues")) {
		t.Colleagues = append(t.Colleagues, colleague(line))
	}
	for _, line := range written(f.Text("leave")) {
		said := append(strings.Fields(line), "", "", "")
		t.Leave = append(t.Leave, &localv1.Leave{StaffId: strings.TrimSuffix(said[0], ","), FirstDate: said[1], LastDate: cmp.Or(said[2], said[1])})
	}
	t.Deputies, t.AlertAddresses = written(f.Text("deputies")), written(f.Text("alert_addresses"))
	f.Fail(r.Fields(inbox.CheckSettings(t))...)
	if err := f.Err(); err != nil {
		return r.Again(view, err)
	}
	if _, err := s.inbox.ChangeSettings(r.Context(), &localv1.ChangeSettingsRequest{Settings: t}); err != nil {
		return r.Again(view, err)
	}
	if err := r.Tell("inbox.settings_saved"); err != nil {
		return nil, err
	}
	return web.SeeOther("/team"), nil
}

// readHours reads the hours of each day: 08:30-17:00, or several with commas between. Days with the same hours become one
// line, as they were written.
func readHours(f *web.Form, r *web.Request) (all []*posternv1.OpeningHours) {
	for d := uint32(1); d <= 7; d++ {
		name := fmt.Sprintf("day%d", d)
		for _, span := range strings.FieldsFunc(f.Text(name), func(c rune) bool { return c == ',' || c == ';' }) {
			opens, closes, ok := strings.Cut(strings.NewReplacer("–", "-", " ", "").Replace(span), "-")
			opens, closes = clock(opens), clock(closes)
			if !ok || opens == "" || closes == "" || opens >= closes {
				reason, fix := r.Language.Fault("inbox.hours_wrong", nil)
				f.Fail(fault.Field{Path: name, Reason: reason, Fix: fix})
				break
			}
			i := slices.IndexFunc(all, func(h *posternv1.OpeningHours) bool { return h.GetOpens() == opens && h.GetCloses() == closes })
			if i < 0 {
				all = append(all, &posternv1.OpeningHours{Opens: opens, Closes: closes})
				i = len(all) - 1
			}
			all[i].Days = append(all[i].Days, d)
		}
	}
	return all
}

// colleague reads a staff id, a name, and for who is told as deputy a mailbox.
func colleague(line string) *localv1.Colleague {
	id, name, _ := strings.Cut(line, " ")
	c := &localv1.Colleague{StaffId: strings.TrimSuffix(id, ","), Name: strings.TrimSpace(name)}
	if words := strings.Fields(c.GetName()); len(words) > 1 && strings.Contains(words[len(words)-1], "@") {
		c.Mailbox = words[len(words)-1]
		c.Name = strings.TrimRight(strings.TrimSuffix(c.GetName(), c.GetMailbox()), " ,")
	}
	return c
}

// clock reads a time of day as people type it: 8:30, 08.30, 0830, 17.
func clock(typed string) string {
	digits := strings.NewReplacer(":", "", ".", "").Replace(typed)
	if len(digits) <= 2 {
		digits += "00"
	}
	n, err := strconv.ParseUint(digits, 10, 16)
	if err != nil || len(digits) > 4 || n > 2359 || n%100 > 59 {
		return ""
	}
	return fmt.Sprintf("%02d:%02d", n/100, n%100)
}

// written are the lines of a text, without empty ones.
func written(text string) (all []string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			all = append(all, line)
		}
	}
	return all
}

// sendTest sends a test notification to the team's alert addresses.
func (s *site) sendTest(r *web.Request) (web.Response, error) {
	if _, err := s.inbox.SendTest(r.Context(), &localv1.SendTestRequest{}); err != nil {
		return nil, err
	}
	if err := r.Tell("inbox.test_sent"); err != nil {
		return nil, err
	}
	return web.SeeOther("/team"), nil
}
