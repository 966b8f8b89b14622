package house

import (
	"strings"
	"testing"
)

// rule is one rule of the house.
type rule struct {
	name   string                // what holds
	why    string                // what goes wrong without it
	check  func(tree) []string   // the findings
	broken map[string]controlled // what the rule must report, by what is wrong in it
	fine   []map[string]string   // what it must not report
}

// controlled is a broken tree and part of the one finding it must lead to.
type controlled struct {
	files map[string]string
	want  string
}

// rules is every rule of the house that looks at files.
func rules() []rule {
	return []rule{
		importWalls(), privatePackages(), shellKnowsNoDomain(), libraryHomes(), strangersShareNothing(), everyDecoderIsFuzzed(),
		packageDocs(), exportedDocs(), decisionNumbers(),
		fileLength(), textShape(), unfinished(), machinePaths(),
		noSleep(), noSkip(), noInit(), noBlankImport(), noMutableGlobal(), loggersAreGuarded(),
		measures(), clausesAreHeld(), namedProofsExist(), abuseCases(), asvsIsWhole(),
	}
}

func TestHouseRules(t *testing.T) {
	repo := repository(t)
	for _, r := range rules() {
		t.Run(r.name, func(t *testing.T) {
			for _, finding := range r.check(repo) {
				t.Errorf("%s\n\twhy: %s", finding, r.why)
			}
		})
	}
}

// TestEveryRuleCanFail is the negative control: a rule that reports nothing proves nothing unless it can report.
func TestEveryRuleCanFail(t *testing.T) {
	for _, r := range rules() {
		if r.why == "" || len(r.broken) == 0 {
			t.Errorf("rule %q lacks a reason or a broken tree", r.name)
		}
		for what, c := range r.broken {
			t.Run(r.name+"/"+what, func(t *testing.T) {
				got := r.check(mustLoad(t, c.files))
				if len(got) != 1 || !strings.Contains(got[0], c.want) {
					t.Errorf("findings %q, want exactly one with %q", got, c.want)
				}
			})
		}
		for _, files := range r.fine {
			t.Run(r.name+"/fine", func(t *testing.T) {
				if got := r.check(mustLoad(t, files)); len(got) > 0 {
					t.Errorf("findings %q, want none", got)
				}
			})
		}
	}
}

func mustLoad(t *testing.T, files map[string]string) tree {
	t.Helper()
	loaded, err := load(files)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}
