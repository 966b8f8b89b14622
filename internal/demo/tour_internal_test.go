package demo

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"postern/examples/forms"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// visitor is somebody's browser at one site.
type visitor struct {
	t    *testing.T
	site string
	*http.Client
}

// comes opens a browser at a site, signed in as a persona; nobody in particular when empty.
func comes(t *testing.T, site, who string) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	v := visitor{t, strings.TrimSuffix(site, "/"), &http.Client{Jar: jar}}
	if who != "" {
		v.post("/sign-in", url.Values{"who": {who}})
	}
	return v
}

func (v visitor) read(answer *http.Response, err error) string {
	v.t.Helper()
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		v.t.Fatalf("%s answers %d, %v", answer.Request.URL.Path, answer.StatusCode, err)
	}
	return string(body)
}

func (v visitor) get(path string) string {
	v.t.Helper()
	return v.read(v.Get(v.site + path))
}

func (v visitor) post(path string, form url.Values) string {
	v.t.Helper()
	r, err := http.NewRequest(http.MethodPost, v.site+path, strings.NewReader(form.Encode()))
	if err != nil {
		v.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Origin", v.site)
	return v.read(v.Do(r))
}

var tagged = regexp.MustCompile(`govuk-tag--(green|blue|grey)`)

// The tour believes what is to be seen at the parties, and nothing else: each step is done when it was done, and not before.
func TestTheTourSeesWhatWasDone(t *testing.T) {
	f, err := prepare(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := f.listenForTour(); err != nil {
		t.Fatal(err)
	}
	s, err := open(t.Context(), f, slog.New(slog.DiscardHandler), &clock{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.close(); err != nil {
			t.Error(err)
		}
	}()
	submit := func(name string) *localv1.Notification {
		data, err := forms.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := s.desk(hmpBristol).SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: data})
		if err != nil {
			t.Fatal(err)
		}
		return out.GetNotifications()[0]
	}
	submit("shared_in_full.json") // before the tour: no part of it
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.guide(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	v := comes(t, s.tourAddress(), "")
	at := func(done int) {
		t.Helper()
		body := v.get("/")
		var want []string
		for i := range steps {
			want = append(want, map[bool]string{true: "green", false: "grey"}[i < done])
		}
		if done < len(steps) {
			want[done] = "blue"
		}
		var got []string
		for _, m := range tagged.FindAllStringSubmatch(body, -1) {
			got = append(got, m[1])
		}
		if strings.Join(got, " ") != strings.Join(want, " ") {
			t.Fatalf("the steps are %v, want %v", got, want)
		}
	}
	at(0)
	for i, who := range []string{"DEMO11", "DEMO21", "DEMO31"} {
		if page := comes(t, s.addresses()[i], who).get("/"); !strings.Contains(page, `href="`+s.tourAddress()+`"`) {
			t.Errorf("%s does not lead to the tour", s.addresses()[i])
		}
	}
	n := submit("shared_in_part.json")
	at(2)
	team := comes(t, s.site(inboxParty(bristol)), "DEMO21")
	for !strings.Contains(team.get("/"), n.GetReference()) { // it is on its way
	}
	at(2) // a list is not the notification
	team.get("/notifications/" + n.GetReference())
	at(3)
	if _, err := localv1.NewTeamworkServiceClient(s.parties[inboxParty(bristol)].conn).ReplyItem(t.Context(), &localv1.ReplyItemRequest{Item: &localv1.Seen{Id: n.GetId()},
		Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT}}); err != nil {
		t.Fatal(err)
	}
	at(4)
	comes(t, s.site("auditor"), "DEMO31").get("/events/" + n.GetId())
	at(5)
	if _, err := s.desk(hmpBristol).WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: n.GetId(), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}); err != nil {
		t.Fatal(err)
	}
	at(6)
	v.post("/again", nil)
	at(0)
}
