package postcode

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"encoding/csv"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"postern/internal/fault"
)

// licence is the note that must go with a table wherever it goes: the directory is public, its licence asks for the names.
const licence = "Contains OS data © Crown copyright and database right. Contains Royal Mail data © Royal Mail copyright and database right. " +
	"Source: Office for National Statistics, licensed under the Open Government Licence v3.0. Northern Ireland left out."

// CSV says what is known of the file to build a table of.
type CSV struct {
	Name      string           // the file's name, which may tell its vintage; its folders do not matter
	Vintage   string           // such as 2026-08; from Name, else from the newest month in the file, when empty
	Synthetic bool             // whether its postcodes are invented
	Progress  func(done int64) // called now and then with the bytes read; nil for nobody
}

// Build reads a whole ONS Postcode Directory and makes the table. The first row that is not understood fails it: a table
// with a piece missing would send a child's file to a neighbour, or say that a street does not exist.
func Build(csvFile io.Reader, src CSV) (*Table, error) {
	if src.Vintage != "" && !vintageShape.MatchString(src.Vintage) {
		return nil, fault.New(fault.Invalid, "POSTCODE_VINTAGE", "The vintage is a year and a month, such as 2026-08.")
	}
	hash := sha256.New()
	counted := &counter{r: io.TeeReader(csvFile, hash), progress: src.Progress}
	r := csv.NewReader(bufio.NewReaderSize(counted, 1<<20))
	r.ReuseRecord = true
	header, err := r.Read()
	if err != nil {
		return nil, unreadable(err)
	}
	at, year, err := match(header)
	if err != nil {
		return nil, err
	}
	b := &builder{at: at, sectors: map[uint64]*sector{}, numbers: map[string]uint16{}}
	for {
		row, err := r.Read()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, unreadable(err)
		}
		b.info.Rows++
		if reason := b.add(row); reason != "" {
			line, _ := r.FieldPos(0)
			return nil, fault.Newf(fault.Invalid, "POSTCODE_ROW", "Line %d of the file: %s Get the file again as it was published.", line, reason)
		}
	}
	if b.info.Postcodes == 0 {
		return nil, fault.New(fault.Invalid, "POSTCODE_EMPTY", "The file holds no postcode of England, Wales or Scotland. Get it again as it was published.")
	}
	b.info.CodesYear, b.info.Source, b.info.Licence = year, hex.EncodeToString(hash.Sum(nil)), licence
	b.info.Vintage, b.info.VintageFrom = b.vintage(src)
	b.info.Synthetic = src.Synthetic
	return b.table()
}

func unreadable(err error) error {
	return fault.New(fault.Invalid, "POSTCODE_CSV", "The file is not whole CSV. Unpack it again and name the CSV with all areas in it.").Because(err)
}

// counter reports how far the reading is, every few megabytes.
type counter struct {
	r          io.Reader
	progress   func(int64)
	done, said int64
}

// Read reads, and reports.
func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.done += int64(n)
	if c.progress != nil && (c.done-c.said >= 8<<20 || err == io.EOF && c.said < c.done) {
		c.said = c.done
		c.progress(c.done)
	}
	return n, err
}

// sector gathers what is known of the units of a sector: the number of each one's authority and one more, 0 for none.
type sector struct {
	authority    [unitCount]uint16
	ended, organ [bitmapSize]byte
}

type builder struct {
	at      [columnCount]int
	info    Info
	sectors map[uint64]*sector
	numbers map[string]uint16
	newest  string

	lastKey uint64 // the file is sorted: most rows are of the sector of the one before
	last    *sector
}

var (
	upperTier = regexp.MustCompile(`^(E06|E08|E09|W06)[0-9]{6}$`)
	county    = regexp.MustCompile(`^E10[0-9]{6}$`)
	noCounty  = regexp.MustCompile(`^([ENSWLM]99999999|E11[0-9]{6}|E13[0-9]{6}|)$`) // none, metropolitan, or part of London
)

// add takes one row, or says what is wrong with it.
func (b *builder) add(row []string) string {
	code, reason := b.code(row[b.at[colCounty]], row[b.at[colAuthority]])
	if reason != "" || code == "" {
		return reason
	}
	key, unit, ok := rowKey(row[b.at[colPostcode]])
	if !ok {
		return "its postcode is not one."
	}
	s := b.sector(key)
	n := b.number(code)
	if s.authority[unit] != 0 {
		return "its postcode stood on an earlier line."
	}
	s.authority[unit] = n + 1
	b.info.Postcodes++
	if ended := row[b.at[colEnded]]; ended != "" {
		s.ended[unit/8] |= 1 << (unit % 8)
		b.info.Ended++
		b.newest = max(b.newest, ended)
	}
	if i := b.at[colStarted]; i >= 0 {
		b.newest = max(b.newest, row[i])
	}
	if i := b.at[colUser]; i >= 0 && row[i] == "1" {
		s.organ[unit/8] |= 1 << (unit % 8)
	}
	return ""
}

// code is the code that has children's services: the county's, or else the local authority's; empty for a row that is
// left out.
func (b *builder) code(cty, lad string) (code, reason string) {
	if county.MatchString(cty) {
		return cty, ""
	}
	if !noCounty.MatchString(cty) {
		return "", "its county code is of a kind that this version does not know."
	}
	switch {
	case upperTier.MatchString(lad):
		return lad, ""
	case strings.HasPrefix(lad, "S12"):
		return scotlandCode, ""
	case strings.HasPrefix(lad, "N09"):
		b.info.Dropped.NorthernIreland++
		return "", ""
	case strings.HasPrefix(lad, "L99"), strings.HasPrefix(lad, "M99"):
		b.info.Dropped.Islands++
		return "", ""
	case lad == "", strings.HasSuffix(lad, "99999999"):
		b.info.Dropped.NoAuthority++
		return "", ""
	case strings.HasPrefix(lad, "E07"):
		return "", "it has a district without its county, and a district has no children's services."
	}
	return "", "its local authority code is of a kind that this version does not know."
}

// rowKey reads a postcode as the file spells it, with or without its space. It is Parse without what people type, since
// it runs on millions of rows.
func rowKey(s string) (key uint64, unit int, ok bool) {
	n := len(s) - 3
	if n < 2 {
		return key, 0, false
	}
	outward, inward := strings.TrimRight(s[:n], " "), s[n:]
	x, y := strings.IndexByte(unitLetters, inward[1]), strings.IndexByte(unitLetters, inward[2])
	if len(outward) < 2 || len(outward) > 4 || outward[0] < 'A' || inward[0] < '0' || inward[0] > '9' || x < 0 || y < 0 {
		return key, 0, false
	}
	return sectorKey(outward, inward[0]), x*len(unitLetters) + y, true
}

func (b *builder) sector(key uint64) *sector {
	if b.last != nil && b.lastKey == key {
		return b.last
	}
	s := b.sectors[key]
	if s == nil {
		s = &sector{}
		b.sectors[key] = s
	}
	b.lastKey, b.last = key, s
	return s
}

func (b *builder) number(code string) uint16 {
	n, ok := b.numbers[code]
	if !ok {
		n = uint16(len(b.numbers))
		b.numbers[strings.Clone(code)] = n // the reader's buffer is used again
	}
	return n
}

// table writes down what was gathered, sectors and codes sorted, so that one file makes one table.
func (b *builder) table() (*Table, error) {
	b.info.Authorities = slices.Sorted(maps.Keys(b.numbers))
	b.info.Organised = b.at[colUser] >= 0
	sorted := make([]uint16, len(b.numbers)) // by number in order of the file
	for i, code := range b.info.Authorities {
		sorted[b.numbers[code]] = uint16(i)
	}
	var sectors, exceptions []byte
	for _, key := range slices.Sorted(maps.Keys(b.sectors)) {
		s := b.sectors[key]
		usual := s.usual()
		record := make([]byte, sectorSize)
		binary.BigEndian.PutUint32(record, uint32(key>>8))
		record[4] = byte(key)
		binary.BigEndian.PutUint16(record[offDefault:], sorted[usual-1])
		binary.BigEndian.PutUint32(record[offFirst:], uint32(len(exceptions)/exceptionSize))
		copy(record[offEnded:], s.ended[:])
		copy(record[offOrganised:], s.organ[:])
		n := 0
		for unit, a := range s.authority {
			if a == 0 {
				continue
			}
			record[offPresent+unit/8] |= 1 << (unit % 8)
			if a != usual {
				v := unit<<15 | int(sorted[a-1])
				exceptions = append(exceptions, byte(v>>16), byte(v>>8), byte(v))
				n++
			}
		}
		binary.BigEndian.PutUint16(record[offCount:], uint16(n))
		sectors = append(sectors, record...)
	}
	raw, err := file(b.info, sectors, exceptions)
	if err != nil {
		return nil, err
	}
	return Read(raw)
}

// usual is the commonest authority of a sector, the first of several.
func (s *sector) usual() (usual uint16) {
	counts := map[uint16]int{}
	for _, a := range s.authority {
		if a == 0 {
			continue
		}
		if counts[a]++; usual == 0 || counts[a] > counts[usual] {
			usual = a
		}
	}
	return usual
}

var (
	vintageShape = regexp.MustCompile(`^20[0-9]{2}-(0[1-9]|1[0-2])$`)
	inName       = regexp.MustCompile(`(?i)(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[A-Z]*[_ -]?(20[0-9]{2})`)
	months       = "JANFEBMARAPRMAYJUNJULAUGSEPOCTNOVDEC"
)

// vintage is the month that the file was published for: as said, as its name says, or the newest month in it, which lies
// a little before.
func (b *builder) vintage(src CSV) (vintage, from string) {
	if src.Vintage != "" {
		return src.Vintage, "said"
	}
	if m := inName.FindStringSubmatch(src.Name); m != nil {
		return fmt.Sprintf("%s-%02d", m[2], strings.Index(months, strings.ToUpper(m[1]))/3+1), "file name"
	}
	if len(b.newest) == 6 {
		return b.newest[:4] + "-" + b.newest[4:], "newest month in the file"
	}
	return "unknown", "nothing"
}
