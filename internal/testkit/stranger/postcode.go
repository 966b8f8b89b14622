package stranger

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strings"
)

// Postcodes is a postcode table.
type Postcodes struct {
	authorities []string
	sectors     map[string][]byte // by key
	exceptions  []byte
}

// ReadPostcodes reads a table from its file.
func ReadPostcodes(file []byte) (*Postcodes, error) {
	const magic = "postern postcode table 1\n"
	if len(file) < len(magic)+12+32 || string(file[:len(magic)]) != magic || !bytes.Equal(hash(file[:len(file)-32]), file[len(file)-32:]) {
		return nil, errors.New("no whole postcode table")
	}
	sizes, rest := file[len(magic):len(magic)+12], file[len(magic)+12:len(file)-32]
	head, sectors, exceptions := int(binary.BigEndian.Uint32(sizes)), int(binary.BigEndian.Uint32(sizes[4:])), int(binary.BigEndian.Uint32(sizes[8:]))
	if head+163*sectors+3*exceptions != len(rest) {
		return nil, errors.New("the sizes do not add up")
	}
	var info struct {
		Authorities []string `json:"authorities"`
	}
	if err := json.Unmarshal(rest[:head], &info); err != nil {
		return nil, err
	}
	p := &Postcodes{info.Authorities, map[string][]byte{}, rest[head+163*sectors:]}
	for i := range sectors {
		record := rest[head+163*i : head+163*(i+1)]
		p.sectors[string(record[:5])] = record
	}
	return p, nil
}

// Lookup is the authority of a postcode such as BS1 5TR, and whether the postcode has ended and belongs to one
// organisation; none when it is not in the table.
func (p *Postcodes) Lookup(postcode string) (authority string, ended, organisation, ok bool) {
	outward, inward, cut := strings.Cut(postcode, " ")
	if !cut || len(inward) != 3 || len(outward) > 4 {
		return "", false, false, false
	}
	const letters = "ABDEFGHJLNPQRSTUWXYZ"
	first, second := strings.IndexByte(letters, inward[1]), strings.IndexByte(letters, inward[2])
	s := p.sectors[outward+strings.Repeat(" ", 4-len(outward))+inward[:1]]
	if first < 0 || second < 0 || s == nil {
		return "", false, false, false
	}
	unit := 20*first + second
	bit := func(bitmap int) bool { return s[13+50*bitmap+unit/8]>>(unit%8)&1 == 1 }
	if !bit(0) {
		return "", false, false, false
	}
	number := int(binary.BigEndian.Uint16(s[5:]))
	from, count := int(binary.BigEndian.Uint32(s[7:])), int(binary.BigEndian.Uint16(s[11:]))
	for i := from; i < from+count; i++ {
		e := uint32(p.exceptions[3*i])<<16 | uint32(p.exceptions[3*i+1])<<8 | uint32(p.exceptions[3*i+2])
		if int(e>>15) == unit {
			number = int(e & 0x7fff)
		}
	}
	return p.authorities[number], bit(1), bit(2), true
}
