package desk_test

import (
	"testing"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Whoever is signed in at the site is the sender, and not the user whose process the site is.
func TestThePersonAtTheSiteIsTheSender(t *testing.T) {
	x, d := opened(t)
	ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "RES77", Roles: []string{"RESETTLEMENT", "SAFEGUARDING_LEAD"}})
	must(d.SubmitForm(ctx, &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, unchecked(testkit.Bristol))}))(t)
	x.Settle()
	decided := events(t, x, logv1.Kind_KIND_DECIDED)
	if len(decided) != 1 {
		t.Fatalf("%d decisions", len(decided))
	}
	if s := decided[0].Details.GetSender(); s.GetStaffId() != "RES77" || s.GetStaffRole() != posternv1.StaffRole_STAFF_ROLE_RESETTLEMENT {
		t.Errorf("the sender is %s in the role %s", s.GetStaffId(), s.GetStaffRole())
	}
}

// The roles at the site are asked for where those of the socket are, and one that is no role here gives nothing.
func TestThePersonAtTheSiteHasTheirRolesOnly(t *testing.T) {
	_, d := opened(t)
	id := d.Take(family())[0]
	consider := func(p rpc.Person) error {
		_, err := d.Consider(rpc.WithPerson(t.Context(), p), &localv1.ConsiderRequest{Id: id})
		return err
	}
	wantFault(t, consider(rpc.Person{ID: "RES77", Roles: []string{"RESETTLEMENT"}}), fault.Denied, "WRONG_ROLE")
	for _, p := range []rpc.Person{{}, {ID: "RES77"}, {Roles: []string{"RESETTLEMENT"}}, {ID: "RES77", Roles: []string{"DUTY_WORKER"}}, {ID: "RES77", Roles: []string{""}},
		{ID: "RES77", Roles: []string{"UNSPECIFIED"}}, {ID: "RES77", Roles: []string{"RESETTLEMENT", "STAFF_ROLE_RESETTLEMENT"}}} {
		wantFault(t, consider(p), fault.Denied, "NO_STAFF")
	}
}

// By the user of the machine and by signing in somebody becomes a member of staff through the same function.
func TestStaffAreTheirFirstRoleAndHoldTheOthers(t *testing.T) {
	s, err := desk.StaffOf("A1", "ORDERLY_OFFICER", "DUTY_GOVERNOR")
	if err != nil || s.ID != "A1" || s.Role != posternv1.StaffRole_STAFF_ROLE_ORDERLY_OFFICER || len(s.Also) != 1 || s.Also[0] != posternv1.StaffRole_STAFF_ROLE_DUTY_GOVERNOR {
		t.Errorf("got %v, %v", s, err)
	}
}
