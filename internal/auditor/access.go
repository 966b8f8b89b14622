package auditor

import (
	"context"

	"postern/internal/accesslog"
)

// AccessLog lists who saw which page: of the auditor's own site, and of those sites whose access logs were handed over.
// Staff are named by their ids, what they saw by its reference.
func (a *Auditor) AccessLog(_ context.Context, q accesslog.Question, skip, limit int) (found []accesslog.Event, more bool, err error) {
	return accesslog.Search(a.cfg.AccessLogs, q, skip, limit)
}
