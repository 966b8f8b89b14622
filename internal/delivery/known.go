package delivery

import (
	"slices"

	"google.golang.org/protobuf/proto"

	posternv1 "postern/proto/postern/v1"
)

// maxKnown bounds what is kept of one inbox: two logs, and a new generation of each.
const maxKnown = 8

// Heard takes what an inbox says to know of our logs, with an answer or when it collects: its next delivery carries the
// proofs that they continue. It is kept in memory only. An inbox that gets a delivery without a proof, as after a
// restart of the hub, asks for one itself.
func (d *Delivery) Heard(authority string, known []*posternv1.KnownLog) {
	if len(known) == 0 || len(known) > maxKnown {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	kept := make([]*posternv1.KnownLog, len(known))
	for i, k := range known {
		kept[i] = proto.CloneOf(k)
	}
	d.known[authority] = kept
}

// knownBy is what an inbox said last.
func (d *Delivery) knownBy(authority string) []*posternv1.KnownLog {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.known[authority])
}
