package site_test

import (
	"regexp"
	"testing"

	"postern/internal/envelope"
	"postern/internal/words"
)

// An example of a reference or a slip code is one: somebody will hold theirs against it.
func TestExamplesAreWhatTheyAreExamplesOf(t *testing.T) {
	found := 0
	for _, l := range []words.Language{words.English, words.Welsh} {
		for _, id := range l.IDs() {
			text := l.Text(id, nil)
			for _, code := range regexp.MustCompile(`\b[0-9A-Z]{5}-[0-9A-Z]{5}\b`).FindAllString(text, -1) {
				found++
				if got, err := envelope.ParseSlipCode(code); err != nil || got != code {
					t.Errorf("%s shows %q, which is no slip code", id, code)
				}
			}
			for _, ref := range regexp.MustCompile(`\bPN-[0-9A-Z]{4}-[0-9A-Z]{4}\b`).FindAllString(text, -1) {
				found++
				if got, err := envelope.ParseReference(ref); err != nil || got != ref {
					t.Errorf("%s shows %q, which is no reference", id, ref)
				}
			}
		}
	}
	if found < 4 {
		t.Errorf("only %d examples were found", found)
	}
}
