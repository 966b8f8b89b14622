// Package logv1 is what the ledger hashes: the core and the details of an event, and the kinds of leaf. It
// is additive only; golden bytes in package ledger hold it still.
package logv1
