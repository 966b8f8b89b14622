package postcode_test

import (
	"errors"
	"strings"
	"testing"

	"postern/internal/postcode"
)

func TestParseReadsWhatPeopleType(t *testing.T) {
	for typed, want := range map[string]string{
		"BS1 5TR": "BS1 5TR", "bs15tr": "BS1 5TR", "  Bs1   5tR ": "BS1 5TR", "B S 1 5 T R": "BS1 5TR", "BS1-5TR": "BS1 5TR", "BS1\u00a05TR.": "BS1 5TR",
		"SW1A 0AA": "SW1A 0AA", "sw1a0aa": "SW1A 0AA", "M2 5DB": "M2 5DB", "m25db": "M2 5DB", "CF10 4UW": "CF10 4UW", "W1T4JT": "W1T 4JT",
		"ZZ99 1AA": "ZZ99 1AA", "PR1": "PR1", "pr1 ": "PR1", "SW1A": "SW1A", "GIR 0AA": "GIR0AA", "bfpo 12": "BFPO12", "BF1 0AX": "BF1 0AX", "BFPO c/o 12": "",
	} {
		p, err := postcode.Parse(typed)
		if want == "" {
			if err == nil {
				t.Errorf("%q reads as %s", typed, p)
			}
			continue
		}
		if err != nil || p.String() != want {
			t.Errorf("%q: %q, %v; want %s", typed, p, err, want)
		}
	}
}

func TestASlipIsExplainedAndNeverPutRight(t *testing.T) {
	for typed, want := range map[string]postcode.Kind{
		"": postcode.Empty, " - ": postcode.Empty,
		"BS1 OAA": postcode.LetterForZero, "BSl 5TR": postcode.LetterForZero, "BS1 lTR": postcode.LetterForZero, "BSO 1AA": postcode.LetterForZero,
		"0X1 1AA": postcode.ZeroForLetter, "BS1 50R": postcode.ZeroForLetter,
		"BS1 5": postcode.CutShort, "CF10 4U": postcode.CutShort, "SW1A 0A": postcode.CutShort,
		"ZZ99 5VH": postcode.NotAPostcode, "Bristol": postcode.NotAPostcode, "12345": postcode.NotAPostcode, "ÉÉ1 1AA": postcode.NotAPostcode,
		strings.Repeat("B", 41): postcode.NotAPostcode,
	} {
		p, err := postcode.Parse(typed)
		var s *postcode.Slip
		if !errors.As(err, &s) || s.Kind != want {
			t.Errorf("%q: %s, %v; want %s", typed, p, err, want)
			continue
		}
		if typed != "" && len(typed) > 3 && strings.Contains(s.Error(), typed) {
			t.Errorf("the words for %q repeat it: %s", typed, s)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"BS1 5TR", "bs1", "BFPO 1", "0X1 1AA", "GIR0AA", "ZZ99 1A", "\u00a0", "ÿ1"} {
		f.Add(s)
	}
	table, err := postcode.Sample()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, typed string) {
		p, err := postcode.Parse(typed)
		if err != nil {
			return
		}
		again, err := postcode.Parse(p.String())
		if err != nil || again != p {
			t.Fatalf("%q reads as %s, and that as %s, %v", typed, p, again, err)
		}
		a := table.Lookup(p)
		if p.Whole() && len(a.Candidates) > 0 || a.Authority != "" && a.Place != postcode.EnglandAndWales {
			t.Fatalf("%s: %+v", p, a)
		}
	})
}

func TestLettersAloneTellWhereNoAuthorityIs(t *testing.T) {
	for typed, want := range map[string]postcode.Place{
		"EH99 1SP": postcode.Scotland, "G1 1AA": postcode.Scotland, "ZE1": postcode.Scotland, "BT1 1AA": postcode.NorthernIreland,
		"GY1 1AA": postcode.Guernsey, "je2 3ab": postcode.Jersey, "IM1 1AA": postcode.IsleOfMan,
		"BFPO 58": postcode.Forces, "BF1 0AX": postcode.Forces, "GX11 1AA": postcode.Overseas, "FIQQ 1ZZ": postcode.Overseas,
		"GIR 0AA": postcode.NonGeographic, "BX1 1LT": postcode.NonGeographic, "XX10 1AA": postcode.NonGeographic,
		"GL1 1AA": postcode.Unknown, "B1 1AA": postcode.Unknown, "TD15 1AA": postcode.Unknown, "DG16": postcode.Unknown, "ZZ99 1AA": postcode.Unknown,
	} {
		p, err := postcode.Parse(typed)
		if err != nil || p.Place() != want {
			t.Errorf("%s: %v, %v; want %v", typed, p.Place(), err, want)
		}
		var none *postcode.Table
		if got := none.Lookup(p); got.Place != want || got.Vintage != "" {
			t.Errorf("%s without a table: %+v", typed, got)
		}
	}
}

func TestChooseNeedsBothToAgree(t *testing.T) {
	const bristol, glos = "E06000023", "E06000025"
	known := postcode.Answer{Place: postcode.EnglandAndWales, Authority: bristol}
	several := postcode.Answer{Place: postcode.EnglandAndWales, Candidates: []postcode.Candidate{{Authority: bristol}, {Authority: glos}}}
	for name, c := range map[string]struct {
		answer      postcode.Answer
		staff, want string
		source      postcode.Source
	}{
		"the table alone":                {known, "", bristol, postcode.TableAlone},
		"both":                           {known, bristol, bristol, postcode.Both},
		"they differ":                    {known, glos, glos, postcode.Differ},
		"no table":                       {postcode.Answer{}, glos, glos, postcode.StaffAlone},
		"nobody":                         {postcode.Answer{}, "", "", postcode.Nothing},
		"one of several":                 {several, glos, glos, postcode.StaffAlone},
		"none of several":                {several, "E06000024", "E06000024", postcode.Differ},
		"several and no choice":          {several, "", "", postcode.Nothing},
		"Scotland, whatever staff chose": {postcode.Answer{Place: postcode.Scotland}, bristol, bristol, postcode.CannotServe},
	} {
		if got, source := postcode.Choose(c.answer, c.staff); got != c.want || source != c.source {
			t.Errorf("%s: %q, %v", name, got, source)
		}
	}
}
