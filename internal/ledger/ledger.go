// Package ledger is the hub's memory of what it did: two append-only Merkle logs, Sent and Received, over one store.
//
// Everything that changes the hub's database passes through Append. An op reads and writes the store and records
// events, and all of it is committed in one transaction or not at all: no release without a leaf, no leaf without what
// it stands for. The Entry that Record returns is the only proof of that inside the transaction; a receipt is the
// proof outside, cut after the commit.
//
// One sequencer makes one transaction a batch: what came during the last commit is the next batch, whose ops have run by
// then (docs/decisions/0044), and nothing waits for a timer. Once it runs nobody else writes to the store. Leaves are 54-byte
// commitments (package verify), trees are RFC 6962 over SHA-256 in C2SP tiles of height 8, and checkpoints are C2SP signed
// notes. Package ledger guarantees that a checkpoint is signed only over what was read back from the transaction, that
// nothing is shown which is not durable, that opening checks the stored trees against the newest checkpoint, and that it
// stops, rather than guess, after a commit whose outcome is unknown.
//
// It does not know what an event means, does not decide who may read one, and cannot see by itself that an old copy of
// the whole machine was put back: that takes a witness, or Config.CheckpointFile on another disk.
package ledger

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/store"
	"postern/internal/vault"
)

// Log names one of the two logs. The log follows the cause of an event, not its kind.
type Log uint8

// The logs. Their numbers are the log byte of every key in the store.
const (
	Sent     Log = 1 // what a desk may know happened
	Received Log = 2 // whatever an inbox or an auditor caused; desks never see its checkpoints
)

// logs are all logs, in the order of every loop over them.
var logs = [...]Log{Sent, Received}

// String names the log.
func (g Log) String() string {
	switch g {
	case Sent:
		return "sent"
	case Received:
		return "received"
	}
	return "unknown"
}

// perLog holds one value for each log.
type perLog[T any] [len(logs)]T

func (p *perLog[T]) of(g Log) *T { return &p[g-1] }

// tree is a log of one generation as it lies in the store: the log byte of its keys. The first generation has 1 and 2,
// the next 3 and 4. Only those of the newest generation grow; the others are closed for good.
type tree uint8

// log is which of the two logs it is a generation of.
func (t tree) log() Log { return Log((t-1)%tree(len(logs)) + 1) }

// tree is the newest generation of a log.
func (l *Ledger) tree(g Log) tree { return l.base + tree(g) }

// Config is what a Ledger is made of.
type Config struct {
	Store          store.Store        // a database of schema.Hub; the caller closes it, after Run has returned
	Vault          *vault.Vault       // seals the records
	Keys           Keys               // sign the checkpoints; their names are the origins of the logs
	Clock          func() time.Time   // the time of events that bring none; time.Now when nil
	Rand           io.Reader          // event ids, openings and salts; crypto/rand when nil
	CheckpointFile string             // where the newest checkpoints are kept outside the database; empty for nowhere
	WitnessFiles   []string           // checkpoints of ours that others have seen, which the logs must continue; each must be there
	EarlierKeys    []string           // verifier keys that our logs had before: what a witness has seen may bear their signatures alone
	MaxBatch       int                // the most ops of one transaction; 256 when 0
	MaxQueue       int                // the most ops that wait for the next one; 1024 when 0
	Log            *slog.Logger       // slog.Default when nil
	Terms          func(Logged) Terms // what an event is indexed by, on StepIndex; nil for no index. Changing it needs a new index
	Rehearse       bool               // runs each op once for nothing before it counts, as may happen anyhow: for tests of ops
	Observe        func(Commit)       // told of every durable batch, one after the other: it must be quick; nil for nobody
}

// Ledger is the two logs. Its methods may be called from any goroutine.
type Ledger struct {
	store    store.Store
	vault    *vault.Vault
	clock    func() time.Time
	log      *slog.Logger
	file     checkpointFile
	rehearse bool
	maxBatch int
	maxQueue int
	maxScan  int // events that one call of Events looks at; it bounds how long the snapshot is held
	maxLook  int // what one call of Events looks up in the index, some microseconds in all
	signers  perLog[note.Signer]
	next     perLog[note.Signer] // that sign beside them while a key changes; nil for none
	keys     verify.Keys
	seenBy   verify.Keys // keys, and the earlier ones
	vkeys    perLog[string]
	observe  func(Commit)
	terms    func(Logged) Terms
	places   cipher.Block // see eventID

	// heads is what may be shown: it is replaced after a batch is durable, both logs together.
	heads atomic.Pointer[perLog[published]]

	witnessed []verify.Head // read from Config.WitnessFiles

	base   tree        // below the trees of the newest generation
	closed []published // the last checkpoint of every tree of an older generation; set by Open

	step      chan struct{}     // holds one token while batches are made; whoever put it owns the three below
	edges     perLog[edge]      // the right edge of each committed tree
	committed perLog[published] // what heads will be when all that is committed may be shown
	showing   *showing          // of the newest batch; nil before the first

	mu      sync.Mutex // owns the fields below
	rand    io.Reader
	seed    [32]byte // of the newest op
	queue   []*pending
	stopped error // once set, nothing is appended any more

	recent recent // for the index

	running atomic.Bool   // Run is, or was, the sequencer
	wake    chan struct{} // holds one token when the queue may be non-empty
}

// published is the newest checkpoint of one log.
type published struct {
	verify.Head
	checkpoint string
	tiles      edgeTiles
}

// Open opens the ledger in a hub's store, making it on the first run, and checks it: each newest checkpoint is signed
// by our key, its root is that of the stored tiles, the last tiles and leaves agree, the vault is the one that sealed its newest
// record, and the database is not behind Config.CheckpointFile or Config.WitnessFiles. A ledger that fails any of these is
// refused: Unverified LEDGER_CORRUPT, LEDGER_WRONG_KEY, LEDGER_WRONG_VAULT or LEDGER_CHECKPOINT_FILE, Precondition LEDGER_SHORTER or LEDGER_FORKED.
func Open(ctx context.Context, c Config) (*Ledger, error) {
	l, err := newLedger(c)
	if err != nil {
		return nil, err
	}
	for _, path := range c.WitnessFiles {
		seen, err := readWitness(path, l.seenBy)
		if err != nil {
			return nil, err
		}
		l.witnessed = append(l.witnessed, seen...)
	}
	if err := l.recover(ctx); err != nil {
		return nil, err
	}
	return l, nil
}

// newLedger makes a ledger that has read nothing yet.
func newLedger(c Config) (*Ledger, error) {
	l := &Ledger{store: c.Store, vault: c.Vault, clock: c.Clock, log: c.Log, file: checkpointFile{path: c.CheckpointFile},
		rehearse: c.Rehearse, maxBatch: c.MaxBatch, maxQueue: c.MaxQueue, maxScan: 5000, maxLook: 1 << 12, rand: c.Rand, step: make(chan struct{}, 1), wake: make(chan struct{}, 1), observe: c.Observe, terms: c.Terms}
	if l.clock == nil {
		l.clock = time.Now
	}
	if l.rand == nil {
		l.rand = rand.Reader
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	if l.maxBatch == 0 {
		l.maxBatch = 256
	}
	if l.maxQueue == 0 {
		l.maxQueue = 1024
	}
	if c.Store == nil || c.Vault == nil || l.maxBatch < 1 || l.maxQueue < 1 {
		return nil, fault.New(fault.Invalid, "LEDGER_CONFIG", "The ledger needs a store, a vault, and limits above zero.")
	}
	var err error
	if l.places, err = aes.NewCipher(c.Vault.Term("event id", nil)); err != nil {
		return nil, err
	}
	return l, l.useKeys(c.Keys, c.EarlierKeys)
}

// Origin returns the origin of a log: its name in every checkpoint. It is empty for a log that does not exist.
func (l *Ledger) Origin(g Log) string {
	if g != Sent && g != Received {
		return ""
	}
	return l.heads.Load().of(g).Origin
}

// LogOf returns which log has an origin, in any generation.
func (l *Ledger) LogOf(origin string) (Log, bool) {
	t, ok := l.treeOf(origin)
	if !ok {
		return 0, false
	}
	return t.log(), true
}

func (l *Ledger) treeOf(origin string) (tree, bool) {
	for _, g := range logs {
		if l.Origin(g) == origin {
			return l.tree(g), true
		}
	}
	for i := range l.closed {
		if l.closed[i].Origin == origin {
			return tree(i + 1), true
		}
	}
	return 0, false
}

// Head returns the newest checkpoint of a log that is durable, as its size, root and signed note. A log that does not
// exist has none: all are zero.
func (l *Ledger) Head(g Log) (size uint64, root [32]byte, checkpoint string) {
	if g != Sent && g != Received {
		return 0, root, ""
	}
	return l.Cut().Head(g)
}

// VerifierKey returns the public key of a log (C2SP signed-note), for those who verify it.
func (l *Ledger) VerifierKey(g Log) string {
	if g != Sent && g != Received {
		return ""
	}
	return *l.vkeys.of(g)
}
