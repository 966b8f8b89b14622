//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	inboxsite "postern/internal/inbox/site"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
)

// sheets are what the sheets of a page say, as a printer would make them.
func (v *visit) sheets() []string {
	v.t.Helper()
	var paper []byte
	v.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		paper, _, err = page.PrintToPDF().WithPreferCSSPageSize(true).Do(ctx)
		return err
	}))
	file := filepath.Join(v.t.TempDir(), "paper.pdf")
	if err := os.WriteFile(file, paper, 0o600); err != nil {
		v.t.Fatal(err)
	}
	text, err := exec.CommandContext(v.t.Context(), "pdftotext", "-layout", file, "-").Output()
	if err != nil {
		v.t.Fatalf("%v; scripts/check.sh install installs pdftotext", err)
	}
	return strings.Split(strings.TrimSuffix(string(text), "\f"), "\f")
}

// A notification of one child, with every part filled in, is one sheet of paper, and so is what a parent allowed for
// getting in touch. One of three children breaks between parts, and each sheet says what it is about and which one it is.
func TestANotificationOnPaper(t *testing.T) {
	x := testkit.NewExchange(t)
	desk := x.Desk(testkit.HMPBristol)
	usual, part := desk.Take(formtest.New(testkit.Bristol))[0], desk.Take(x.Example("shared_in_part"))[0]
	full := desk.Take(formtest.New(testkit.Bristol, testkit.Bristol, testkit.Bristol))[0]
	x.Settle()
	handler, err := inboxsite.New(x.Inbox(testkit.Bristol).Inbox, signintest.Shell(x.Clock.Now, x.Log.Logger(), inboxsite.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	s := party(t, "inbox-paper", handler, nil, nil)
	v := start(t).at(t, s)
	s.signIn(v, "ALL")
	for id, most := range map[string]int{usual: 1, part: 1, full: 3} {
		for _, lang := range []string{"en", "cy"} {
			reference := envelope.Reference(id)
			v.open("/notifications/" + reference + "?lang=" + lang)
			sheets := v.sheets()
			v.picture(fmt.Sprintf("%s-%d-%s", lang, len(sheets), reference))
			if len(sheets) > most {
				t.Errorf("%s, in %s, is %d sheets and not %d: the last says %s", reference, lang, len(sheets), most, sheets[len(sheets)-1])
			}
			for n, sheet := range sheets {
				number := regexp.MustCompile(fmt.Sprintf(`\b%d ?/ ?%d\b`, n+1, len(sheets)))
				if !strings.Contains(sheet, reference) || !number.MatchString(sheet) {
					t.Errorf("sheet %d of %d does not say that it is so of %s:\n%s", n+1, len(sheets), reference, sheet)
				}
				// A part that begins on a sheet ends there: its last line is not the heading.
				lines := strings.Split(strings.TrimSpace(sheet), "\n")
				if last := lines[max(0, len(lines)-2)]; regexp.MustCompile(`(As said|Fel y dywedwyd)\s*$`).MatchString(last) {
					t.Errorf("sheet %d ends with the heading %q", n+1, last)
				}
			}
		}
	}

	// What is copied into a case system has the reference and what was not shared, and none of what can be done on the page.
	v.open("/notifications/" + envelope.Reference(part) + "?lang=en")
	copied := eval[string](v, `new Promise((done) => {
		navigator.clipboard.writeText = (text) => { done(text); return Promise.resolve(); };
		document.querySelector('[data-app-copy]').click();
	})`)
	for _, want := range []string{envelope.Reference(part), "Not a risk assessment", "Before you make contact", "Who may agree to help", "As said", "Not shared", "child 1: phone"} {
		if !strings.Contains(copied, want) {
			t.Errorf("what is copied does not say %q: %s", want, copied)
		}
	}
	for _, not := range []string{"Acknowledge and answer", "Download", "Copy the text"} {
		if strings.Contains(copied, not) {
			t.Errorf("what is copied says %q", not)
		}
	}
	v.must("the browser", v.troubles())
}
