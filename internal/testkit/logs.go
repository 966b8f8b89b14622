package testkit

import (
	"maps"
	"os"
	"slices"

	"postern/internal/ledger"
	"postern/internal/schema"
	localv1 "postern/proto/postern/local/v1"
)

// giveKeys gives every party the verifier keys of a generation of the hub's logs.
func (x *Exchange) giveKeys(k ledger.Keys) {
	x.t.Helper()
	sent := value(ledger.VerifierKey(k.Sent))(x.t)
	received := value(ledger.VerifierKey(k.Received))(x.t)
	x.sent, x.both = append(x.sent, sent), append(x.both, sent, received)
}

// Enrol gives checkpoints of the logs to every party that starts from now on, as when it enrols.
func (x *Exchange) Enrol(checkpoints ...string) { x.first = checkpoints }

// CopyHub returns the hub's database at rest, as a backup has it. The hub starts again.
func (x *Exchange) CopyHub() []byte {
	x.t.Helper()
	must(x.t, x.Store.Close())
	b := value(os.ReadFile(x.Path("hub", schema.Hub.Name+".db")))(x.t)
	x.openHub()
	return b
}

// RestoreHub puts another database in the place of the hub's, and starts the hub on it.
func (x *Exchange) RestoreHub(b []byte) {
	x.t.Helper()
	must(x.t, x.Store.Close())
	must(x.t, os.WriteFile(x.Path("hub", schema.Hub.Name+".db"), b, 0o600))
	x.openHub()
}

// NewGeneration opens the second generation of the hub's logs, which commits to these checkpoints too, and starts the hub
// with its keys. Every party has those.
func (x *Exchange) NewGeneration(known ...string) {
	x.t.Helper()
	must(x.t, x.Store.Close())
	x.openGeneration(x.nextKeys(), known...)
}

// ForkGeneration opens the newest generation once more, with the same keys, in an older copy of the hub: what whoever runs a
// hub can do, to show some people another log.
func (x *Exchange) ForkGeneration(copied []byte) {
	x.t.Helper()
	must(x.t, x.Store.Close())
	must(x.t, os.WriteFile(x.Path("hub", schema.Hub.Name+".db"), copied, 0o600))
	x.openGeneration(x.logKeys)
}

// nextKeys are those of the generation after the newest.
func (x *Exchange) nextKeys() ledger.Keys {
	x.generation++
	return x.cast.generations[x.generation]
}

func (x *Exchange) openGeneration(k ledger.Keys, known ...string) {
	x.t.Helper()
	x.logKeys = k
	x.Store = x.open("hub", schema.Hub)
	value(ledger.OpenGeneration(x.t.Context(), ledger.Generation{Before: x.LogKeys(), Known: known, Config: ledger.Config{
		Store: x.Store, Vault: x.vault("hub"), Keys: k, Clock: x.Clock.Now, Rand: random{}, Log: x.Log.Logger()}}))(x.t)
	must(x.t, x.Store.Close())
	x.openHub()
}

// known are the checkpoints that the desks, the inboxes and the auditor have seen.
func (x *Exchange) known() (all []string) {
	x.t.Helper()
	add := func(logs *localv1.GetLogsResponse) {
		for _, l := range logs.GetLogs() {
			all = append(all, l.GetCheckpoint())
		}
	}
	for _, prison := range slices.Sorted(maps.Keys(x.desks)) { // in one order, so that one seed is one history
		add(x.desks[prison].Logs())
	}
	for _, code := range slices.Sorted(maps.Keys(x.inboxes)) {
		add(x.inboxes[code].Logs())
	}
	add(value(x.Auditor().Log().GetLogs(x.t.Context(), &localv1.GetLogsRequest{}))(x.t))
	return all
}

// Logs are what the desk knows of the hub's log.
func (d *Desk) Logs() *localv1.GetLogsResponse {
	d.x.t.Helper()
	return value(d.Log().GetLogs(d.x.t.Context(), &localv1.GetLogsRequest{}))(d.x.t)
}

// Logs are what the inbox knows of the hub's logs.
func (in *Inbox) Logs() *localv1.GetLogsResponse {
	in.x.t.Helper()
	return value(in.Log().GetLogs(in.x.t.Context(), &localv1.GetLogsRequest{}))(in.x.t)
}
