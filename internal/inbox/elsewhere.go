package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// To whom a team passed something on, it remembers for ever: after the loss of a hub's disk nobody else can tell the next
// one, which must ask that team too to stop when the person withdraws. The rows of the authorities say whether the hub is
// asked still what became of it, or whether not even that is known, which a clear no takes away.
var (
	onItsWay = []byte{1}
	atItsEnd = []byte{2}
	asked    = []byte{3}
)

// lostAfter is when a hub that does not know of a redirect is no longer waited for: as long as a team's answer is.
const lostAfter = 24 * time.Hour

func redirectKey(manifest []byte, authority string) []byte {
	return slices.Concat(manifest, []byte(authority))
}

// knowing is which generation of the log has all that was passed on of a manifest, and in which the manifest came last.
// Where the second is greater, a hub was lost, and the next one must be told: of which notification is known here also
// when another manifest of it has taken the place of this one.
type knowing struct {
	told, came   uint32
	notification string // its id
}

func readKnowing(r store.Reader, manifest []byte) (k knowing, ok bool, err error) {
	row, err := r.Get(schema.InboxRedirect, manifest)
	if err != nil || len(row) < 8 {
		return k, false, err
	}
	return knowing{binary.BigEndian.Uint32(row), binary.BigEndian.Uint32(row[4:]), string(row[8:])}, true, nil
}

func (k knowing) put(tx store.Tx, manifest []byte) error {
	row := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, k.told), k.came)
	return tx.Put(schema.InboxRedirect, manifest, append(row, k.notification...))
}

// generation of a log, by its origin; 0 for none.
func generation(origin string) uint32 {
	if origin == "" {
		return 0
	}
	_, n := verify.Generation(origin)
	return uint32(min(n, 1<<32-1))
}

// sharedIn is the origin of the log by which an item came.
func (in *Inbox) sharedIn(item *localv1.GetItemResponse) string {
	first, err := verify.Receipt(item.GetReceipt(), in.cfg.LogKeys)
	if err != nil {
		return ""
	}
	return first.Origin
}

// mayPassOn remembers, before the hub is asked, that another authority may be sent this: a crash between its answer and
// our note of it must not hide that.
func (in *Inbox) mayPassOn(ctx context.Context, manifest []byte, authority string, item *localv1.GetItemResponse) error {
	came := generation(in.sharedIn(item))
	return in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		k, known, err := readKnowing(tx, manifest)
		if err != nil {
			return err
		}
		if !known {
			k.told, k.notification = came, item.GetItem().GetId()
		}
		k.came = max(k.came, came)
		if err := k.put(tx, manifest); err != nil {
			return err
		}
		row, err := tx.Get(schema.InboxRedirect, redirectKey(manifest, authority))
		if err != nil || row != nil {
			return err
		}
		return tx.Put(schema.InboxRedirect, redirectKey(manifest, authority), asked)
	})
}

// notPassedOn forgets an authority that the hub was asked to send this to and said clearly that it does not: nobody is
// asked to stop what they never had. What went there before stays remembered.
func notPassedOn(tx store.Tx, manifest []byte, authority string) error {
	row, err := tx.Get(schema.InboxRedirect, redirectKey(manifest, authority))
	if err != nil || !bytes.Equal(row, asked) {
		return err
	}
	return tx.Delete(schema.InboxRedirect, redirectKey(manifest, authority))
}

// keepPassedOn notes on an item that it was passed on, in the place of what was noted of the same authority before.
func (in *Inbox) keepPassedOn(ctx context.Context, key []byte, p *localv1.PassedOn) (*localv1.PassedOn, error) {
	err := in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		before, err := in.passedOnIn(tx, passing{manifest: key, authority: p.GetAuthority()})
		if err == nil {
			err = in.notePassedOn(tx, key, p)
		}
		if err == nil && (before == nil || DidNotArrive(before)) { // or it is the same again
			err = in.noted(ctx, tx, key, &localv1.Deed{Deed: &localv1.Deed_PassedOn{PassedOn: p.GetAuthority()}})
		}
		if err == nil && p.GetState() != passedOn {
			return notPassedOn(tx, key, p.GetAuthority())
		}
		if err != nil {
			return err
		}
		return tx.Put(schema.InboxRedirect, redirectKey(key, p.GetAuthority()), onItsWay)
	})
	return p, err
}

// notePassedOn writes on an item where what was passed on stands; without the item there is nobody to be shown it.
func (in *Inbox) notePassedOn(tx store.Tx, key []byte, p *localv1.PassedOn) error {
	_, err := in.change(tx, key, func(item *localv1.GetItemResponse) error {
		i := slices.IndexFunc(item.GetItem().GetPassedOn(), func(old *localv1.PassedOn) bool { return old.GetAuthority() == p.GetAuthority() })
		if i < 0 {
			item.Item.PassedOn = append(item.Item.PassedOn, p)
		} else {
			item.Item.PassedOn[i] = p
		}
		return nil
	})
	return err
}

// cameAgain notes, in the transaction that keeps what came, in which generation of the log a manifest came, and reports
// whether that hub must be told to whom it was passed on.
func (in *Inbox) cameAgain(tx store.Tx, manifest []byte, origin string) (tell bool, err error) {
	k, ok, err := readKnowing(tx, manifest)
	if err != nil || !ok || generation(origin) <= k.came {
		return false, err
	}
	k.came = generation(origin)
	return true, k.put(tx, manifest)
}

func (in *Inbox) wakeRedirects() {
	select {
	case in.passed <- struct{}{}:
	default:
	}
}

// passing is one authority that a manifest was passed on to.
type passing struct {
	notification string // its id
	manifest     []byte
	authority    string
	open         bool // the hub is asked still what became of it
	untold       bool // the hub that is here does not know of it
	came         uint32
	since        *timestamppb.Timestamp // when it was passed on last; nil where no item says so
}

// passings are all, those that a hub must be told of first.
func (in *Inbox) passings(ctx context.Context) (all []passing, err error) {
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		all = nil
		var of knowing // of the manifest whose authorities follow its own row
		var about []byte
		return s.Scan(schema.InboxRedirect, nil, nil, func(key, row []byte) (bool, error) {
			manifest := bytes.Clone(key[:sha256.Size])
			if !bytes.Equal(manifest, about) {
				of, about = knowing{}, manifest
			}
			if len(key) > sha256.Size {
				p := passing{notification: of.notification, manifest: manifest, authority: string(key[sha256.Size:]), open: bytes.Equal(row, onItsWay), untold: of.came > of.told, came: of.came}
				note, err := in.passedOnIn(s, p)
				p.since = note.GetPassTime()
				all = append(all, p)
				return true, err
			}
			of, _, err = readKnowing(s, manifest)
			return true, err
		})
	})
	return all, err
}

// StepRedirects tells a hub that replaced a lost one to whom was passed on what it knows of, and asks what became of what
// is not at its end, and notes it. It reports whether anything has changed. What did not arrive is ours to telephone
// about: nobody else hears of it. One that fails keeps no other waiting.
func (in *Inbox) StepRedirects(ctx context.Context) (changed bool, err error) {
	all, err := in.passings(ctx)
	if err != nil {
		return false, err
	}
	again := map[string]bool{} // manifests of which something could not be told
	for _, p := range all {
		did, failed := false, error(nil)
		switch {
		case p.untold:
			did, failed = true, in.tellNext(ctx, p)
			again[string(p.manifest)] = again[string(p.manifest)] || failed != nil
		case p.open:
			did, failed = in.askAfter(ctx, p)
		}
		changed, err = changed || did && failed == nil, errors.Join(err, failed)
	}
	for _, p := range all {
		if p.untold && !again[string(p.manifest)] { // a crash before this line tells again, and the hub knows it
			err = errors.Join(err, in.toldNext(ctx, p))
		}
	}
	return changed, err
}

func (in *Inbox) toldNext(ctx context.Context, p passing) error {
	return in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		k, _, err := readKnowing(tx, p.manifest)
		if err != nil {
			return err
		}
		k.told = max(k.told, p.came)
		return k.put(tx, p.manifest)
	})
}

// askAfter asks what became of what was passed on.
func (in *Inbox) askAfter(ctx context.Context, p passing) (changed bool, err error) {
	answer, err := in.cfg.Hub.GetRedirect(ctx, &posternv1.GetRedirectRequest{NotificationId: p.notification, ManifestSha256: p.manifest, Authority: p.authority})
	if err != nil && fault.KindOf(err) == fault.NotFound {
		// A hub that lost its disk hears of it when it has this again. If it never shares this, nobody knows whether it arrived.
		if p.since != nil && in.cfg.Clock().Before(p.since.AsTime().Add(lostAfter)) {
			return false, nil
		}
		answer, err = &posternv1.GetRedirectResponse{State: posternv1.RedirectState_REDIRECT_STATE_UNDELIVERED}, nil
	}
	if err != nil || answer.GetState() == passedOn {
		return false, err
	}
	return true, in.endPassing(ctx, p, answer.GetState())
}

// endPassing notes where something that was passed on ended, unless it was passed on once more since p was read.
func (in *Inbox) endPassing(ctx context.Context, p passing, state posternv1.RedirectState) error {
	ended := false
	err := in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		note, err := in.passedOnIn(tx, p)
		if ended = err == nil && proto.Equal(note.GetPassTime(), p.since); !ended {
			return err
		}
		if note != nil {
			note.State, note.EndTime = state, in.now()
			if err := in.notePassedOn(tx, p.manifest, note); err != nil {
				return err
			}
		}
		return tx.Put(schema.InboxRedirect, redirectKey(p.manifest, p.authority), atItsEnd)
	})
	if err != nil || !ended {
		return err
	}
	level := in.cfg.Log.InfoContext
	if state != posternv1.RedirectState_REDIRECT_STATE_DELIVERED {
		level = in.cfg.Log.ErrorContext // somebody has to telephone
	}
	level(ctx, "what was passed on is at its end", "authority", p.authority, "state", state.String())
	return nil
}

// passedOnIn is what an item says of having been passed on; nil where there is none.
func (in *Inbox) passedOnIn(r store.Reader, p passing) (*localv1.PassedOn, error) {
	row, err := r.Get(schema.InboxItem, p.manifest)
	if err != nil || row == nil {
		return nil, err
	}
	item, err := in.openItem(p.manifest, row)
	if err != nil {
		return nil, err
	}
	for _, one := range item.GetItem().GetPassedOn() {
		if one.GetAuthority() == p.authority {
			return one, nil
		}
	}
	return nil, nil
}

// tellNext tells the hub that replaced a lost one that something was passed on, so that a withdrawal reaches the other
// team. The content does not go along: whether it goes once more a person decides, who is shown that nobody knows
// whether it arrived.
func (in *Inbox) tellNext(ctx context.Context, p passing) error {
	err := in.tell(ctx, p)
	if err != nil && fault.KindOf(err) == fault.NotFound && fault.From(err).Reason != "NO_AUTHORITY" {
		in.cfg.Log.ErrorContext(ctx, "the hub does not know what was passed on: telephone the other team if the person withdraws", "authority", p.authority)
		return nil // nor will it
	}
	if err != nil {
		return err
	}
	in.cfg.Log.InfoContext(ctx, "the hub that replaced a lost one was told to whom this was passed on", "authority", p.authority)
	return nil // what became of it the hub is asked next, like any other
}

func (in *Inbox) tell(ctx context.Context, p passing) error {
	signed, err := in.sign(&posternv1.Report{NotificationId: p.notification, ManifestSha256: p.manifest, ReportTime: in.now(), Report: &posternv1.Report_Redirect{
		Redirect: &posternv1.Redirect{ManifestSha256: p.manifest, Authority: p.authority}}})
	if err != nil {
		return err
	}
	_, event, err := in.ask(ctx, &posternv1.ReportRequest{Signed: signed, Resubmitted: true})
	if err == nil && event != nil && (event.Kind != logv1.Kind_KIND_REDIRECTED || !bytes.Equal(event.Core.GetManifestSha256(), p.manifest)) {
		return fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The hub's receipt is not about this.")
	}
	return err
}
