package schema

import "postern/internal/store"

// The keyspaces of a desk.
const (
	DeskMeta         store.Keyspace = "desk_meta"         // name of a setting → value
	DeskForm         store.Keyspace = "desk_form"         // form id → sealed Form
	DeskFormParts    store.Keyspace = "desk_form_parts"   // form id → ids of its notifications, 36 bytes each
	DeskNotification store.Keyspace = "desk_notification" // notification id → sealed record of its state
	DeskReference    store.Keyspace = "desk_reference"    // reference ‖ 0 ‖ notification id → 1
	DeskSpool        store.Keyspace = "desk_spool"        // destination ‖ 0 ‖ sequence BE → queue item
	DeskMessage      store.Keyspace = "desk_message"      // notification id → sealed SealedNotification, as signed
	DeskReceipt      store.Keyspace = "desk_receipt"      // notification id → Receipt
	DeskDirectory    store.Keyspace = "desk_directory"    // "revision" → Signed; "entry" ‖ n BE → bytes
	DeskCursor       store.Keyspace = "desk_cursor"       // "updates" → page token; "keys" → number of the last published key, BE
	DeskPin          store.Keyspace = "desk_pin"          // authority → Signed recipient key, pinned; authority ‖ 0 → one that a person must confirm
	DeskDue          store.Keyspace = "desk_due"          // Unix seconds BE ‖ notification id → 1, where it is to be submitted again
	DeskContent      store.Keyspace = "desk_content"      // content reference, 32 bytes ‖ notification id → 1
	DeskDraft        store.Keyspace = "desk_draft"        // draft id → sealed Draft
	DeskSubject      store.Keyspace = "desk_subject"      // id of a copy for the person's own request → sealed SubjectCopy
)

// Desk is the database of a desk.
var Desk = Database{
	Name:    "desk",
	Version: 4,
	Keyspaces: []store.Keyspace{DeskMeta, DeskForm, DeskFormParts, DeskNotification, DeskReference, DeskSpool, DeskMessage,
		DeskReceipt, DeskDirectory, DeskCursor, DeskPin, DeskDue, DeskContent, DeskDraft, DeskSubject},
	Sealed: []store.Keyspace{DeskForm, DeskNotification, DeskMessage, DeskDraft, DeskSubject},
}
