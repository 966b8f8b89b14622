package notices_test

import (
	"log/slog"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"postern/internal/notices"
	"postern/internal/signin"
	"postern/internal/signin/signintest"
	"postern/internal/web"
	"postern/internal/web/webtest"
)

// at is somebody who is not signed in, at a site that has these pages.
func at(t *testing.T, s notices.Site, change func(*web.Config)) *webtest.Browser {
	t.Helper()
	shell := signintest.Shell(time.Now, slog.New(slog.DiscardHandler), []string{"COOK"})
	shell.Service = "desk.service"
	change(&shell)
	notices.Add(&shell, s)
	shell.Pages = append(shell.Pages, web.Page{Path: "/", Name: "desk.home", Get: func(*web.Request) (web.Response, error) {
		return web.Message{Text: "web.extended_text"}.View("", 0), nil
	}})
	site, err := web.New(shell)
	if err != nil {
		t.Fatal(err)
	}
	return webtest.Open(t, site)
}

var sites = map[string]notices.Site{"desk": notices.Desk, "inbox": notices.Inbox, "audit": notices.Audit}

func nothing(*web.Config) {}

// unfilled is an id that has no words, or a name that was not filled in.
var unfilled = regexp.MustCompile(`\[[a-z]+\.[a-z_]+\]|\{[a-z]{2,}\}`)

// Every page opens for whoever is not signed in, in both languages, and the foot of every page leads to all of them: at
// the latest from one to the next.
func TestEverybodyReachesEveryPage(t *testing.T) {
	for name, s := range sites {
		for _, language := range []string{"en", "cy"} {
			b := at(t, s, nothing)
			b.Get("/help?lang=" + language)
			seen, next := map[string]bool{}, []string{signin.Path}
			for len(next) > 0 {
				path := next[0]
				next = next[1:]
				if seen[path] {
					continue
				}
				seen[path] = true
				page := b.Get(path)
				if page.Status != http.StatusOK || page.Heading() == "" || page.Header.Get("Content-Language") != language || unfilled.MatchString(page.Main()) {
					t.Errorf("%s %s %s answers %d: %s", name, language, path, page.Status, unfilled.FindString(page.Main()))
				}
				for _, a := range page.Elements(webtest.Element("a")) {
					if href := webtest.Attribute(a, "href"); strings.HasPrefix(href, "/") && href != "/" && !strings.Contains(href, "?") {
						next = append(next, href)
					}
				}
			}
			if len(seen) != 8 { // signing in, and seven pages
				t.Errorf("%s %s: reached %v", name, language, seen)
			}
		}
	}
}

func TestTheNoticeNamesWhoAnswers(t *testing.T) {
	named := func(c *web.Config) {
		c.Telephone = "01632 960100"
		c.Controller = web.Controller{Name: "HMP <Example>", Contact: "privacy@prison.example", Kept: "Six years.", Journals: 24}
	}
	for name, s := range sites {
		said := at(t, s, named).Get("/privacy").Main()
		for _, want := range []string{"HMP <Example> is the controller", "privacy@prison.example", "Six years.", "24 months"} {
			if !strings.Contains(said, want) {
				t.Errorf("%s does not say %q", name, want)
			}
		}
		unsaid := at(t, s, nothing).Get("/privacy").Main()
		kept := "deletes nothing of it here by itself"
		if s == notices.Desk {
			kept = "this program deletes what was told of a family by itself"
		}
		for _, want := range []string{"It has not been set here who the controller is", kept} {
			if !strings.Contains(unsaid, want) {
				t.Errorf("%s, where nothing is set, does not say %q", name, want)
			}
		}
		if strings.Contains(unsaid, "months") || strings.Contains(unsaid, "Ask:") {
			t.Errorf("%s says what it does not know", name)
		}
	}
}

// The three sites say different things where they are different, and the person's leaflet has the words that the law and
// the policy lean on.
func TestEachSiteSaysWhatIsItsOwn(t *testing.T) {
	helps := map[string]string{}
	for name, s := range sites {
		b := at(t, s, func(c *web.Config) { c.Telephone = "01632 960100" })
		help := b.Get("/help").Main()
		if other := helps[help]; other != "" {
			t.Errorf("%s and %s have the same help", name, other)
		}
		helps[help] = name
		if !strings.Contains(help, "01632 960100") {
			t.Errorf("the help of %s names no telephone", name)
		}
		leaflet := b.Get("/leaflet").Main()
		for _, want := range []string{"It will not affect how you are treated.", "If you say no, this form is not sent.", "in Wales it may",
			"we will tell you first unless that could put someone at risk", "in any prison, at any time"} {
			if !strings.Contains(leaflet, want) {
				t.Errorf("the leaflet at %s does not say %q", name, want)
			}
		}
	}
	if !strings.Contains(at(t, notices.Desk, nothing).Get("/help").Main(), "999") {
		t.Error("reception is not told what to do in danger")
	}
}

// Each picture stands beside its words and is silent for a screen reader.
func TestEasyReadHasAPictureForEverything(t *testing.T) {
	for _, path := range []string{"/leaflet/easy-read", "/leaflet/family/easy-read"} {
		page := at(t, notices.Desk, nothing).Get(path)
		drawn := page.Elements(webtest.Element("svg"))
		if len(drawn) < 8 || len(drawn) != strings.Count(page.Body, `class="app-pictured"`) {
			t.Errorf("%s has %d pictures", path, len(drawn))
		}
		for _, p := range drawn {
			if webtest.Attribute(p, "aria-hidden") != "true" {
				t.Errorf("a picture of %s is read out", path)
			}
		}
	}
}
