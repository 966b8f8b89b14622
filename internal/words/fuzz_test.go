package words_test

import (
	"testing"

	"postern/internal/words"
)

// FuzzParse: any tag is one of the languages there are, or none.
func FuzzParse(f *testing.F) {
	f.Add("en")
	f.Add("cy")
	f.Add("CY-gb")
	f.Add("")
	f.Fuzz(func(t *testing.T, tag string) {
		lang, ok := words.Parse(tag)
		if again, known := words.Parse(string(lang)); ok && (!known || again != lang) {
			t.Fatalf("%q is read as %v, and that as %v", tag, lang, again)
		}
	})
}
