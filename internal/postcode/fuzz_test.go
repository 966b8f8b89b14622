package postcode_test

import (
	"bytes"
	"crypto/sha256"
	"testing"

	"postern/internal/fault"
	"postern/internal/postcode"
	"postern/internal/postcode/postcodetest"
	"postern/internal/testkit/stranger"
)

// FuzzRead: any bytes as a table are refused, or every look-up in what was read has an answer. Most of what a fuzzer
// makes fails its digest, so the digest is put right again for half of it.
func FuzzRead(f *testing.F) {
	var csv, whole bytes.Buffer
	if err := postcodetest.Write(&csv, postcodetest.Names2026, 300, 1); err != nil {
		f.Fatal(err)
	}
	table, err := postcode.Build(&csv, postcode.CSV{})
	if err != nil {
		f.Fatal(err)
	}
	if _, err := table.WriteTo(&whole); err != nil {
		f.Fatal(err)
	}
	f.Add(whole.Bytes(), "BS1 5TR", false)
	f.Add(whole.Bytes(), "ZZ99 3WZ", true)
	f.Add(whole.Bytes()[:200], "BS1", true)
	f.Add([]byte{}, "", true)
	f.Fuzz(func(t *testing.T, b []byte, typed string, mend bool) {
		if b = bytes.Clone(b); mend && len(b) >= 32 {
			sum := sha256.Sum256(b[:len(b)-32])
			copy(b[len(b)-32:], sum[:])
		}
		table, err := postcode.Read(b)
		if err != nil {
			if fault.From(err).Reason != "BAD_POSTCODES" {
				t.Fatal(err)
			}
			return
		}
		if p, err := postcode.Parse(typed); err == nil {
			table.Lookup(p)
		}
		for _, s := range []string{"BS1 5TR", "B1", "ZZ99 3WZ", "AB1 0AA", "LL11 1AA"} {
			table.Lookup(parse(t, s))
		}
	})
}

// FuzzBuild: any text as a directory is refused in words, or makes a table that is read again as the same.
func FuzzBuild(f *testing.F) {
	for _, names := range []postcodetest.Names{postcodetest.Names2024, postcodetest.Names2025, postcodetest.Names2026} {
		var csv bytes.Buffer
		if err := postcodetest.Write(&csv, names, 20, 1); err != nil {
			f.Fatal(err)
		}
		f.Add(csv.Bytes())
	}
	f.Add([]byte("pcds\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, csv []byte) {
		table, err := postcode.Build(bytes.NewReader(csv), postcode.CSV{})
		if err != nil {
			if fault.KindOf(err) != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		var file bytes.Buffer
		if _, err := table.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		if again, err := postcode.Read(file.Bytes()); err != nil || again.Info().Source != table.Info().Source {
			t.Fatalf("the table that was made is not read: %v", err)
		}
	})
}

// TestAStrangerReadsTheTable: another program that reads docs/formats.md finds in the file of a table what we find.
func TestAStrangerReadsTheTable(t *testing.T) {
	for rows, seed := range map[int]uint64{20_000: 1, 3_000: 2} {
		var csv, file bytes.Buffer
		if err := postcodetest.Write(&csv, postcodetest.Names2026, rows, seed); err != nil {
			t.Fatal(err)
		}
		table := build(t, csv.Bytes(), postcode.CSV{})
		if _, err := table.WriteTo(&file); err != nil {
			t.Fatal(err)
		}
		theirs, err := stranger.ReadPostcodes(file.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		found, ended := 0, 0
		err = postcodetest.Each(bytes.NewReader(csv.Bytes()), postcodetest.Names2026, func(pcds string, _ postcodetest.Row) {
			want := table.Lookup(parse(t, pcds))
			code, over, organisation, ok := theirs.Lookup(pcds)
			if want.Place == postcode.Scotland {
				want.Authority = "S92000003"
			}
			if ok != (want.Authority != "") || code != want.Authority || over != want.Ended || organisation != want.Organisation {
				t.Fatalf("%s: the stranger finds %s %v %v %v, we %+v", pcds, code, over, organisation, ok, want)
			}
			if found++; over {
				ended++
			}
		})
		if err != nil || found < rows/2 || ended == 0 || ended == found {
			t.Errorf("%d postcodes, %d ended: %v", found, ended, err)
		}
		if _, _, _, ok := theirs.Lookup("ZZ99 3WZ"); ok {
			t.Error("the stranger finds a postcode that is not there")
		}
	}
}
