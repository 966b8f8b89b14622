package site

import (
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
)

// home lists what the team has received, newest first.
func (s *site) home(r *web.Request) (web.Response, error) {
	all, err := s.inbox.ListItems(r.Context(), &localv1.ListItemsRequest{})
	if err != nil {
		return nil, err
	}
	var references []string
	for _, item := range all.GetItems() {
		references = append(references, item.GetReference())
	}
	return web.View{Template: "home", Data: references}, nil
}
