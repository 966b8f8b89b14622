package form_test

import (
	"strings"
	"testing"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/postcode"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// sample is the table of the tests, and postcodes of it by authority.
func sample(t *testing.T) *postcode.Table {
	t.Helper()
	table, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// at makes a form of one child with a postcode and an authority.
func at(code, authority string) *posternv1.Form {
	f := formtest.New(authority)
	f.Children[0].Home.Postcode = code
	return f
}

func TestPlacesThatNobodyServesAreRefusedKindly(t *testing.T) {
	for code, id := range map[string]string{
		"EH1 1AA": "form.scotland", "G1": "form.scotland", "BT1 1AA": "form.northern_ireland", "JE2 3AB": "form.channel_islands",
		"GY1 1AA": "form.channel_islands", "IM1 1AA": "form.isle_of_man", "BFPO 140": "form.bfpo", "BF1 2AA": "form.bfpo",
		"GX11 1AA": "form.overseas", "XM4 5HQ": "form.non_geographic",
	} {
		for _, lang := range []words.Language{words.English, words.Welsh} {
			env := formtest.Env()
			env.Language = lang
			_, err := form.Check(at(code, formtest.Bristol), env)
			fields := fault.From(err).Fields
			reason, fix := lang.Fault(id, nil)
			if len(fields) != 1 || fields[0] != (fault.Field{Path: "children[0].home.postcode", Reason: reason, Fix: fix}) {
				t.Errorf("%s in %s: %v", code, lang, fields)
			}
		}
	}
	for code, id := range map[string]string{"S12000036": "form.scotland", "N09000003": "form.northern_ireland", "L93000001": "form.channel_islands", "M83000003": "form.isle_of_man"} {
		f := at("ZZ99 1AA", code)
		_, err := form.Check(f, formtest.Env())
		reason, _ := words.English.Fault(id, nil)
		if fields := fault.From(err).Fields; len(fields) != 1 || fields[0].Path != "children[0].authority" || fields[0].Reason != reason {
			t.Errorf("%s: %v", code, fields)
		}
	}
}

func TestSlipsOfThePostcodeSayWhich(t *testing.T) {
	for typed, id := range map[string]string{
		"BS1 5": "form.postcode_cut_short", "BS1 OAA": "form.postcode_letter_for_figure", "round the corner": "form.postcode_shape",
	} {
		reason, _ := words.English.Fault(id, nil)
		_, err := form.Check(at(typed, formtest.Bristol), formtest.Env())
		if fields := fault.From(err).Fields; len(fields) != 1 || fields[0].Path != "children[0].home.postcode" || fields[0].Reason != reason {
			t.Errorf("%q: %v", typed, fields)
		}
	}
}

// Where table and staff differ, both are named by what they are called, and the postcode is not.
func TestTheTwoAuthoritiesAreNamed(t *testing.T) {
	env := formtest.Env()
	env.Postcodes = sample(t)
	env.Authority = func(code string) (*posternv1.Authority, bool) {
		return &posternv1.Authority{Code: code, Name: "the council " + code}, true
	}
	_, err := form.Check(at("ZZ99 1AA", formtest.Lancashire), env)
	fields := fault.From(err).Fields
	if len(fields) != 1 || fields[0].Path != "children[0].authority" {
		t.Fatal(fields)
	}
	for _, name := range []string{"the council " + formtest.Bristol, "the council " + formtest.Lancashire} {
		if !strings.Contains(fields[0].Reason, name) {
			t.Errorf("%q does not name %s", fields[0].Reason, name)
		}
	}
	if strings.Contains(fields[0].Reason+fields[0].Fix, "ZZ99") {
		t.Error("the words hold the postcode")
	}
}

// Half a postcode leaves the authority to a choice, and that is a fact.
func TestHalfAPostcodeIsAFact(t *testing.T) {
	for code, want := range map[string]bool{"ZZ12": true, "ZZ12 9AA": false, "": false} {
		facts, _ := form.Facts(parts(t, at(code, formtest.Bristol))[0], config())
		if facts[0].GetOutwardCodeOnly() != want {
			t.Errorf("%q: %v", code, facts[0])
		}
	}
}
