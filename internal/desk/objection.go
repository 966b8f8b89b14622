package desk

import (
	"context"
	"slices"

	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// CloseObjections records that the safeguarding lead has read what the person objected to. It undoes nothing, and whether to
// ask the team to stop is theirs to say; an objection that nobody reads would be none.
func (d *Desk) CloseObjections(ctx context.Context, req *localv1.CloseObjectionsRequest) (*localv1.CloseObjectionsResponse, error) {
	by, err := d.signedInAs(ctx, posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, "close an objection by reading it")
	if err != nil {
		return nil, err
	}
	n, err := d.named(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	if n.GetElsewhere() || !slices.ContainsFunc(n.GetWithdrawals(), Objects) {
		return nil, ended(n, "read")
	}
	err = d.change(ctx, n.GetId(), func(_ store.Tx, n *localv1.Notification) error {
		for _, w := range n.GetWithdrawals() {
			if unread(w) {
				w.ReadStaffId, w.ReadTime = by.ID, d.now()
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	all, err := d.show(ctx, []string{n.GetId()})
	if err != nil {
		return nil, err
	}
	return &localv1.CloseObjectionsResponse{Notification: all[0]}, nil
}

// Objects reports whether a withdrawal is an objection: the person said no to what does not go by their permission.
func Objects(w *localv1.TakenWithdrawal) bool { return !takesBack(w) }

func unread(w *localv1.TakenWithdrawal) bool { return Objects(w) && w.GetReadTime() == nil }

// unreadObjection reports whether a person objected to a notification, and the safeguarding lead has not read it yet: that of
// the prison that sent it, which hears of it wherever it was taken.
func unreadObjection(n *localv1.Notification) bool {
	return !n.GetElsewhere() && slices.ContainsFunc(n.GetWithdrawals(), unread)
}

// ObjectedElsewhere reports whether what was taken here of another prison's came to an objection.
func ObjectedElsewhere(n *localv1.Notification) bool {
	taken := n.GetWithdrawals()
	return n.GetElsewhere() && n.GetState() == stateQueued && len(taken) > 0 && Objects(taken[len(taken)-1])
}
