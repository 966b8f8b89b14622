package hub_test

import (
	"testing"
	"unicode/utf8"

	"postern/internal/fault"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// FuzzPageTokens: any text as the token of any list is refused as one, or gives a page, whose own token is taken again.
func FuzzPageTokens(f *testing.F) {
	f.Add("", uint32(1))
	f.Add("AAAAAAAAAAA", uint32(0))
	f.Add("AAAAAAAAAAEAAAAAAAAAAA", uint32(2))
	f.Add("AAAAAAAAAAAAAAAA", uint32(1<<31))
	f.Add("not base64!", uint32(7))
	x := testkit.NewExchange(f)
	updates, directory := x.Submission(testkit.HMPBristol), posternv1.NewDirectoryServiceClient(x.ToHub("/prison/BLI/desk"))
	audit := x.Audit(testkit.AuditorPath)
	f.Fuzz(func(t *testing.T, token string, size uint32) {
		if !utf8.ValidString(token) {
			return // it cannot be sent
		}
		for name, list := range map[string]func(token string) (next string, err error){
			"updates": func(token string) (string, error) {
				page, err := updates.ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{PageToken: token, PageSize: size})
				return page.GetNextPageToken(), err
			},
			"directory": func(token string) (string, error) {
				page, err := directory.ListAuthorities(t.Context(), &posternv1.ListAuthoritiesRequest{PageToken: token, PageSize: size})
				return page.GetNextPageToken(), err
			},
			"events": func(token string) (string, error) {
				page, err := audit.ListEvents(t.Context(), &posternv1.ListEventsRequest{PageToken: token, PageSize: size})
				return page.GetNextPageToken(), err
			},
		} {
			next, err := list(token)
			if err != nil {
				if fault.From(err).Reason != "BAD_PAGE_TOKEN" && fault.From(err).Reason != "MALFORMED" {
					t.Fatalf("%s, %q: %v", name, token, err)
				}
				continue
			}
			if _, err := list(next); err != nil {
				t.Fatalf("%s: the token %q is given and not taken: %v", name, next, err)
			}
		}
	})
}
