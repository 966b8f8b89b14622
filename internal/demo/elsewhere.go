package demo

import (
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Stories of more than one authority. They are told at HMP Parc, which has an agreement with each of them.

func siblings(t *teller) {
	t.prison = hmpParc
	t.step("Reception at HMP Parc sends one form for both children, siblings_two_authorities.json", func() (string, error) {
		return t.take("siblings_two_authorities.json", 2)
	})
	other := map[string]*localv1.Notification{}
	t.goOnWith(lancashire)
	other[bristol] = t.sent
	t.goOnWith(bristol)
	other[lancashire] = t.sent
	for _, code := range []string{bristol, lancashire} {
		t.goOnWith(code)
		t.awaitState("The team in "+t.sent.GetAuthorityName()+" has it", delivered)
		t.reads(code)
		t.step("Nothing there tells of the other child, nor of the other team", func() (string, error) {
			return t.nothingOf(code, other[code])
		})
		t.once(code)
		t.audited()
	}
}

// nothingOf checks that all a team has of a notification says nothing of another: no name of its child, no authority, no
// id or reference, and no child but the first.
func (t *teller) nothingOf(code string, other *localv1.Notification) (string, error) {
	names := map[string]string{bristol: "Junia", lancashire: "Caspian"}
	all, err := plain.JSON(t.seen)
	if err != nil {
		return "", err
	}
	text := string(all)
	for _, s := range t.seen.GetSections() {
		text += string(s.GetContent())
		if strings.HasPrefix(s.GetPath(), "child/") && !strings.HasPrefix(s.GetPath(), "child/1/") {
			return "", failed("%s has %s.", code, s.GetPath())
		}
	}
	for _, word := range []string{names[code], other.GetAuthority(), other.GetAuthorityName(), other.GetId(), other.GetReference()} {
		if word == "" || strings.Contains(text, word) {
			return "", failed("What %s has tells of the other.", code)
		}
	}
	items, err := t.inbox(code).ListItems(t.ctx, &localv1.ListItemsRequest{})
	if err != nil {
		return "", err
	}
	for _, i := range items.GetItems() {
		if i.GetId() == other.GetId() {
			return "", failed("%s has the other's notification.", code)
		}
	}
	return "", nil
}

func foundElsewhere(t *teller) {
	t.prison = hmpParc
	t.submit("shared_in_full.json", accepted)
	t.awaitState("The team's own signature says that it has it", delivered)
	t.reads(bristol)
	first := t.seen
	t.step("The duty worker in Bristol finds that the family has moved, and passes it on to Lancashire", func() (string, error) {
		out, err := t.redirects(bristol).RedirectItem(t.ctx, &localv1.RedirectItemRequest{Id: t.sent.GetReference(), Authority: lancashire})
		if err != nil {
			return "", err
		}
		return strings.Join(plain.Decision(out.GetDecision()), "\n"), hasReason(out.GetDecision(), "redirected")
	})
	t.step("The team in Lancashire reads the same, sealed and signed by the prison", func() (string, error) {
		err := t.await(func() (bool, error) {
			items, err := t.inbox(lancashire).ListItems(t.ctx, &localv1.ListItemsRequest{})
			if err != nil {
				return false, err
			}
			for _, i := range items.GetItems() {
				if i.GetId() == t.sent.GetId() {
					t.seen, err = t.inbox(lancashire).GetItem(t.ctx, &localv1.GetItemRequest{Id: i.GetId()})
					return true, err
				}
			}
			return false, nil
		})
		if err != nil {
			return "", err
		}
		if len(t.seen.GetSections()) != len(first.GetSections()) || t.seen.GetItem().GetPassedOnBy() != bristol {
			return "", failed("The team reads something else.")
		}
		for i, s := range first.GetSections() {
			if !proto.Equal(s, t.seen.GetSections()[i]) {
				return "", failed("The team reads another %s.", s.GetPath())
			}
		}
		return "Passed on by " + t.seen.GetItem().GetPassedOnBy() + ", sent by " + t.seen.GetSender().GetPrisonId(), nil
	})
	t.step("Bristol sees that they have it", func() (string, error) {
		return "", t.await(func() (bool, error) {
			out, err := t.inbox(bristol).GetItem(t.ctx, &localv1.GetItemRequest{Id: t.sent.GetId()})
			if err != nil {
				return false, err
			}
			all := out.GetItem().GetPassedOn()
			return len(all) == 1 && all[0].GetState() == posternv1.RedirectState_REDIRECT_STATE_DELIVERED, nil
		})
	})
	t.step("The prison sees nothing of it", func() (string, error) {
		out, err := t.desk(t.prison).GetNotification(t.ctx, &localv1.GetNotificationRequest{Id: t.sent.GetId()})
		if err != nil {
			return "", err
		}
		if !proto.Equal(out.GetNotification(), t.sent) {
			return "", failed("Its desk shows something new.")
		}
		return "", nil
	})
	t.step("She withdraws: both teams are asked to stop, and what they had is gone", func() (string, error) {
		if _, err := t.desk(t.prison).WithdrawNotification(t.ctx, &localv1.WithdrawNotificationRequest{
			Id: t.sent.GetId(), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_FACE_TO_FACE}); err != nil {
			return "", err
		}
		return "", t.await(func() (bool, error) {
			for _, code := range []string{bristol, lancashire} {
				out, err := t.inbox(code).GetItem(t.ctx, &localv1.GetItemRequest{Id: t.sent.GetId()})
				if err != nil || out.GetItem().GetStop() == nil || len(out.GetSections()) > 0 {
					return false, err
				}
			}
			return true, nil
		})
	})
}
