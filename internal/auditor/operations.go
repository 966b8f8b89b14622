package auditor

import (
	"context"

	"postern/internal/ops"
	localv1 "postern/proto/postern/local/v1"
)

// Examine says whether the auditor still believes the hub, and has a key for both of its logs. Whether they are the right
// ones only the hub's signature tells: the doctor asks for it.
func (a *Auditor) Examine(context.Context, *localv1.ExamineRequest) (*localv1.ExamineResponse, error) {
	out := &localv1.ExamineResponse{Findings: a.follow.Findings()}
	if err := a.follow.Stopped(); err != nil {
		out.Findings = append(out.Findings, ops.Fault("hub's log", err))
	}
	if len(a.cfg.LogKeys.Origins()) < 2 {
		out.Findings = append(out.Findings, ops.Problem("log key", "An auditor needs the verifier keys of both logs of the hub.",
			"Ask the hub's operator for them and put them under hub.log_keys."))
	}
	return out, nil
}
