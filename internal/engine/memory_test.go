package engine

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// mindful is patient with a memory.
func mindful(t testing.TB) *Engine {
	t.Helper()
	e, err := New(t.Context(), Config{Timeout: time.Minute, Remember: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if e.memory == nil {
		t.Fatal("the built-in bundle does something with time that memory does not understand: see moments.go")
	}
	return e
}

// aboutNow draws a moment around those that matter to the others: the same, a nanosecond off, hours, weeks.
func aboutNow(t *rapid.T, label string) string {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	at = at.Add(time.Duration(rapid.SampledFrom([]int{0, 0, 1, 24, 167, 168, 169, 400}).Draw(t, label+" hours")) * time.Hour)
	at = at.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, label+" nanoseconds")))
	if rapid.IntRange(0, 9).Draw(t, label+" elsewhere") == 0 {
		return at.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano)
	}
	return moment(at)
}

// What is remembered is what would be decided afresh, whatever the family, for any moments in any order: the same
// bytes, the same decision with all its times.
func TestWhatIsRememberedIsWhatWouldBeDecidedAfresh(t *testing.T) {
	fresh := patient(t)
	hits := 0
	rapid.Check(t, func(t *rapid.T) {
		e := mindfulCopy(fresh)
		in := inputs().Draw(t, "input")
		if rapid.IntRange(0, 3).Draw(t, "plain") > 0 {
			in = family()
		}
		in.Gate = rapid.SampledFrom([]string{"NO_HOLD", "NO_HOLD", "NO_HOLD", "NOT_DONE"}).Draw(t, "gate")
		for range 12 {
			in.Now = aboutNow(t, "now")
			in.Consent.ExpireTime, in.Agreement.EndTime = aboutNow(t, "consent ends"), aboutNow(t, "agreement ends")
			in.Consent.GiveTime, in.FirstSubmitTime = aboutNow(t, "given"), aboutNow(t, "first submitted")
			in.Today = rapid.SampledFrom([]string{"2026-11-23", "2026-11-27"}).Draw(t, "today")
			in.Reception.ReceiveDate = rapid.SampledFrom([]string{"2026-11-22", "2026-11-01"}).Draw(t, "received")
			if rapid.IntRange(0, 7).Draw(t, "bad moment") == 0 {
				in.Agreement.EndTime = rapid.SampledFrom([]string{"", "soon", "1500-01-01T00:00:00Z", "2300-01-01T00:00:00Z", "\"", "\\"}).Draw(t, "which")
			}
			if q, at, ok := ask(e, in); ok && e.memory.recall(q, at) != nil {
				hits++
			}
			got, verbatim := e.Decide(t.Context(), in)
			want, same := fresh.Decide(t.Context(), in)
			if !proto.Equal(got, want) || !bytes.Equal(verbatim, same) {
				t.Fatalf("remembered %v\nafresh %v", got, want)
			}
		}
	})
	if hits < 40 {
		t.Errorf("only %d answers came from memory: this proves little", hits)
	}
}

// mindfulCopy is an engine with an empty memory of its own, without compiling again.
func mindfulCopy(e *Engine) *Engine {
	with := *e
	b, err := readBundle(policy.Bundle)
	if err == nil {
		with.memory = newMemory(b)
	}
	return &with
}

// Each fact of an input is part of the question: two that differ in one are two questions.
func TestEveryFactIsPartOfTheQuestion(t *testing.T) {
	e := mindful(t)
	rapid.Check(t, func(t *rapid.T) {
		one, other := inputs().Draw(t, "one"), inputs().Draw(t, "other")
		other.Now, other.Consent.ExpireTime, other.Agreement.EndTime = one.Now, one.Consent.ExpireTime, one.Agreement.EndTime
		a, b := marshal(one.value()), marshal(other.value())
		p, _, ok := ask(e, one)
		q, _, ok2 := ask(e, other)
		if ok && ok2 && (p == q) != bytes.Equal(a, b) {
			t.Fatalf("one question for\n%s\n%s", a, b)
		}
	})
}

// ask is the question that an input is to an engine's memory.
func ask(e *Engine, in *Input) (question, instant, bool) {
	written, leaves := in.written()
	return e.memory.question(in, written, leaves)
}

// The leaves are where the JSON says, each under its own key, and nothing else is left out of the question.
func TestTheLeavesAreInTheirPlaces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := inputs().Draw(t, "input")
		written, at := in.written()
		for i, l := range leaves {
			key := []byte(`"` + l.path[strings.LastIndexByte(l.path, '.')+1:] + `":`)
			var want, value any
			if err := json.Unmarshal(written[at[i].from:at[i].to], &value); err != nil || !bytes.HasSuffix(written[:at[i].from], key) {
				t.Fatalf("%s: %q behind %q, %v", l.path, value, written[:at[i].from], err)
			}
			if err := json.Unmarshal(written, &want); err != nil {
				t.Fatal(err)
			}
			for name := range strings.SplitSeq(l.path, ".") {
				want = want.(map[string]any)[name]
			}
			if value != want {
				t.Fatalf("%s is %q, want %q", l.path, value, want)
			}
		}
	})
}

// An input that somebody else wrote may hold the keys of leaves in other places: there they are part of the question.
func TestTheKeyOfALeafElsewhereIsPartOfTheQuestion(t *testing.T) {
	e := mindful(t)
	plain, _, _ := ask(e, family())
	for _, key := range []string{"now", "give_time", "expire_time", "end_time", "first_submit_time", "receive_date"} {
		in := family()
		in.Parent.Known[key] = "KNOWN"
		if q, _, ok := ask(e, in); ok && q == plain {
			t.Errorf("%s in another place goes unseen", key)
		}
	}
}

// A remembered answer that is wrong, however it came about, is found by the sample, and ends the memory.
func TestTheSampleFindsAWrongAnswer(t *testing.T) {
	var log bytes.Buffer
	e := mindful(t)
	e.log = slog.New(slog.NewTextHandler(&log, nil))
	in := family()
	want, _ := e.Decide(t.Context(), in)
	q, _, _ := ask(e, in)
	forged := proto.CloneOf(e.memory.answers[q].decision)
	forged.Children[0].Outcome = refer
	e.memory.answers[q].decision = forged
	for range sampleOneIn {
		e.Decide(t.Context(), in)
	}
	if got, _ := e.Decide(t.Context(), in); !e.memory.off.Load() || !proto.Equal(got, want) || len(e.memory.answers) > 0 {
		t.Error("the memory goes on after a wrong answer")
	}
	if !strings.Contains(log.String(), "nothing is remembered any more") {
		t.Errorf("log %q", log.String())
	}
}

// So is one that was wrong when it was found: here by rules that no memory is made for, since they read a leaf.
func TestTheSampleFindsAnAnswerThatWasWrongFromTheFirst(t *testing.T) {
	source := copyOf(t)
	source["postern/sharing/more.rego"] = &fstest.MapFile{Data: []byte("package postern.sharing\n\nimport rego.v2\n\n" +
		`findings[0] contains undecided if input.first_submit_time != ""` + "\n")}
	e, err := New(t.Context(), Config{Bundle: source, Timeout: time.Minute, Remember: true, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	if e.memory != nil {
		t.Fatal("a memory is made for rules that read a leaf")
	}
	e.memory = mindful(t).memory
	e.memory.asked.Store(sampleOneIn - 1) // the next one is evaluated whole
	in := family()
	got, _ := e.Decide(t.Context(), in)
	if got.GetOutcome() != refer || !e.memory.off.Load() || len(e.memory.answers) > 0 {
		t.Errorf("decided %v, the memory goes on: %t", got.GetOutcome(), !e.memory.off.Load())
	}
	if again, _ := e.Decide(t.Context(), in); !proto.Equal(again, got) {
		t.Errorf("then decided %v", again)
	}
}

// So many questions are remembered, and so many different answers; those to two questions alike are one.
func TestTheMemoryIsBounded(t *testing.T) {
	e := mindful(t)
	in := family()
	d, _ := patient(t).Decide(t.Context(), in)
	held := func() (questions, answers int) {
		t.Helper()
		of := map[*remembered]int{}
		for _, a := range e.memory.answers {
			of[a]++
		}
		for a, n := range of {
			if a.questions != n || e.memory.alike[a.sum] != a {
				t.Fatalf("an answer counts %d questions and has %d", a.questions, n)
			}
		}
		if len(of) != len(e.memory.alike) {
			t.Fatalf("%d answers are kept, and %d have a question", len(e.memory.alike), len(of))
		}
		return len(e.memory.answers), len(of)
	}
	learn := func(i int, d *posternv1.Decision) {
		in.Gate = strconv.Itoa(i)
		q, at, _ := ask(e, in)
		e.memory.learn(q, at, d)
		e.memory.learn(q, at, d) // by two who asked at once
	}
	for i := range maxRemembered + 10 {
		learn(i, d)
	}
	if questions, answers := held(); questions != maxRemembered || answers != 1 {
		t.Errorf("%d questions with %d answers are remembered", questions, answers)
	}
	for i := range maxRemembered {
		other := proto.CloneOf(d)
		other.Reasons = append(other.Reasons, &posternv1.Reason{RuleId: strconv.Itoa(i)})
		learn(-1-i, other)
	}
	if questions, answers := held(); questions > maxRemembered || answers != maxAnswers {
		t.Errorf("then %d questions with %d answers are remembered", questions, answers)
	}
}

// A bundle that does with time anything but compare moments is decided afresh each time.
func TestOnlyABundleThatKeepsToMomentsIsRemembered(t *testing.T) {
	const more = "postern/sharing/more.rego"
	header := "package postern.sharing\n\nimport rego.v2\n\n"
	add := func(rule string) func(fstest.MapFS) {
		return func(b fstest.MapFS) { b[more] = &fstest.MapFile{Data: []byte(header + rule + "\n")} }
	}
	change := func(name, from, to string) func(fstest.MapFS) {
		return func(b fstest.MapFS) {
			data := string(b["postern/sharing/"+name].Data)
			if !strings.Contains(data, from) {
				panic(from)
			}
			b["postern/sharing/"+name].Data = []byte(strings.ReplaceAll(data, from, to))
		}
	}
	kept := func(change func(fstest.MapFS)) bool {
		source := copyOf(t)
		change(source)
		b, err := readBundle(source)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := modules(b.files); err != nil { // or it would be refused for the wrong reason
			t.Fatal(err)
		}
		return newMemory(b) != nil
	}
	for name, c := range map[string]func(fstest.MapFS){
		"as it is":               func(fstest.MapFS) {},
		"another fact":           add(`busy if input.recipient.early_help.in_hours == false`),
		"another comparison":     add(`late if now >= agreement_end`),
		"a comparison as a term": add(`late := now >= agreement_end`),
		"a further deadline":     add(`soon := max([call_due, consent_end]) + 1` + "\n\nlate if now >= soon"),
		"a deadline of three":    add(`soon := (submitted + (2 * (now - consent_end))) + max([min([now, consent_end]), 1])` + "\n\nlate if now > soon"),
		"a deadline in words":    add(`words := sprintf("%d", [call_due])`),
	} {
		if !kept(c) {
			t.Errorf("%s: not remembered", name)
		}
	}
	for name, c := range map[string]func(fstest.MapFS){
		"a leaf read":                       add(`again if input.first_submit_time != ""`),
		"a leaf read by brackets":           add(`again if input["first_submit_time"] != ""`),
		"a deadline if it is ten":           add(`soon := ({10: 60}[time.clock([now, "UTC"])[0]] * 60000000000) + submitted` + "\n\nlate if now < soon"),
		"a deadline on odd seconds":         add(`soon := submitted + {0: 1}[(now / 1000000000) % 2]` + "\n\nlate if now < soon"),
		"a deadline by a function":          add("f(x) := 60 if x == 5\n\nsoon := submitted + f(now)\n\nlate if now < soon"),
		"a deadline in a list":              add(`soon := submitted + [1, 2][now - now]` + "\n\nlate if now < soon"),
		"a deadline by a comprehension":     add(`soon := submitted + [1 | now > 5][0]` + "\n\nlate if now < soon"),
		"a deadline if it is permitted":     add(`soon := submitted + {5: 1}[good_until]` + "\n\nlate if now < soon"),
		"a deadline among others":           add(`soon := [submitted | some x in [1]][0] + 1` + "\n\nlate if now > soon"),
		"a deadline under a condition":      add(`soon := submitted if input.gate == "HOLD"` + "\n\nlate if now > soon"),
		"a deadline or a number":            add(`soon := submitted if input.gate == "HOLD" else := 17` + "\n\nlate if now > soon"),
		"one more by a deadline's name":     add(`call_due := 17`),
		"a deadline's name for a variable":  add(`late if { some call_due in [1, 2]; now < call_due }`),
		"a deadline's name for all":         add(`late if { every call_due in [1, 2] { now < call_due } }`),
		"a deadline's name for an argument": add(`late(call_due) if now < call_due`),
		"a deadline's name assigned":        add(`late if { call_due := 5; now < call_due }`),
		"now beside a deadline":             add(`late if { now > 17; submitted > 0 }`),
		"a moment read twice":               add(`soon := time.parse_rfc3339_ns(input.now) + 1`),
		"a second name for a moment":        add(`then := time.parse_rfc3339_ns(input.now)` + "\n\nlate := then + 1"),
		"a moment added to":                 add(`soon := now + 1`),
		"a moment handed on":                add(`f(x) := x` + "\n\nsoon := f(now)"),
		"a moment against a number":         add(`late if now > 17`),
		"a moment in a set":                 add(`all_moments := {now, consent_end}`),
		"a moment in words":                 add(`words := sprintf("%d", [now])`),
		"a moment in a template":            add("words := $\"{now}\""),
		"a moment equal to another":         add(`same if now == consent_end`),
		"its name for something else":       add(`late if { some now in [1, 2]; now < consent_end }`),
		"its name for an argument":          add(`late(now) if now < consent_end`),
		"its name assigned":                 add(`late if { now := 5; now < consent_end }`),
		"the consent read whole":            add(`count_of := count(input.consent)`),
		"the input read whole":              add(`count_of := count(input)`),
		"the input by a name":               add(`all_of := input`),
		"a key that is not spelt out":       add(`any_of contains input.consent[k] if some k in ["give_time"]`),
		"another input":                     add(`other if permission with input as {"now": "x"}`),
		"the rules as data":                 add(`late := data.postern.sharing.now`),
		"the data whole":                    add(`late := data`),
		"the data by a key not spelt out":   add(`late := data[k] if some k in ["postern"]`),
		"when it was received":              add(`late if input.reception.receive_date == "2026-11-22"`),
		"good_until elsewhere":              add(`late := good_until + 1`),
		"valid_until elsewhere":             add(`late := valid_until + 1`),
		"another good_until":                change("consent.rego", "min([consent_end, agreement_end])", "max([consent_end, agreement_end])"),
		"one more good_until":               add(`good_until := 17 if input.route == "DUTY"`),
		"another valid_until":               change("sharing.rego", "now + (data.settings", "now + (2 * data.settings"),
		"another now":                       change("moments.rego", "input.now)", "input.first_submit_time)"),
		"an alias": func(b fstest.MapFS) {
			b[more] = &fstest.MapFile{Data: []byte("package postern.sharing\n\nimport rego.v2\nimport input.now as x\n")}
		},
		"another package": func(b fstest.MapFS) { b[more] = &fstest.MapFile{Data: []byte("package elsewhere\n\nimport rego.v2\n")} },
		"no hours": func(b fstest.MapFS) {
			b["data.json"].Data = bytes.Replace(b["data.json"].Data, []byte("decision_valid_hours"), []byte("other_hours"), 1)
		},
		"hours that are none": func(b fstest.MapFS) {
			b["data.json"].Data = bytes.Replace(b["data.json"].Data, []byte("168"), []byte("0.5"), 1)
		},
	} {
		if kept(c) {
			t.Errorf("%s: remembered", name)
		}
	}
}

// What rests on a deadline is not remembered, whether it waits or is overdue; what goes at once is.
func TestWhatRestsOnADeadlineIsNotRemembered(t *testing.T) {
	for name, c := range map[string]struct {
		gate, now string
		want      int
	}{
		"goes at once": {"NO_HOLD", "2026-11-23T10:00:00Z", 1},
		"held":         {"HOLD", "2026-11-23T10:00:00Z", 1},
		"waits":        {"NOT_DONE", "2026-11-23T10:00:00Z", 0},
		"is overdue":   {"NOT_DONE", "2026-11-25T10:00:00Z", 0},
	} {
		e, in := mindful(t), family()
		in.Gate, in.Now = c.gate, c.now
		e.Decide(t.Context(), in)
		if n := len(e.memory.answers); n != c.want {
			t.Errorf("%s: %d answers are remembered, want %d", name, n, c.want)
		}
	}
}
