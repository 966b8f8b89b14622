package desk_test

import (
	"testing"

	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
)

// Whoever is named like the unit of a desk is a person like any other: what they take was said to them, is held against what
// there is to take back, and reaches whatever the person agreed to before.
func TestWhoIsNamedLikeTheUnitIsAPerson(t *testing.T) {
	x, d := opened(t)
	ids := puts(t, x, d, corrected(1, "ring"), corrected(1, "write"))
	ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "Reception", Roles: []string{"RECEPTION_OFFICER"}}) // the desk's unit
	takes := func(id string, paths ...string) error {
		_, err := d.WithdrawNotification(ctx, &localv1.WithdrawNotificationRequest{Id: id, Paths: paths, Method: byPhone})
		return err
	}
	if err := takes(ids[0], "child/2"); err == nil {
		t.Error("a child who is not in it was taken back")
	}
	if n := d.Get(ids[0]).GetNotification(); len(n.GetWithdrawals()) > 0 {
		t.Fatalf("it says that there was taken back %v", n.GetWithdrawals())
	}
	if err := takes(ids[0]); err != nil {
		t.Fatal(err)
	}
	wait(x)
	takenBackAll(t, x, d, ids...)
	for _, id := range ids {
		if w := d.Get(id).GetNotification().GetWithdrawals(); len(w) != 1 || w[0].GetCarried() {
			t.Errorf("the desk says that it carried over %v", w)
		}
	}
}
