package main

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"postern/internal/postcode"
	"postern/internal/postcode/postcodetest"
)

// postcodes measures row 10: a table of a directory of full size beside reading its CSV once, the size of the table, and
// a look-up.
func (b *bench) postcodes() error {
	path := filepath.Join(b.dir, "ONSPD_AUG_2026_UK.csv")
	if err := makeDirectory(path); err != nil {
		return err
	}
	var ours, theirs, ratio []float64
	var table *postcode.Table
	for round := range b.opts.rounds + 1 {
		before := ownTime()
		built, err := buildFrom(path)
		if err != nil {
			return err
		}
		own := (ownTime() - before).Seconds()
		before = ownTime()
		if err := readOnce(path); err != nil {
			return err
		}
		other := (ownTime() - before).Seconds()
		b.say("postcodes: built in %.2f s; the CSV read in %.2f s", own, other)
		if table = built; round > 0 {
			ours, theirs, ratio = append(ours, own), append(theirs, other), append(ratio, own/other)
		}
	}
	size, err := table.WriteTo(io.Discard)
	if err != nil {
		return err
	}
	lookup, err := lookupTime(path, table)
	if err != nil {
		return err
	}
	b.table.add(10, fmt.Sprintf("postcode table of %d rows; %.1f MB, %d ns a look-up", table.Info().Rows, float64(size)/1e6, lookup.Nanoseconds()),
		fmt.Sprintf("%.2f s", median(ours)), fmt.Sprintf("reading the CSV once: %.2f s", median(theirs)), median(ratio), "≤ 2; ≤ 12 MB; ≤ 1 µs",
		"All three are processor time in user mode. The file is invented, of full size in rows and with 22 columns; the published one has about fifty, which makes reading slower and building no slower")
	return nil
}

func makeDirectory(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(postcodetest.Write(f, postcodetest.Names2026, postcodetest.Full, 1), f.Close())
}

func buildFrom(path string) (*postcode.Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return postcode.Build(f, postcode.CSV{Name: filepath.Base(path)})
}

// readOnce reads every field of a CSV with the standard library and does nothing with it.
func readOnce(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r := csv.NewReader(bufio.NewReaderSize(f, 1<<20))
	r.ReuseRecord = true
	for {
		if _, err := r.Read(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// lookupTime is the time of one look-up, over a hundred thousand postcodes from all over the table in no order.
func lookupTime(path string, t *postcode.Table) (time.Duration, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	var codes []postcode.Postcode
	n := 0
	err = postcodetest.Each(bytes.NewReader(text), postcodetest.Names2026, func(pcds string, _ postcodetest.Row) {
		if n++; n%27 == 0 {
			if p, err := postcode.Parse(pcds); err == nil {
				codes = append(codes, p)
			}
		}
	})
	if err != nil || len(codes) == 0 {
		return 0, errors.Join(err, errors.New("no postcodes to look up"))
	}
	const looks = 1_000_000
	before, found := ownTime(), 0
	for i := range looks {
		if t.Lookup(codes[i*7919%len(codes)]).Place != postcode.Unknown {
			found++
		}
	}
	if found != looks {
		return 0, fmt.Errorf("only %d of %d were found", found, looks)
	}
	return (ownTime() - before) / looks, nil
}
