package directory_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"postern/internal/directory"
	"postern/internal/fault"
)

func sample(t testing.TB) string {
	t.Helper()
	return string(value(os.ReadFile("testdata/directory.yaml"))(t))
}

func TestTheSampleIsFine(t *testing.T) {
	if _, err := directory.ParseYAML([]byte(sample(t))); err != nil {
		t.Error(err)
	}
}

// faults returns the fields that are reported for the sample with one text replaced by another.
func faults(t *testing.T, old, replacement string) []fault.Field {
	t.Helper()
	yaml := sample(t)
	if !strings.Contains(yaml, old) {
		t.Fatalf("the sample does not contain %q", old)
	}
	_, err := directory.ParseYAML([]byte(strings.Replace(yaml, old, replacement, 1)))
	if err == nil {
		return nil
	}
	f := fault.From(err)
	if f.Kind != fault.Invalid {
		t.Fatalf("error %v is not an invalid input", err)
	}
	return f.Fields
}

func TestEachMistakeIsNamedWithItsPathAndFix(t *testing.T) {
	for _, c := range []struct{ name, old, replacement, path string }{
		{"district", "code: E06000023", "code: E07000117", "authorities[0].code"},
		{"scotland", "code: E06000023", "code: S12000036", "authorities[0].code"},
		{"short code", "code: E06000023", "code: E0600023", "authorities[0].code"},
		{"same authority twice", "code: E10000017", "code: E06000023", "authorities[1].start_date"},
		{"a signpost that offers nothing", "offers: someone to talk to, ", "", "authorities[0].signposts[0].offers"},
		{"no name", "name: Bristol City Council", "name: ''", "authorities[0].name"},
		{"another jurisdiction", "jurisdiction: GB-ENG", "jurisdiction: GB-WLS", "authorities[0].jurisdiction"},
		{"unknown role", "role: EARLY_HELP", "role: EARLY", "authorities[0].front_doors[0].role"},
		{"same role twice", "role: EARLY_HELP", "role: SAFEGUARDING", "authorities[0].front_doors"},
		{"no front door phone", `phone: "01632 960001"`, `phone: ""`, "authorities[0].front_doors[0].phone"},
		{"999", `phone: "01632 960001"`, `phone: "999"`, "authorities[0].front_doors[0].phone"},
		{"words for a phone", `phone: "01632 960001"`, `phone: "ask the desk"`, "authorities[0].front_doors[0].phone"},
		{"no team out of hours", "out_of_hours_name: Emergency Duty Team", "out_of_hours_name: ' '", "authorities[0].front_doors[0].out_of_hours_name"},
		{"no number out of hours", `out_of_hours_phone: "01632 960002"`, `out_of_hours_phone: ""`, "authorities[0].front_doors[0].out_of_hours_phone"},
		{"no hours", `{days: fri, opens: "08:30", closes: "16:30"}`, `{}`, "authorities[0].front_doors[0].hours[1].days"},
		{"unknown day", "days: fri", "days: frei", "authorities[0].front_doors[0].hours[1].days"},
		{"days backwards", "days: mon-thu", "days: thu-mon", "authorities[0].front_doors[0].hours[0].days"},
		{"a day twice", `days: "mon,wed,fri"`, `days: "mon-wed,tue"`, "authorities[1].front_doors[0].hours[0].days"},
		{"time with a dot", `opens: "08:30"`, `opens: "8.30"`, "authorities[0].front_doors[0].hours[0].opens"},
		{"25 o'clock", `closes: "17:00"`, `closes: "25:00"`, "authorities[0].front_doors[0].hours[0].closes"},
		{"closes before it opens", `closes: "17:00"`, `closes: "08:00"`, "authorities[0].front_doors[0].hours[0].closes"},
		{"no champion", "champion: {role: Family safeguarding lead, phone: \"01632 960013\"}", "", "authorities[1].champion.role"},
		{"champion nobody can reach", `champion: {role: Family safeguarding lead, phone: "01632 960013"}`, "champion: {role: Lead}", "authorities[1].champion.phone"},
		{"unknown mode", "mode: push", "mode: post", "authorities[0].endpoint.mode"},
		{"no port", "inbox-bristol.example:8443", "inbox-bristol.example", "authorities[0].endpoint.address"},
		{"port nought", "inbox-bristol.example:8443", "inbox-bristol.example:0", "authorities[0].endpoint.address"},
		{"address without use", "mode: push", "mode: collect", "authorities[0].endpoint.address"},
		{"age limit", "age_limit: 19", "age_limit: 21", "authorities[0].age_limit"},
		{"endless patience", "undelivered_after_hours: 12", "undelivered_after_hours: 0", "authorities[0].undelivered_after_hours"},
		{"signpost without a way", `phone: "0808 157 0001", web: "https://families.example"`, "", "authorities[0].signposts[0].phone"},
		{"no start", "start_date: 2026-09-01", "", "authorities[0].start_date"},
		{"no such date", "start_date: 2026-09-01", "start_date: 2026-09-31", "authorities[0].start_date"},
		{"ends before it starts", "end_date: 2027-08-31", "end_date: 2026-08-31", "authorities[1].end_date"},
		{"prison by name", "id: BLI", "id: Bristol", "prisons[0].id"},
		{"same prison twice", "id: BWI", "id: BLI", "prisons[1].id"},
		{"prison without a name", "name: HMP Bristol", "name: ''", "prisons[0].name"},
		{"prison abroad", "jurisdiction: GB-WLS", "jurisdiction: GB-SCT", "prisons[1].jurisdiction"},
		{"prison without a champion", `champion: {role: Family engagement worker, phone: "01632 960021"}`, "", "prisons[0].champion.role"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := faults(t, c.old, c.replacement)
			at := slices.IndexFunc(found, func(f fault.Field) bool { return f.Path == c.path })
			if at < 0 {
				t.Fatalf("faults %v, want one at %s", found, c.path)
			}
			if found[at].Reason == "" || found[at].Fix == "" {
				t.Errorf("fault %v lacks a reason or a fix", found[at])
			}
		})
	}
}

func TestADistrictIsSentToItsCounty(t *testing.T) {
	found := faults(t, "code: E06000023", "code: E07000117")
	if len(found) == 0 || !strings.Contains(found[0].Fix, "E10") {
		t.Errorf("faults %v, want the fix to be the county's code", found)
	}
}

func TestEveryProblemIsReportedAtOnce(t *testing.T) {
	yaml := strings.NewReplacer("code: E06000023", "code: E07000117", "id: BLI", "id: bli", "age_limit: 19", "age_limit: 16").Replace(sample(t))
	_, err := directory.ParseYAML([]byte(yaml))
	if n := len(fault.From(err).Fields); n != 3 {
		t.Errorf("%d faults, want 3: %v", n, err)
	}
}

func TestAnUnknownFieldIsAProblem(t *testing.T) {
	if found := faults(t, "age_limit: 19", "age_limt: 19"); len(found) == 0 {
		t.Error("a misspelt field passed")
	}
}

func TestDefaults(t *testing.T) {
	w := newWorld(t)
	a, ok := w.directory(1).Authority(lancs)
	if !ok || a.GetAgeLimit() != 18 || a.GetUndeliveredAfterHours() != 24 {
		t.Errorf("age limit %d and patience %d, want 18 and 24", a.GetAgeLimit(), a.GetUndeliveredAfterHours())
	}
}

func TestASourceWithUnreadFilesCannotBeBuilt(t *testing.T) {
	src := value(directory.ParseYAML([]byte(sample(t))))(t)
	_, _, err := directory.Build(src, 1, domain, morning)
	wantFault(t, err, "DIRECTORY_FILES_UNREAD")
}

func TestNamedFilesMustBeWhatTheyShould(t *testing.T) {
	for _, c := range []struct{ name, old, replacement, path, reason string }{
		{"missing", "keys/E06000023.pb", "keys/none.pb", "authorities[0].recipient_key_file", "cannot be read"},
		{"another kind", "keys/E06000023.pb", "agreements/bristol.pb", "authorities[0].recipient_key_file", "something else"},
		{"not a statement", "agreements/bristol.pb", "directory.yaml", "agreements[0].file", "something else"},
		{"half a statement", "agreements/bristol.pb", "agreements/half.pb", "agreements[0].file", "something else"},
		{"a key is no agreement", "agreements/bristol.pb", "keys/E06000023.pb", "agreements[0].file", "something else"},
		{"no name", "file: agreements/bristol.pb", "file: ''", "agreements[0].file", "missing"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			whole := value(os.ReadFile(w.path("agreements/bristol.pb")))(t)
			must(t, os.WriteFile(w.path("agreements/half.pb"), whole[:len(whole)/2], 0o600))
			w.writeYAML(func(yaml string) string { return strings.Replace(yaml, c.old, c.replacement, 1) })
			_, err := directory.ReadYAML(w.path("directory.yaml"))
			if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != c.path || !strings.Contains(f.Fields[0].Reason, c.reason) {
				t.Errorf("error %v, want one fault at %s that says %q", err, c.path, c.reason)
			}
		})
	}
	_, err := directory.ReadYAML("testdata/none.yaml")
	wantFault(t, err, "DIRECTORY_FILE")
}

func TestAKeyNeedsAnEndpoint(t *testing.T) {
	w := newWorld(t)
	w.writeYAML(func(yaml string) string {
		return strings.Replace(yaml, `endpoint: {mode: push, address: "inbox-bristol.example:8443"}`, "", 1)
	})
	_, err := directory.ReadYAML(w.path("directory.yaml"))
	if f := fault.From(err); len(f.Fields) != 1 || f.Fields[0].Path != "authorities[0].endpoint" {
		t.Errorf("error %v, want one fault at authorities[0].endpoint", err)
	}
}
