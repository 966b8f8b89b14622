// Package failpoint names every place where a process that is killed, fails or is slow would matter most: between what
// is durable and what somebody is told.
//
// In a build with the tag `failpoint` a test can, through the environment, have the process killed at a place, have the
// place fail, or make it slow. In every other build Hit is an empty function that the compiler removes, names and all;
// a test of package crash looks for them in the released program.
//
// It guarantees that a name stands here once and in the code once; its test reads both. It does not say what must hold
// after a failure: package crash does.
package failpoint

// Point is a place in the code.
type Point string

// The places, in the order of a notification's way. An error at one stands for a failure of what is about to happen
// there, or, where something has just been made durable, for its success not becoming known.
const (
	StoreCreate    Point = "store/create"    // the first file is whole under another name, and has not its own yet
	StoreLink      Point = "store/link"      // it has its name, and the folder is not synced
	StoreCommit    Point = "store/commit"    // a transaction is about to be written
	StoreCommitted Point = "store/committed" // it is durable and nobody knows
	StoreRelease   Point = "store/release"   // the space kept back was given to the volume, for what must not fail

	VaultKey    Point = "vault/key"    // a new key is whole under another name, and has not its own yet
	VaultLinked Point = "vault/linked" // it has its name, and the folder is not synced

	DeskForm         Point = "desk/form"         // a form is checked and sealed, and not kept
	DeskKept         Point = "desk/kept"         // it is kept, and nobody is told
	DeskSubmit       Point = "desk/submit"       // a notification is about to be sent to the hub
	DeskAnswered     Point = "desk/answered"     // the hub answered, and the answer is not kept
	DeskSettled      Point = "desk/settled"      // the answer is kept, and the clerk is not told
	DeskPostpone     Point = "desk/postpone"     // the hub did not answer, and that is not noted yet
	DeskWithdrawal   Point = "desk/withdrawal"   // a withdrawal is kept, and nobody is told
	DeskWithdraw     Point = "desk/withdraw"     // a withdrawal is about to be sent to the hub
	DeskWithdrawn    Point = "desk/withdrawn"    // the hub answered a withdrawal, and the answer is not kept
	DeskUpdates      Point = "desk/updates"      // a page of updates is applied, and its end is not noted
	DeskUpdate       Point = "desk/update"       // one update of a page is applied
	DeskDue          Point = "desk/due"          // what is due is made again, and not kept
	DeskRemade       Point = "desk/remade"       // it is kept, and on its way
	DeskLost         Point = "desk/lost"         // the hub has lost what it knew, and nothing is in the spool again
	DeskTellAgain    Point = "desk/tellagain"    // all that it must know is in the spool again, and that is not noted
	DeskToldAgain    Point = "desk/toldagain"    // the next hub has answered about what it was told again, and that is not kept
	DeskDirectory    Point = "desk/directory"    // a new directory is kept, and not in use yet
	HubVerified      Point = "hub/verified"      // a statement holds, and nothing is decided
	HubDecided       Point = "hub/decided"       // it is decided, and nothing is recorded
	HubRecorded      Point = "hub/recorded"      // decision and outbox are durable, and nobody is told
	HubRefused       Point = "hub/refused"       // a refusal is durable, and the desk is not told
	HubWithdrawal    Point = "hub/withdrawal"    // a withdrawal is planned, and nothing is recorded
	HubWithdrawn     Point = "hub/withdrawn"     // it is durable, and nobody is told
	HubReported      Point = "hub/reported"      // a report of an inbox is durable, and the inbox is not told
	HubUpdates       Point = "hub/updates"       // a desk is about to be given its updates
	HubCollect       Point = "hub/collect"       // a delivery to an inbox that collects has begun, and is not handed over
	HubCollected     Point = "hub/collected"     // its answer is durable, and the inbox is not told
	HubDirectory     Point = "hub/directory"     // a directory is durable, and not in use yet
	LedgerCommitted  Point = "ledger/committed"  // a batch is durable, and the checkpoint file is behind
	LedgerCheckpoint Point = "ledger/checkpoint" // the next checkpoint is in its place of the file, and not synced
	LedgerRenamed    Point = "ledger/renamed"    // a checkpoint file made anew has its name, and the folder is not synced
	LedgerPublished  Point = "ledger/published"  // the batch may be shown, and those who wait for it are not told
	LedgerFounded    Point = "ledger/founded"    // the checkpoints of two empty logs are durable, and there is no file
	DeliveryBegun    Point = "delivery/begun"    // the send counts as begun, and nothing is sent
	DeliveryAnswered Point = "delivery/answered" // the inbox answered, and nothing is recorded
	DeliverySettled  Point = "delivery/settled"  // what became of a delivery is durable, and the line goes on
	DeliveryRetry    Point = "delivery/retry"    // an attempt failed, and that is not noted yet
	InboxChecked     Point = "inbox/checked"     // a delivery holds and is opened, and nothing is kept
	InboxKept        Point = "inbox/kept"        // item and answer are kept, and the hub is not answered
	InboxStopped     Point = "inbox/stopped"     // a stop request is kept, and the hub is not answered
	InboxAnswered    Point = "inbox/answered"    // a team's answer to it is kept, and nobody is told
	InboxCollected   Point = "inbox/collected"   // what was collected is kept, and not answered
	InboxAccounted   Point = "inbox/accounted"   // the hub has the answer, and the next is not taken
	InboxReport      Point = "inbox/report"      // a report is about to be sent to the hub
	InboxReported    Point = "inbox/reported"    // the hub has a report, and it is still spooled
)

// All is every place.
func All() []Point {
	return []Point{
		StoreCreate, StoreLink, StoreCommit, StoreCommitted, StoreRelease,
		VaultKey, VaultLinked,
		DeskForm, DeskKept, DeskSubmit, DeskAnswered, DeskSettled, DeskPostpone, DeskWithdrawal, DeskWithdraw, DeskWithdrawn,
		DeskUpdates, DeskUpdate, DeskDue, DeskRemade, DeskLost, DeskTellAgain, DeskToldAgain, DeskDirectory,
		HubVerified, HubDecided, HubRecorded, HubRefused, HubWithdrawal, HubWithdrawn, HubReported, HubUpdates, HubCollect, HubCollected, HubDirectory,
		LedgerCommitted, LedgerCheckpoint, LedgerRenamed, LedgerPublished, LedgerFounded,
		DeliveryBegun, DeliveryAnswered, DeliverySettled, DeliveryRetry,
		InboxChecked, InboxKept, InboxStopped, InboxAnswered, InboxCollected, InboxAccounted, InboxReport, InboxReported,
	}
}
