package desk_test

import (
	"testing"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// Whoever has to do something by hand sees whom to ask at the authority, on the desk and on the printed request; where
// nothing is left to do by hand there is nobody to ask.
func TestWhomToAskAtTheAuthority(t *testing.T) {
	x, d := opened(t)
	referredID, sharedID := d.Take(formtest.New(testkit.Lancashire))[0], d.Take(family())[0]
	x.Settle()
	if c := d.Get(referredID).GetNotification().GetChampion(); c.GetMailbox() != "champion@lancashire.example" {
		t.Errorf("the desk names %v", c)
	}
	out := must(d.Cases.GetRequestForSupport(t.Context(), &localv1.GetRequestForSupportRequest{Id: referredID}))(t)
	if out.GetNotification().GetChampion().GetMailbox() != "champion@lancashire.example" {
		t.Errorf("the request names %v", out.GetNotification().GetChampion())
	}
	if c := d.Get(sharedID).GetNotification().GetChampion(); c != nil {
		t.Errorf("of what was sent the desk names %v", c)
	}
}
