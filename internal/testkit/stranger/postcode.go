package stranger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

const (
	tableTitle = "postern postcode table 1\n"
	sectorSize = 163
	unitCount  = 400
	pairs      = "ABDEFGHJLNPQRSTUWXYZ"
)

// Postcodes is a postcode table.
type Postcodes struct {
	authorities []string
	sectors     map[string][]byte // by outward code, padded to four, and figure
	exceptions  []byte
}

// ReadPostcodes reads a table whole.
func ReadPostcodes(file []byte) (*Postcodes, error) {
	end := len(file) - 32
	if end < len(tableTitle)+12 || !bytes.Equal(digest(file[:end]), file[end:]) || !bytes.HasPrefix(file, []byte(tableTitle)) {
		return nil, errors.New("no postcode table, or not a whole one")
	}
	sizes := file[len(tableTitle):]
	size := func(i int) int { return int(binary.BigEndian.Uint32(sizes[4*i:])) }
	body := file[len(tableTitle)+12 : end]
	if uint64(size(0))+sectorSize*uint64(size(1))+3*uint64(size(2)) != uint64(len(body)) {
		return nil, errors.New("the sizes are of another table")
	}
	var head struct {
		Authorities []string `json:"authorities"`
	}
	if err := json.Unmarshal(body[:size(0)], &head); err != nil {
		return nil, fmt.Errorf("the head: %w", err)
	}
	t := &Postcodes{authorities: head.Authorities, sectors: map[string][]byte{}, exceptions: body[size(0)+sectorSize*size(1):]}
	for s := body[size(0) : size(0)+sectorSize*size(1)]; len(s) > 0; s = s[sectorSize:] {
		t.sectors[string(s[:5])] = s[:sectorSize]
	}
	return t, nil
}

// Lookup finds a postcode written as BS1 5TR: its authority, whether it has ended, and whether one organisation has it.
func (t *Postcodes) Lookup(postcode string) (authority string, ended, organisation, ok bool) {
	outward, inward, spaced := strings.Cut(postcode, " ")
	if !spaced || len(inward) != 3 || len(outward) > 4 {
		return
	}
	first, second := strings.IndexByte(pairs, inward[1]), strings.IndexByte(pairs, inward[2])
	s := t.sectors[fmt.Sprintf("%-4s%c", outward, inward[0])]
	if first < 0 || second < 0 || s == nil {
		return
	}
	unit := first*len(pairs) + second
	has := func(bitmap int) bool { return s[13+bitmap*unitCount/8+unit/8]>>(unit%8)&1 != 0 }
	if !has(0) {
		return
	}
	number := int(binary.BigEndian.Uint16(s[5:]))
	mine := t.exceptions[3*binary.BigEndian.Uint32(s[7:]):]
	for i := range int(binary.BigEndian.Uint16(s[11:])) {
		e := int(mine[3*i])<<16 | int(mine[3*i+1])<<8 | int(mine[3*i+2])
		if e>>15 == unit {
			number = e & 0x7fff
		}
	}
	return t.authorities[number], has(1), has(2), true
}
