// Package door tries the doors of a real hub and a real inbox: every method by every party, paths that are none, floods
// of frames, and a hundred thousand messages that were sent before, by others, or as something else.
//
// The hub and the inbox are the real ones with their databases, ledger and policy, behind package rpc on ports of this
// machine, over mTLS with certificates of a trial CA; the storm goes to their service interfaces as well, where it is
// faster. It guarantees nothing about time: how honest clients fare under attack is measured by internal/bench, row 12.
// It is for tests only; nothing imports it.
package door
