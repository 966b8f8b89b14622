//go:build crash

package crash

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"

	localv1 "postern/proto/postern/local/v1"
)

// event is an event as `audit list -o json` prints it.
type event struct {
	ID           string `json:"id"`
	Kind         string `json:"kind"`
	Notification string `json:"notification_id"`
	Decision     struct {
		Outcome  string   `json:"outcome"`
		Reasons  []reason `json:"reasons"`
		Children []struct {
			Reasons []reason `json:"reasons"`
		} `json:"children"`
	} `json:"decision"`
}

type reason struct {
	Rule string `json:"rule_id"`
}

// unchecked reports whether the public-protection check was not done when it was decided: once it is, the desk submits
// again.
func (e event) unchecked() bool {
	all := e.Decision.Reasons
	for _, c := range e.Decision.Children {
		all = append(all, c.Reasons...)
	}
	return slices.Contains(all, reason{"gate_not_done"})
}

// audit holds what teams and desks see against the hub's logs, as an auditor has them: exported, verified offline, and
// listed. The hub must serve.
func (d *driver) audit() (findings []string) {
	d.t.Helper()
	found := func(format string, args ...any) { findings = append(findings, fmt.Sprintf(format, args...)) }
	config, export := d.config("auditor"), filepath.Join(d.dir, "export")
	for _, command := range []string{"export", "verify"} {
		if _, err := d.try("audit", "--config", config, command, export); err != nil {
			found("unverified: %v", err)
			return findings
		}
	}
	kinds := map[string]map[string]int{} // notification id → kind → how many
	for _, e := range d.events(config) {
		if kinds[e.Notification] == nil {
			kinds[e.Notification] = map[string]int{}
		}
		kinds[e.Notification][e.Kind]++
		if e.Decision.Outcome == "SHARE" {
			kinds[e.Notification]["shared"]++
		}
		if e.Kind == "decided" && (e.Decision.Outcome == "WAIT" || e.unchecked()) {
			kinds[e.Notification]["waited"]++
		}
	}
	s := d.look()
	for _, inbox := range inboxes {
		for _, i := range s.inboxes[inbox] {
			if k := kinds[i.GetId()]; k["shared"] == 0 || k["delivered"] == 0 {
				found("unrecorded: %s has %s and the logs have %v", inbox, i.GetId(), k)
			}
		}
	}
	for _, desk := range desks {
		for _, n := range s.desks[desk] {
			k := kinds[n.GetId()]
			// What waited is decided once more when it comes again: with what was missing, or because it is due.
			once := k["decided"] == 1 || k["waited"] > 0 && k["decided"]-k["waited"] <= 1
			if n.GetAuthority() != "" && !n.GetElsewhere() && !once && n.GetState() != localv1.State_STATE_WITHDRAWN {
				found("unrecorded: %s is %s and was decided %d times, %d of them to wait", n.GetId(), n.GetState(), k["decided"], k["waited"])
			}
			if d.withdrawn[n.GetId()] && k["withdrawn"] == 0 {
				found("unrecorded: the withdrawal of %s", n.GetId())
			}
		}
	}
	return findings
}

func (d *driver) events(config string) []event {
	d.t.Helper()
	var events []event
	if err := json.Unmarshal(d.run("audit", "--config", config, "list", "--limit", "1000000", "-o", "json"), &events); err != nil {
		d.t.Fatal(err)
	}
	return events
}
