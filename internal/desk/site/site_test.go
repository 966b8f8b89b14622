package site_test

import (
	"slices"
	"testing"

	"postern/internal/desk/site"
	"postern/internal/plain"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web"
	posternv1 "postern/proto/postern/v1"
)

// opened is the site of a real party with a real hub.
func opened(t *testing.T) *web.Site {
	t.Helper()
	x := testkit.NewExchange(t)
	s, err := site.New(x.Desk("BLI").Desk, signintest.Shell(x.Clock.Now, x.Log.Logger(), site.Roles()))
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

// The roles at the site are those that a sender may have, and no other.
func TestTheRolesAreThoseOfStaff(t *testing.T) {
	var known []string
	values := posternv1.StaffRole(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ { // number 0 is no role
		known = append(known, plain.Enum(posternv1.StaffRole(values.Get(i).Number())))
	}
	if got := slices.Sorted(slices.Values(site.Roles())); !slices.Equal(got, slices.Sorted(slices.Values(known))) {
		t.Errorf("the roles are %q, those of staff %q", got, known)
	}
}

func TestTheFirstPageIsShown(t *testing.T) {
	if page := signintest.As(t, opened(t), site.Roles()[0]).Get("/"); page.Status != 200 || page.Heading() == "" {
		t.Errorf("answered %d with the heading %q", page.Status, page.Heading())
	}
}
