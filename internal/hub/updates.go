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
// so another desk's token means nothing here.
func (h *Hub) ListUpdates(ctx context.Context, req *posternv1.ListUpdatesRequest) (*posternv1.ListUpdatesResponse, error) {
	caller, _ := rpc.Party(ctx)
	after, err := parseSequenceToken(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	size := pageSize(req.GetPageSize(), maxUpdates, maxUpdates)
	out := &posternv1.ListUpdatesResponse{}
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		out.Updates, after, err = delivery.Updates(s, caller.URI(), after, size)
		return err
	})
	if err != nil {
		return nil, err
	}
	for _, u := range out.Updates {
		if len(u.GetEventId()) == 16 {
			if u.Receipt, err = h.cfg.Ledger.Receipt(ctx, [16]byte(u.GetEventId())); err != nil {
				return nil, err
			}
		}
	}
	if err := failpoint.Hit(failpoint.HubUpdates); err != nil {
		return nil, err
	}
	out.NextPageToken = sequenceToken(after)
	_, _, out.Checkpoint = h.cfg.Ledger.Head(ledger.Sent)
	out.Consistency, err = h.consistency(ctx, req.GetKnownLogs(), ledger.Sent)
	return out, err
}

func sequenceToken(n uint64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, n))
}

func parseSequenceToken(token string) (uint64, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 8 {
		return 0, badToken
	}
	return binary.BigEndian.Uint64(b), nil
}

var badToken = fault.New(fault.Invalid, "BAD_PAGE_TOKEN", "The page token is not one this hub gave. Start again without one.")

func pageSize(asked uint32, otherwise, largest int) int {
	if asked == 0 {
		return otherwise
	}
	return min(int(asked), largest)
}
