package site

import (
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
)

// everywhere shows whom to telephone at this hour, for every authority of the directory on this machine: it needs no hub,
// no permission and no form.
func (s *site) everywhere(r *web.Request) (web.Response, error) {
	found, err := s.desk.Tonight(r.Context(), &localv1.TonightRequest{})
	if err != nil {
		return nil, err
	}
	return web.View{Template: "everywhere", Data: numberTable(r, found.GetNumbers())}, nil
}
