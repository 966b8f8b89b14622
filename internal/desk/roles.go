package desk

import (
	"context"
	"slices"

	"postern/internal/fault"
	"postern/internal/plain"
	posternv1 "postern/proto/postern/v1"
)

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
