package house

import (
	"encoding/csv"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	securityPage = "docs/security.md"
	asvsTable    = "docs/asvs.csv"
)

// An abuse case: | T7 | what somebody tries | what stands in the way | what shows it |
var abuseRow = regexp.MustCompile(`(?m)^\| T([0-9]+) \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$`)

func abuseCases() rule {
	return rule{
		name:  "every abuse case names its control and what shows it",
		why:   "a threat with a control that nobody tries is a hope",
		check: abuses,
		broken: map[string]controlled{
			"no test":         {map[string]string{securityPage: "| T1 | a thief | a lock | we looked |\n"}, "T1 names nothing that shows it"},
			"a gap":           {map[string]string{securityPage: "| T1 | a | b | people: they look |\n| T3 | a | b | people: they look |\n"}, "T3 where T2 comes"},
			"no case at all":  {map[string]string{securityPage: "# Security\n"}, "no abuse case"},
			"a column short":  {map[string]string{securityPage: "| T1 | a | b | people: they look |\n| T2 | a thief | TestX |\n"}, "T2 has not four columns"},
			"only a half yes": {map[string]string{securityPage: "| T1 | a | b | not yet |\n"}, "T1 names nothing that shows it"},
		},
		fine: []map[string]string{
			{securityPage: "| T1 | a | b | TestX |\n| T2 | a | b | `check tls`; people: they look |\n| T3 | a | b | not yet: pages |\n"},
			{"docs/other.md": "| T1 | a |\n"},
		},
	}
}

func abuses(t tree) []string {
	var findings []string
	for _, f := range t.where(func(f *file) bool { return f.path == securityPage }) {
		next := 1
		for i, line := range strings.Split(f.text, "\n") {
			if !regexp.MustCompile(`^\| T[0-9]+ \|`).MatchString(line) {
				continue
			}
			m := abuseRow.FindStringSubmatch(line)
			if m == nil {
				findings = append(findings, f.line(i+1, "T%s has not four columns", strings.Trim(strings.SplitN(line, "|", 3)[1], " T")))
				continue
			}
			if m[1] != strconv.Itoa(next) {
				findings = append(findings, f.line(i+1, "T%s where T%d comes", m[1], next))
			}
			next++
			if _, count := (proofs{}).missing(m[4]); count == 0 && !strings.Contains(m[4], "people: ") && !strings.Contains(m[4], "not yet: ") {
				findings = append(findings, f.line(i+1, "T%s names nothing that shows it", m[1]))
			}
		}
		if next == 1 {
			findings = append(findings, f.line(1, "no abuse case"))
		}
	}
	return findings
}

// requirements is how many of each level ASVS 5.0.0 has; a table with fewer has forgotten some.
var requirements = map[string]int{"1": 70, "2": 183}

const asvsHeader = "id,level,asks,applies,control,shown_by"

func asvsIsWhole() rule {
	row := func(fields ...string) string { return asvsHeader + "\n" + strings.Join(fields, ",") + "\n" }
	return rule{
		name: "every requirement of ASVS is answered",
		why:  "a standard is met line by line; what is not met says so",
		check: func(t tree) []string {
			findings := asvs(t, requirements)
			return findings
		},
		broken: map[string]controlled{
			"too few": {map[string]string{asvsTable: asvsHeader + "\n"}, "70 of level 1 and 183 of level 2 are asked for, 0 and 0 are there"},
		},
		fine: []map[string]string{{"docs/other.csv": row("1.1.1", "1", "a", "yes", "b", "")}},
	}
}

// asvs reports what is wrong with the table.
func asvs(t tree, want map[string]int) []string {
	var findings []string
	for _, f := range t.where(func(f *file) bool { return f.path == asvsTable }) {
		rows, err := csv.NewReader(strings.NewReader(f.text)).ReadAll()
		if err != nil {
			return []string{f.line(1, "%v", err)}
		}
		if len(rows) == 0 || strings.Join(rows[0], ",") != asvsHeader {
			return []string{f.line(1, "the first line must be %s", asvsHeader)}
		}
		counts, last, known := map[string]int{}, []int(nil), proofsOf(t)
		for i, r := range rows[1:] {
			var at [3]int
			if n, err := fmt.Sscanf(r[0], "%d.%d.%d", &at[0], &at[1], &at[2]); n != 3 || err != nil || slices.Compare(last, at[:]) >= 0 {
				findings = append(findings, f.line(i+2, "%s is no number of a requirement, or out of order", r[0]))
			}
			last = at[:]
			counts[r[1]]++
			if why := answered(r[2], r[3], r[4], r[5], known); why != "" {
				findings = append(findings, f.line(i+2, "%s %s", r[0], why))
			}
		}
		if counts["1"] != want["1"] || counts["2"] != want["2"] || len(rows)-1 != want["1"]+want["2"] {
			findings = append(findings, f.line(1, "%d of level 1 and %d of level 2 are asked for, %d and %d are there", want["1"], want["2"], counts["1"], counts["2"]))
		}
	}
	return findings
}

// answered says what is wrong with an answer.
func answered(asks, applies, control, shown string, known proofs) string {
	if asks == "" || control == "" {
		return "must say what is asked, and the control or the reason"
	}
	switch applies {
	case "yes":
		if shown == "" {
			return "applies and names nothing that shows it"
		}
	case "no", "operator", "not yet", "not yet: pages":
	default:
		return fmt.Sprintf("%q is neither yes, no, operator, not yet nor not yet: pages", applies)
	}
	for _, name := range strings.Fields(shown) {
		stage, isStage := strings.CutPrefix(name, "check:")
		if !known.tests[name] && !known.scripts[name] && !known.files[name] && !(isStage && known.stages[stage]) {
			return "names " + name + ", which is no test, script, stage or file"
		}
	}
	return ""
}

// TestAWrongAnswerIsFound is the control of the table's rule for single lines.
func TestAWrongAnswerIsFound(t *testing.T) {
	for want, lines := range map[string][]string{
		"must say what is asked":    {"1.1.1,1,,yes,b,TestX"},
		"control or the reason":     {"1.1.1,1,a,no,,"},
		"names nothing":             {"1.1.1,1,a,yes,b,"},
		"is neither yes":            {"1.1.1,1,a,maybe,b,TestX"},
		"names TestY":               {"1.1.1,1,a,yes,b,TestX TestY"},
		"names check:tls":           {"1.1.1,1,a,operator,b,check:tls"},
		"out of order":              {"1.2.10,1,a,no,b,", "1.2.9,1,a,no,b,"},
		"no number":                 {"1.1,1,a,no,b,"},
		"1 of level 1":              {"1.1.1,3,a,no,b,"},
		"the first line":            nil,
		"wrong number of fields":    {"1.1.1,1"},
		"names docs/b.md, which is": {"1.1.1,1,a,yes,b,docs/b.md"},
	} {
		text := asvsHeader + "\n" + strings.Join(lines, "\n") + "\n"
		if lines == nil {
			text = "id\n"
		}
		files := map[string]string{asvsTable: text, "a/a_test.go": "package a\n\nfunc TestX() {}"}
		found := strings.Join(asvs(mustLoad(t, files), map[string]int{"1": len(lines)}), "\n")
		if want == "1 of level 1" {
			found = strings.Join(asvs(mustLoad(t, files), map[string]int{"1": 1}), "\n")
		}
		if !strings.Contains(found, want) {
			t.Errorf("%q finds %q, want %q", lines, found, want)
		}
	}
	fine := map[string]string{asvsTable: asvsHeader + "\n1.1.1,1,a,yes,b,TestX docs/asvs.csv\n1.1.2,2,a,not yet: pages,b,\n", "a/a_test.go": "package a\n\nfunc TestX() {}"}
	if found := asvs(mustLoad(t, fine), map[string]int{"1": 1, "2": 1}); len(found) > 0 {
		t.Errorf("%q", found)
	}
}

// toTheHub are the messages that reach a hub, and those that are signed inside them.
var toTheHub = []protoreflect.Name{
	"SubmitRequest", "Manifest", "FactsBlock", "StopRequest", // from a desk
	"DeliverResponse", "ReportRequest", "CollectRequest", "PublishKeyRequest", "ResumeRequest", "Acknowledgement", "Report", "Redirect", "RecipientKey", // from an inbox
	"ListUpdatesRequest", "ListAuthoritiesRequest", "ListKeysRequest", "GetPolicyRequest", // from anybody
	"ListEventsRequest", "GetEventRequest", "GetCheckpointRequest", "GetProofRequest", "ExportLogRequest", "GetCoverageRequest", // from an auditor
}

// learned matches a line of the page: | `Message` | `field` `field` | what the hub learns by it |
var learned = regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z0-9]*)` \\| ((?:`[a-z0-9_]+` ?)+)\\| \\S")

// TestThePageSaysAllThatTheHubLearns holds the page of what a hub learns against every field that can reach one.
func TestThePageSaysAllThatTheHubLearns(t *testing.T) {
	var page string
	for _, f := range repository(t) {
		if f.path == securityPage {
			page = f.text
		}
	}
	for _, finding := range untold(page, reachable(t, toTheHub)) {
		t.Errorf("%s\n\twhy: what a neutral processor learns is what families and prisons are promised", finding)
	}
}

func TestAnUntoldFieldIsFound(t *testing.T) {
	fields := map[string][]string{"A": {"a", "b"}, "B": {"c"}}
	for page, want := range map[string]string{
		"| `A` | `a` `b` | x |\n| `B` | `c` | y |\n":                        "",
		"| `A` | `a` | x |\n| `B` | `c` | y |\n":                            "the page says nothing of A.b",
		"| `A` | `a` `b` | x |\n":                                           "the page says nothing of B.c",
		"| `A` | `a` `b` `z` | x |\n| `B` | `c` | y |\n":                    "no A.z reaches a hub",
		"| `A` | `a` `b` | x |\n| `B` | `c` | y |\n| `C` | `d` | y |\n":     "no C.d reaches a hub",
		"| `A` | `a` | x |\n| `A` | `b` | also x |\n| `B` | `c` |  |\n":     "the page says nothing of B.c",
		"| `A` | `a` | x |\n| `A` | `b` | also x |\n| `B` | `c` | fine |\n": "",
	} {
		if got := strings.Join(untold(page, fields), "; "); got != want {
			t.Errorf("%q finds %q, want %q", page, got, want)
		}
	}
}

// untold compares the lines of a page with the fields of messages.
func untold(page string, fields map[string][]string) (findings []string) {
	told := map[string]bool{}
	for _, m := range learned.FindAllStringSubmatch(page, -1) {
		for _, f := range strings.Fields(m[2]) {
			name := m[1] + "." + strings.Trim(f, "`")
			if told[name] = true; !slices.Contains(fields[m[1]], strings.Trim(f, "`")) {
				findings = append(findings, "no "+name+" reaches a hub")
			}
		}
	}
	for message, names := range fields {
		for _, f := range names {
			if !told[message+"."+f] {
				findings = append(findings, "the page says nothing of "+message+"."+f)
			}
		}
	}
	slices.Sort(findings)
	return findings
}

// reachable are the fields of messages and of all that is in them, within postern.v1.
func reachable(t *testing.T, roots []protoreflect.Name) map[string][]string {
	t.Helper()
	fields := map[string][]string{}
	var walk func(m protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if _, seen := fields[string(m.Name())]; seen || m.ParentFile().Package() != "postern.v1" {
			return
		}
		fields[string(m.Name())] = []string{}
		for _, f := range each(m.Fields()) {
			fields[string(m.Name())] = append(fields[string(m.Name())], string(f.Name()))
			if f.Message() != nil {
				walk(f.Message())
			}
		}
	}
	for _, name := range roots {
		found := false
		for _, f := range wire() {
			if m := f.Messages().ByName(name); m != nil {
				walk(m)
				found = true
			}
		}
		if !found {
			t.Errorf("there is no message %s", name)
		}
	}
	return fields
}
