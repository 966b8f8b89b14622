// Package postcodetest makes ONS Postcode Directories of invented rows, of any size and of each year's column names, and
// looks postcodes up in them the slow and obvious way.
//
// It knows nothing of package postcode, so that the two can be held against each other. What it writes depends on the
// seed alone. Its postcodes have the shape of real ones, and some are: what stands beside them is invented, so a file
// of this package is for tests and benchmarks and must never route anything.
package postcodetest

import (
	"bufio"
	"encoding/csv"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
)

// Names are the column names of a year.
type Names struct{ County, Authority, Postcode7, Postcode8, Country string }

// The names of three years.
var (
	Names2024 = Names{"oscty", "oslaua", "pcd", "pcd2", "ctry"}
	Names2025 = Names{"cty25cd", "lad25cd", "pcd7", "pcd8", "ctry25cd"}
	Names2026 = Names{"cty26cd", "lad26cd", "pcd7", "pcd8", "ctry26cd"}
)

// Full is the number of rows of a whole directory, ended postcodes included.
const Full = 2_700_000

// letters are those that stand in the second half of a postcode.
const letters = "ABDEFGHJLNPQRSTUWXYZ"

// place is a county and an authority within it.
type place struct{ county, authority, country string }

// Write writes a directory of so many rows, sorted as the real one is. About one row in three has ended, one sector in
// eight is cut by a boundary.
func Write(w io.Writer, names Names, rows int, seed uint64) error {
	g := &generator{Rand: rand.New(rand.NewPCG(seed, 1)), w: bufio.NewWriterSize(w, 1<<20)}
	g.line(names.Postcode7, names.Postcode8, "pcds", "dointr", "doterm", names.County, "ced25cd", names.Authority, "wd25cd", "usertype",
		"east1m", "north1m", "gridind", names.Country, "rgn25cd", "pcon24cd", "oa21cd", "lsoa21cd", "msoa21cd", "lat", "long", "imd20ind")
	perSector := 216 // of 400: so a whole directory has about 12 500 sectors, as the real one
	for sector := 0; g.rows < rows; sector++ {
		g.sector(sector, min(perSector, rows-g.rows))
	}
	return g.w.Flush()
}

type generator struct {
	*rand.Rand
	w    *bufio.Writer
	rows int
}

func (g *generator) line(fields ...string) {
	for i, f := range fields {
		if i > 0 {
			g.w.WriteByte(',')
		}
		g.w.WriteString(f)
	}
	g.w.WriteByte('\n')
}

// sector writes n rows of one sector: number 0 is CA10 0, the next CA10 1.
func (g *generator) sector(number, n int) {
	outward, figure := outward(number/10), byte('0'+number%10)
	here, there := g.place(), g.place()
	boundary := g.IntN(8) == 0
	for _, unit := range g.units(n) {
		p := here
		if boundary && unit%3 == 0 {
			p = there
		}
		ended := ""
		if g.IntN(3) == 0 {
			ended = fmt.Sprintf("%d%02d", 1990+g.IntN(36), 1+g.IntN(12))
		}
		inward := string([]byte{figure, letters[unit/len(letters)], letters[unit%len(letters)]})
		east, north := 100000+g.IntN(500000), 10000+g.IntN(600000)
		g.line(pad(outward, 4)+inward, pad(outward, 4)+" "+inward, outward+" "+inward, "198001", ended, p.county, "E58001234", p.authority,
			"E05012345", fmt.Sprint(g.IntN(20)/19), fmt.Sprint(east), fmt.Sprint(north), "1", p.country, "E12000009", "E14001234",
			"E00073021", "E01014485", "E02003012", fmt.Sprintf("%d.%06d", 50+north/200000, north), fmt.Sprintf("-%d.%06d", east/200000, east), "12345")
		g.rows++
	}
}

// units are n different units of a sector in order.
func (g *generator) units(n int) []int {
	const all = len(letters) * len(letters)
	var out []int
	for unit := range all {
		if left := all - unit; g.IntN(left) < n-len(out) {
			out = append(out, unit)
		}
	}
	return out
}

// areas are in order, and none whose letters alone tell where it is.
var areas = []string{"CA", "CB", "CH", "DA", "DE", "LA", "LE", "NE", "NR", "OX", "PE", "RG", "SA", "SE", "SW", "TA", "TD", "WA", "WR", "YO", "ZZ"}

// outward is the nth outward code: CA10 to CA99, CB10 …
func outward(n int) string { return fmt.Sprintf("%s%d", areas[n/90], 10+n%90) }

func pad(s string, n int) string { return s + strings.Repeat(" ", n-len(s)) }

// place draws one of some two hundred authorities.
func (g *generator) place() place {
	switch n := g.IntN(100); {
	case n < 20:
		return place{"E99999999", fmt.Sprintf("E06%06d", 1+g.IntN(66)), "E92000001"}
	case n < 35:
		return place{"E99999999", fmt.Sprintf("E08%06d", 1+g.IntN(37)), "E92000001"}
	case n < 50:
		return place{"E99999999", fmt.Sprintf("E09%06d", 1+g.IntN(33)), "E92000001"}
	case n < 80:
		return place{fmt.Sprintf("E10%06d", 2+g.IntN(33)), fmt.Sprintf("E07%06d", 4+g.IntN(240)), "E92000001"}
	case n < 88:
		return place{"W99999999", fmt.Sprintf("W06%06d", 1+g.IntN(24)), "W92000004"}
	case n < 96:
		return place{"S99999999", fmt.Sprintf("S12%06d", 5+g.IntN(46)), "S92000003"}
	}
	return place{"N99999999", fmt.Sprintf("N09%06d", 1+g.IntN(11)), "N92000002"}
}

// Row is what the slow and obvious way finds of one postcode.
type Row struct {
	Authority    string // the upper-tier code; a Scottish code as it stands; empty for none
	Ended, Large bool
}

// Each reads a directory field by field and calls fn for every row that is not of Northern Ireland or an island, with
// the postcode as in the column pcds.
func Each(r io.Reader, names Names, fn func(postcode string, row Row)) error {
	c := csv.NewReader(r)
	head, err := c.Read()
	if err != nil {
		return err
	}
	at := map[string]int{}
	for i, name := range head {
		at[name] = i
	}
	pcds, authority, county, ended, user := at["pcds"], at[names.Authority], at[names.County], at["doterm"], at["usertype"]
	for {
		f, err := c.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		row := Row{Authority: f[authority], Ended: f[ended] != "", Large: f[user] == "1"}
		if strings.HasPrefix(f[county], "E10") {
			row.Authority = f[county]
		}
		if row.Authority != "" && strings.Contains("EWS", row.Authority[:1]) {
			fn(f[pcds], row)
		}
	}
}
