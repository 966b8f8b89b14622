package testkit

import (
	"context"
	"strings"

	"postern/internal/engine"
	"postern/internal/ledger"
)

// replay decides again what was decided with the exchange's own policy: from the Input in the log the same must come out,
// to the word, unless the policy was kept from deciding.
func (x *Exchange) replay() {
	forged := false
	for at, more := ledger.Position(""), true; more; more = at != "" {
		var err error
		at, err = x.Ledger.Events(context.Background(), at, 1<<30, func(e ledger.Logged) (bool, error) {
			was := e.Details.GetDecision()
			if len(e.Details.GetInput()) == 0 || was.GetPolicyRevision() != x.cast.engine.Revision() {
				return true, nil
			}
			lines, err := x.cast.engine.Replay(context.Background(), e.Details.GetInput(), was)
			if len(lines) > 0 && !engine.Undecided(was) {
				if forged = true; x.cfg.Forges {
					return true, err
				}
				x.t.Errorf("event %x of %s is decided otherwise now:\n  %s", e.Leaf.EventID, e.Origin, strings.Join(lines, "\n  "))
			}
			return true, err
		})
		if err != nil {
			x.t.Errorf("deciding again what is in the log: %v", err)
			return
		}
	}
	if x.cfg.Forges && !forged {
		x.t.Error("the control: deciding again found nothing")
	}
}
