// Package schema names everything that a database holds: one file for each kind of database, with every keyspace, what
// its keys and values are, and the version.
//
// The words used of keys: ‖ joins, 0 is a zero byte that the part before it cannot contain, BE is big endian, a log
// byte is ledger.Log. "Sealed" values pass through package vault with the keyspace as kind and the key as id, and are
// the only ones that may hold personal data. Signed and serialized protobuf values are kept exactly as received.
//
// Package schema guarantees that a keyspace is in exactly one database. It holds no code that reads or writes.
//
// Evolution: add a keyspace at the end and raise Version. Never rename one, reuse a name, or change what a key means.
package schema

import "postern/internal/store"

// Database says what one kind of database holds.
type Database = store.Schema
