package strict_test

import (
	"encoding/json"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/strict"
)

type common struct {
	Data string `yaml:"data"`
}

type door struct {
	Name  string   `yaml:"name"`
	Phone string   `yaml:"phone"`
	Days  []string `yaml:"days"`
}

type config struct {
	common  `yaml:",inline"`
	Listen  netip.AddrPort    `yaml:"listen"`
	Wait    time.Duration     `yaml:"wait"`
	Retries uint8             `yaml:"retries"`
	Level   int               `yaml:"level"`
	Rate    float64           `yaml:"rate"`
	On      bool              `yaml:"on"`
	Limit   *int              `yaml:"limit"`
	Doors   []door            `yaml:"doors"`
	Main    *door             `yaml:"main"`
	Staff   map[string]string `yaml:"staff"`
	Key     []byte            `yaml:"key"`
	Free    any               `yaml:"free"`
	Start   time.Time         `json:"start"`
	Plain   string
	Never   string `yaml:"-"`
}

const everything = `
# a comment
data: var/hub     # relative
listen: 127.0.0.1:8443
wait: 250ms
retries: 3
level: -7
rate: 1.5e2
on: true
limit: 0
doors:
  - name: First Response
    phone: 01632 960001
    days: [mon, tue]
  - {name: no, phone: 01632960001, days: []}
main:
  name: |
    two
    lines
staff:
  1000: BLI-1
  "two words": 'quoted: text'
key: AAEC
free: {a: [1, 1.5, true, null, text, "7"]}
start: 2026-11-01T09:30:00Z
plain: 1.10
`

func zero() *int { n := 0; return &n }

func wanted() config {
	return config{common: common{Data: "var/hub"}, Listen: netip.MustParseAddrPort("127.0.0.1:8443"), Wait: 250 * time.Millisecond,
		Retries: 3, Level: -7, Rate: 150, On: true, Limit: zero(),
		Doors: []door{{"First Response", "01632 960001", []string{"mon", "tue"}}, {"no", "01632960001", []string{}}},
		Main:  &door{Name: "two\nlines\n"}, Staff: map[string]string{"1000": "BLI-1", "two words": "quoted: text"}, Key: []byte{0, 1, 2},
		Free:  map[string]any{"a": []any{int64(1), 1.5, true, nil, "text", "7"}},
		Start: time.Date(2026, 11, 1, 9, 30, 0, 0, time.UTC), Plain: "1.10"}
}

func TestYAMLIsRead(t *testing.T) {
	var got config
	if err := strict.YAML([]byte(everything), &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, wanted()) {
		t.Errorf("got  %+v\nwant %+v", got, wanted())
	}
}

func TestJSONIsRead(t *testing.T) {
	var got config
	err := strict.JSON([]byte(`{"data": "var/hub", "listen": "127.0.0.1:8443", "wait": "250ms", "retries": 3, "level": -7, "rate": 1.5e2,
		"on": true, "limit": 0, "doors": [{"name": "First Response", "phone": "01632 960001", "days": ["mon", "tue"]},
		{"name": "no", "phone": "01632960001", "days": []}], "main": {"name": "two\nlines\n"},
		"staff": {"1000": "BLI-1", "two words": "quoted: text"}, "key": "AAEC", "free": {"a": [1, 1.5, true, null, "text", "7"]},
		"start": "2026-11-01T09:30:00Z", "plain": "1.10"}`), &got)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, wanted()) {
		t.Errorf("got  %+v\nwant %+v", got, wanted())
	}
}

func TestWhatIsNotGivenKeepsItsDefault(t *testing.T) {
	for _, text := range []string{"", "# nothing\n", "---\n", "wait:\nmain:\ndoors: ~\n", "null"} {
		got := config{Wait: time.Second, Main: &door{Name: "x"}, Doors: []door{{}}}
		if err := strict.YAML([]byte(text), &got); err != nil || got.Wait != time.Second || got.Main == nil || len(got.Doors) != 1 {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
	got := config{Main: &door{Name: "kept", Phone: "replaced"}}
	if err := strict.YAML([]byte("main: {phone: 01632 960002}"), &got); err != nil || got.Main.Name != "kept" || got.Main.Phone != "01632 960002" {
		t.Errorf("%+v, %v", got.Main, err)
	}
}

// problem is a fault.Field as the tests spell it: path, a word of the reason, and where.
type problem struct{ path, reason string }

func check(t *testing.T, name string, err error, want ...problem) {
	t.Helper()
	if err == nil {
		t.Errorf("%s: accepted", name)
		return
	}
	f := fault.From(err)
	if f.Kind != fault.Invalid || f.Reason != "BAD_DOCUMENT" || len(f.Fields) != len(want) {
		t.Errorf("%s: %v", name, err)
		return
	}
	for i, w := range want {
		if got := f.Fields[i]; got.Path != w.path || !strings.Contains(got.Reason, w.reason) || got.Fix == "" {
			t.Errorf("%s: problem %d is %+v, want %+v", name, i, got, w)
		}
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	var c config
	check(t, "YAML", strict.YAML([]byte(`
wiat: 3s
wait: 3
retries: 300
level: 0x10
rate: fast
on: yes
doors:
  - nmae: x
    days: mon
    phone: [1]
  -
main: 7
staff: [1]
key: "?"
listen: here
data: {}
data: twice
limit: "1"
`), &c), problem{"wiat", "not a known field (line 2, column 1)."}, problem{"wait", "length of time (line 3, column 7)."},
		problem{"retries", "whole number"}, problem{"level", "whole number"}, problem{"rate", "number"}, problem{"on", "true or false"},
		problem{"doors[0].nmae", "not a known field (line 9, column 5)."}, problem{"doors[0].days", "not a list"}, problem{"doors[0].phone", "a list where text"},
		problem{"doors[1]", "empty item"}, problem{"main", "not an object"}, problem{"staff", "not an object"}, problem{"key", "base64"},
		problem{"listen", "not written as it should"}, problem{"data", "an object where text"}, problem{"data", "second time; first in line 17 (line 18"},
		problem{"limit", "whole number"})
	check(t, "JSON", strict.JSON([]byte(`{
	"wiat": 1, "data": 7, "wait": 3,
	"retries": -1, "rate": 1e999, "free": 1e999,
	"doors": [{"nmae": "é", "days": {}}],
	"on": "true", "on": true}`), &c), problem{"wiat", "(line 2, column 2)"}, problem{"data", "not text (line 2, column 21)"},
		problem{"wait", "length of time (line 2, column 32)"}, problem{"retries", "whole number"}, problem{"rate", "number in range"}, problem{"free", "number in range"},
		problem{"doors[0].nmae", "not a known field"}, problem{"doors[0].days", "not a list (line 4, column 34)"},
		problem{"on", "true or false"}, problem{"on", "second time"})
}

func TestYAMLThatMeansMoreThanItSaysIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []problem
	}{
		"an anchor and an alias": {"data: &a x\nplain: *a", []problem{{"data", "anchor"}, {"plain", "alias"}}},
		"a merge key":            {"main:\n  <<: {name: x}", []problem{{"main", "merge key"}}},
		"a tag":                  {"data: !!str 1", []problem{{"data", "tag"}}},
		"a second document":      {"data: x\n---\ndata: y", []problem{{"document", "second one"}}},
		"a directive":            {"%YAML 1.2\n---\ndata: x", []problem{{"document", "directive"}}},
		"broken syntax":          {"data: [1,", []problem{{"document", "cannot be read as YAML here"}}},
		"a scalar":               {"hello", []problem{{"document", "not an object (line 1, column 1)"}}},
		"not UTF-8":              {"data: \xff", []problem{{"document", "UTF-8"}}},
		"a null key":             {"~: x", []problem{{"document", "key"}}},
	} {
		var got config
		check(t, name, strict.YAML([]byte(c.text), &got), c.want...)
	}
}

func TestBrokenJSONIsRefused(t *testing.T) {
	for text, where := range map[string]string{"": "", "{": "line 1", "{\n  \"data\": }": "line 2, column 11", "{} {}": "line 1, column 4", "data: x": "line 1, column 1", `{"data": "x",}`: "line 1", "[1 2]": "line 1, column 4"} {
		var got config
		check(t, text, strict.JSON([]byte(text), &got), problem{"document", where})
	}
}

func TestLimits(t *testing.T) {
	var free any
	deep := strings.Repeat("[", 65) + strings.Repeat("]", 65)
	check(t, "deep JSON", strict.JSON([]byte("["+deep+"]"), &free), problem{strings.Repeat("[0]", 65), "nested"})
	check(t, "deep YAML", strict.YAML([]byte("["+deep+"]"), &free), problem{strings.Repeat("[0]", 65), "nested"})
	check(t, "long", strict.YAML(make([]byte, 5<<20), &free), problem{"document", "longer"})
	err := strict.YAML([]byte(strings.Repeat("x: 1\n", 200)), &config{})
	if f := fault.From(err); len(f.Fields) != 100 || !strings.Contains(f.Message, "more than 100") {
		t.Errorf("%d problems: %s", len(f.Fields), f.Message)
	}
}

func TestSuggestions(t *testing.T) {
	for key, want := range map[string]string{"wiat": "Perhaps wait ", "Listen": "Perhaps listen ", "door": "Perhaps doors ", "completely_else": "one of: data, doors, free, "} {
		err := strict.YAML([]byte(key+": 1"), &config{})
		if f := fault.From(err); !strings.Contains(f.Fields[0].Fix, want) {
			t.Errorf("%s: %s", key, f.Fields[0].Fix)
		}
	}
	err := strict.JSON([]byte(`{"a": 1}`), &struct{}{})
	if f := fault.From(err); f.Fields[0].Fix != "Leave it out." {
		t.Errorf("%+v", f.Fields)
	}
}

func TestNoProblemRepeatsAValue(t *testing.T) {
	const canary = "Zebedee"
	for _, text := range []string{"wait: C", "retries: C", "level: C", "rate: C", "on: C", "doors: C", "doors: [C]", "main: C", "key: 'C?'", "listen: C", "start: C", "data: !C x", "data: &C x", "plain: {a: C}", "data: [C"} {
		if err := strict.YAML([]byte(strings.ReplaceAll(text, "C", canary)), &config{}); err == nil || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestYAMLFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hub.yaml")
	if err := strict.YAMLFile(path, &config{}); fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	if err := strict.YAMLFile(filepath.Dir(path), &config{}); fault.KindOf(err) != fault.Precondition {
		t.Errorf("a folder: %v", err)
	}
	if err := os.WriteFile(path, []byte("\ufeffwait: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := strict.YAMLFile(path, &config{}); err != nil {
		t.Errorf("with a byte order mark: %v", err)
	}
	if err := os.WriteFile(path, []byte("wiat: 1s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	err := strict.YAMLFile(path, &config{})
	if want := "The file hub.yaml has 1 problem.\n  wiat: is not a known field (line 1, column 1). Perhaps wait is meant."; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

func TestReadingIntoWhatCannotHoldItPanics(t *testing.T) {
	for name, v := range map[string]any{"a value": config{}, "nil": nil, "a nil pointer": (*config)(nil), "a channel": new(chan int), "a map by number": new(map[int]string), "an interface": new(error)} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			_ = strict.YAML([]byte("{}"), v)
		}()
	}
}

// What encoding/json writes, both readers read as the same values.
func TestReadsWhatJSONWrites(t *testing.T) {
	type leaf struct {
		S string             `json:"s"`
		I int64              `json:"i"`
		U uint16             `json:"u"`
		F float64            `json:"f"`
		B []byte             `json:"b"`
		L []string           `json:"l"`
		M map[string]float64 `json:"m"`
	}
	words := rapid.StringMatching(`[ -~é\n"\\]{0,8}`)
	floats := rapid.Float64Range(-math.MaxFloat32, math.MaxFloat32)
	rapid.Check(t, func(t *rapid.T) {
		want := leaf{words.Draw(t, "s"), rapid.Int64().Draw(t, "i"), rapid.Uint16().Draw(t, "u"), floats.Draw(t, "f"),
			append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "b")...), append([]string{}, rapid.SliceOf(words).Draw(t, "l")...),
			rapid.MapOf(words, floats).Draw(t, "m")}
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got leaf
		if err := strict.JSON(text, &got); err != nil || !reflect.DeepEqual(got, want) {
			t.Fatalf("JSON %s: %+v, %v", text, got, err)
		}
	})
}

// A line of YAML with any plain or quoted word gives that word.
func TestTextIsKeptAsWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.StringMatching(`[A-Za-z0-9._+-]{1,12}`).Draw(t, "text")
		var plain, quoted struct{ Data string }
		if err := strict.YAML([]byte("data: "+strconv.Quote(want)), &quoted); err != nil || quoted.Data != want {
			t.Fatalf("quoted %q: %q, %v", want, quoted.Data, err)
		}
		if strings.Trim(want, ".-") == "" || want[0] == '-' || strings.EqualFold(want, "null") {
			return // marks and nothing, in YAML
		}
		if err := strict.YAML([]byte("data: "+want), &plain); err != nil || plain.Data != want {
			t.Fatalf("plain %q: %q, %v", want, plain.Data, err)
		}
	})
}

func FuzzNeverPanics(f *testing.F) {
	for _, seed := range []string{everything, "a: [1,2", "? [a]\n: b", "\t a: 1", "- - -", "{[", "\"", "a: |\n", "%YAML", "&", "*", "<<", "!", "a: >-\n  x", `{"a": [1, {"b": null}]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var c config
		var free any
		_, _, _, _ = strict.YAML(data, &c), strict.YAML(data, &free), strict.JSON(data, &c), strict.JSON(data, &free)
	})
}
