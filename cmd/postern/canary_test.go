package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/rogpeppe/go-internal/testscript"
)

// canary FORMS PLACE... finds nothing personal of any form of a folder in files, folders and the names of files, however
// it is spelt. `! canary` must find something, and `canary -every FORMS PLACE...` every single value: without these two
// a search that finds nothing would prove nothing.
func canary(ts *testscript.TestScript, neg bool, args []string) {
	every, sealed := len(args) > 0 && args[0] == "-every", len(args) > 0 && args[0] == "-sealed"
	if every || sealed {
		args = args[1:]
	}
	if len(args) < 2 {
		ts.Fatalf("usage: [!] canary [-every|-sealed] FORMS PLACE...")
	}
	paths, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "*.json"))
	ts.Check(err)
	var values []value
	for _, path := range paths {
		found, err := personal([]byte(ts.ReadFile(path)))
		ts.Check(err)
		values = append(values, found...)
		if sealed {
			found, err := opened([]byte(ts.ReadFile(path)))
			ts.Check(err)
			values = append(values, found...)
		}
	}
	var places []place
	for _, root := range args[1:] {
		read, err := readPlaces(ts.MkAbs(root))
		ts.Check(err)
		places = append(places, read...)
	}
	if len(values) == 0 || len(places) == 0 {
		ts.Fatalf("%d values to look for in %d places", len(values), len(places))
	}
	hits, seen := 0, search(values, places)
	for i, v := range values {
		where, found := seen[i]
		switch {
		case found && !every && !neg:
			ts.Fatalf("%s (%q) is in %s", v.field, v.text, where)
		case !found && every:
			ts.Fatalf("%s (%q) is nowhere", v.field, v.text)
		case found:
			hits++
		}
	}
	if neg && hits == 0 {
		ts.Fatalf("nothing was found")
	}
	ts.Logf("%d values looked for in %d places, %d found", len(values), len(places), hits)
}

// value is something personal that a form says.
type value struct {
	field     string
	text      string
	spellings [][]byte
}

// place is something that may hold a value: a file's bytes or its path.
type place struct {
	name         string
	bytes, lower []byte
}

func newPlace(name string, b []byte) place { return place{name, b, lowerASCII(b)} }

// readPlaces reads a file, or every file below a folder.
func readPlaces(root string) ([]place, error) {
	var places []place
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		places = append(places, newPlace("the name of "+path, []byte(strings.TrimPrefix(path, root))))
		if !e.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		places = append(places, newPlace(path, b))
		return err
	})
	return places, err
}

func (v value) in(places []place) (string, bool) {
	where, found := search([]value{v}, places)[0]
	return where, found
}

// search returns where each value was found first, by its place in the list.
func search(values []value, places []place) map[int]string {
	var exact, lower [][]byte
	var exactOf, lowerOf []int
	for n, v := range values {
		for i, s := range v.spellings {
			exact, exactOf = append(exact, s), append(exactOf, n)
			if i == 0 && len(s) > shortest+1 {
				lower, lowerOf = append(lower, lowerASCII(s)), append(lowerOf, n)
			}
		}
	}
	seen := map[int]string{}
	anyCase, as := newFinder(lower), newFinder(exact)
	for _, p := range places {
		for i := range as.in(p.bytes) {
			if seen[exactOf[i]] == "" {
				seen[exactOf[i]] = p.name
			}
		}
		for i := range anyCase.in(p.lower) {
			if seen[lowerOf[i]] == "" {
				seen[lowerOf[i]] = p.name
			}
		}
	}
	return seen
}

// lowerASCII leaves every other byte as it is: what is searched is no text.
func lowerASCII(b []byte) []byte {
	lower := bytes.Clone(b)
	for i, c := range lower {
		if 'A' <= c && c <= 'Z' {
			lower[i] = c + 'a' - 'A'
		}
	}
	return lower
}

// shortest is the fewest bytes of a value that is looked for: fewer stand in random bytes by chance.
const shortest = 4

// code matches what is no text of a person: the names of enums.
var code = regexp.MustCompile(`^[A-Z]+(_[A-Z0-9]+)+$`)

// personal lists what a form says of people: everything under parent and children that is not a code, and the prison
// number. A new field is personal unless it is left out here, not the other way round.
func personal(form []byte) ([]value, error) {
	var top map[string]any
	if err := json.Unmarshal(form, &top); err != nil {
		return nil, err
	}
	var values []value
	for _, key := range []string{"prison_number", "parent", "children"} {
		gather(key, top[key], &values)
	}
	return values, nil
}

func gather(field string, v any, values *[]value) {
	key := field[strings.LastIndexByte(field, '.')+1:]
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			gather(field+"."+k, inner, values)
		}
	case []any:
		for i, inner := range v {
			gather(field+"["+strconv.Itoa(i)+"]", inner, values)
		}
	case string:
		if key == "authority" || key == "as_of_date" || code.MatchString(v) || len(v) < shortest {
			return
		}
		*values = append(*values, value{field, v, spellings(v)})
		if key == "name" || strings.HasSuffix(key, "_name") && key != "setting_name" && key != "team_name" {
			for _, word := range strings.FieldsFunc(v, func(r rune) bool { return strings.ContainsRune(" -'", r) }) {
				if len(word) > shortest {
					*values = append(*values, value{field, word, [][]byte{[]byte(word)}})
				}
			}
		}
	}
}

// spellings are the ways in which bytes may hold a value; the first is the value itself.
func spellings(v string) [][]byte {
	ascii := strconv.QuoteToASCII(v)
	all := []string{v, ascii[1 : len(ascii)-1], url.QueryEscape(v), url.PathEscape(v), hex.EncodeToString([]byte(v))}
	if closed := strings.ReplaceAll(v, " ", ""); len(closed) > shortest+1 {
		all = append(all, closed)
		if number, ok := strings.CutPrefix(closed, "0"); ok {
			all = append(all, "+44"+number, "44"+number)
		}
	}
	if date, err := time.Parse(time.DateOnly, v); err == nil {
		for _, layout := range []string{"20060102", "02/01/2006", "2/1/2006", "2 January 2006", "02 January 2006", "January 2, 2006", "2 Jan 2006"} {
			all = append(all, date.Format(layout))
		}
	}
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		var wide []byte
		for _, unit := range utf16.Encode([]rune(v)) {
			wide = order.AppendUint16(wide, unit)
		}
		all = append(all, string(wide))
	}
	all = append(all, strings.ToUpper(hex.EncodeToString([]byte(v))))
	digest := sha256.Sum256([]byte(v)) // without a key anybody who guesses the value can check it
	all = append(all, string(digest[:]), hex.EncodeToString(digest[:]), base64.StdEncoding.EncodeToString(digest[:])[:40])
	if len(v) > shortest+1 {
		for shift := range 3 {
			all = append(all, inBase64(base64.RawStdEncoding, v, shift), inBase64(base64.RawURLEncoding, v, shift))
		}
	}
	slices.Sort(all[1:])
	out := [][]byte{}
	for _, s := range slices.Compact(all) {
		out = append(out, []byte(s))
	}
	return out
}

// inBase64 is what base64 shows of a value that stands at a byte that leaves shift over when divided by 3: the
// characters at both ends that hold bits of its neighbours are left out.
func inBase64(e *base64.Encoding, v string, shift int) string {
	encoded := e.EncodeToString([]byte(strings.Repeat("x", shift) + v))
	start := (8*shift + 5) / 6
	end := 8 * (shift + len(v)) / 6
	return encoded[start:end]
}

// wide is text as some runtimes keep it: UTF-16, little end first.
func wide(v string) (b []byte) {
	for _, unit := range utf16.Encode([]rune(v)) {
		b = binary.LittleEndian.AppendUint16(b, unit)
	}
	return b
}

// TestSpellingsAreFound is the control of the search: whatever the spelling, it is found in random-looking
// surroundings, and what is not there is not.
func TestSpellingsAreFound(t *testing.T) {
	const phone, birth, name = "01632 960147", "1997-03-14", "Siân O'Thistlewaite-Pŵll"
	b64 := base64.StdEncoding.EncodeToString
	for what, c := range map[string]struct{ value, text string }{
		"as it is":        {name, "name=" + name + "."},
		"in capitals":     {"Bronagh", "BRONAGH"},
		"escaped":         {name, `{"x":"Si\u00e2n O'Thistlewaite-P\u0175ll"}`},
		"in a URL":        {name, "/find?q=Si%C3%A2n+O%27Thistlewaite-P%C5%B5ll"},
		"in wide letters": {name, "n\x00\x00a\x00" + string(wide(name))},
		"in HEX":          {name, strings.ToUpper(hex.EncodeToString([]byte("x" + name)))},
		"in hex":          {name, hex.EncodeToString([]byte("x" + name))},
		"base64":          {name, b64([]byte(name + "!"))},
		"base64, shifted": {name, b64([]byte("1" + name + "!"))},
		"base64, further": {name, b64([]byte("12" + name + "!"))},
		"a closed number": {phone, "tel:01632960147"},
		"abroad":          {phone, "+441632960147"},
		"a written date":  {birth, "born 14 March 1997"},
		"a packed date":   {birth, "19970314"},
		"a bare digest":   {birth, "b\x00" + func() string { d := sha256.Sum256([]byte(birth)); return string(d[:]) }()},
	} {
		v := value{"x", c.value, spellings(c.value)}
		if _, found := v.in([]place{newPlace("x", []byte("\x00\xff"+c.text+"\xfe"))}); !found {
			t.Errorf("%s: not found", what)
		}
		if _, found := v.in([]place{newPlace("x", []byte("Nothing of the kind, 1997, 01632."))}); found {
			t.Errorf("%s: found where it is not", what)
		}
	}
}

// TestPersonalTakesEverything proves that the search looks for each kind of personal value of a form.
func TestPersonalTakesEverything(t *testing.T) {
	values, err := personal([]byte(`{"form_id":"5d0c8f5e","prison_number":"A0117ZZ","parent":{"birth":{"date_of_birth":"1997-03-14",
		"provenance":{"basis":"BASIS_PARENT_SAID","as_of_date":"2026-11-02"}}},
		"children":[{"authority":"E06000023","home":{"address_lines":["14 Marmalade Steps"]},"carer":{"name":"Bronagh Th"},"new":"something"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, v := range values {
		got = append(got, v.text)
	}
	slices.Sort(got)
	want := []string{"14 Marmalade Steps", "1997-03-14", "A0117ZZ", "Bronagh", "Bronagh Th", "something"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
