package slip_test

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
	"pgregory.net/rapid"

	"postern/internal/form/formtest"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/slip"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

var update = flag.Bool("update", false, "write the golden slips anew")

// given is the slip of a mother of two who agreed to the minimum.
func given() slip.Slip {
	return slip.Slip{
		Stage: slip.Sent, Route: posternv1.Route_ROUTE_STANDARD, Prison: "HMP Bristol", Team: "First Response, Bristol",
		Reference: "PN-7K3F-9Q2M", Code: "larch-42-otter",
		About: []slip.About{{Paths: []string{"parent/name"}},
			{Child: 1, Name: "Tegwen Ŵyn", Paths: []string{"child/1/identity", "child/1/home", "child/1/carer", "child/1/safety"}}},
		Without:  []slip.About{{Child: 2}},
		Until:    time.Date(2027, 2, 20, 18, 20, 0, 0, time.UTC),
		Champion: &posternv1.Champion{Role: "Champion for families", Phone: "01632 960101"},
		Services: []*posternv1.Service{{Name: "Families helpline", Offers: "Advice for families of people in prison", Phone: "0808 157 0001", Web: "https://helpline.example"}},
	}
}

// slips are every kind of slip.
func slips() map[string]slip.Slip {
	all := map[string]slip.Slip{"sent": given()}
	change := func(name string, edit func(*slip.Slip)) {
		s := given()
		edit(&s)
		all[name] = s
	}
	change("waiting", func(s *slip.Slip) { s.Stage = slip.Waiting })
	change("not_sent", func(s *slip.Slip) { s.Stage, s.Until = slip.NotSent, time.Time{} })
	change("nothing", func(s *slip.Slip) { s.Stage = slip.Nothing })
	change("withdrawn", func(s *slip.Slip) { s.Stage, s.Code = slip.Withdrawn, "" })
	change("stop_asked", func(s *slip.Slip) { s.Stage, s.Until = slip.StopAsked, time.Time{} })
	change("not_delivered", func(s *slip.Slip) { s.Stage = slip.NotDelivered })
	change("urgent", func(s *slip.Slip) { s.Route, s.Code, s.Until = posternv1.Route_ROUTE_URGENT, "", time.Time{} })
	change("duty", func(s *slip.Slip) { s.Route, s.Code, s.Until = posternv1.Route_ROUTE_DUTY, "", time.Time{} })
	for outcome, name := range map[posternv1.EnquiryOutcome]string{1: "children", 2: "no_children", 3: "declined", 4: "not_asked"} {
		change(name, func(s *slip.Slip) {
			*s = slip.Slip{Prison: s.Prison, Reference: s.Reference, Champion: s.Champion, Enquiry: &posternv1.Enquiry{Outcome: outcome}}
			if name == "not_asked" {
				s.AskAgain = "2026-11-24"
			}
		})
	}
	wales := all["declined"]
	wales.Wales, wales.Prison = true, "CEF Parc"
	all["declined_in_wales"] = wales
	return all
}

func TestSlipsReadAsTheyShould(t *testing.T) {
	for name, s := range slips() {
		for _, lang := range []words.Language{words.English, words.Welsh} {
			page, err := s.HTML(lang)
			if err != nil {
				t.Fatal(err)
			}
			for ext, got := range map[string][]byte{"txt": s.Text(lang), "html": page} {
				file := filepath.Join("testdata", name+"."+string(lang)+"."+ext)
				if *update {
					if err := os.WriteFile(file, got, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				want, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s reads\n%s\nwant\n%s", file, got, want)
				}
			}
		}
	}
}

// The words of FIELDS for whoever says no are a promise; they may not drift.
func TestTheWordsForWhoeverSaysNo(t *testing.T) {
	text := string(slips()["declined"].Text(words.English))
	for _, sentence := range []string{"You said no. It will not affect how you are treated.", "This form is not sent.",
		"The prison must still think about whether a child needs help.", "we will tell you first unless that could put someone at risk"} {
		if !strings.Contains(text, sentence) {
			t.Errorf("the slip of whoever says no lacks %q", sentence)
		}
	}
	if text := string(slips()["declined_in_wales"].Text(words.English)); !strings.Contains(text, "may still think") || strings.Contains(text, "must still think") {
		t.Error("in Wales the prison may think of it, and need not")
	}
}

// Both forms say the same, whatever the names are; no name acts on a screen or becomes a part of the page, and the title
// holds none.
func TestHostileNamesStayNames(t *testing.T) {
	hostile := rapid.OneOf(formtest.Text(), rapid.SampledFrom([]string{
		"<script>alert(1)</script>", "</title><img src=x onerror=y>", "\"' onload=\"x", "&lt;b&gt;", "{{.Code}}", "\u202eevil\u202c", "a\u200bb", "\x1b[31mred", "{reference}"}))
	rapid.Check(t, func(t *rapid.T) {
		s := given()
		s.About[1].Name = hostile.Draw(t, "name")
		s.Team, s.Services[0].Name = hostile.Draw(t, "team"), hostile.Draw(t, "service")
		for _, lang := range []words.Language{words.English, words.Welsh} {
			text := string(s.Text(lang))
			for _, r := range text {
				if r != '\n' && plain.Hidden(r) {
					t.Fatalf("the text has %U", r)
				}
			}
			if !strings.Contains(text, plain.Visible(s.About[1].Name)) {
				t.Fatal("the text lost the name")
			}
			page, err := s.HTML(lang)
			if err != nil {
				t.Fatal(err)
			}
			title, shown, tags := read(t, page)
			if title != lang.Text("slip.title", nil) {
				t.Fatalf("the title is %q", title)
			}
			if !strings.Contains(shown, strings.ReplaceAll(s.About[1].Name, "\r", "\n")) {
				t.Fatalf("the page shows\n%q\nwithout the name %q", shown, s.About[1].Name)
			}
			for _, tag := range tags {
				if !strings.Contains(" html head meta title style body h1 h2 p ul li ", " "+tag+" ") {
					t.Fatalf("a name became <%s>", tag)
				}
			}
		}
	})
}

// read parses a page: its title, the text of its body and its tags.
func read(t interface{ Fatal(...any) }, page []byte) (title, text string, tags []string) {
	root, err := html.Parse(bytes.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for n := range root.Descendants() {
		switch {
		case n.Type == html.ElementNode:
			tags = append(tags, n.Data)
		case n.Type == html.TextNode && n.Parent.Data == "title":
			title = n.Data
		case n.Type == html.TextNode && n.Parent.Data != "style":
			text += n.Data
		}
	}
	return title, text, tags
}

func TestEverySectionHasItsWords(t *testing.T) {
	for _, s := range section.All() {
		for _, lang := range []words.Language{words.English, words.Welsh} {
			if !lang.Has("slip.section_" + s.Name) {
				t.Errorf("the section %s has no words for a slip in %s", s.Pattern, lang)
			}
		}
	}
}
