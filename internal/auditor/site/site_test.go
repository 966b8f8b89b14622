package site_test

import (
	"testing"

	"postern/internal/auditor/site"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web"
)

// opened is the site of a real party with a real hub.
func opened(t *testing.T) *web.Site {
	t.Helper()
	x := testkit.NewExchange(t)
	s, err := site.New(x.Auditor(), signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEveryPageIsForItsRolesAndNobodyElse(t *testing.T) {
	for _, finding := range signintest.Walk(t, opened(t), site.Roles()) {
		t.Error(finding)
	}
}

func TestTheFirstPageIsShown(t *testing.T) {
	if page := signintest.As(t, opened(t), site.Roles()[0]).Get("/"); page.Status != 200 || page.Heading() == "" {
		t.Errorf("answered %d with the heading %q", page.Status, page.Heading())
	}
}
