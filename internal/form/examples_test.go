package form_test

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/examples/forms"
	"postern/internal/form"
	"postern/internal/form/formtest"
	posternv1 "postern/proto/postern/v1"
)

// example reads one of the example forms.
func example(t *testing.T, name string) *posternv1.Form {
	t.Helper()
	data, err := fs.ReadFile(forms.Files, name)
	if err != nil {
		t.Fatal(err)
	}
	f, err := form.Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// demoEnv knows the authorities of the demo, of which one takes no part yet.
func demoEnv() form.Env {
	env, others := formtest.Env(), []string{"E06000008", "W06000013"}
	known := env.Authority
	env.Authority = func(code string) (*posternv1.Authority, bool) {
		if slices.Contains(others, code) {
			return &posternv1.Authority{Code: code}, true
		}
		return known(code)
	}
	return env
}

func exampleNames(t *testing.T) []string {
	t.Helper()
	names, err := fs.Glob(forms.Files, "*.json")
	if err != nil || len(names) < 6 {
		t.Fatalf("found %v, %v", names, err)
	}
	return names
}

func TestTheExamplesStayValidForYears(t *testing.T) {
	for _, name := range exampleNames(t) {
		t.Run(name, func(t *testing.T) {
			f := example(t, name)
			years := []int{2026, 2031}
			if slices.ContainsFunc(f.GetChildren(), func(c *posternv1.Child) bool { return c.GetIdentity().GetDueDate() != "" }) {
				years = years[:1] // who is not born yet is born by then
			}
			for _, year := range years {
				env := demoEnv()
				env.Now = time.Date(year, 11, 22, 10, 0, 0, 0, time.UTC)
				checked, err := form.Check(f, env)
				if err != nil {
					t.Fatalf("in %d: %v", year, err)
				}
				for _, p := range checked.Parts(newIDs()) {
					children, _ := form.Facts(p, config())
					for _, c := range children {
						if c.GetAgeYears() >= 18 {
							t.Errorf("in %d, child %d is no child", year, c.GetNumber())
						}
					}
					if len(children) > 0 && len(p.Sections) == 0 {
						t.Errorf("in %d, nothing is sealed for %s", year, p.Authority)
					}
				}
			}
		})
	}
}

func TestTheExamplesAreInvented(t *testing.T) {
	postcode := regexp.MustCompile(`^ZZ99( [0-9][A-Z]{2})?$`)
	phone := regexp.MustCompile(`^(01632 960[0-9]{3}|07700 900[0-9]{3}|0808 157 0[0-9]{3})$`)
	numbers := map[string]string{}
	for _, name := range exampleNames(t) {
		f := example(t, name)
		if other, ok := numbers[f.GetPrisonNumber()]; ok || !strings.HasSuffix(f.GetPrisonNumber(), "ZZ") {
			t.Errorf("%s has the prison number of %s, or one that somebody may have", name, other)
		}
		numbers[f.GetPrisonNumber()] = name
		gate := posternv1.Gate_GATE_NO_HOLD
		if strings.HasPrefix(name, "gate_") {
			gate = posternv1.Gate_GATE_NOT_DONE
		}
		if f.GetFormId() == "" || f.GetGate() != gate {
			t.Errorf("%s lacks its id, or its gate is %v", name, f.GetGate())
		}
		for _, c := range f.GetChildren() {
			if p := c.GetHome().GetPostcode(); p != "" && !postcode.MatchString(p) {
				t.Errorf("%s has a postcode that may exist", name)
			}
			if p := c.GetPhone().GetCarerPhone(); p != "" && !phone.MatchString(p) {
				t.Errorf("%s has a telephone number that may exist", name)
			}
		}
	}
}

func TestTheExamplesTellTheirStories(t *testing.T) {
	for name, want := range map[string]string{ // authority: sections sealed of sections known
		"shared_in_full.json":  "E06000023: 23 of 23",
		"shared_in_part.json":  "E06000023: 7 of 12",
		"no_agreement.json":    "E10000017: 7 of 7",
		"inbox_offline.json":   "E06000023: 6 of 6",
		"declined.json":        ": 0 of 0",
		"two_authorities.json": "E06000023: 13 of 13, E10000017: 7 of 7",
	} {
		var got []string
		for _, p := range parts(t, example(t, name)) {
			children, hub := form.Facts(p, config())
			present := countKnown(hub.GetKnown())
			for _, c := range children {
				present += countKnown(c.GetKnown())
			}
			got = append(got, story(p, present))
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s tells %q, want %q", name, got, want)
		}
	}
}

func countKnown(all []*posternv1.SectionKnown) int {
	n := 0
	for _, k := range all {
		if k.GetKnown() == posternv1.Known_KNOWN_KNOWN {
			n++
		}
	}
	return n
}

func story(p form.Part, known int) string {
	sealed := 0
	for _, s := range p.Sections {
		if s.Message.(interface{ GetProvenance() *posternv1.Provenance }).GetProvenance().GetKnown() == posternv1.Known_KNOWN_KNOWN {
			sealed++
		}
	}
	return fmt.Sprintf("%s: %d of %d", p.Authority, sealed, known)
}
