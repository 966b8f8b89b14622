package schema

import "postern/internal/store"

// The keyspaces of a hub.
const (
	HubMeta           store.Keyspace = "hub_meta"            // name of a setting → value
	HubLeaf           store.Keyspace = "hub_leaf"            // log byte ‖ index BE → leaf, 54 bytes
	HubTile           store.Keyspace = "hub_tile"            // log byte ‖ level byte ‖ n BE → hashes of the tile, 32 bytes each
	HubLog            store.Keyspace = "hub_log"             // log byte → newest checkpoint, a signed note
	HubRecord         store.Keyspace = "hub_event"           // log byte ‖ index BE → sealed logv1.Record
	HubIdempotency    store.Keyspace = "hub_idempotency"     // party URI ‖ 0 ‖ notification id ‖ 0 ‖ SHA-256(statement) → event id, of whatever is not decided
	HubNotification   store.Keyspace = "hub_standing"        // notification id → its last decision, its party, its route, and the SHA-256 of its slip code; that, or that ‖ "/" ‖ authority of what was passed on, ‖ 0 → where its newest delivery stands, and whether one ever began; notification id ‖ 1 ‖ SHA-256(manifest) → event id of the first decision on that manifest ‖ event id of its newest, by which it stands
	HubOutbox         store.Keyspace = "hub_outbox"          // destination ‖ 0 ‖ sequence BE → queue item
	HubOutboxBody     store.Keyspace = "hub_outbox_content"  // as hub_outbox → sealed body of the delivery
	HubSequence       store.Keyspace = "hub_sequence"        // authority → last sequence used, BE
	HubUpdate         store.Keyspace = "hub_update"          // party URI ‖ 0 ‖ sequence BE → serialized Update for a desk
	HubUpdateSequence store.Keyspace = "hub_update_sequence" // party URI → last sequence used, BE
	HubDirectory      store.Keyspace = "hub_directory"       // "revision" → Signed; "entry" ‖ n BE → bytes
	HubPolicy         store.Keyspace = "hub_policy"          // revision of a bundle → serialized GetPolicyResponse
	HubParked         store.Keyspace = "hub_parked"          // destination ‖ 0 ‖ sequence BE → queue item that was given up; its content stays in hub_outbox_content
	HubKept           store.Keyspace = "hub_kept"            // destination ‖ 0 ‖ delivery number BE → queue item that was acknowledged; its content stays in hub_outbox_content
	HubNumber         store.Keyspace = "hub_number"          // authority → the last delivery number given ‖ the last acknowledged, each BE
	HubWithdrawal     store.Keyspace = "hub_withdrawal"      // party URI ‖ 0 ‖ notification id → what was withdrawn of it; there for ever
	HubKey            store.Keyspace = "hub_key"             // number BE → Signed recipient key, as published
	HubContent        store.Keyspace = "hub_content"         // party URI ‖ 0 ‖ content reference → id of the notification by which it was shared ‖ until when that is remembered, Unix seconds BE
	HubAsked          store.Keyspace = "hub_asking"          // prison id ‖ 0 ‖ civil date of reception ‖ 0 ‖ place of the event, 9 bytes → first 16 bytes of SHA-256(subject reference) ‖ what came of asking, one byte
	HubReceived       store.Keyspace = "hub_received"        // prison id ‖ 0 ‖ civil date → people received, 4 bytes BE
	HubGathered       store.Keyspace = "hub_gathered"        // party URI ‖ 0 ‖ hour as Unix seconds BE ‖ notification id ‖ 0 ‖ cause, one byte → serialized Update that the desk is told when the hour is over
	HubTold           store.Keyspace = "hub_told"            // notification id ‖ 0 ‖ cause, one byte → the last gathered Reply that its desk was told; one byte where the hub told it UNDELIVERED
	HubPassedOn       store.Keyspace = "hub_passed_on"       // notification id → the authorities that its team passed it on to, by which decision
	HubTerm           store.Keyspace = "hub_term"            // kind of row ‖ term or nothing ‖ log byte ‖ block → which events have it; see ledger/index.go
)

// Hub is the database of a hub. Format 13 keeps what is known of a manifest beside its notification, and who was asked in the order of the log; format 12 finds events by their ids alone and keeps together what is written together; format 11 adds hub_passed_on; format 10 gathers what teams cause by the hour; format 9 gives hub_content an end; format 8 indexes events for auditors; format 7 counts who was asked; format 6 adds hub_key; format 5 keeps what was acknowledged and parks what was given up; format 4 adds
// hub_content; format 3 keeps records in the order of the logs and one row a notification; the names
// hub_record, hub_outbox_body, hub_notification, hub_reference, hub_terms, hub_event_index, hub_known, hub_manifest, hub_release, hub_decided and hub_asked
// of the formats before are not used again.
var Hub = Database{
	Name:    "hub",
	Version: 13,
	Oldest:  13,
	Keyspaces: []store.Keyspace{HubMeta, HubLeaf, HubTile, HubLog, HubRecord, HubIdempotency,
		HubNotification, HubOutbox, HubOutboxBody, HubSequence, HubUpdate, HubUpdateSequence,
		HubDirectory, HubPolicy, HubWithdrawal, HubContent, HubParked, HubKept, HubNumber, HubKey, HubAsked, HubReceived, HubTerm, HubGathered, HubTold, HubPassedOn},
	Appended: []store.Keyspace{HubLeaf, HubRecord, HubOutbox, HubOutboxBody, HubUpdate, HubAsked},
}
