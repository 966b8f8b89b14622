package schema

import "postern/internal/store"

// The keyspaces of an inbox.
const (
	InboxMeta      store.Keyspace = "inbox_meta"      // name of a setting → value
	InboxItem      store.Keyspace = "inbox_item"      // SHA-256(manifest) → sealed item: the opened sections and their state
	InboxDelivery  store.Keyspace = "inbox_delivery"  // delivery id → the signed answer
	InboxReference store.Keyspace = "inbox_reference" // reference ‖ 0 ‖ notification id ‖ 0 ‖ SHA-256(manifest) → 1
	InboxReport    store.Keyspace = "inbox_report"    // destination ‖ 0 ‖ sequence BE → queue item: a report for the hub, signed anew when it is sent
	InboxTombstone store.Keyspace = "inbox_tombstone" // SHA-256(manifest) → what was withdrawn of it; longer than any retry
	InboxReplaced  store.Keyspace = "inbox_replaced"  // notification id → id of the prison that said the same again under another key; notification id ‖ 0 ‖ prison ‖ 0 ‖ id of one of that prison that replaces it, for whatever reason → 1
	InboxSealed    store.Keyspace = "inbox_sealed"    // SHA-256(manifest) → sealed SealedNotification: what came, as the desk sealed it, to be passed on
	InboxRedirect  store.Keyspace = "inbox_redirect"  // SHA-256(manifest) ‖ authority → 1: passed on, and not at its end yet, or 2: at its end; SHA-256(manifest) → the generation of the log that knows of all these ‖ the newest in which the manifest came, each 4 bytes BE ‖ notification id
	InboxWork      store.Keyspace = "inbox_work"      // SHA-256(manifest) → sealed Work: what the team did about the item
	InboxTeam      store.Keyspace = "inbox_team"      // "settings" → sealed TeamSettings: what the team decides itself
	InboxParcel    store.Keyspace = "inbox_parcel"    // way ‖ 0 ‖ sequence BE → queue item: what goes on to a mailbox, a folder or a command
)

// Inbox is the database of an inbox. Format 8 names in inbox_redirect, and in the reports that wait, the notification.
var Inbox = Database{
	Name:      "inbox",
	Version:   8,
	Oldest:    8,
	Keyspaces: []store.Keyspace{InboxMeta, InboxItem, InboxDelivery, InboxReference, InboxReport, InboxTombstone, InboxReplaced, InboxSealed, InboxRedirect, InboxWork, InboxTeam, InboxParcel},
	Sealed:    []store.Keyspace{InboxItem, InboxSealed, InboxWork, InboxTeam},
}
