package postcode

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"strings"
)

// The units of a sector: the two letters at the end, each of twenty.
const (
	unitLetters = "ABDEFGHJLNPQRSTUWXYZ"
	unitCount   = len(unitLetters) * len(unitLetters)
	bitmapSize  = unitCount / 8
)

// A sector's record: what most of its postcodes have in common, three bitmaps over its units, and the exceptions.
const (
	offKey        = 0  // outward code padded to four, and the figure: five bytes
	offDefault    = 5  // number of the authority of every unit that is no exception
	offFirst      = 7  // its first exception
	offCount      = 11 // how many it has
	offPresent    = 13 // which units exist, now or once
	offEnded      = offPresent + bitmapSize
	offOrganised  = offEnded + bitmapSize // which belong to one organisation
	sectorSize    = offOrganised + bitmapSize
	exceptionSize = 3 // unit in nine bits, authority in fifteen
)

// Info says what a table was made of.
type Info struct {
	Vintage     string   `json:"vintage"`       // such as 2026-08
	VintageFrom string   `json:"vintage_from"`  // flag, file name, or newest date in the file
	CodesYear   string   `json:"codes_year"`    // the year in the names of the columns; empty for the names without one
	Source      string   `json:"source_sha256"` // of the whole CSV
	Rows        int      `json:"rows"`          // rows of the CSV
	Postcodes   int      `json:"postcodes"`     // rows kept
	Ended       int      `json:"ended"`         // of those, no longer in use
	Dropped     Dropped  `json:"dropped"`       // rows left out, and why
	Authorities []string `json:"authorities"`   // every code that a look-up can answer, and S92000003 for Scotland
	Organised   bool     `json:"organisations"` // whether the file tells organisations' postcodes from others
	Licence     string   `json:"licence"`       // to be shown wherever the table is handed on
	Synthetic   bool     `json:"synthetic"`     // its postcodes are invented
}

// Dropped counts the rows that were left out.
type Dropped struct {
	NorthernIreland int `json:"northern_ireland"` // their licence does not allow this use
	Islands         int `json:"islands"`          // their letters tell
	NoAuthority     int `json:"no_authority"`     // ended, and never given one
}

// Table is a postcode table. Only Build, Open and Sample make one.
type Table struct {
	info       Info
	digest     [sha256.Size]byte
	sectors    []byte
	exceptions []byte
	keys       []uint64 // of the sectors, close together: a search touches little memory
	raw        []byte
}

// Answer is what a table knows of a postcode.
type Answer struct {
	Postcode     Postcode
	Place        Place
	Authority    string      // the upper-tier code; empty unless exactly one is left
	Candidates   []Candidate // for an outward code: where its postcodes lie, most first
	Ended        bool        // no longer in use; it may still be on older papers
	Organisation bool        // of one organisation or of boxes: ask whether a child lives there
	Vintage      string      // of the table that answered; empty where letters alone did
}

// Candidate is one place that postcodes of an outward code lie in.
type Candidate struct {
	Place     Place
	Authority string // empty outside England and Wales
	Postcodes int
}

const scotlandCode = "S92000003"

// Lookup answers for one postcode. A nil table answers what the letters alone tell.
func (t *Table) Lookup(p Postcode) Answer {
	a := Answer{Postcode: p, Place: p.Place()}
	if t == nil || a.Place != Unknown {
		return a
	}
	a.Vintage = t.info.Vintage
	if !p.Whole() {
		return t.outward(a)
	}
	i, found := slices.BinarySearch(t.keys, sectorKey(p.outward, p.inward[0]))
	if !found {
		return a
	}
	s, unit := t.sector(i), unitOf(p.inward[1:])
	if !bit(s[offPresent:], unit) {
		return a
	}
	a.Ended, a.Organisation = bit(s[offEnded:], unit), bit(s[offOrganised:], unit)
	a.Place, a.Authority = t.place(t.authority(s, unit))
	return a
}

// place is the place and authority of an authority's number.
func (t *Table) place(number int) (Place, string) {
	if code := t.info.Authorities[number]; code != scotlandCode {
		return EnglandAndWales, code
	}
	return Scotland, ""
}

// outward counts the postcodes of an outward code by authority.
func (t *Table) outward(a Answer) Answer {
	counts := map[int]int{}
	i, _ := slices.BinarySearch(t.keys, sectorKey(a.Postcode.outward, '0'))
	for ; i < len(t.keys) && t.keys[i] <= sectorKey(a.Postcode.outward, '9'); i++ {
		s := t.sector(i)
		for unit := range unitCount {
			if bit(s[offPresent:], unit) {
				counts[t.authority(s, unit)]++
			}
		}
	}
	for number, n := range counts {
		place, code := t.place(number)
		a.Candidates = append(a.Candidates, Candidate{place, code, n})
	}
	slices.SortFunc(a.Candidates, func(x, y Candidate) int {
		return cmp.Or(cmp.Compare(y.Postcodes, x.Postcodes), strings.Compare(x.Authority, y.Authority))
	})
	for _, c := range a.Candidates {
		if a.Place != EnglandAndWales {
			a.Place = c.Place
		}
	}
	if len(a.Candidates) == 1 {
		a.Authority = a.Candidates[0].Authority
	}
	return a
}

func (t *Table) sector(i int) []byte { return t.sectors[i*sectorSize:][:sectorSize] }

// authority is the number of the authority of a unit: its exception, or the sector's.
func (t *Table) authority(s []byte, unit int) int {
	first, n := int(binary.BigEndian.Uint32(s[offFirst:])), int(binary.BigEndian.Uint16(s[offCount:]))
	lo, hi := first, first+n
	for lo < hi {
		mid := (lo + hi) / 2
		e := t.exceptions[mid*exceptionSize:]
		v := int(e[0])<<16 | int(e[1])<<8 | int(e[2])
		switch u := v >> 15; {
		case u == unit:
			return v & 0x7fff
		case u < unit:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return int(binary.BigEndian.Uint16(s[offDefault:]))
}

func bit(bitmap []byte, n int) bool { return bitmap[n/8]&(1<<(n%8)) != 0 }

// sectorKey is the outward code, padded so that its sectors stand together, and the figure after it.
func sectorKey(outward string, figure byte) (key uint64) {
	for i := range 4 {
		c := byte(' ')
		if i < len(outward) {
			c = outward[i]
		}
		key = key<<8 | uint64(c)
	}
	return key<<8 | uint64(figure)
}

// keyOf is the key in a sector's record.
func keyOf(record []byte) uint64 {
	return uint64(binary.BigEndian.Uint32(record))<<8 | uint64(record[4])
}

// unitOf is the number of the last two letters, which Parse has checked.
func unitOf(letters string) int {
	return strings.IndexByte(unitLetters, letters[0])*len(unitLetters) + strings.IndexByte(unitLetters, letters[1])
}

// Info says what the table was made of.
func (t *Table) Info() Info {
	i := t.info
	i.Authorities = slices.Clone(i.Authorities)
	return i
}

// Digest is the SHA-256 of the table's file up to its last 32 bytes, which are the same.
func (t *Table) Digest() [sha256.Size]byte { return t.digest }

// Authorities lists the codes of England and Wales that a look-up can answer, sorted.
func (t *Table) Authorities() []string {
	return slices.DeleteFunc(slices.Clone(t.info.Authorities), func(c string) bool { return c == scotlandCode })
}
