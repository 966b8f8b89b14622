package postcode_test

import (
	"bytes"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/fault"
	"postern/internal/postcode"
	"postern/internal/postcode/postcodetest"
	"postern/internal/testkit"
)

const sampleFile = "testdata/sample_AUG_2026.csv"

func parse(t testing.TB, s string) postcode.Postcode {
	t.Helper()
	p, err := postcode.Parse(s)
	if err != nil {
		t.Fatalf("%q: %v", s, err)
	}
	return p
}

func build(t testing.TB, csv []byte, src postcode.CSV) *postcode.Table {
	t.Helper()
	table, err := postcode.Build(bytes.NewReader(csv), src)
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// agree holds every row of a directory against the table, and reports how many there were.
func agree(t testing.TB, csv []byte, names postcodetest.Names, table *postcode.Table) int {
	t.Helper()
	n, wrong := 0, 0
	err := postcodetest.Each(bytes.NewReader(csv), names, func(pcds string, row postcodetest.Row) {
		n++
		p, err := postcode.Parse(pcds)
		if err != nil {
			t.Fatalf("%s: %v", pcds, err)
		}
		want := postcode.Answer{Postcode: p, Place: postcode.EnglandAndWales, Authority: row.Authority, Ended: row.Ended,
			Organisation: row.Large, Vintage: table.Info().Vintage}
		if strings.HasPrefix(row.Authority, "S12") {
			want.Place, want.Authority = postcode.Scotland, ""
		}
		if got := table.Lookup(p); got.Place != want.Place || got.Authority != want.Authority || got.Ended != want.Ended ||
			got.Organisation != want.Organisation || got.Vintage != want.Vintage || got.Candidates != nil {
			if wrong++; wrong < 10 {
				t.Errorf("%s: %+v; want %+v", pcds, got, want)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEveryRowOfTheSampleAgreesWithTheNaiveLookup(t *testing.T) {
	csv, err := os.ReadFile(sampleFile)
	if err != nil {
		t.Fatal(err)
	}
	table, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	if n := agree(t, csv, postcodetest.Names2026, table); n < 280 {
		t.Errorf("only %d rows were compared", n)
	}
	for _, code := range []string{"E06000023", "E10000017", "E06000008", "E06000009", "E08000003", "E09000033", "W06000006"} {
		if !slices.Contains(table.Authorities(), code) {
			t.Errorf("the sample has no %s", code)
		}
	}
	if i := table.Info(); !i.Synthetic || i.Vintage != "2026-08" || i.CodesYear != "26" || i.Dropped != (postcode.Dropped{NorthernIreland: 5, Islands: 4, NoAuthority: 1}) || i.Licence == "" {
		t.Errorf("info: %+v", i)
	}
}

func TestAMillionInventedRowsAgreeWithTheNaiveLookup(t *testing.T) {
	rows := testkit.N(1_000_000, postcodetest.Full)
	var csv bytes.Buffer
	if err := postcodetest.Write(&csv, postcodetest.Names2025, rows, 1); err != nil {
		t.Fatal(err)
	}
	table := build(t, csv.Bytes(), postcode.CSV{Name: "ONSPD_MAY_2025_UK.csv"})
	n := agree(t, csv.Bytes(), postcodetest.Names2025, table)
	info := table.Info()
	if info.Rows != rows || n != info.Postcodes || n+info.Dropped.NorthernIreland != rows || info.Ended < n/4 {
		t.Errorf("compared %d of %d rows; %+v", n, rows, info)
	}
	var file bytes.Buffer
	size, err := table.WriteTo(&file)
	if err != nil || size > 12_000_000 {
		t.Errorf("the table has %d bytes, %v", size, err)
	}
}

// The worst file: no two neighbours in one authority. The bound on the size must hold for it too.
func TestATableOfNothingButExceptionsStaysSmall(t *testing.T) {
	var csv bytes.Buffer
	csv.WriteString("pcds,doterm,oscty,oslaua\n")
	const letters = "ABDEFGHJLNPQRSTUWXYZ"
	want := map[string]string{}
	for _, outward := range []string{"LA1", "LA2", "LA99"} {
		for d := range 10 {
			for u := range len(letters) * len(letters) {
				pc := outward + " " + string([]byte{byte('0' + d), letters[u/20], letters[u%20]})
				code := "E06000" + string([]byte{byte('0' + (u+d)%5), byte('0' + u%10), byte('0' + u/40)})
				csv.WriteString(pc + ",,E99999999," + code + "\n")
				want[pc] = code
			}
		}
	}
	table := build(t, csv.Bytes(), postcode.CSV{})
	for pc, code := range want {
		if got := table.Lookup(parse(t, pc)); got.Authority != code {
			t.Fatalf("%s: %s, want %s", pc, got.Authority, code)
		}
	}
	size, err := table.WriteTo(&bytes.Buffer{})
	if each := float64(size) / float64(len(want)); err != nil || each*postcodetest.Full > 12_000_000 {
		t.Errorf("%.2f bytes a postcode, %v", each, err)
	}
}

func TestABoundaryAnOutwardCodeAndWhatIsNotThere(t *testing.T) {
	table, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	for typed, want := range map[string]string{"zz99 1aa": "E06000023", "ZZ991AB": "E06000025", "ZZ99 8RB": "E10000017", "LL11 1AY": "W06000006"} {
		if a := table.Lookup(parse(t, typed)); a.Authority != want || a.Place != postcode.EnglandAndWales || a.Vintage != "2026-08" {
			t.Errorf("%s: %+v", typed, a)
		}
	}
	for _, absent := range []string{"ZZ99 1ZZ", "ZZ99 2ZZ", "YO99 1AA", "A1 1AA", "ZZ1"} {
		if a := table.Lookup(parse(t, absent)); a.Place != postcode.Unknown || a.Authority != "" || a.Candidates != nil {
			t.Errorf("%s is in no row, and the table says %+v", absent, a)
		}
	}
	open := table.Lookup(parse(t, "ZZ99"))
	var codes []string
	for i, c := range open.Candidates {
		codes = append(codes, c.Authority)
		if i > 0 && c.Postcodes > open.Candidates[i-1].Postcodes {
			t.Error("the commonest is not first")
		}
	}
	if open.Authority != "" || open.Place != postcode.EnglandAndWales || codes[0] != "E06000023" || len(codes) != 5 {
		t.Errorf("ZZ99 leaves open %v: %+v", codes, open)
	}
	if a := table.Lookup(parse(t, "ZZ98")); a.Authority != "E10000017" || len(a.Candidates) != 1 {
		t.Errorf("twelve districts of one county are one authority: %+v", a)
	}
	border := table.Lookup(parse(t, "ZZ92"))
	if border.Authority != "" || border.Place != postcode.EnglandAndWales || len(border.Candidates) != 2 {
		t.Errorf("the border: %+v", border)
	}
	if a := table.Lookup(parse(t, "BS7 8PS")); !a.Organisation {
		t.Error("a prison's postcode is one organisation's")
	}
}

func TestATableIsTheSameFromTheSameFileAndRefusedWhenDamaged(t *testing.T) {
	var csv bytes.Buffer
	if err := postcodetest.Write(&csv, postcodetest.Names2024, 3000, 7); err != nil {
		t.Fatal(err)
	}
	table, again := build(t, csv.Bytes(), postcode.CSV{}), build(t, csv.Bytes(), postcode.CSV{})
	if table.Digest() != again.Digest() {
		t.Error("one file made two tables")
	}
	var file bytes.Buffer
	if _, err := table.WriteTo(&file); err != nil {
		t.Fatal(err)
	}
	read, err := postcode.Read(file.Bytes())
	if err != nil || read.Digest() != table.Digest() || read.Info().Source == "" {
		t.Fatalf("%v", err)
	}
	agree(t, csv.Bytes(), postcodetest.Names2024, read)
	for at := 0; at < file.Len(); at += testkit.N(997, 11) {
		damaged := slices.Clone(file.Bytes())
		damaged[at] ^= 1 << (at % 8)
		if _, err := postcode.Read(damaged); fault.KindOf(err) != fault.Unverified {
			t.Fatalf("a flipped bit in byte %d passes: %v", at, err)
		}
	}
	for _, n := range []int{0, 10, 40, file.Len() / 2, file.Len() - 1} {
		if _, err := postcode.Read(file.Bytes()[:n]); err == nil {
			t.Fatalf("a table cut to %d bytes passes", n)
		}
	}
}

func TestVersionsAreKeptSideBySideAndTheNewestIsUsed(t *testing.T) {
	folder := t.TempDir()
	if _, err := postcode.Open(folder); fault.KindOf(err) != fault.NotFound || !strings.Contains(err.Error(), "postcode build") {
		t.Errorf("an empty folder: %v", err)
	}
	row := []byte(head + "PR1 8XJ,198001,,E10000017,E07000123,1\n")
	var paths []string
	for _, vintage := range []string{"2026-08", "2026-11", "2026-05"} {
		path, err := build(t, row, postcode.CSV{Vintage: vintage}).Save(folder)
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	if want := filepath.Join(folder, "postcodes-2026-11.table"); paths[1] != want {
		t.Errorf("%s; want %s", paths[1], want)
	}
	newest, err := postcode.Open(folder)
	if err != nil || newest.Info().Vintage != "2026-11" {
		t.Errorf("%v %v", newest, err)
	}
	other := []byte(head + "PR1 8XJ,198001,,E99999999,E06000008,1\n")
	if _, err := build(t, other, postcode.CSV{Vintage: "2026-11"}).Save(folder); fault.KindOf(err) != fault.Exists {
		t.Errorf("another table of the same vintage: %v", err)
	}
	if again, err := build(t, row, postcode.CSV{Vintage: "2026-11"}).Save(folder); err != nil || again != paths[1] {
		t.Errorf("the same table again: %s, %v", again, err)
	}
	if left, err := os.ReadDir(folder); err != nil || len(left) != 3 {
		t.Errorf("in the folder: %v, %v", left, err)
	}
	if err := os.WriteFile(paths[2], []byte("garbage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := postcode.Open(folder); fault.KindOf(err) != fault.Unverified || !strings.Contains(err.Error(), paths[2]) {
		t.Errorf("a damaged one beside it: %v", err)
	}
}

const head = "pcds,dointr,doterm,oscty,oslaua,usertype\n"

func TestWhatIsNotUnderstoodIsRefusedByName(t *testing.T) {
	good := "BS1 5TR,198001,,E99999999,E06000023,1\n"
	for name, c := range map[string]struct {
		csv  string
		says []string
	}{
		"no local authority":    {"pcds,doterm,oscty,lad2027code\nx\n", []string{"no column for the local authority", "oslaua", `"lad2027code"`}},
		"nothing that fits":     {"a,b,c\n", []string{"the postcode", "the county", "the local authority", "the month of termination", "3 columns"}},
		"two years":             {"pcds,doterm,cty25cd,lad26cd\n", []string{"different years"}},
		"two of one":            {"pcds,doterm,cty25cd,lad25cd,lad26cd\n", []string{"more than one column for the local authority: lad25cd, lad26cd"}},
		"an empty file":         {"", []string{"not whole CSV"}},
		"only a header":         {head, []string{"no postcode"}},
		"a row cut short":       {head + good + "BS1 5TS,198001\n", []string{"not whole CSV"}},
		"a district on its own": {head + good + "PR1 8XJ,198001,,E99999999,E07000123,1\n", []string{"Line 3", "district"}},
		"an unknown authority":  {head + "PR1 8XJ,198001,,E99999999,X06000123,1\n", []string{"Line 2", "local authority code"}},
		"an unknown county":     {head + "PR1 8XJ,198001,,Q10000017,E07000123,1\n", []string{"Line 2", "county code"}},
		"no postcode":           {head + "PRESTON,198001,,E10000017,E07000123,1\n", []string{"Line 2", "postcode"}},
		"a postcode twice":      {head + good + good, []string{"Line 3", "earlier line"}},
	} {
		_, err := postcode.Build(strings.NewReader(c.csv), postcode.CSV{})
		if fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, want := range c.says {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is not in\n%v", name, want, err)
			}
		}
	}
	if _, err := postcode.Build(strings.NewReader(head+good), postcode.CSV{Vintage: "August"}); err == nil {
		t.Error("a vintage that is none passes")
	}
}

func TestHeadersOfEveryVintageAndSpelling(t *testing.T) {
	for _, header := range []string{head, "\ufeffPCDS,dointr,doterm,oscty,oslaua,usertype\n", "pcd,dointr,doterm,cty,laua,usertype\n",
		"pcd7,dointr,doterm,cty25cd,lad25cd,usertype\n", "pcd8,dointr,doterm,cty26cd,lad26cd,usertype\n", `"pcds","dointr","doterm","cty31cd","lad31cd","usertype"` + "\n"} {
		for _, spelling := range []string{"PR1 8XJ", "PR1  8XJ", "PR1 8XJ"} {
			table := build(t, []byte(header+spelling+",198001,,E10000017,E07000123,1\n"), postcode.CSV{})
			if a := table.Lookup(parse(t, "PR1 8XJ")); a.Authority != "E10000017" || a.Ended {
				t.Errorf("%q: %+v", header, a)
			}
		}
	}
}

func TestVintageIsSaidNamedOrTheNewestMonth(t *testing.T) {
	csv := []byte(head + "PR1 8XJ,202601,,E10000017,E07000123,1\nPR1 8XL,198001,202607,E10000017,E07000123,1\n")
	got := map[string]postcode.CSV{
		"2027-02": {Vintage: "2027-02", Name: "ONSPD_AUG_2026_UK.csv"},
		"2026-08": {Name: "ONSPD_AUG_2026_UK.csv"},
		"2025-11": {Name: "onspd november 2025.csv"},
		"2026-07": {Name: "data.csv"},
	}
	for _, want := range slices.Sorted(maps.Keys(got)) {
		if i := build(t, csv, got[want]).Info(); i.Vintage != want || i.VintageFrom == "" {
			t.Errorf("%+v: %s from %s", got[want], i.Vintage, i.VintageFrom)
		}
	}
}

func TestProgressIsReported(t *testing.T) {
	var csv bytes.Buffer
	if err := postcodetest.Write(&csv, postcodetest.Names2026, 100_000, 3); err != nil {
		t.Fatal(err)
	}
	var done []int64
	build(t, csv.Bytes(), postcode.CSV{Progress: func(n int64) { done = append(done, n) }})
	if len(done) < 2 || !slices.IsSorted(done) || done[len(done)-1] != int64(csv.Len()) {
		t.Errorf("of %d bytes: %v", csv.Len(), done)
	}
}

func BenchmarkLookup(b *testing.B) {
	var csv bytes.Buffer
	if err := postcodetest.Write(&csv, postcodetest.Names2026, 300_000, 2); err != nil {
		b.Fatal(err)
	}
	table := build(b, csv.Bytes(), postcode.CSV{})
	var codes []postcode.Postcode
	if err := postcodetest.Each(&csv, postcodetest.Names2026, func(pc string, _ postcodetest.Row) { codes = append(codes, parse(b, pc)) }); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	for i := range b.N {
		table.Lookup(codes[i*7919%len(codes)])
	}
}
