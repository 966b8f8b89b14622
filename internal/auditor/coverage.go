package auditor

import (
	"context"

	localv1 "postern/proto/postern/local/v1"
)

// GetCoverage passes on what the hub counted. Unlike an event it carries no proof: the statements it was counted from
// are leaves, and an export has them all.
func (a *Auditor) GetCoverage(ctx context.Context, req *localv1.GetCoverageRequest) (*localv1.GetCoverageResponse, error) {
	out, err := a.cfg.Coverage.GetCoverage(ctx, req.GetRequest())
	if err != nil {
		return nil, err
	}
	return &localv1.GetCoverageResponse{Response: out}, nil
}
