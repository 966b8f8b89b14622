package demo

import (
	"context"
	"embed"
	"errors"
	"io/fs"
	"net/http"
	"slices"
	"sync"
	"time"

	"postern/internal/accesslog"
	"postern/internal/fault"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
)

// tourPort names the listener of the tour. It is there only in a demo that stays up, and in no configuration.
const tourPort = "tour"

//go:embed tour/*.html
var tourPages embed.FS

// tour leads a visitor through one notification in six steps, over the three sites. It is told nothing: whether a step is
// done it sees at the parties, by the same control sockets and access logs as the stories and the commands.
type tour struct {
	*stage

	mu     sync.Mutex // owns all below
	began  time.Time
	before map[string]bool // the notifications that were there when it began
}

// step is a step of the tour as its page shows it.
type step struct {
	Number      int
	Title, Text string // ids of words
	Site, Who   string // the address to go to, and as whom
	Link        string // the id of the words of the link
	Done, Now   bool
	Reference   string // of the notification, once there is one
}

// steps are their words and where each is done.
var steps = []struct{ title, text, link, party, who string }{
	{"tour.look", "tour.look_text", "tour.to_desk", deskParty(hmpBristol), "Robin Example"},
	{"tour.send", "tour.send_text", "tour.to_desk", deskParty(hmpBristol), "Robin Example"},
	{"tour.read", "tour.read_text", "tour.to_inbox", inboxParty(bristol), "Lee Example"},
	{"tour.answer", "tour.answer_text", "tour.to_inbox", inboxParty(bristol), "Lee Example"},
	{"tour.audit", "tour.audit_text", "tour.to_audit", "auditor", "Pat Example"},
	{"tour.stop", "tour.stop_text", "tour.to_desk", deskParty(hmpBristol), "Robin Example"},
}

// listenForTour opens the port of the tour, so that the sites know where to lead.
func (f *folder) listenForTour() error {
	lis, err := listen()
	if err != nil {
		return err
	}
	f.listeners[tourPort], f.addresses[tourPort] = lis, lis.Addr().String()
	return nil
}

// tourAddress is where a browser finds the tour; empty where there is none.
func (f *folder) tourAddress() string {
	if f.addresses[tourPort] == "" {
		return ""
	}
	return "http://" + f.addresses[tourPort] + "/"
}

// toTour leads from every page of a site to the tour, where there is one.
func (f *folder) toTour(shell *web.Config) {
	if to := f.tourAddress(); to != "" {
		shell.BannerLink = &web.Link{Text: "tour.title", Href: to}
	}
}

// guide serves the tour until ctx ends. What is there already is no part of it.
func (s *stage) guide(ctx context.Context) error {
	t := &tour{stage: s}
	if err := t.begin(ctx); err != nil {
		return err
	}
	templates, err := fs.Sub(tourPages, "tour")
	if err != nil {
		return err
	}
	site, err := web.New(web.Config{Name: "tour", Service: "tour.service", Templates: templates, Banner: "tour.banner", Now: s.clock.Now, Log: s.log,
		Pages: []web.Page{
			{Path: "/", Name: "tour.title", Open: true, Get: t.show},
			{Path: "/again", Name: "tour.again", Open: true, Post: t.again},
		}})
	if err != nil {
		return err
	}
	lis := s.listeners[tourPort]
	delete(s.listeners, tourPort)
	server := site.Server()
	ended := make(chan error, 1)
	go func() { // ends with ctx
		<-ctx.Done()
		ended <- server.Close()
	}()
	if err := server.Serve(lis); !errors.Is(err, http.ErrServerClosed) {
		return fault.New(fault.Unavailable, "TOUR", "The tour can no longer be reached.").Because(err)
	}
	return <-ended
}

// released reports whether a notification has gone: what waits for the public-protection check has not.
func released(s localv1.State) bool {
	switch s {
	case localv1.State_STATE_ACCEPTED, localv1.State_STATE_DELIVERED, localv1.State_STATE_STOP_ASKED, localv1.State_STATE_CLOSED:
		return true
	}
	return false
}

// begin begins the tour, for the first time or again.
func (t *tour) begin(ctx context.Context) error {
	all, err := t.desk(hmpBristol).ListNotifications(ctx, &localv1.ListNotificationsRequest{})
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.began, t.before = t.clock.Now(), map[string]bool{}
	for _, n := range all.GetNotifications() {
		t.before[n.GetId()] = true
	}
	return nil
}

func (t *tour) again(r *web.Request) (web.Response, error) {
	return web.SeeOther("/"), t.begin(r.Context())
}

// show shows the steps, each as it is done by now.
func (t *tour) show(r *web.Request) (web.Response, error) {
	done, n, err := t.done(r.Context())
	if err != nil {
		return nil, err
	}
	var all []step
	now := slices.Index(done, false)
	for i, s := range steps {
		all = append(all, step{Number: i + 1, Title: s.title, Text: s.text, Link: s.link, Site: t.site(s.party), Who: s.who, Done: done[i], Now: i == now, Reference: n.GetReference()})
	}
	return web.View{Template: "tour", Data: struct {
		Steps  []step
		At, Of int
		Over   bool
	}{all, now + 1, len(all), now < 0}}, nil
}

// done says of each step whether it is done, and of which notification: the newest that came to the desk after the tour
// began, and goes to the team whose site the tour has.
func (t *tour) done(ctx context.Context) ([]bool, *localv1.Notification, error) {
	t.mu.Lock()
	began, before := t.began, t.before
	t.mu.Unlock()
	done := make([]bool, len(steps))
	all, err := t.desk(hmpBristol).ListNotifications(ctx, &localv1.ListNotificationsRequest{})
	if err != nil {
		return nil, nil, err
	}
	var newest *localv1.Notification
	for _, n := range all.GetNotifications() {
		if !before[n.GetId()] && n.GetAuthority() == bristol && (newest == nil || n.GetCreateTime().AsTime().After(newest.GetCreateTime().AsTime())) {
			newest = n
		}
	}
	saw := func(party, page, about string) bool {
		if err != nil {
			return false
		}
		var seen []accesslog.Event
		seen, _, err = accesslog.Search([]string{t.file(party, "access")}, accesslog.Question{Subject: about, Since: began}, 0, 10_000)
		return slices.ContainsFunc(seen, func(e accesslog.Event) bool {
			return (page == "" || e.Page == page) && e.What == "PAGE_VIEW" && e.Status == http.StatusOK
		})
	}
	done[0] = saw(deskParty(hmpBristol), "fill.check", "")
	if newest == nil || err != nil {
		return done, nil, err
	}
	reference := newest.GetReference()
	done[0], done[1] = true, released(newest.GetState())
	done[2] = saw(inboxParty(bristol), "inbox.notification", reference)
	if item, found := t.inbox(bristol).GetItem(ctx, &localv1.GetItemRequest{Id: newest.GetId()}); found == nil {
		done[3] = item.GetItem().GetWork().GetReply() != nil
	} else if fault.KindOf(found) != fault.NotFound {
		return nil, nil, found
	}
	done[4] = saw("auditor", "audit.event_page", reference)
	done[5] = newest.GetState() == localv1.State_STATE_STOP_ASKED || newest.GetState() == localv1.State_STATE_WITHDRAWN
	return done, newest, err
}
