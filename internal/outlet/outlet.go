// Package outlet hands what an inbox took to what a team uses beside its pages: a mailbox that is read, a folder that a
// case system imports from, a command of the team's own.
//
// What each guarantees:
//   - A mail carries a reference and a link, and nothing else: whoever reads it over a shoulder learns that something
//     came. It goes over TLS or not at all. It may come twice when the line breaks between the server's taking it and
//     its saying so; both have one Message-ID, so that mail programs show it once.
//   - A file appears in the folder whole and once, also when the machine stops in between: it is written and synced
//     out of sight, its owner records that it goes, and then it is renamed. The importer may take it away at any moment
//     after.
//   - A command is run once for a parcel that it takes. When it cannot be told whether it did, it is not run again: a
//     person looks.
//
// It keeps nothing, does not try again and does not say when: its owner does. File names, arguments, mails and errors
// hold no personal value; files and the standard input of a command do, and what becomes of those is the team's to say.
package outlet

import "encoding/hex"

// Kind is what a parcel is.
type Kind string

// The kinds of parcels.
const (
	Notification Kind = "NOTIFICATION" // something came
	Stop         Kind = "STOP"         // the person withdrew; what was handed over is to be used no more
	Deputy       Kind = "DEPUTY"       // nobody acted about what came, so whoever stands in is told; a mail and nothing else
	Test         Kind = "TEST"         // about nobody
)

// Parcel is what is handed over.
type Parcel struct {
	ID        [16]byte // one for each that is handed over; the same again has the same
	Kind      Kind
	Reference string // such as PN-7K3F-9Q2M; TEST of a test
	JSON, CSV []byte // what is in it, twice
}

// Name is the parcel's id as text.
func (p Parcel) Name() string { return hex.EncodeToString(p.ID[:]) }
