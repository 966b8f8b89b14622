package form_test

import (
	"slices"
	"strings"
	"testing"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// What tells of health, of a disability or of an unborn child needs its condition, where it goes and nowhere else; and the
// desk's own, which stands on every form, is enough.
func TestTheConditionForHealthIsAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*posternv1.Form)
		asked  bool
	}{
		"nothing of the kind": {func(*posternv1.Form) {}, false},
		"health": {func(f *posternv1.Form) {
			f.Children[0].Needs.Codes = []posternv1.Need{posternv1.Need_NEED_MONEY, posternv1.Need_NEED_HEALTH}
		}, true},
		"a disability": {func(f *posternv1.Form) { f.Children[0].Needs.Codes = []posternv1.Need{posternv1.Need_NEED_DISABILITY} }, true},
		"health that stays here": {func(f *posternv1.Form) {
			f.Children[0].Needs.Codes = []posternv1.Need{posternv1.Need_NEED_HEALTH}
			f.Consent.Sections = slices.DeleteFunc(formtest.Sections(), func(s string) bool { return strings.HasSuffix(s, "/needs") })
		}, false},
		"health of a child who is not covered": {func(f *posternv1.Form) {
			f.Children[1].Needs.Codes = []posternv1.Need{posternv1.Need_NEED_HEALTH}
			f.Consent.Children = []uint32{1}
		}, false},
		"an unborn child": {func(f *posternv1.Form) {
			f.Children[0].Identity.Born = &posternv1.ChildIdentity_DueDate{DueDate: formtest.Now.AddDate(0, 3, 0).Format("2006-01-02")}
			f.Children[0].Carer, f.Children[0].School, f.Children[0].Knowledge = nil, nil, nil
		}, true},
		"health with its condition": {func(f *posternv1.Form) {
			f.Children[0].Needs.Codes = []posternv1.Need{posternv1.Need_NEED_HEALTH}
			f.LawfulBasis = &posternv1.LawfulBasis{Article9Condition: "art9.2.h"}
		}, false},
	} {
		f := formtest.New(formtest.Bristol, formtest.Bristol)
		for _, child := range f.GetChildren() {
			child.Needs.Codes = []posternv1.Need{posternv1.Need_NEED_MONEY}
		}
		c.change(f)
		env := formtest.Env()
		if _, err := form.Check(f, env); err != nil {
			t.Errorf("%s, with the desk's condition: %v", name, err)
		}
		env.Article9Condition = ""
		for _, lang := range []words.Language{words.English, words.Welsh} {
			env.Language = lang
			_, err := form.Check(f, env)
			asked := slices.ContainsFunc(fault.From(err).Fields, func(f fault.Field) bool {
				return f.Path == "lawful_basis.article9_condition" && f.Reason != "" && f.Fix != ""
			})
			if err == nil == c.asked || asked != c.asked {
				t.Errorf("%s in %s: %v", name, lang, err)
			}
		}
	}
}
