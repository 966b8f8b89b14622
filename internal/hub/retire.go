package hub

import (
	"postern/internal/envelope"
	"postern/internal/ledger"
	posternv1 "postern/proto/postern/v1"
)

// retire takes what a statement replaces out of the outbox, or from among what was given up, when it says the same under
// another recipient key: in the transaction that enqueues the new one, so that a team never gets both. What another desk
// sent it does not touch, and what has arrived it cannot: then the inbox shows one of the two.
func (h *Hub) retire(tx *ledger.Tx, v *envelope.Verified) error {
	m := v.Manifest()
	if m.GetSupersedes() == "" || m.GetOffer().GetChangeReason() != posternv1.ChangeReason_CHANGE_REASON_KEY_CHANGED {
		return nil
	}
	known, ok, err := readNotification(tx, m.GetSupersedes())
	if err != nil || !ok || known.sender != v.Sender().URI() {
		return err
	}
	rel, ok, err := h.delivery.Release(tx, m.GetSupersedes())
	if err != nil || !ok || rel.Authority != m.GetOffer().GetAuthority() {
		return err
	}
	_, err = h.delivery.Cancel(tx, rel)
	return err
}
