package hub

import (
	"context"
	"encoding/base64"
	"encoding/binary"

	"postern/internal/delivery"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// maxUpdates bounds a page of updates.
const maxUpdates = 100

// ListUpdates pages through what happened to the caller's notifications. A token is a place in the caller's own list,
// so another desk's token means nothing here, and one from before the database was put back starts the list again.
func (h *Hub) ListUpdates(ctx context.Context, req *posternv1.ListUpdatesRequest) (*posternv1.ListUpdatesResponse, error) {
	caller, _ := rpc.Party(ctx)
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent); err != nil {
		return nil, err
	}
	at, err := parsePlaceInUpdates(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	h.told(ctx, caller.ID, req.GetWithdrawalsTold())
	if err := h.delivery.TellGathered(ctx, caller.URI()); err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize(), maxUpdates, maxUpdates)
	out := &posternv1.ListUpdatesResponse{}
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		mark, ok, err := delivery.UpdateMark(s, caller.URI(), at.after)
		if err != nil {
			return err
		}
		if !ok || at.marked && mark != at.mark {
			// The token is of a database that was lost: what came after its place in this one, the desk may never have
			// been told. Telling it everything again changes nothing that it knows already.
			at.after = 0
		}
		if out.Updates, at.after, err = delivery.Updates(s, caller.URI(), at.after, size); err != nil {
			return err
		}
		at.mark, _, err = delivery.UpdateMark(s, caller.URI(), at.after)
		return err
	})
	if err != nil {
		return nil, err
	}
	cut := h.cfg.Ledger.Cut()
	for _, u := range out.Updates {
		if len(u.GetEventId()) == 16 {
			if u.Receipt, err = cut.Receipt(ctx, [16]byte(u.GetEventId())); err != nil {
				return nil, err
			}
		}
	}
	if err := failpoint.Hit(failpoint.HubUpdates); err != nil {
		return nil, err
	}
	out.NextPageToken = at.token()
	_, _, out.Checkpoint = cut.Head(ledger.Sent)
	out.Consistency, err = cut.Proofs(ctx, req.GetKnownLogs(), ledger.Sent)
	return out, err
}

// placeInUpdates is where a desk is in its list: the number of the last update it was given, and the digest of that one.
type placeInUpdates struct {
	after  uint64
	mark   [8]byte
	marked bool // false in a token of a hub before there were marks
}

func (p placeInUpdates) token() string {
	return base64.RawURLEncoding.EncodeToString(append(binary.BigEndian.AppendUint64(nil, p.after), p.mark[:]...))
}

func parsePlaceInUpdates(token string) (p placeInUpdates, err error) {
	if token == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 8 && len(b) != 16 {
		return p, badToken
	}
	p.after, p.marked = binary.BigEndian.Uint64(b), len(b) == 16
	copy(p.mark[:], b[8:])
	return p, nil
}

var badToken = fault.New(fault.Invalid, "BAD_PAGE_TOKEN", "The page token is not one this hub gave. Start again without one.")

func pageSize(asked uint32, otherwise, largest int) int {
	if asked == 0 {
		return otherwise
	}
	return min(int(asked), largest)
}
