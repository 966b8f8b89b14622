package inbox

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/ops"
	"postern/internal/outlet"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
)

// Outlets are the ways by which what came goes on to what the team uses beside its pages; nil is a way that is not used.
type Outlets struct {
	Mail   *outlet.Mail // to the alert addresses of the team's settings
	Folder *outlet.Folder
	Hook   *outlet.Hook
}

// The ways, which are the destinations of the queue.
const (
	byMail   = "mail"
	byFolder = "folder"
	byHook   = "hook"
)

var ways = []string{byMail, byFolder, byHook}

func (o Outlets) uses(way string) bool {
	return way == byMail && o.Mail != nil || way == byFolder && o.Folder != nil || way == byHook && o.Hook != nil
}

var outletKey = []byte("outlet sequence")

// handOver queues what goes by every way there is, in the transaction that keeps what it is about: it goes if and only
// if that is kept.
func (in *Inbox) handOver(tx store.Tx, p parcel) (n int, err error) {
	settings, err := in.readSettings(tx)
	if err != nil {
		return 0, err
	}
	for _, way := range ways {
		to := []parcel{p}
		if way == byMail {
			to = alerts(settings, p)
		}
		if !in.cfg.Outlets.uses(way) {
			continue
		}
		if err := in.enqueue(tx, way, to...); err != nil {
			return 0, err
		}
		n += len(to)
	}
	return n, nil
}

// alerts are a mail for each mailbox of the team, so that one that is wrong keeps none of the others from hearing.
func alerts(settings *localv1.TeamSettings, p parcel) (all []parcel) {
	p.Unclear = false // it may come twice, and mail programs show it once
	for _, p.To = range settings.GetAlertAddresses() {
		all = append(all, p)
	}
	return all
}

// enqueue queues parcels for a way, each under a number of its own. The id is the parcel's whatever becomes of the database:
// what comes again to an inbox that was put back from a copy has the same. Tests are told apart by their numbers.
func (in *Inbox) enqueue(tx store.Tx, way string, parcels ...parcel) error {
	if len(parcels) == 0 {
		return nil
	}
	row, err := tx.Get(schema.InboxMeta, outletKey)
	if err != nil {
		return err
	}
	next := uint64(1)
	if row != nil {
		next = binary.BigEndian.Uint64(row)
	}
	for _, p := range parcels {
		now := in.cfg.Clock()
		item := queue.Item{Destination: way, Sequence: next, EnqueueTime: now, DueTime: now}
		if p.Unclear {
			item.DueTime = never(now)
		}
		if item.ID, err = p.id(way, next); err != nil {
			return err
		}
		if item.Body, err = json.Marshal(p); err != nil {
			return fault.From(err)
		}
		if err := in.parcels.Put(tx, item); err != nil {
			return err
		}
		next++
	}
	return tx.Put(schema.InboxMeta, outletKey, binary.BigEndian.AppendUint64(nil, next))
}

func (p parcel) id(way string, number uint64) (string, error) {
	p.Unclear = false
	body, err := json.Marshal(p)
	if err != nil {
		return "", fault.From(err)
	}
	if p.Manifest == nil {
		body = binary.BigEndian.AppendUint64(body, number)
	}
	sum := sha256.Sum256(append([]byte(way), body...))
	return hex.EncodeToString(sum[:16]), nil
}

func (in *Inbox) wakeOutlets() {
	for _, way := range ways {
		select {
		case in.outlets[way] <- struct{}{}:
		default:
		}
	}
}

// StepOutlet hands over the next parcel that is due by a way, and reports whether there was one. What fails is tried
// again later and holds up no other.
func (in *Inbox) StepOutlet(ctx context.Context, way string) (bool, error) {
	var item queue.Item
	var ok bool
	now := in.cfg.Clock()
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		item, ok, _, err = in.parcels.DueBy(s, way, 0, math.MaxUint64, now, func(it queue.Item) time.Time {
			if it.Ready(now, in.cfg.Backoff.Longest()) && !isUnclear(it) {
				return now
			}
			return it.DueTime
		})
		return err
	})
	if err != nil || !ok {
		return false, err
	}
	var p parcel
	if err := json.Unmarshal(item.Body, &p); err != nil {
		return false, fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
	}
	went := in.send(ctx, way, &item, p)
	result := "handed over"
	if went != nil {
		result = fault.From(went).Reason
	}
	in.handed(way, result)
	jitter, err := queue.Jitter(in.cfg.Rand)
	if err != nil {
		return true, errors.Join(went, err)
	}
	err = in.cfg.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error {
		switch {
		case went == nil:
			return errors.Join(in.told(tx, p), in.parcels.Remove(tx, item))
		case errors.Is(went, errActed):
			return in.parcels.Remove(tx, item)
		case errors.Is(went, outlet.ErrUnclear):
			return in.unclear(tx, item)
		}
		retry := item
		retry.DueTime = in.cfg.Clock().Add(in.cfg.Backoff.After(item.Attempts, jitter))
		retry.Attempts++
		return in.parcels.Retry(tx, retry)
	})
	if errors.Is(went, errActed) {
		went = nil // nothing failed
	}
	return true, errors.Join(went, err)
}

// send hands one parcel over. A crash in it: what was not begun is done again from the start; a file that was to be seen
// is renamed if it was not; a command that had been begun is unclear.
func (in *Inbox) send(ctx context.Context, way string, item *queue.Item, p parcel) error {
	if p.Begun && way == byHook {
		return outlet.ErrUnclear // we ended while it ran
	}
	full, sealed, err := in.pack(ctx, *item, p)
	if err != nil {
		return err
	}
	switch way {
	case byMail:
		to, err := in.mailbox(ctx, p)
		if err != nil {
			return err
		}
		return in.cfg.Outlets.Mail.Send(ctx, to, full)
	case byFolder:
		if !p.Begun {
			if full.JSON == nil {
				return in.cfg.Outlets.Folder.Discard(full)
			}
			if err := in.cfg.Outlets.Folder.Stage(full); err != nil {
				return err
			}
			if err := in.begin(ctx, item, p, sealed); err != nil {
				return err
			}
		}
		if late, err := in.stopped(ctx, p); err != nil || late {
			return cmp.Or(err, in.cfg.Outlets.Folder.Discard(full))
		}
		return in.cfg.Outlets.Folder.Release(full)
	case byHook:
		if full.JSON == nil {
			return nil
		}
		if err := in.begin(ctx, item, p, sealed); err != nil {
			return err
		}
		err := in.cfg.Outlets.Hook.Run(ctx, full)
		if err != nil && !errors.Is(err, outlet.ErrUnclear) { // it has nothing of it: as if it had not begun
			return errors.Join(err, in.rebody(ctx, item, p))
		}
		return err
	}
	return fault.New(fault.Internal, "NO_WAY", "There is no such way to hand a parcel over.")
}

// ListParcels lists what waits to be handed over, or needs a person.
func (in *Inbox) ListParcels(ctx context.Context, _ *localv1.ListParcelsRequest) (*localv1.ListParcelsResponse, error) {
	out := &localv1.ListParcelsResponse{}
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		items, err := in.parcels.List(s)
		for _, it := range items {
			var p parcel
			if err := json.Unmarshal(it.Body, &p); err != nil {
				return fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
			}
			out.Parcels = append(out.Parcels, &localv1.Parcel{Id: it.ID, Way: it.Destination, Kind: string(p.Kind), Reference: p.Reference,
				EnqueueTime: timestamppb.New(it.EnqueueTime), Attempts: it.Attempts, Unclear: p.Unclear})
		}
		return err
	})
	return out, err
}

// SettleParcel says what became of a parcel of which it is not known.
func (in *Inbox) SettleParcel(ctx context.Context, req *localv1.SettleParcelRequest) (*localv1.SettleParcelResponse, error) {
	var found queue.Item
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		for _, way := range ways {
			it, ok, err := in.parcels.Find(s, way, strings.ToLower(req.GetId()))
			if err != nil {
				return err
			}
			if ok {
				found = it
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		item, err := in.parcels.Get(tx, found)
		if found.ID == "" || errors.Is(err, queue.ErrGone) {
			return fault.New(fault.NotFound, "NOT_FOUND", "No parcel has this id. `postern inbox outlets` lists them.")
		}
		var p parcel
		if err := cmp.Or(err, json.Unmarshal(item.Body, &p)); err != nil {
			return fault.From(err)
		}
		switch {
		case !p.Unclear:
			return fault.New(fault.Precondition, "NOT_UNCLEAR", "This parcel is not unclear: it is handed over by itself.")
		case req.GetArrived():
			return in.parcels.Remove(tx, item)
		}
		p.Unclear, p.Begun, item.DueTime = false, false, in.cfg.Clock()
		return in.write(tx, &item, p)
	})
	if err == nil {
		in.wakeOutlets()
	}
	return &localv1.SettleParcelResponse{}, err
}

// canTest reports whether there is anybody to tell.
func (in *Inbox) canTest(s *localv1.TeamSettings) bool {
	return in.cfg.Outlets.uses(byFolder) || in.cfg.Outlets.uses(byHook) || in.cfg.Outlets.uses(byMail) && len(s.GetAlertAddresses()) > 0
}

// SendTest hands over a test, about nobody, by every way there is.
func (in *Inbox) SendTest(ctx context.Context, _ *localv1.SendTestRequest) (*localv1.SendTestResponse, error) {
	out := &localv1.SendTestResponse{}
	err := in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		n, err := in.handOver(tx, parcel{Kind: outlet.Test, Reference: "TEST"})
		out.Parcels = uint32(n)
		return err
	})
	if err == nil && out.GetParcels() == 0 {
		return nil, fault.New(fault.Precondition, "NO_ALERTS", "There is nobody to tell. Add an alert address to the settings; whoever runs the inbox sets up mail, a folder or a command.")
	}
	in.wakeOutlets()
	return out, err
}

// unsettledParcels are how many parcels are unclear, and since when the oldest of the others waits.
func (in *Inbox) unsettledParcels(ctx context.Context) (unclear, waiting int, oldest time.Duration, err error) {
	all, err := in.ListParcels(ctx, nil)
	for _, p := range all.GetParcels() {
		if p.GetUnclear() {
			unclear++
			continue
		}
		waiting++
		oldest = max(oldest, in.cfg.Clock().Sub(p.GetEnqueueTime().AsTime()))
	}
	return unclear, waiting, oldest, err
}

// late is when somebody should look at what waits to be handed over.
const late = 15 * time.Minute

// examineParcels says how it is with what goes on to mailboxes and case systems; nothing where nothing does.
func (in *Inbox) examineParcels(ctx context.Context) (findings []*localv1.Finding, err error) {
	if !slices.ContainsFunc(ways, in.cfg.Outlets.uses) {
		return nil, nil
	}
	unclear, waiting, oldest, err := in.unsettledParcels(ctx)
	if err != nil {
		return nil, err
	}
	const list = "`postern inbox outlets` says which; docs/operations.md says what to look at."
	switch {
	case unclear > 0:
		findings = append(findings, ops.Problem("outlets", fmt.Sprintf("of %d parcels it is not known whether the case system has them", unclear), "Look in the case system, then say so with `postern inbox outlets settle`."))
	case oldest > late:
		findings = append(findings, ops.Problem("outlets", fmt.Sprintf("%d parcels wait, the oldest for %s", waiting, oldest.Round(time.Minute)), list))
	default:
		findings = append(findings, ops.OK("outlets", fmt.Sprintf("%d parcels wait to be handed over", waiting)))
	}
	return findings, nil
}
