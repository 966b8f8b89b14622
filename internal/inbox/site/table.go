package site

import (
	"cmp"
	"html/template"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/inbox"
	"postern/internal/plain"
	"postern/internal/rpc"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// tag is the state of an item as the table shows it.
func tag(r *web.Request, i *localv1.Item) ui.Content {
	switch inbox.StandingOf(i) {
	case inbox.Urgent:
		return ui.Tag{Text: r.T("inbox.state_urgent"), Classes: "govuk-tag--red"}.HTML()
	case inbox.StopAsked:
		return ui.Tag{Text: r.T("inbox.state_stop"), Classes: "govuk-tag--red"}.HTML()
	case inbox.Astray:
		return ui.Tag{Text: r.T("inbox.state_astray"), Classes: "govuk-tag--red"}.HTML()
	case inbox.Elsewhere:
		return ui.Tag{Text: r.T("inbox.state_elsewhere"), Classes: "govuk-tag--yellow"}.HTML()
	case inbox.Fresh:
		return ui.Tag{Text: r.T("inbox.state_new")}.HTML()
	case inbox.PassedOn:
		return ui.Tag{Text: r.T("inbox.state_passed_on"), Classes: "govuk-tag--grey"}.HTML()
	case inbox.Withdrawn:
		return ui.Tag{Text: r.T("inbox.state_withdrawn"), Classes: "govuk-tag--grey"}.HTML()
	case inbox.Over:
		return ui.Tag{Text: r.T("inbox.state_over"), Classes: "govuk-tag--grey"}.HTML()
	}
	if i.GetWork().GetReply().GetCode() == posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL {
		return ui.Tag{Text: r.T("inbox.state_detail"), Classes: "govuk-tag--yellow"}.HTML()
	}
	return ui.Tag{Text: r.T("inbox.state_answered"), Classes: "govuk-tag--green"}.HTML()
}

// chosen is which rows are shown. It stands in the address, as words of ours and nothing else.
type chosen struct{ show, who, due string }

func choose(r *web.Request) chosen {
	q := r.URL.Query()
	one := func(name string, known ...string) string {
		if v := q.Get(name); slices.Contains(known, v) {
			return v
		}
		return ""
	}
	return chosen{show: one("show", "answered", "over", "all"), who: one("who", "mine", "nobody"), due: one("due", "overdue", "today")}
}

// address is the page that shows these rows.
func (c chosen) address() string {
	q := url.Values{}
	for name, v := range map[string]string{"show": c.show, "who": c.who, "due": c.due} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if len(q) == 0 {
		return "/"
	}
	return "/?" + q.Encode()
}

// takes reports whether an item is among these rows.
func (c chosen) takes(i *localv1.Item, me string, now time.Time) bool {
	state := inbox.StandingOf(i)
	switch c.show {
	case "":
		if i.GetDueTime() == nil {
			return false
		}
	case "answered":
		if state != inbox.Answered {
			return false
		}
	case "over":
		if state < inbox.PassedOn {
			return false
		}
	}
	switch to := i.GetWork().GetAssignedTo(); {
	case c.who == "mine" && to != me, c.who == "nobody" && to != "":
		return false
	}
	switch {
	case c.due == "overdue" && !i.GetOverdue():
		return false
	case c.due == "today" && (i.GetDueTime() == nil || i.GetOverdue() || !sameDay(i.GetDueTime().AsTime(), now)):
		return false
	}
	return true
}

func sameDay(a, b time.Time) bool {
	return a.In(b.Location()).Format(time.DateOnly) == b.Format(time.DateOnly)
}

// inOrder puts first what is to be done first: the urgent, the stop requests, what went astray, then by when it is due
// and how long it has waited; what is done comes after, newest first. Items about one address stand together, where the
// first of them stands.
func inOrder(items []*localv1.Item) []*localv1.Item {
	slices.SortStableFunc(items, func(a, b *localv1.Item) int {
		x, y := a.GetDueTime() == nil, b.GetDueTime() == nil
		if x != y {
			if y {
				return -1
			}
			return 1
		}
		if x {
			return b.GetReceiveTime().AsTime().Compare(a.GetReceiveTime().AsTime())
		}
		return cmp.Or(cmp.Compare(min(inbox.StandingOf(a), inbox.Fresh), min(inbox.StandingOf(b), inbox.Fresh)), a.GetDueTime().AsTime().Compare(b.GetDueTime().AsTime()),
			a.GetReceiveTime().AsTime().Compare(b.GetReceiveTime().AsTime()))
	})
	var out []*localv1.Item
	placed := map[*localv1.Item]bool{}
	for _, first := range items {
		if placed[first] {
			continue
		}
		placed[first], out = true, append(out, first)
		for n := len(out) - 1; n < len(out); n++ { // and whoever shares an address with one that was placed with it
			for _, other := range items {
				if !placed[other] && shareAddress(out[n], other) {
					placed[other], out = true, append(out, other)
				}
			}
		}
	}
	return out
}

func shareAddress(a, b *localv1.Item) bool {
	return slices.ContainsFunc(a.GetMarks(), func(m *localv1.Mark) bool {
		return m.GetHousehold() > 0 && slices.ContainsFunc(b.GetMarks(), func(n *localv1.Mark) bool { return n.GetHousehold() == m.GetHousehold() })
	})
}

// listing is what the table's page shows.
type listing struct {
	Table   ui.Table
	Filters []filter
	Shown   string // how many rows there are
	Action  string // where choosing people is sent
	Changed []string
	None    bool // nothing has ever come
}

// filter is a row of ways to other rows.
type filter struct {
	Name  string
	Links []filterLink
}

type filterLink struct {
	Text, Href string
	Current    bool
}

// home is the table of what the team has received: what is to be done first stands first.
func (s *site) home(r *web.Request) (web.Response, error) {
	view, err := s.table(r)
	if err != nil {
		return nil, err
	}
	return view, nil
}

func (s *site) table(r *web.Request) (web.View, error) {
	all, err := s.inbox.ListItems(r.Context(), &localv1.ListItemsRequest{})
	if err != nil {
		return web.View{}, err
	}
	people, err := s.people(r)
	if err != nil {
		return web.View{}, err
	}
	c, now := choose(r), s.now().In(s.zone)
	l := listing{Filters: s.filters(r, c, all.GetItems(), people.me, now), Action: c.address(), None: len(all.GetItems()) == 0}
	rows := inOrder(slices.DeleteFunc(slices.Clone(all.GetItems()), func(i *localv1.Item) bool { return !c.takes(i, people.me, now) }))
	l.Shown = r.T("inbox.rows", "count", len(rows))
	l.Table = ui.Table{Stack: true, Caption: r.T("inbox.home"), CaptionClasses: "govuk-visually-hidden"}
	for _, head := range []string{"inbox.pick", "inbox.reference", "inbox.received", "inbox.children", "inbox.area", "inbox.due", "inbox.assigned", "inbox.state"} {
		l.Table.Head = append(l.Table.Head, ui.Cell{Text: r.T(head)})
	}
	for n, i := range rows {
		if n+1 < len(rows) && shareAddress(i, rows[n+1]) && (n == 0 || !shareAddress(rows[n-1], i)) {
			l.Table.Rows = append(l.Table.Rows, []ui.Cell{{Text: r.T("inbox.one_address"), Colspan: len(l.Table.Head), Classes: "govuk-!-font-weight-bold"}})
		}
		l.Table.Rows = append(l.Table.Rows, s.row(r, i, people, now, n == 0))
	}
	view := web.View{Template: "home", Wide: true, Data: &l}
	if len(rows) > 0 {
		view.Form = assignForm(r, people)
	}
	return view, nil
}

func (s *site) row(r *web.Request, i *localv1.Item, people people, now time.Time, first bool) []ui.Cell {
	at := i.GetReceiveTime().AsTime().In(s.zone)
	var children, areas []string
	for _, m := range i.GetMarks() {
		children = append(children, strings.TrimSpace(m.GetInitials()+"\u00a0"+ageBand(r, m.GetAgeBand())))
		if m.GetArea() != "" && !slices.Contains(areas, m.GetArea()) {
			areas = append(areas, m.GetArea())
		}
	}
	return []ui.Cell{
		{Text: pick(r, i, first)},
		{Text: ui.Link{Href: pageOf(i.GetId()), Text: i.GetReference()}.HTML()},
		{Text: r.T("web.when", "date", short(r, at, now), "time", r.Clock(at))}, {Text: lines(children)}, {Text: lines(areas)},
		{Text: s.dueOrTold(r, i, now)}, {Text: people.name(r, i.GetWork().GetAssignedTo())}, {Text: tagAndNewer(r, i)},
	}
}

// tagAndNewer is the state of an item, and under it what puts it right.
func tagAndNewer(r *web.Request, i *localv1.Item) ui.Content {
	all := []string{}
	for _, id := range i.GetSupersededBy() {
		all = append(all, r.T("inbox.put_right_by", "reference", envelope.Reference(id)))
	}
	state, ok := tag(r, i).(template.HTML)
	if !ok || len(all) == 0 {
		return tag(r, i)
	}
	return state + template.HTML(`<br><span class="govuk-body-s">`) + lines(all) + template.HTML(`</span>`)
}

// ageBand is a band of ages in words; empty when it is not known.
func ageBand(r *web.Request, b localv1.AgeBand) string {
	if b == 0 {
		return ""
	}
	return r.T("inbox.age_" + strings.ToLower(plain.Enum(b)))
}

// lines are texts under one another.
func lines(texts []string) template.HTML {
	var b strings.Builder
	for n, t := range texts {
		if n > 0 {
			b.WriteString("<br>")
		}
		b.WriteString(template.HTMLEscapeString(t))
	}
	return template.HTML(b.String())
}

// pick is the box that chooses a row, with how much of its work was seen. The first has the name of the field for its id,
// so that a fault leads to it.
func pick(r *web.Request, i *localv1.Item, first bool) template.HTML {
	id := "pick-" + i.GetId()
	if first {
		id = "pick"
	}
	e := template.HTMLEscapeString
	return template.HTML(`<div class="govuk-checkboxes govuk-checkboxes--small"><div class="govuk-checkboxes__item"><input class="govuk-checkboxes__input" type="checkbox" name="pick" id="` + id +
		`" value="` + i.GetId() + `.` + strconv.Itoa(len(i.GetWork().GetDeeds())) + `"><label class="govuk-label govuk-checkboxes__label" for="` + id +
		`"><span class="govuk-visually-hidden">` + e(r.T("inbox.pick_one", "reference", i.GetReference())) + `</span></label></div></div>`)
}

// due is by when an item is to be answered.
func (s *site) due(r *web.Request, i *localv1.Item, now time.Time) ui.Content {
	switch at := i.GetDueTime().AsTime().In(s.zone); {
	case i.GetDueTime() == nil:
		return ""
	case i.GetOverdue():
		return ui.Tag{Text: r.T("inbox.overdue"), Classes: "govuk-tag--red"}.HTML()
	case sameDay(at, now):
		return ui.Tag{Text: r.T("inbox.today"), Classes: "govuk-tag--yellow"}.HTML()
	default:
		return short(r, at, now)
	}
}

// dueOrTold is by when an item is to be answered, and under it that a deputy was told that nobody had.
func (s *site) dueOrTold(r *web.Request, i *localv1.Item, now time.Time) ui.Content {
	at := s.due(r, i, now)
	all := i.GetWork().GetDeputyAlerts()
	if i.GetDueTime() == nil || len(all) == 0 {
		return at
	}
	told := template.HTML(`<br><span class="govuk-body-s">` + template.HTMLEscapeString(s.deputyTold(r, all[len(all)-1], now)) + `</span>`)
	if tag, ok := at.(template.HTML); ok {
		return tag + told
	}
	return template.HTML(template.HTMLEscapeString(at.(string))) + told
}

// deputyTold is that a deputy was told, at what time, and on what day when that was not today.
func (s *site) deputyTold(r *web.Request, a *localv1.DeputyAlert, now time.Time) string {
	at := a.GetTellTime().AsTime().In(s.zone)
	when := r.Clock(at)
	if !sameDay(at, now) {
		when = r.T("web.when", "date", short(r, at, now), "time", when)
	}
	switch {
	case a.GetTellTime() == nil:
		return r.T("inbox.deputy_waits")
	case a.GetStaffId() == "":
		return r.T("inbox.deputies_away", "when", when)
	default:
		return r.T("inbox.deputy_told", "when", when)
	}
}

// short is a day of this year without the year: a table has little room.
func short(r *web.Request, day, now time.Time) string {
	date := plain.Date(r.Language, day)
	if day.Year() == now.Year() {
		date = strings.TrimSuffix(date, " "+strconv.Itoa(day.Year()))
	}
	return date
}

// filters are the ways to other rows, each with how many there are.
func (s *site) filters(r *web.Request, c chosen, items []*localv1.Item, me string, now time.Time) []filter {
	link := func(to chosen, id string) filterLink {
		n := 0
		for _, i := range items {
			if to.takes(i, me, now) {
				n++
			}
		}
		return filterLink{Text: r.T(id) + " (" + strconv.Itoa(n) + ")", Href: to.address(), Current: to == c}
	}
	return []filter{
		{r.T("inbox.show"), []filterLink{link(chosen{"", c.who, c.due}, "inbox.show_to_do"), link(chosen{"answered", c.who, ""}, "inbox.show_answered"),
			link(chosen{"over", c.who, ""}, "inbox.show_over"), link(chosen{"all", c.who, c.due}, "inbox.show_all")}},
		{r.T("inbox.whose"), []filterLink{link(chosen{c.show, "", c.due}, "inbox.whose_any"), link(chosen{c.show, "mine", c.due}, "inbox.whose_mine"), link(chosen{c.show, "nobody", c.due}, "inbox.whose_nobody")}},
		{r.T("inbox.due"), []filterLink{link(chosen{c.show, c.who, ""}, "inbox.due_any"), link(chosen{c.show, c.who, "overdue"}, "inbox.overdue"), link(chosen{c.show, c.who, "today"}, "inbox.today")}},
	}
}

// people are who an item can be given to.
type people struct {
	me    string
	names map[string]string
	away  map[string]bool // today
	order []string        // staff ids, without mine
}

func (s *site) people(r *web.Request) (people, error) {
	out, err := s.inbox.GetSettings(r.Context(), &localv1.GetSettingsRequest{})
	if err != nil {
		return people{}, err
	}
	p := people{names: map[string]string{}, away: map[string]bool{}}
	today := s.now().In(s.zone).Format(time.DateOnly)
	for _, l := range out.GetSettings().GetLeave() {
		p.away[l.GetStaffId()] = p.away[l.GetStaffId()] || l.GetFirstDate() <= today && today <= l.GetLastDate()
	}
	if who, ok := rpc.LocalPerson(r.Context()); ok {
		p.me = who.ID
	}
	for _, c := range out.GetSettings().GetColleagues() {
		p.names[c.GetStaffId()] = c.GetName()
		if c.GetStaffId() != p.me {
			p.order = append(p.order, c.GetStaffId())
		}
	}
	return p, nil
}

// name is how somebody is called on a page: a staff id where the team has no name for it.
func (p people) name(r *web.Request, staff string) string {
	switch {
	case staff == "":
		return ""
	case staff == p.me:
		return r.T("inbox.you")
	default:
		return plain.Visible(cmp.Or(p.names[staff], staff))
	}
}

// choice is a colleague to give something to; of one who is away it says so.
func (p people) choice(r *web.Request, staff string) web.Option {
	o := web.Option{Value: staff, Text: p.name(r, staff)}
	if p.away[staff] {
		o.Text = r.T("inbox.is_away", "name", o.Text)
	}
	return o
}

// nobody is the answer that takes an item from whoever has it: no staff id is like it.
const nobody = "-"

func assignForm(r *web.Request, p people) *web.Form {
	to := web.Field{Name: "to", Kind: web.List, Label: r.T("inbox.assign_to"), Options: []web.Option{{Value: p.me, Text: r.T("inbox.me")}}}
	for _, staff := range p.order {
		to.Options = append(to.Options, p.choice(r, staff))
	}
	to.Options = append(to.Options, web.Option{Value: nobody, Text: r.T("inbox.nobody")})
	return web.NewForm(web.Field{Name: "pick", Kind: web.Many, Label: r.T("inbox.pick")}, to)
}

// assign gives the rows that were chosen to somebody. Of a row that a colleague touched meanwhile it tells.
func (s *site) assign(r *web.Request) (web.Response, error) {
	people, err := s.people(r)
	if err != nil {
		return nil, err
	}
	f := assignForm(r, people)
	f.Read(r)
	f.Set("pick", r.PostForm["pick"]...) // a row that has changed since is chosen too, and the inbox says that it has
	f.Require("inbox.pick_required", "pick")
	f.Require("inbox.to_required", "to")
	req := &localv1.AssignItemsRequest{To: strings.TrimPrefix(f.Text("to"), nobody)}
	for _, picked := range f.Choices("pick") {
		id, deeds, _ := strings.Cut(picked, ".")
		n, err := strconv.ParseUint(deeds, 10, 32)
		if err != nil {
			return nil, fault.New(fault.Invalid, "NO_ROW", "This is not a row of the table.")
		}
		seen := uint32(n)
		req.Items = append(req.Items, &localv1.Seen{Id: id, Deeds: &seen})
	}
	if err := f.Err(); err != nil {
		view, failed := s.table(r)
		if failed != nil {
			return nil, failed
		}
		view.Form = f
		return r.Again(view, err)
	}
	out, err := s.inbox.AssignItems(r.Context(), req)
	if err != nil {
		return nil, err
	}
	if len(out.GetChanged()) > 0 {
		view, err := s.table(r)
		if err != nil {
			return nil, err
		}
		view.Data.(*listing).Changed, view.Status = out.GetChanged(), conflict
		return view, nil
	}
	if err := r.Tell("inbox.assigned_done"); err != nil {
		return nil, err
	}
	return web.SeeOther(choose(r).address()), nil
}
