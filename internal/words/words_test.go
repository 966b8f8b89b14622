package words_test

import (
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"postern/internal/words"
)

var languages = []words.Language{words.English, words.Welsh}

// ownWords are the beginnings of ids whose English stands elsewhere: the reasons of the policy, beside each rule.
const ownWords = "rule."

func TestTheTwoLanguagesSayTheSameThings(t *testing.T) {
	english, welsh := words.English.IDs(), words.Welsh.IDs()
	welsh = slices.DeleteFunc(welsh, func(id string) bool { return strings.HasPrefix(id, ownWords) })
	if len(english) < 100 || !slices.Equal(english, welsh) {
		for _, id := range english {
			if !words.Welsh.Has(id) {
				t.Errorf("%s has no Welsh", id)
			}
		}
		for _, id := range welsh {
			if !words.English.Has(id) {
				t.Errorf("%s has no English", id)
			}
		}
	}
	for _, id := range english {
		if e, w := words.English.Names(id), words.Welsh.Names(id); !slices.Equal(e, w) {
			t.Errorf("%s fills in %q in English and %q in Welsh", id, e, w)
		}
		e, w := words.English.Text(id, nil), words.Welsh.Text(id, nil)
		if strings.Count(e, "\n") != strings.Count(w, "\n") {
			t.Errorf("%s has another number of lines in Welsh", id)
		}
		if e == w && letters.MatchString(placeholder.ReplaceAllString(e, "")) {
			t.Errorf("%s is not translated", id)
		}
	}
}

var (
	placeholder = regexp.MustCompile(`\{[a-z]+\}`)
	letters     = regexp.MustCompile(`\p{L}`)
)

func TestFaultsHaveAReasonAndAFix(t *testing.T) {
	for _, l := range languages {
		for _, id := range l.IDs() {
			text := l.Text(id, nil)
			for line := range strings.Lines(text) {
				if line = strings.TrimSuffix(line, "\n"); line != strings.TrimSpace(line) || strings.Contains(line, "  ") || line == "" {
					t.Errorf("%s in %s has loose spaces: %q", id, l, line)
				}
			}
			if reason, fix := l.Fault(id, nil); fix != "" && strings.HasPrefix(id, "form.") && (!strings.HasSuffix(reason, ".") || !strings.HasSuffix(fix, ".")) {
				t.Errorf("%s in %s is not two sentences: %q", id, l, text)
			}
		}
	}
}

// families are ids that code puts together: each value of an enum or each rule has one. Tests beside that code check
// that every value has its words.
var families = regexp.MustCompile(`^(rule|outcome|obligation|section|state|month|kind|field|value|tongue|weekday|fault)\.|^slip\.section_|^fill\.condition_|^inbox\.age_|^evidence\.(title|asks)_`)

func TestEveryIDInTheCodeHasWordsAndEveryWordIsUsed(t *testing.T) {
	kinds := map[string]bool{}
	for _, id := range words.English.IDs() {
		kind, _, _ := strings.Cut(id, ".")
		kinds[kind] = true
	}
	used := map[string]bool{}
	literal := regexp.MustCompile(`"([a-z]+)(\.[a-z0-9_]+)+"`)
	err := fs.WalkDir(os.DirFS("../.."), ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "node_modules" {
			return fs.SkipDir
		}
		page := strings.HasSuffix(path, ".html") && !strings.Contains(path, "testdata")
		if err != nil || d.IsDir() || !page && !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, ".pb.go") {
			return err
		}
		data, err := os.ReadFile("../../" + path)
		for _, m := range literal.FindAllStringSubmatch(string(data), -1) {
			id := strings.Trim(m[0], `"`)
			if !kinds[m[1]] || strings.HasSuffix(id, ".go") || strings.HasSuffix(id, "_") || strings.HasSuffix(id, ".proto") || strings.HasSuffix(id, ".json") {
				continue
			}
			used[id] = true
			for _, l := range languages {
				if !l.Has(id) {
					t.Errorf("%s uses %s, which has no words in %s", path, id, l)
				}
			}
		}
		return err
	})
	if err != nil || len(used) < 100 {
		t.Fatalf("%d ids are used, %v", len(used), err)
	}
	for _, id := range words.English.IDs() {
		if !used[id] && !families.MatchString(id) {
			t.Errorf("nothing uses %s", id)
		}
	}
}

// A later file would quietly win over an earlier one.
func TestNoIDIsTwice(t *testing.T) {
	for _, l := range languages {
		first := map[string]string{}
		names, err := fs.Glob(os.DirFS("."), "*"+string(l)+".txt")
		if err != nil || len(names) < 2 {
			t.Fatal(names, err)
		}
		for _, name := range names {
			data, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(data)) {
				id := strings.TrimSpace(line)
				if id == "" || strings.HasPrefix(line, "#") || strings.HasPrefix(line, " ") {
					continue
				}
				if first[id] != "" {
					t.Errorf("%s is in %s and in %s", id, first[id], name)
				}
				first[id] = name
			}
		}
	}
}

func TestFillingIn(t *testing.T) {
	got := words.English.Text("form.authority_differs", words.Args{"table": "{chosen}", "chosen": "{table} of Bristol"})
	if want := "The postcode belongs to {chosen} and the form says {table} of Bristol."; !strings.HasPrefix(got, want) {
		t.Errorf("what is filled in is read again: %q", got)
	}
	if got := words.Welsh.Text("form.nothing_of_the_kind", nil); got != "[form.nothing_of_the_kind]" {
		t.Errorf("a missing text shows as %q", got)
	}
	if a, b := words.Language("").Text("form.unread", nil), words.English.Text("form.unread", nil); a != b || a == "" {
		t.Errorf("no language says %q, English %q", a, b)
	}
}

func TestLanguagesByTheirTags(t *testing.T) {
	for tag, want := range map[string]words.Language{"cy": words.Welsh, "cy-GB": words.Welsh, "cy_GB.UTF-8": words.Welsh, "CY": words.Welsh,
		"en": words.English, "en_GB.UTF-8": words.English} {
		if got, ok := words.Parse(tag); got != want || !ok {
			t.Errorf("%s is %s, %v", tag, got, ok)
		}
	}
	for _, tag := range []string{"", "C.UTF-8", "fr_FR", "cym", "welsh"} {
		if got, ok := words.Parse(tag); ok || got != words.English {
			t.Errorf("%q is %s", tag, got)
		}
	}
}
