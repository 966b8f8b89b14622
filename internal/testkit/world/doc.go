// Package world is the simulator: desks, a hub, inboxes and an auditor in one goroutine, driven by one seed through
// everything that can go wrong, beside a ledger outside the system and an oracle that judges what they did.
//
// One scheduler picks each next action: a form is taken, by permission, in danger or on the safeguarding lead's word; a
// check is done, a call is made, a withdrawal is taken, a person orders what is shared; a team passes on what it has; a step
// is made, power fails, a clock jumps, a directory, a policy or a certificate changes, an inbox or the hub is put back from
// a copy, the hub loses its disk for good. The network is a function of the seed too: each message may be lost, doubled or
// delayed, its answer apart from it; what a team is sent may be held back until the team was asked to stop it; and other
// parties may act while a message is on its way. The parties are the real ones with their real policy, sealing and signatures; only the
// disk is store/mem, which forgets what was not synced. So a seed is a history: it plays again byte for byte.
//
// It guarantees nothing about bolt, sockets, TLS or goroutine scheduling: the tests of store/bolt, rpc and the crash
// harness with real processes have those. It is for tests only; nothing imports it.
//
// To play a history again: go test ./internal/testkit/world -run '^TestWorld$' -seed N -v
package world
