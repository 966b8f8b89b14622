package mem

import (
	"sync"

	"postern/internal/fault"
	"postern/internal/store"
)

// Disk is what a store is on: what outlives a crash, and where faults come from. Its methods may be called from any
// goroutine, also from inside a transaction's function: a crash in the middle of one.
type Disk struct {
	mu      sync.Mutex // owns the fields below
	name    string     // of the schema; "" on a new disk
	version uint64
	durable state // what a crash leaves
	written state // what reading shows; ahead of durable where an Unsynced store has not synced
	fault   Fault // of the next commit that writes
	open    *Store
}

// NewDisk makes an empty disk.
func NewDisk() *Disk { return &Disk{} }

// Fault is what becomes of one commit.
type Fault uint8

// The faults. A real engine can meet the first three. Torn is for a negative control: a simulator that does not notice
// it is not looking.
const (
	None Fault = iota
	Full       // there is no space: store.ErrFull, nothing was written, the store goes on; Reserved updates pass it by
	Lost       // the sync failed and nothing arrived: store.ErrOutcomeUnknown, and opening again shows the state before
	Kept       // the sync failed but everything arrived: store.ErrOutcomeUnknown, and opening again shows the state after
	Torn       // half of the writes arrived: store.ErrOutcomeUnknown, and opening again shows a state that never was
)

// Fail sets what becomes of the next commit that has something to write; None takes it back.
func (d *Disk) Fail(f Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Crash is the end of the power: the store on the disk, if any, ends with every call on it failing, and what is not
// synced is gone. Opening again shows the state of the last durable Update; of one that was under way, nothing. For a
// crash in the midst of a commit, say first with Fail how much of it arrives.
func (d *Disk) Crash() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.written = d.durable
	d.fault = None
	if d.open != nil {
		d.open.crashed.Store(true)
		d.open = nil
	}
}

// Copy is another disk with what a crash would leave of this one: a backup, or an old state to put back.
func (d *Disk) Copy() *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Disk{name: d.name, version: d.version, durable: d.durable, written: d.durable}
}

// adopt checks the schema and gives the disk to a store.
func (d *Disk) adopt(s *Store) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.open != nil:
		return fault.New(fault.Unavailable, "STORE_LOCKED", "The database is already open. Use that one, or stop it first.")
	case d.name != "" && d.name != s.schema.Name:
		return fault.Newf(fault.Precondition, "STORE_OTHER_KIND", "The database is that of a %s, not of a %s.", d.name, s.schema.Name)
	case d.version > s.schema.Version:
		return fault.New(fault.Precondition, "STORE_NEWER", "The database was written by a newer Postern. Use the newer program.")
	case d.name != "" && d.version < s.schema.Oldest:
		return fault.New(fault.Precondition, "STORE_OLDER", "The database was written by an older Postern. Use the program that wrote it.")
	}
	d.name, d.version, d.open = s.schema.Name, s.schema.Version, s
	return nil
}

// commit makes writes the newest state, or what the fault makes of them.
func (d *Disk) commit(s *Store, writes []write, essential bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open != s {
		return store.ErrClosed // a crash came first
	}
	f := d.fault
	if f == Full && essential {
		f = None
	} else {
		d.fault = None
	}
	arrived := writes
	switch f {
	case Full:
		return store.Full(nil)
	case Lost:
		arrived = nil
	case Torn:
		arrived = writes[:len(writes)/2]
	}
	d.written = d.written.with(arrived)
	if !s.unsynced || f != None {
		d.durable = d.written
	}
	if f != None {
		return store.ErrOutcomeUnknown
	}
	return nil
}

// newest is what reading shows.
func (d *Disk) newest() state {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.written
}

// leave takes the disk from a store, as a clean stop does: what was written is synced.
func (d *Disk) leave(s *Store) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.open == s {
		d.durable, d.open = d.written, nil
	}
}

// state is one moment of a database.
type state map[store.Keyspace]*node

type write struct {
	keyspace store.Keyspace
	key      string
	value    []byte // nil deletes
}

// with returns the state after some writes.
func (s state) with(writes []write) state {
	if len(writes) == 0 {
		return s
	}
	next := make(state, len(s)+1)
	for ks, root := range s {
		next[ks] = root
	}
	for _, w := range writes {
		next[w.keyspace] = next[w.keyspace].put(w.key, w.value)
	}
	return next
}
