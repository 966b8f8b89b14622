package inbox

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/ops"
	"postern/internal/outlet"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
)

// A deputy is told by mail, with a reference and a link, when half of the team's time about an item has gone by and nobody
// has acted: docs/decisions/0047. The alert is made once for each turn, in the transaction that notes it, so that a crash or
// a start in between neither loses it nor makes it again; and it is noted as told only when the mail server took it.

// away reports whether somebody of the team is away on the day of a moment.
func away(s *localv1.TeamSettings, staff string, now time.Time) bool {
	today := now.Format(time.DateOnly)
	return slices.ContainsFunc(s.GetLeave(), func(l *localv1.Leave) bool {
		return l.GetStaffId() == staff && l.GetFirstDate() <= today && today <= l.GetLastDate()
	})
}

// toTell is whom to tell now that nobody has acted about an item: a deputy, or the mailboxes of the team where every deputy
// is away or has the item. tell is false when it is not time, when they were told, and when there is nobody to tell.
func toTell(i *localv1.Item, s *localv1.TeamSettings, now time.Time) (t turn, staff string, tell bool) {
	t = turnOf(i, s, now.Location())
	if len(s.GetDeputies()) == 0 || t.due.IsZero() || stands(alertOf(i.GetWork(), t.since), s) || !reads(s, now) {
		return t, "", false
	}
	holder := i.GetWork().GetAssignedTo()
	gone := holder != "" && away(s, holder, now) // nobody will act by half of the time either
	if !gone && now.Before(halfway(s, t.since.In(now.Location()), t.due)) {
		return t, "", false
	}
	n := slices.IndexFunc(s.GetDeputies(), func(d string) bool { return d != holder && !away(s, d, now) })
	if n < 0 {
		return t, "", len(s.GetAlertAddresses()) > 0
	}
	return t, s.GetDeputies()[n], true
}

// stands reports whether an alert is made or on its way to somebody who is to be told. One to a deputy who is none any more
// goes nowhere, so the next one is told in their place.
func stands(a *localv1.DeputyAlert, s *localv1.TeamSettings) bool {
	return a != nil && (a.GetTellTime() != nil || a.GetStaffId() == "" || slices.Contains(s.GetDeputies(), a.GetStaffId()))
}

// alertOf is the alert of the turn that began at a moment; nil when there was none.
func alertOf(w *localv1.Work, since time.Time) *localv1.DeputyAlert {
	for _, a := range w.GetDeputyAlerts() {
		if a.GetSinceTime().AsTime().Equal(since) {
			return a
		}
	}
	return nil
}

// StepDeputies tells deputies of what nobody has acted about, and reports whether there was anything to tell.
func (in *Inbox) StepDeputies(ctx context.Context) (bool, error) {
	if !in.cfg.Outlets.uses(byMail) {
		return false, nil
	}
	var keys [][]byte
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		settings, err := in.readSettings(s)
		if err != nil || len(settings.GetDeputies()) == 0 {
			return err
		}
		return s.Scan(schema.InboxItem, nil, nil, func(key, sealed []byte) (bool, error) {
			item, err := in.openItem(key, sealed)
			if err != nil {
				return true, err
			}
			if item.Item.Work, err = in.readWork(s, key); err != nil {
				return true, err
			}
			if _, _, tell := toTell(item.GetItem(), settings, in.cfg.Clock().In(in.zone)); tell {
				keys = append(keys, bytes.Clone(key))
			}
			return true, nil
		})
	})
	for _, key := range keys {
		if err == nil {
			err = in.tellDeputy(ctx, key)
		}
	}
	if len(keys) > 0 {
		in.wakeOutlets()
	}
	return len(keys) > 0, err
}

// tellDeputy queues the mail and notes the alert, if it is still time. A crash before the commit: the next look finds it
// again. A crash after it: the mail is in the queue, and the alert keeps it from being queued again.
func (in *Inbox) tellDeputy(ctx context.Context, key []byte) error {
	return in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		item, settings, err := in.withWork(tx, key)
		if err != nil || item == nil {
			return err
		}
		t, staff, tell := toTell(item, settings, in.cfg.Clock().In(in.zone))
		if !tell {
			return nil
		}
		p := parcel{Kind: outlet.Deputy, Reference: item.GetReference(), Manifest: key, Staff: staff, Since: t.since.UnixNano()}
		parcels := []parcel{p}
		if staff == "" {
			parcels = alerts(settings, p)
		}
		if err := in.enqueue(tx, byMail, parcels...); err != nil {
			return err
		}
		w := item.GetWork()
		w.DeputyAlerts = slices.DeleteFunc(w.DeputyAlerts, func(a *localv1.DeputyAlert) bool { return a.GetSinceTime().AsTime().Equal(t.since) })
		w.DeputyAlerts = append(w.DeputyAlerts, &localv1.DeputyAlert{SinceTime: timestamppb.New(t.since), StaffId: staff, QueueTime: in.now()})
		return in.keepWork(tx, key, w)
	})
}

// withWork reads an item with the work about it, and the settings by which it is judged; nil when it is not here any more.
func (in *Inbox) withWork(r store.Reader, key []byte) (*localv1.Item, *localv1.TeamSettings, error) {
	sealed, err := r.Get(schema.InboxItem, key)
	if err != nil || sealed == nil {
		return nil, nil, err
	}
	item, err := in.openItem(key, sealed)
	if err != nil {
		return nil, nil, err
	}
	if item.Item.Work, err = in.readWork(r, key); err != nil {
		return nil, nil, err
	}
	settings, err := in.readSettings(r)
	return item.GetItem(), settings, err
}

// errActed: the team acted before a deputy could be told, or the deputy is none any more, so there is nothing to tell.
var errActed = fault.New(fault.Precondition, "ACTED", "The team acted before the deputy could be told.")

// mailbox is where the mail of a parcel goes. A deputy's is looked up when it goes: one that was mended in the settings is
// used at the next attempt.
func (in *Inbox) mailbox(ctx context.Context, p parcel) (to string, err error) {
	if p.Kind != outlet.Deputy {
		return p.To, nil
	}
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		item, settings, err := in.withWork(s, p.Manifest)
		if err != nil {
			return err
		}
		if t := turnOf(item, settings, in.zone); item == nil || t.due.IsZero() || t.since.UnixNano() != p.Since {
			return errActed
		}
		if to = p.To; to != "" {
			return nil
		}
		if !slices.Contains(settings.GetDeputies(), p.Staff) {
			return errActed
		}
		for _, c := range settings.GetColleagues() {
			if c.GetStaffId() == p.Staff {
				to = c.GetMailbox()
			}
		}
		if to == "" {
			return fault.New(fault.Unavailable, "NO_MAILBOX", "A deputy has no mailbox any more. Write it after the name in the team's settings.")
		}
		return nil
	})
	return to, err
}

// told notes that the mail server took the mail to a deputy. Two mailboxes of a team are told at the first.
func (in *Inbox) told(tx store.Tx, p parcel) error {
	if p.Kind != outlet.Deputy {
		return nil
	}
	w, err := in.readWork(tx, p.Manifest)
	if err != nil {
		return err
	}
	a := alertOf(w, time.Unix(0, p.Since))
	if a == nil || a.GetTellTime() != nil {
		return nil
	}
	a.TellTime = in.now()
	return in.keepWork(tx, p.Manifest, w)
}

// examineDeputies says whether deputies can be told; nothing where there are none.
func (in *Inbox) examineDeputies(ctx context.Context) ([]*localv1.Finding, error) {
	s, err := in.settings(ctx)
	switch {
	case err != nil || len(s.GetDeputies()) == 0:
		return nil, err
	case !in.cfg.Outlets.uses(byMail):
		return []*localv1.Finding{ops.Problem("deputies", "the team named deputies, and this inbox sends no mail to tell them", "Set outlets.mail in its configuration; docs/operations.md shows how.")}, nil
	default:
		return []*localv1.Finding{ops.OK("deputies", fmt.Sprintf("%d deputies are told by mail when nobody has acted by half of the time", len(s.GetDeputies())))}, nil
	}
}
