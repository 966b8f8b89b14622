package inbox

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"postern/internal/fault"
	"postern/internal/outlet"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
)

// parcel is the body of a queue item: nothing personal, since what it is about is read when it goes.
type parcel struct {
	Kind      outlet.Kind `json:"kind"`
	Reference string      `json:"reference"`
	Manifest  []byte      `json:"manifest,omitempty"` // the key of the item; none of a test
	Paths     []string    `json:"paths,omitempty"`    // of a notification what came, of a stop request what was withdrawn: with the manifest, which parcel it is
	To        string      `json:"to,omitempty"`       // the team's mailbox that an alert is for
	Staff     string      `json:"staff,omitempty"`    // the deputy that it is for, whose mailbox is looked up when it goes
	Since     int64       `json:"since,omitempty"`    // which alert of a deputy it is
	Begun     bool        `json:"begun,omitempty"`    // from here on it may have been handed over
	Unclear   bool        `json:"unclear,omitempty"`  // it is not known, and a person says
}

// came is the parcel of what came of an item. What comes again, since it was here before and is lost, may have been handed
// over, so a person says.
func came(item *localv1.GetItemResponse, manifest []byte, again bool) parcel {
	i := item.GetItem()
	return parcel{Kind: outlet.Notification, Reference: i.GetReference(), Manifest: manifest, Paths: slices.Sorted(slices.Values(i.GetPaths())), Unclear: again}
}

// pack makes a parcel of what is in the inbox now: what was withdrawn meanwhile is not in it, and a notification that was
// withdrawn whole has no content. sealed is the record that it was made of.
func (in *Inbox) pack(ctx context.Context, item queue.Item, p parcel) (full outlet.Parcel, sealed []byte, err error) {
	full = outlet.Parcel{Kind: p.Kind, Reference: p.Reference}
	if _, err := hex.Decode(full.ID[:], []byte(item.ID)); err != nil {
		return full, nil, fault.From(err)
	}
	if item.Destination == byMail || p.Begun {
		return full, nil, nil
	}
	doc := &localv1.GetItemResponse{Item: &localv1.Item{Reference: p.Reference}}
	if p.Kind != outlet.Test {
		err := in.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
			if sealed, err = s.Get(schema.InboxItem, p.Manifest); err != nil || sealed == nil {
				return err
			}
			if doc, err = in.openItem(p.Manifest, sealed); err == nil {
				err = in.relate(s, doc)
			}
			return err
		})
		if err != nil {
			return full, nil, err
		}
		if sealed == nil {
			return full, nil, nil
		}
	}
	if whole := doc.GetItem().GetStop() != nil && len(doc.GetItem().GetStop().GetPaths()) == 0; whole && p.Kind == outlet.Notification {
		return full, sealed, nil
	}
	in.named(doc.GetItem())
	m, err := Document(doc)
	if err != nil {
		return full, nil, err
	}
	m["kind"] = p.Kind
	if full.JSON, err = json.MarshalIndent(m, "", "  "); err != nil {
		return full, nil, fault.From(err)
	}
	full.CSV, err = DocumentCSV(doc)
	return full, sealed, err
}

// stopped reports whether a notification that was begun was withdrawn since, in whole or in part: we ended in between.
// What is still out of sight then stays so; the parcel of the stop request, which follows, has what is left of it.
func (in *Inbox) stopped(ctx context.Context, p parcel) (stopped bool, err error) {
	if !p.Begun || p.Kind != outlet.Notification {
		return false, nil
	}
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		sealed, err := s.Get(schema.InboxItem, p.Manifest)
		if err != nil || sealed == nil {
			stopped = sealed == nil
			return err
		}
		item, err := in.openItem(p.Manifest, sealed)
		stopped = item.GetItem().GetStop() != nil
		return err
	})
	return stopped, err
}

// errChanged: what a parcel is about changed while it was packed.
var errChanged = fault.New(fault.Unavailable, "CHANGED", "What is handed over changed meanwhile, and is packed again.")

// begin records that a parcel may be handed over from now on, if it is still about what it was packed from: a stop
// request in between is not overtaken.
func (in *Inbox) begin(ctx context.Context, item *queue.Item, p parcel, sealed []byte) error {
	p.Begun = true
	return in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if p.Manifest != nil {
			now, err := tx.Get(schema.InboxItem, p.Manifest)
			if err != nil {
				return err
			}
			if !slices.Equal(now, sealed) {
				return errChanged
			}
		}
		return in.write(tx, item, p)
	})
}

func (in *Inbox) rebody(ctx context.Context, item *queue.Item, p parcel) error {
	return in.cfg.Store.Update(context.WithoutCancel(ctx), func(tx store.Tx) error { return in.write(tx, item, p) })
}

func (in *Inbox) write(tx store.Tx, item *queue.Item, p parcel) error {
	body, err := json.Marshal(p)
	if err != nil {
		return fault.From(err)
	}
	item.Body = body
	return in.parcels.Retry(tx, *item)
}

// never is when a parcel is due that is not handed over by itself.
func never(now time.Time) time.Time { return now.AddDate(100, 0, 0) }

// isUnclear reports whether a parcel waits for a person; one that cannot be read does not, and is found when it is tried.
func isUnclear(item queue.Item) bool {
	var p parcel
	return json.Unmarshal(item.Body, &p) == nil && p.Unclear
}

// unclear keeps a parcel for a person.
func (in *Inbox) unclear(tx store.Tx, item queue.Item) error {
	var p parcel
	if err := json.Unmarshal(item.Body, &p); err != nil {
		return fault.From(err)
	}
	p.Unclear = true
	item.DueTime = never(in.cfg.Clock())
	return in.write(tx, &item, p)
}
