package desk

import (
	"context"
	"slices"

	"postern/internal/fault"
	"postern/internal/plain"
	posternv1 "postern/proto/postern/v1"
)

// StaffOf is a member of staff by id and roles, of which the first is the one they act in where nothing asks for another.
// It is the one way in which somebody becomes the sender of a notification: by the user of the machine or by signing in.
func StaffOf(id string, roles ...string) (Staff, error) {
	s := Staff{ID: id}
	for i, code := range roles {
		n, ok := plain.Value(posternv1.StaffRole(0), code)
		role := posternv1.StaffRole(n)
		switch {
		case !ok || role == posternv1.StaffRole_STAFF_ROLE_UNSPECIFIED:
			return Staff{}, errNoStaff
		case i == 0:
			s.Role = role
		default:
			s.Also = append(s.Also, role)
		}
	}
	if id == "" || len(roles) == 0 {
		return Staff{}, errNoStaff
	}
	return s, nil
}

var errNoStaff = fault.New(fault.Denied, "NO_STAFF", "Whoever this is has no role at this desk.")

// as is the member of staff acting in a role that they hold.
func (s Staff) as(role posternv1.StaffRole) (Staff, bool) {
	if s.Role == role || slices.Contains(s.Also, role) {
		return Staff{ID: s.ID, Role: role}, true
	}
	return Staff{}, false
}

// signedInAs maps the user on the socket to a member of staff who holds a role; nobody else may do this.
func (d *Desk) signedInAs(ctx context.Context, role posternv1.StaffRole, what string) (Staff, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return Staff{}, err
	}
	acting, ok := by.as(role)
	if !ok {
		return Staff{}, fault.Newf(fault.Denied, "WRONG_ROLE", "Only the role %s may %s. Ask a colleague who holds it; roles stand under staff in the desk's configuration.", plain.Enum(role), what)
	}
	return acting, nil
}
