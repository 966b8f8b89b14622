package site

import (
	"fmt"
	"strings"
	"testing"

	"postern/internal/web"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
)

// The whole country is a long list: the prison's own councils come first, every council is there once, and each letter that
// is offered leads to a row. A short list is one.
func TestTheUsualNumbersComeFirst(t *testing.T) {
	var numbers []*localv1.TonightNumber
	for i := range 175 {
		numbers = append(numbers, &localv1.TonightNumber{Authority: fmt.Sprintf("E%08d", i), Name: fmt.Sprintf("%c council %03d", 'A'+i%26, i), Phone: fmt.Sprintf("01632 960%03d", i)})
	}
	usual := []string{"E00000174", "E00000030"}
	for _, l := range []words.Language{words.English, words.Welsh} {
		r := &web.Request{Language: l}
		book := string(phoneBook(r, usual, numbers))
		if n := strings.Count(book, "council "); n != len(numbers) {
			t.Errorf("%s: %d councils are listed", l, n)
		}
		first, rest, found := strings.Cut(book, "<nav")
		if !found || !strings.Contains(first, "council 174") || !strings.Contains(first, "council 030") || strings.Count(first, "council ") != 2 {
			t.Errorf("%s: first come %s", l, first)
		}
		if !strings.Contains(first, l.Text("case.phones_usual", nil)) || !strings.Contains(rest, l.Text("case.phones_rest", nil)) {
			t.Errorf("%s: it does not say which councils are which", l)
		}
		for c := 'A'; c <= 'Z'; c++ {
			if strings.Count(rest, fmt.Sprintf(`href="#letter-%c"`, c)) != 1 || strings.Count(rest, fmt.Sprintf(`id="letter-%c"`, c)) != 1 {
				t.Errorf("%s: %c leads to no row, or to several", l, c)
			}
		}
		if short := string(phoneBook(r, usual, numbers[:atAGlance])); strings.Contains(short, "<nav") || strings.Count(short, "<table") != 1 {
			t.Errorf("%s: a short list is cut up", l)
		}
		if none := string(phoneBook(r, nil, numbers)); strings.Count(none, "<table") != 1 || !strings.Contains(none, l.Text("case.phones_all", nil)) {
			t.Errorf("%s: without an agreement there are two lists", l)
		}
	}
}
