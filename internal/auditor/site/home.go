package site

import (
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
)

// home shows which logs the auditor follows, and how far.
func (s *site) home(r *web.Request) (web.Response, error) {
	logs, err := s.audit.Log().GetLogs(r.Context(), &localv1.GetLogsRequest{})
	if err != nil {
		return nil, err
	}
	return web.View{Template: "home", Data: logs.GetLogs()}, nil
}
