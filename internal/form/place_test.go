package form_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/examples/forms"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/postcode"
	posternv1 "postern/proto/postern/v1"
)

// The sample has ZZ99 1AA in Bristol and its neighbour ZZ99 1AB in South Gloucestershire, ZZ99 8RB in Lancashire, and
// ZZ90 1.. ended; ZZ99 1ZZ is in no row.
func checkWith(t *testing.T, edit func(*posternv1.Form), table bool) (*form.Checked, error) {
	t.Helper()
	f := formtest.New(formtest.Bristol, formtest.Bristol)
	for _, c := range f.Children {
		c.Authority, c.Home.Postcode, c.Home.SameAsChild = formtest.Bristol, "ZZ99 1AA", 0
	}
	edit(f)
	before := proto.CloneOf(f)
	env := formtest.Env()
	if table {
		sample, err := postcode.Sample()
		if err != nil {
			t.Fatal(err)
		}
		env.Postcodes = sample
	}
	checked, err := form.Check(f, env)
	if !proto.Equal(f, before) || err == nil && !proto.Equal(checked.Form(), before) {
		t.Error("the form is not what was typed any more")
	}
	return checked, err
}

func TestAChildIsRoutedByTableAndStaff(t *testing.T) {
	const (
		table = posternv1.DestinationSource_DESTINATION_SOURCE_POSTCODE_TABLE
		staff = posternv1.DestinationSource_DESTINATION_SOURCE_STAFF_CHOICE
		both  = posternv1.DestinationSource_DESTINATION_SOURCE_BOTH
	)
	type want struct {
		authority, vintage string
		source             posternv1.DestinationSource
		checked            bool
	}
	for name, c := range map[string]struct {
		edit func(*posternv1.Form)
		none bool // no table
		want []want
	}{
		"both agree":          {func(*posternv1.Form) {}, false, []want{{formtest.Bristol, "2026-08", both, false}}},
		"no table":            {func(*posternv1.Form) {}, true, []want{{formtest.Bristol, "", staff, false}}},
		"the table alone":     {func(f *posternv1.Form) { f.Children[0].Authority, f.Children[1].Authority = "", "" }, false, []want{{formtest.Bristol, "2026-08", table, false}}},
		"the weakest counts":  {func(f *posternv1.Form) { f.Children[0].Authority = "" }, false, []want{{formtest.Bristol, "2026-08", table, false}}},
		"not in the table":    {func(f *posternv1.Form) { f.Children[1].Home.Postcode = "ZZ99 1ZZ" }, false, []want{{formtest.Bristol, "2026-08", staff, false}}},
		"a choice of several": {func(f *posternv1.Form) { f.Children[1].Home.Postcode = "zz99" }, false, []want{{formtest.Bristol, "2026-08", staff, false}}},
		"no postcode":         {func(f *posternv1.Form) { f.Children[0].Home.Postcode, f.Children[1].Home.Postcode = "", "" }, false, []want{{formtest.Bristol, "", staff, false}}},
		"typed carelessly":    {func(f *posternv1.Form) { f.Children[0].Home.Postcode = " zz991aa" }, false, []want{{formtest.Bristol, "2026-08", both, false}}},
		"another's home":      {func(f *posternv1.Form) { sameHome(f.Children[1]); f.Children[1].Authority = "" }, false, []want{{formtest.Bristol, "2026-08", table, false}}},
		"the postcode splits": {func(f *posternv1.Form) { f.Children[1].Authority, f.Children[1].Home.Postcode = "", "ZZ99 8RB" }, false, []want{{formtest.Bristol, "2026-08", both, false}, {formtest.Lancashire, "2026-08", table, false}}},
		"staff checked it":    {func(f *posternv1.Form) { c := f.Children[1]; c.Home.Postcode, c.AuthorityChecked = "ZZ99 1AB", true }, false, []want{{formtest.Bristol, "2026-08", staff, true}}},
	} {
		checked, err := checkWith(t, c.edit, !c.none)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		parts := checked.Parts(newIDs())
		if len(parts) != len(c.want) {
			t.Errorf("%s: %d parts", name, len(parts))
			continue
		}
		for i, p := range parts {
			if got := (want{p.Authority, p.PostcodeVintage, p.Source, p.DestinationChecked}); got != c.want[i] {
				t.Errorf("%s: %+v; want %+v", name, got, c.want[i])
			}
			if _, hub := form.Facts(p, config()); hub.GetPostcodeVintage() != p.PostcodeVintage || hub.GetDestinationChecked() != p.DestinationChecked {
				t.Errorf("%s: the facts say %q, %v", name, hub.GetPostcodeVintage(), hub.GetDestinationChecked())
			}
		}
	}
}

func sameHome(c *posternv1.Child) {
	c.Home.AddressLines, c.Home.Postcode, c.Home.SameAsChild = nil, "", 1
}

func TestAPostcodeThatCannotRouteIsRefusedWithTheFix(t *testing.T) {
	for name, c := range map[string]struct {
		edit      func(*posternv1.Form)
		path, fix string
	}{
		"another authority": {func(f *posternv1.Form) { f.Children[1].Home.Postcode = "ZZ99 1AB" }, "children[1].authority", "authority_checked"},
		"outside the half":  {func(f *posternv1.Form) { f.Children[1].Home.Postcode = "ZZ98" }, "children[1].authority", "authority_checked"},
		"a slip":            {func(f *posternv1.Form) { f.Children[0].Home.Postcode = "ZZ99 OAA" }, "children[0].home.postcode", "the figure 0"},
		"Northern Ireland":  {func(f *posternv1.Form) { f.Children[0].Home.Postcode = "BT1 1AA" }, "children[0].home.postcode", "telephone"},
		"nothing to go by":  {func(f *posternv1.Form) { f.Children[0].Authority, f.Children[0].Home.Postcode = "", "ZZ99 1ZZ" }, "children[0].authority", "code"},
		"several to choose": {func(f *posternv1.Form) { f.Children[0].Authority, f.Children[0].Home.Postcode = "", "ZZ99" }, "children[0].authority", "code"},
	} {
		_, err := checkWith(t, c.edit, true)
		found := false
		for _, field := range fault.From(err).Fields {
			found = found || field.Path == c.path && strings.Contains(field.Fix, c.fix)
		}
		if !found {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The demo's desk has the sample for its table, so what the example families say must fit it.
func TestTheExamplesFitTheSample(t *testing.T) {
	sample, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	files, err := forms.Files.ReadDir(".")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, file := range files {
		data, err := forms.Files.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		f, err := form.Decode(data)
		if err != nil {
			t.Fatalf("%s: %v", file.Name(), err)
		}
		for i, c := range f.GetChildren() {
			p, err := postcode.Parse(c.GetHome().GetPostcode())
			if c.GetHome().GetPostcode() == "" {
				continue
			}
			if _, source := postcode.Choose(sample.Lookup(p), c.GetAuthority()); err != nil || source == postcode.Differ {
				t.Errorf("%s: child %d: %v, %v", file.Name(), i+1, source, err)
			}
		}
	}
}
