package postcode

import "strings"

// Place is the part of the world that a postcode is in, as far as its letters or a table tell.
type Place uint8

// The places. Children's services of an authority exist only in England and Wales; who is to be turned to elsewhere, the
// form says.
const (
	Unknown         Place = iota // no table has it: it may be new, mistyped, or of nowhere
	EnglandAndWales              // an authority is known, or several for an outward code
	Scotland
	NorthernIreland
	Guernsey      // and its islands
	Jersey        //
	IsleOfMan     //
	Forces        // a forces' address (BFPO), wherever that is
	Overseas      // an overseas territory
	NonGeographic // a bank, a newspaper, returned mail: nobody lives there
)

var placeNames = [...]string{"UNKNOWN", "ENGLAND_AND_WALES", "SCOTLAND", "NORTHERN_IRELAND", "GUERNSEY", "JERSEY", "ISLE_OF_MAN",
	"FORCES", "OVERSEAS", "NON_GEOGRAPHIC"}

// String is the code of the place, such as NORTHERN_IRELAND.
func (p Place) String() string { return placeNames[p] }

// places are the postcode areas whose letters alone tell the place. The areas DG and TD are not among them: both cross the
// border of England and Scotland, and only a table can tell.
var places = map[string]Place{
	"AB": Scotland, "DD": Scotland, "EH": Scotland, "FK": Scotland, "G": Scotland, "HS": Scotland, "IV": Scotland,
	"KA": Scotland, "KW": Scotland, "KY": Scotland, "ML": Scotland, "PA": Scotland, "PH": Scotland, "ZE": Scotland,
	"BT": NorthernIreland, "GY": Guernsey, "JE": Jersey, "IM": IsleOfMan,
	"BF": Forces, "GX": Overseas, "BX": NonGeographic, "XX": NonGeographic, "QC": NonGeographic, "XM": NonGeographic,
}

// specials are written like postcodes but have another shape.
var specials = map[string]Place{
	"GIR0AA": NonGeographic,
	"AI2640": Overseas, "ASCN1ZZ": Overseas, "BBND1ZZ": Overseas, "BIQQ1ZZ": Overseas, "FIQQ1ZZ": Overseas, "PCRN1ZZ": Overseas,
	"SIQQ1ZZ": Overseas, "STHL1ZZ": Overseas, "TDCU1ZZ": Overseas, "TKCA1ZZ": Overseas,
}

func special(s string) bool {
	_, ok := specials[s]
	return ok || forcesShape.MatchString(s)
}

// Place is what the letters of the postcode alone tell; Unknown where only a table can.
func (p Postcode) Place() Place { return p.place }

// placeOf is what an outward code, or a special code whole, alone tells.
func placeOf(s string) Place {
	if place, ok := specials[s]; ok {
		return place
	}
	if strings.HasPrefix(s, "BFPO") {
		return Forces
	}
	return places[s[:max(strings.IndexAny(s, "0123456789"), 0)]]
}
