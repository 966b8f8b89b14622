package desk

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// manifestLife is how long a notification may be on its way before the desk must make a new one.
const manifestLife = 30 * 24 * time.Hour

// composed is one notification, ready for the spool.
type composed struct {
	state   *localv1.Notification
	message *posternv1.SealedNotification
}

// Take takes a form as typed by a member of staff: checked, split, sealed, signed and on disk when it returns. The
// same form again returns what is there already. Nothing is sent yet.
func (d *Desk) Take(ctx context.Context, formJSON []byte, by Staff) (formID string, ids []string, err error) {
	f, err := form.Decode(formJSON)
	if err != nil {
		return "", nil, err
	}
	d.submit.Lock()
	defer d.submit.Unlock()
	// Before the check: what was good when it was taken gets its answer again, whatever has changed since.
	if ids, err := d.taken(ctx, f); err != nil || ids != nil {
		return f.GetFormId(), ids, err
	}
	dir := d.directory.Load().At(d.cfg.Clock())
	checked, err := form.Check(f, form.Env{Now: d.cfg.Clock(), Authority: dir.Authority, Postcodes: d.cfg.Postcodes})
	if err != nil {
		return "", nil, err
	}
	f = checked.Form()
	if f.GetFormId() == "" {
		if f.FormId, err = envelope.NewID(d.cfg.Rand); err != nil {
			return "", nil, err
		}
	}
	parts, err := d.compose(checked, f, dir, by)
	if err != nil {
		return "", nil, err
	}
	if err := failpoint.Hit(failpoint.DeskForm); err != nil {
		return "", nil, err
	}
	return f.GetFormId(), idsOf(parts), d.keep(ctx, f, parts)
}

// taken returns the notifications of a form that was taken before, or nil. Another form under the same id is refused:
// nothing would tell which one was meant.
func (d *Desk) taken(ctx context.Context, f *posternv1.Form) ([]string, error) {
	if len(f.GetFormId()) != idSize { // none, or none that was ever taken
		return nil, nil
	}
	var ids []string
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		sealed, err := s.Get(schema.DeskForm, []byte(f.GetFormId()))
		if err != nil || sealed == nil {
			return err
		}
		earlier := &posternv1.Form{}
		if err := d.unseal(schema.DeskForm, f.GetFormId(), sealed, earlier); err != nil {
			return err
		}
		if !proto.Equal(earlier, f) {
			return fault.InvalidFields("FORM_CHANGED", "This form was taken before with other content.", []fault.Field{{
				Path: "form_id", Reason: "The id belongs to an earlier form with other content.",
				Fix: "Leave form_id out, or give a new one, to send this as a new form."}})
		}
		row, err := s.Get(schema.DeskFormParts, []byte(f.GetFormId()))
		for ; len(row) >= idSize; row = row[idSize:] {
			ids = append(ids, string(row[:idSize]))
		}
		return err
	})
	return ids, err
}

// idSize is the length of a UUID in its canonical spelling.
const idSize = 36

func idsOf(parts []composed) []string {
	ids := make([]string, len(parts))
	for i, p := range parts {
		ids[i] = p.state.GetId()
	}
	return ids
}

// compose makes one sealed and signed notification for each part of the form.
func (d *Desk) compose(checked *form.Checked, f *posternv1.Form, dir *directory.Directory, by Staff) ([]composed, error) {
	var idErr error
	parts := checked.Parts(func() string {
		id, err := envelope.NewID(d.cfg.Rand)
		if err != nil {
			idErr = err
		}
		return id
	})
	if idErr != nil {
		return nil, idErr
	}
	var out []composed
	for _, p := range parts {
		c, err := d.composePart(p, f, dir, by)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

func (d *Desk) composePart(p form.Part, f *posternv1.Form, dir *directory.Directory, by Staff) (composed, error) {
	id, err := envelope.NewID(d.cfg.Rand)
	if err != nil {
		return composed{}, err
	}
	now := d.cfg.Clock().Truncate(time.Second)
	code := ""
	if p.Enquiry == nil {
		if code, err = envelope.NewSlipCode(d.cfg.Rand); err != nil {
			return composed{}, err
		}
	}
	children, hub := form.Facts(p, form.FactsConfig{Today: form.Today(now), DeskKey: d.cfg.RefKey, FirstSubmit: now, SlipCode: code})
	draft := envelope.Draft{
		Manifest: &posternv1.Manifest{
			NotificationId: id, Audience: d.cfg.Identity.Party().Domain,
			CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.Add(manifestLife)),
			Sender:    &posternv1.Sender{PrisonId: d.cfg.Identity.Party().ID, Unit: d.cfg.Unit, StaffId: by.ID, StaffRole: by.Role, ReplyTo: d.cfg.ReplyTo},
			Reception: p.Reception, NoticeVersion: p.NoticeVersion,
		},
		Children: children, Hub: hub,
	}
	key := d.statement(&draft, p, dir)
	message, err := envelope.Seal(draft, key, d.cfg.Identity)
	if err != nil {
		return composed{}, err
	}
	name := ""
	if a, ok := dir.Authority(p.Authority); ok {
		name = a.GetName()
	}
	return composed{message: message, state: &localv1.Notification{
		Id: id, Reference: envelope.Reference(id), Authority: p.Authority, AuthorityName: name, FormId: f.GetFormId(), SlipCode: code,
		DestinationSource: p.Source, PostcodeVintage: p.PostcodeVintage,
		// The exact time, so that a list of what was taken within a second keeps its order.
		State: localv1.State_STATE_QUEUED, CreateTime: timestamppb.New(d.cfg.Clock()), UpdateTime: timestamppb.New(now),
	}}, nil
}

// statement fills in what the draft states and returns the key to seal to: nil for an enquiry, and for an authority
// without a key that is good today; then no section is sealed and a person takes the manual route.
func (d *Desk) statement(draft *envelope.Draft, p form.Part, dir *directory.Directory) *posternv1.RecipientKey {
	if p.Enquiry != nil {
		draft.Manifest.Statement = &posternv1.Manifest_Enquiry{Enquiry: p.Enquiry}
		return nil
	}
	basis := p.LawfulBasis
	if basis == nil {
		basis = d.cfg.Basis
	}
	draft.Manifest.Statement = &posternv1.Manifest_Offer{Offer: &posternv1.Offer{
		Route: p.Route, Authority: p.Authority, DestinationSource: p.Source,
		Consent: p.Consent, LawfulBasis: basis,
	}}
	key, ok := dir.RecipientKey(p.Authority)
	if !ok || !d.cfg.Clock().Before(key.GetExpireTime().AsTime()) {
		return nil
	}
	for _, s := range p.Sections {
		draft.Sections = append(draft.Sections, envelope.Plain{Path: s.Path, Message: s.Message})
	}
	return key
}

// keep writes the form and all its notifications in one transaction: after a crash there is all of a form or none.
func (d *Desk) keep(ctx context.Context, f *posternv1.Form, parts []composed) error {
	type row struct {
		ks         store.Keyspace
		key, value []byte
	}
	var rows []row
	add := func(ks store.Keyspace, key string, m proto.Message) error {
		sealed, err := d.seal(ks, key, m)
		rows = append(rows, row{ks, []byte(key), sealed})
		return err
	}
	if err := add(schema.DeskForm, f.GetFormId(), f); err != nil {
		return err
	}
	var all []byte
	for _, p := range parts {
		id := p.state.GetId()
		all = append(all, id...)
		if err := add(schema.DeskNotification, id, p.state); err != nil {
			return err
		}
		if err := add(schema.DeskMessage, id, p.message); err != nil {
			return err
		}
		rows = append(rows, row{schema.DeskReference, join(p.state.GetReference(), id), []byte{1}})
	}
	rows = append(rows, row{schema.DeskFormParts, []byte(f.GetFormId()), all})
	now := d.cfg.Clock()
	err := d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, r := range rows {
			if err := tx.Put(r.ks, r.key, r.value); err != nil {
				return err
			}
		}
		next, err := nextSequence(tx)
		if err != nil {
			return err
		}
		for i, p := range parts {
			item := queue.Item{Destination: hubDestination, Sequence: next + uint64(i), ID: p.state.GetId(),
				Body: []byte(p.state.GetId()), EnqueueTime: now, DueTime: now}
			if err := d.spool.Put(tx, item); err != nil {
				return err
			}
		}
		return putSequence(tx, next+uint64(len(parts)))
	})
	if err != nil {
		return err
	}
	// A crash here: the form is on its way and the clerk saw an error. The same form again gets the same answer.
	if err := failpoint.Hit(failpoint.DeskKept); err != nil {
		return err
	}
	select {
	case d.wake <- struct{}{}:
	default:
	}
	return nil
}
