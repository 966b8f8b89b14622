package auditor

import (
	"context"

	"postern/internal/ops"
	localv1 "postern/proto/postern/local/v1"
)

// Examine says which logs the auditor can verify.
func (a *Auditor) Examine(context.Context, *localv1.ExamineRequest) (*localv1.ExamineResponse, error) {
	out := &localv1.ExamineResponse{Findings: a.follow.Findings()}
	if err := a.follow.Stopped(); err != nil {
		out.Findings = append(out.Findings, ops.Fault("hub's log", err))
	}
	origins := a.cfg.LogKeys.Origins()
	for _, origin := range origins {
		out.Findings = append(out.Findings, ops.OK("log key", "can verify "+origin))
	}
	if len(origins) < 2 {
		out.Findings = append(out.Findings, ops.Problem("log key", "An auditor needs the verifier keys of both logs of the hub.",
			"Ask the hub's operator for them and put them under hub.log_keys."))
	}
	return out, nil
}
