package hub

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/ops"
	"postern/internal/plain"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// HeldAfterLoss is how long at most, after the first start with a generation of the logs, a notification waits that a hub before had:
// one that a desk submits again, or that waited in the copy that was put back. It waits until every prison of the directory
// has told what was withdrawn. A desk does so within a minute or two. A prison
// whose desk is off that night must not keep other families waiting for longer.
const HeldAfterLoss = 4 * time.Hour

// hold keeps back what a hub before this one had, since what one prison withdrew of another's is known to that one alone.
// What was never submitted before, what does not go by permission, and every stop request are not kept back.
type hold struct {
	until time.Time // the end at the latest; zero in the first generation of the logs, when no hub was lost

	mu   sync.Mutex      // owns the fields below
	told map[string]bool // the prisons whose desks have told all, since this start
	over bool            // all have
}

// openHold finds out whether the logs are so new that desks may still have to tell what was withdrawn. Then what a copy
// that was put back has in its outbox waits too: it may have been withdrawn since.
func (h *Hub) openHold(ctx context.Context) error {
	h.hold.told = map[string]bool{}
	origin := h.cfg.Ledger.Origin(ledger.Sent)
	if _, n := verify.Generation(origin); n == 1 {
		return nil
	}
	h.hold.until = h.cfg.Clock().Add(HeldAfterLoss)
	size, _, _ := h.cfg.Ledger.Head(ledger.Sent)
	// The first event is the opening, by a command. Hours may lie between that and the first start, in which keys are carried
	// to every party, and no desk can tell anything.
	err := h.cfg.Ledger.Range(ctx, origin, min(1, size), min(2, size), func(began ledger.Logged) (bool, error) {
		h.hold.until = began.Core.GetEventTime().AsTime().Add(HeldAfterLoss)
		return false, nil
	})
	if err != nil || !h.cfg.Clock().Before(h.hold.until) {
		return err
	}
	return h.delivery.HoldBack(ctx)
}

// heldUntil is until when a notification is kept back at the latest; zero when it may go at once. It is asked in the
// transaction that releases it, and told ends the hold before it lets go what is in the outbox: one of the two sees the
// other.
func (h *Hub) heldUntil(route posternv1.Route, before bool, now time.Time) time.Time {
	h.hold.mu.Lock()
	defer h.hold.mu.Unlock()
	if !before || h.hold.over || !now.Before(h.hold.until) || route != posternv1.Route_ROUTE_STANDARD {
		return time.Time{}
	}
	return h.hold.until
}

// firstAtAnother reports whether a hub before this one knew what a notification says, though not this manifest: its desk made
// it again when something came in, or for a child who goes on. What another prison took back of it there is not known here yet.
func (h *Hub) firstAtAnother(v *envelope.Verified) bool {
	first := v.Hub().GetFirstSubmitTime()
	return first != nil && first.AsTime().Before(v.Manifest().GetCreateTime().AsTime()) && first.AsTime().Before(h.hold.until.Add(-HeldAfterLoss))
}

// HeldUntil is heldUntil for what was released before: a hub before this one had it exactly when its event is of an older
// generation.
func (h *Hub) HeldUntil(r store.Reader, notificationID string, event [16]byte) (time.Time, error) {
	n, _, err := readNotification(r, notificationID)
	return h.heldUntil(n.route, h.cfg.Ledger.Older(event), h.cfg.Clock()), err
}

// told takes a desk's word that it has told this log all that it withdrew. With the last one everything goes; a failure
// is logged and tried with its next request, and at the end of the time it goes anyway.
func (h *Hub) told(ctx context.Context, prison, origin string) {
	now := h.cfg.Clock()
	if origin != h.cfg.Ledger.Origin(ledger.Sent) || !now.Before(h.hold.until) {
		return
	}
	prisons := h.directory.Load().Prisons()
	h.hold.mu.Lock()
	h.hold.told[prison] = true
	waits := len(prisons) == 0 || len(h.hold.untold(prisons)) > 0
	before := h.hold.over
	h.hold.over = before || !waits
	h.hold.mu.Unlock()
	if before || waits {
		return
	}
	if err := h.delivery.LetGo(ctx); err != nil {
		h.cfg.Log.WarnContext(ctx, "what was kept back after the loss of a hub waits on", "reason", fault.From(err).Reason)
		h.hold.mu.Lock()
		h.hold.over = false
		h.hold.mu.Unlock()
		return
	}
	h.cfg.Log.InfoContext(ctx, "every prison has told what was withdrawn, so what was kept back goes")
}

// untold are the prisons that have not told all yet. The caller holds mu.
func (o *hold) untold(prisons []*posternv1.Prison) (ids []string) {
	for _, p := range prisons {
		if !o.told[p.GetId()] {
			ids = append(ids, p.GetId())
		}
	}
	return ids
}

// holding is what is kept back at this moment, for whoever runs the hub; nil when nothing is waited for.
func (h *Hub) holding(ctx context.Context) (*localv1.HoldStatus, error) {
	h.hold.mu.Lock()
	over := h.hold.over || !h.cfg.Clock().Before(h.hold.until)
	ids := h.hold.untold(h.directory.Load().Prisons())
	h.hold.mu.Unlock()
	if over {
		return nil, nil
	}
	n, err := h.delivery.HeldBack(ctx)
	return &localv1.HoldStatus{EndTime: timestamppb.New(h.hold.until), Prisons: ids, Waiting: uint32(n)}, err
}

// examineHold says what is kept back after a loss, and whom to telephone.
func (h *Hub) examineHold(ctx context.Context) ([]*localv1.Finding, error) {
	held, err := h.holding(ctx)
	if err != nil || held == nil {
		return nil, err
	}
	words := fmt.Sprintf("After the loss of a hub %d deliveries are kept back until %s at the latest: ", held.GetWaiting(), plain.Time(held.GetEndTime().AsTime()))
	fix := "Telephone each: its desk must reach this hub. One that cannot: ask whether it took a withdrawal for another prison. When nobody can say, postern hub pause before that time; see docs/operations.md, \"A new generation\"."
	switch {
	case len(held.GetPrisons()) > 0:
		words += "these prisons have not told what was withdrawn: " + strings.Join(held.GetPrisons(), ", ") + "."
	case len(h.directory.Load().Prisons()) > 0:
		words += "every prison has told what was withdrawn, and they are still here."
		fix = "They go when a desk next fetches its updates. Where they stay, look in the log for the reason, such as a full disk."
	default:
		words += "no prison is in the directory that could tell what was withdrawn."
		fix = "Load the directory: postern hub directory load FILE. When that cannot be done in time, postern hub pause; see docs/operations.md, \"A new generation\"."
	}
	return []*localv1.Finding{ops.Warning("hold after a loss", words, fix)}, nil
}

// measureHold reports how much is kept back, for how many prisons and how long; it names none.
func (h *Hub) measureHold(ctx context.Context, now time.Time, report ops.Report) error {
	held, err := h.holding(ctx)
	report("postern_hold_deliveries", float64(held.GetWaiting()))
	report("postern_hold_prisons", float64(len(held.GetPrisons())))
	left := 0.0
	if held != nil {
		left = held.GetEndTime().AsTime().Sub(now).Seconds()
	}
	report("postern_hold_seconds", left)
	return err
}
