package main

import (
	"fmt"
	"os"
	"path/filepath"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"postern/internal/fault"
	"postern/internal/postcode"
)

func (a *app) postcodeCommand() *cobra.Command {
	c := &cobra.Command{Use: "postcode", Short: "Which authority a postcode is in"}
	var vintage, table string
	build := &cobra.Command{Use: "build ONSPD.csv OUT", Short: "Make a postcode table of an ONS Postcode Directory; in a folder OUT each vintage has its own file",
		Args: exactly(2), RunE: func(_ *cobra.Command, args []string) error { return a.postcodeBuild(args[0], args[1], vintage) }}
	build.Flags().StringVar(&vintage, "vintage", "", "the month of the directory, such as 2026-08; from the file's name when left out")
	lookup := &cobra.Command{Use: "lookup POSTCODE", Short: "Say which authority a postcode is in, or what an outward code alone leaves open",
		Args: exactly(1), RunE: func(_ *cobra.Command, args []string) error { return a.postcodeLookup(args[0], table) }}
	lookup.Flags().StringVar(&table, "table", "", "a postcode table, or a folder of them; the built-in sample of invented postcodes when left out")
	c.AddCommand(build, lookup)
	return c
}

func (a *app) postcodeBuild(file, out, vintage string) error {
	f, err := os.Open(file)
	if err != nil {
		return fault.Newf(fault.NotFound, "NO_FILE", "The file %s cannot be read. Name the CSV of the ONS Postcode Directory, unpacked.", file).Because(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fault.From(err)
	}
	told := false
	t, err := postcode.Build(f, postcode.CSV{Name: filepath.Base(file), Vintage: vintage, Progress: func(done int64) {
		told = true
		fmt.Fprintf(a.err, "\rreading: %d of %d MB", done>>20, info.Size()>>20)
	}})
	if told {
		fmt.Fprintln(a.err)
	}
	if err != nil {
		return err
	}
	path, err := t.Save(out)
	if err != nil {
		return err
	}
	i := t.Info()
	if a.output == "json" {
		return a.printJSON(map[string]any{"file": path, "sha256": fmt.Sprintf("%x", t.Digest()), "table": i})
	}
	a.line("%s: vintage %s (from: %s), %d postcodes of %d rows, %d of them ended, %d authorities.", path, i.Vintage, i.VintageFrom, i.Postcodes, i.Rows, i.Ended, len(t.Authorities()))
	a.line("Left out: %d of Northern Ireland, %d of the islands, %d without an authority.", i.Dropped.NorthernIreland, i.Dropped.Islands, i.Dropped.NoAuthority)
	a.line("%s", i.Licence)
	return nil
}

func (a *app) postcodeLookup(typed, file string) error {
	p, err := postcode.Parse(typed)
	if err != nil {
		return fault.New(fault.Invalid, "POSTCODE", err.Error())
	}
	open := func() (*postcode.Table, error) { return postcode.Open(file) }
	if file == "" {
		open = postcode.Sample
	}
	t, err := open()
	if err != nil {
		return err
	}
	if t.Info().Synthetic {
		fmt.Fprintln(a.err, "postern: this is the built-in sample, whose postcodes are invented; name a table with --table")
	}
	answer := t.Lookup(p)
	if a.output == "json" {
		return a.printJSON(answerJSON(answer))
	}
	a.line("%s: %s", p, placeWords(answer))
	if answer.Ended {
		a.line("It is no longer in use. On an older paper it may still be right: ask where the child lives now.")
	}
	if answer.Organisation {
		a.line("It belongs to one organisation or to boxes: ask whether the child lives there.")
	}
	if len(answer.Candidates) > 1 {
		a.line("The first half alone leaves open:")
		w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
		for _, c := range answer.Candidates {
			fmt.Fprintf(w, "  %s\t%d postcodes\n", candidate(c), c.Postcodes)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if answer.Vintage != "" {
		a.line("From the table of %s.", answer.Vintage)
	}
	return nil
}

func candidate(c postcode.Candidate) string {
	if c.Authority == "" {
		return placeNames[c.Place]
	}
	return c.Authority
}

var placeNames = map[postcode.Place]string{
	postcode.Unknown: "not in the table: it may be new, or mistyped", postcode.Scotland: "Scotland", postcode.NorthernIreland: "Northern Ireland",
	postcode.Guernsey: "Guernsey", postcode.Jersey: "Jersey", postcode.IsleOfMan: "the Isle of Man", postcode.Forces: "a forces' address",
	postcode.Overseas: "overseas", postcode.NonGeographic: "not a place where anybody lives", postcode.EnglandAndWales: "England and Wales, in more than one authority",
}

func placeWords(a postcode.Answer) string {
	if a.Authority != "" {
		return a.Authority
	}
	return placeNames[a.Place]
}

func answerJSON(a postcode.Answer) map[string]any {
	candidates := []map[string]any{}
	for _, c := range a.Candidates {
		candidates = append(candidates, map[string]any{"place": c.Place.String(), "authority": c.Authority, "postcodes": c.Postcodes})
	}
	return map[string]any{"postcode": a.Postcode.String(), "whole": a.Postcode.Whole(), "place": a.Place.String(), "authority": a.Authority,
		"candidates": candidates, "ended": a.Ended, "organisation": a.Organisation, "vintage": a.Vintage}
}
