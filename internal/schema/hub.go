package schema

import "postern/internal/store"

// The keyspaces of a hub.
const (
	HubMeta           store.Keyspace = "hub_meta"            // name of a setting → value
	HubLeaf           store.Keyspace = "hub_leaf"            // log byte ‖ index BE → leaf, 54 bytes
	HubTile           store.Keyspace = "hub_tile"            // log byte ‖ level byte ‖ n BE → hashes of the tile, 32 bytes each
	HubLog            store.Keyspace = "hub_log"             // log byte → newest checkpoint, a signed note
	HubRecord         store.Keyspace = "hub_record"          // event id, 16 bytes → sealed logv1.Record
	HubEventIndex     store.Keyspace = "hub_event_index"     // event id → log byte ‖ index BE
	HubIdempotency    store.Keyspace = "hub_idempotency"     // party URI ‖ 0 ‖ notification id ‖ 0 ‖ SHA-256(manifest) → event id
	HubNotification   store.Keyspace = "hub_notification"    // notification id → event id of its last decision, and its party
	HubManifest       store.Keyspace = "hub_manifest"        // SHA-256(manifest) → event id of its decision
	HubReference      store.Keyspace = "hub_reference"       // reference ‖ 0 ‖ notification id → 1
	HubOutbox         store.Keyspace = "hub_outbox"          // destination ‖ 0 ‖ sequence BE → queue item
	HubOutboxBody     store.Keyspace = "hub_outbox_body"     // delivery id → sealed body of the delivery
	HubSequence       store.Keyspace = "hub_sequence"        // authority → last sequence used, BE
	HubUpdate         store.Keyspace = "hub_update"          // party URI ‖ 0 ‖ sequence BE → serialized Update for a desk
	HubUpdateSequence store.Keyspace = "hub_update_sequence" // party URI → last sequence used, BE
	HubDirectory      store.Keyspace = "hub_directory"       // "revision" → Signed; "entry" ‖ n BE → bytes
	HubPolicy         store.Keyspace = "hub_policy"          // digest of a bundle → its tar
	HubRelease        store.Keyspace = "hub_release"         // notification id → where its newest delivery stands, and whether one ever began
	HubTerms          store.Keyspace = "hub_terms"           // notification id → its route, and the SHA-256 of its slip code
	HubWithdrawal     store.Keyspace = "hub_withdrawal"      // party URI ‖ 0 ‖ notification id → what was withdrawn of it; there for ever
)

// Hub is the database of a hub.
var Hub = Database{
	Name:    "hub",
	Version: 2,
	Keyspaces: []store.Keyspace{HubMeta, HubLeaf, HubTile, HubLog, HubRecord, HubEventIndex, HubIdempotency,
		HubNotification, HubManifest, HubReference, HubOutbox, HubOutboxBody, HubSequence, HubUpdate, HubUpdateSequence,
		HubDirectory, HubPolicy, HubRelease, HubTerms, HubWithdrawal},
	Appended: []store.Keyspace{HubLeaf},
}
