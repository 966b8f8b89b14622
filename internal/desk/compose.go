package desk

import (
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/directory"
	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// manifestLife is how long a notification may be on its way before the desk must make a new one.
const manifestLife = 30 * 24 * time.Hour

// composed is one notification, ready for the spool.
type composed struct {
	state   *localv1.Notification
	message *posternv1.SealedNotification
	content []byte // the reference of its content
}

// Take takes a form as typed by a member of staff: checked, split, sealed, signed and on disk when it returns. The
// same form again returns what is there already. Nothing is sent yet.
func (d *Desk) Take(ctx context.Context, formJSON []byte, by Staff) (formID string, ids []string, err error) {
	return d.TakeIn(ctx, words.English, formJSON, by)
}

// TakeIn is Take with the faults of the form in a language.
func (d *Desk) TakeIn(ctx context.Context, lang words.Language, formJSON []byte, by Staff) (formID string, ids []string, err error) {
	f, err := form.DecodeIn(lang, formJSON)
	if err != nil {
		return "", nil, err
	}
	open := f.GetConsideration() == nil && f.GetSupersedes() != "" // whoever finds a mistake hands in what puts it right
	if _, lead := by.as(posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD); f.GetRoute() == posternv1.Route_ROUTE_DUTY && !lead && !open {
		return "", nil, fault.New(fault.Denied, "WRONG_ROLE", "Only the safeguarding lead sends by the duty route. Ask them to submit this form; roles stand under staff in the desk's configuration.")
	}
	d.submit.Lock()
	defer d.submit.Unlock()
	// Before the check: what was good when it was taken gets its answer again, whatever has changed since.
	if ids, err := d.taken(ctx, f); err != nil || ids != nil {
		return f.GetFormId(), ids, err
	}
	if _, team := by.as(posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION); f.GetGate() > posternv1.Gate_GATE_NOT_DONE && !team {
		return "", nil, fault.New(fault.Denied, "WRONG_ROLE", "Only the public-protection team says what its check found. Leave `gate` out of the form: they record it.")
	}
	dir := d.directory.Load().At(d.cfg.Clock())
	checked, err := d.check(lang, f, dir)
	if err != nil {
		return "", nil, err
	}
	f = checked.Form()
	if f.GetFormId() == "" {
		if f.FormId, err = envelope.NewID(d.cfg.Rand); err != nil {
			return "", nil, err
		}
	}
	earlier, err := d.earlier(ctx, f)
	if err != nil {
		return "", nil, err
	}
	parts, err := d.compose(checked, f, dir, by, earlier)
	if err != nil {
		return "", nil, err
	}
	if err := failpoint.Hit(failpoint.DeskForm); err != nil {
		return "", nil, err
	}
	return f.GetFormId(), idsOf(parts), d.keep(ctx, f, parts, earlier)
}

// check checks a form by what the desk knows today.
func (d *Desk) check(lang words.Language, f *posternv1.Form, dir *directory.Directory) (*form.Checked, error) {
	return form.Check(f, form.Env{Now: d.cfg.Clock(), Authority: dir.Authority, Postcodes: d.cfg.Postcodes, Language: lang,
		Article9Condition: d.cfg.Basis.GetArticle9Condition()})
}

// taken returns the notifications of a form that was taken before, or nil. Another form under the same id is refused:
// nothing would tell which one was meant.
func (d *Desk) taken(ctx context.Context, f *posternv1.Form) ([]string, error) {
	if len(f.GetFormId()) != idSize { // none, or none that was ever taken
		return nil, nil
	}
	var ids []string
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		row, err := s.Get(schema.DeskFormParts, []byte(f.GetFormId()))
		if err != nil || row == nil {
			return err
		}
		sealed, err := s.Get(schema.DeskForm, []byte(f.GetFormId()))
		if err != nil {
			return err
		}
		if sealed == nil {
			return fault.InvalidFields("FORM_ERASED", "This form was taken before, and was erased since.", []fault.Field{{
				Path: "form_id", Reason: "The id belongs to an earlier form that was erased, as the period of this desk says.",
				Fix: "See what became of it with `postern desk status`. Leave form_id out, or give a new one, to send this as a new form."}})
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
		ids = splitIDs(row)
		return nil
	})
	return ids, err
}

// splitIDs takes a row of ids apart.
func splitIDs(row []byte) (ids []string) {
	for ; len(row) >= idSize; row = row[idSize:] {
		ids = append(ids, string(row[:idSize]))
	}
	return ids
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
func (d *Desk) compose(checked *form.Checked, f *posternv1.Form, dir *directory.Directory, by Staff, earlier []prior) ([]composed, error) {
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
		c, err := d.composePart(p, f.GetFormId(), dir, making{first: d.waitsSince(p, earlier), sender: d.sender(by), earlier: putRight(earlier, p.Authority)})
		if err != nil {
			return nil, err
		}
		c.state.Move = moved(earlier)
		out = append(out, c)
	}
	return out, nil
}

// waitsSince is when waiting began for a part: now. Somebody who is not asked once more waits since they first were not, or
// would be put off for ever; what was shared meanwhile ended that.
func (d *Desk) waitsSince(p form.Part, earlier []prior) time.Time {
	since := d.cfg.Clock().Truncate(time.Second)
	for _, e := range earlier {
		if first := e.first; p.Enquiry != nil && first != nil && !e.GetShared() && first.AsTime().Before(since) {
			since = first.AsTime()
		}
	}
	return since
}

// making is what a notification takes over from one before it, beside the form.
type making struct {
	id, slipCode string    // those it keeps; empty for new ones
	first        time.Time // when this content was first submitted
	sender       *posternv1.Sender
	earlier      *prior   // what it puts right; nil for nothing
	withdrawn    []string // sections that the person took back since
	replaces     string   // the id of what it puts right, where earlier is not at hand
	maybeSent    [][]byte // earlier manifests under its id, of which nobody knows whether a hub that is gone shared them
	reason       posternv1.ChangeReason
}

func (d *Desk) sender(by Staff) *posternv1.Sender {
	return &posternv1.Sender{PrisonId: d.cfg.Identity.Party().ID, Unit: d.cfg.Unit, StaffId: by.ID, StaffRole: by.Role, ReplyTo: d.cfg.ReplyTo}
}

func (d *Desk) composePart(p form.Part, formID string, dir *directory.Directory, m making) (c composed, err error) {
	if m.id == "" {
		if m.id, err = envelope.NewID(d.cfg.Rand); err != nil {
			return c, err
		}
	}
	if m.slipCode == "" && p.Enquiry == nil {
		if m.slipCode, err = envelope.NewSlipCode(d.cfg.Rand); err != nil {
			return c, err
		}
	}
	draft, key := d.draft(p, dir, &m)
	if c.message, err = envelope.Seal(draft, key, d.cfg.Identity); err != nil {
		return c, err
	}
	name := ""
	if a, ok := dir.Authority(p.Authority); ok {
		name = a.GetName()
	}
	if m.earlier != nil { // here it puts right what the form names, whatever the team has of that
		m.replaces = m.earlier.GetId()
	}
	c.content = draft.Hub.GetContentRef()
	var foreseen []*posternv1.Obligation
	if p.Enquiry == nil {
		foreseen = d.foresee(draft, dir)
	}
	c.state = &localv1.Notification{
		Id: m.id, Reference: envelope.Reference(m.id), Authority: p.Authority, AuthorityName: name, FormId: formID, SlipCode: m.slipCode,
		Route: p.Route, Supersedes: m.replaces, FormChildren: formNumbers(p), DestinationSource: p.Source, PostcodeVintage: p.PostcodeVintage,
		// The exact time, so that a list of what was taken within a second keeps its order.
		State: localv1.State_STATE_QUEUED, CreateTime: timestamppb.New(d.cfg.Clock()), UpdateTime: draft.Manifest.GetCreateTime(),
		Foreseen: foreseen,
	}
	return c, nil
}

// callWithin is how soon after the form came somebody telephones about a child who may be alone, until the hub has said. The
// policy's own hour is its to know.
const callWithin = time.Hour

// foresee is whom to telephone about a child who may be alone before the hub has decided, which may not answer for hours, and
// whatever the safeguarding lead orders: nobody is to wait for that, nor to do without.
func (d *Desk) foresee(draft envelope.Draft, dir *directory.Directory) []*posternv1.Obligation {
	now := d.cfg.Clock()
	facts := engine.Facts{Manifest: draft.Manifest, Children: draft.Children, Hub: draft.Hub, CallerPrison: d.cfg.Identity.Party().ID, Now: now}
	calls := engine.Calls(engine.Offered(dir.At(now), facts))
	if draft.Manifest.GetOffer().GetRoute() == posternv1.Route_ROUTE_URGENT && len(calls) > 0 {
		calls = calls[:1]
		calls[0].ChildNumber = 0 // in an emergency one call is about all
	}
	for _, o := range calls {
		o.DueTime = timestamppb.New(draft.Hub.GetFirstSubmitTime().AsTime().Add(callWithin))
	}
	return calls
}

// draft is all that a notification will say, before anything of it is sealed, and the key to seal to. Looking ahead goes by
// the same draft as sending.
func (d *Desk) draft(p form.Part, dir *directory.Directory, m *making) (envelope.Draft, *posternv1.RecipientKey) {
	now := d.cfg.Clock().Truncate(time.Second)
	children, hub := form.Facts(p, form.FactsConfig{Today: form.Today(now), DeskKey: d.cfg.RefKey, FirstSubmit: m.first, SlipCode: m.slipCode})
	hub.MaybeSentSha256 = m.maybeSent
	if m.earlier != nil {
		m.replaces, m.reason = m.earlier.known().GetId(), changeReason(m.earlier.known(), hub.GetChildRefs())
	}
	draft := envelope.Draft{
		Manifest: &posternv1.Manifest{
			NotificationId: m.id, Audience: d.cfg.Identity.Party().Domain,
			CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.Add(manifestLife)),
			Sender: m.sender, Reception: p.Reception, NoticeVersion: p.NoticeVersion, Supersedes: m.replaces,
		},
		Children: children, Hub: hub,
	}
	key := d.statement(&draft, p, dir, *m)
	return draft, key
}

// formNumbers are the numbers that the children of a part have in the form.
func formNumbers(p form.Part) []uint32 {
	var out []uint32
	for _, c := range p.Children {
		out = append(out, uint32(c.FormNumber))
	}
	return out
}

// statement fills in what the draft states and returns the key to seal to: nil for an enquiry, and for an authority
// without a key that is good today; then no section is sealed and a person takes the manual route.
func (d *Desk) statement(draft *envelope.Draft, p form.Part, dir *directory.Directory, m making) *posternv1.RecipientKey {
	if p.Enquiry != nil {
		draft.Manifest.Statement = &posternv1.Manifest_Enquiry{Enquiry: p.Enquiry}
		return nil
	}
	basis := proto.CloneOf(p.LawfulBasis)
	if basis == nil {
		basis = proto.CloneOf(d.cfg.Basis)
	}
	// The same for every form, whether or not it needs one: stated only where it is needed, it would tell the hub that a
	// child has a health need.
	if basis.GetArticle9Condition() == "" && d.cfg.Basis.GetArticle9Condition() != "" {
		basis.Article9Condition = d.cfg.Basis.GetArticle9Condition()
	}
	draft.Manifest.Statement = &posternv1.Manifest_Offer{Offer: &posternv1.Offer{
		Route: p.Route, Authority: p.Authority, DestinationSource: p.Source,
		Consent: p.Consent, LawfulBasis: basis, ChangeReason: m.reason,
	}}
	key, ok := dir.RecipientKey(p.Authority)
	if !ok || !d.cfg.Clock().Before(key.GetExpireTime().AsTime()) {
		return nil
	}
	for _, s := range p.Sections {
		if len(m.withdrawn) > 0 && consent.Withdrawn(m.withdrawn, s.Path) {
			continue
		}
		draft.Sections = append(draft.Sections, envelope.Plain{Path: s.Path, Message: s.Message})
	}
	return key
}

// keep writes the form and all its notifications, and that they put earlier ones right, in one transaction: after a
// crash there is all of a form or none.
func (d *Desk) keep(ctx context.Context, f *posternv1.Form, parts []composed, earlier []prior) error {
	sealed, err := d.seal(schema.DeskForm, f.GetFormId(), f)
	if err != nil {
		return err
	}
	messages := make([][]byte, len(parts))
	for i, p := range parts {
		if messages[i], err = d.seal(schema.DeskMessage, p.state.GetId(), p.message); err != nil {
			return err
		}
	}
	var all []byte
	for _, p := range parts {
		all = append(all, p.state.GetId()...)
	}
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		err := errors.Join(tx.Put(schema.DeskForm, []byte(f.GetFormId()), sealed), tx.Put(schema.DeskFormParts, []byte(f.GetFormId()), all))
		if err != nil {
			return err
		}
		for i, p := range parts {
			if err := d.putNew(tx, p, messages[i]); err != nil {
				return err
			}
		}
		return d.replace(tx, earlier, parts)
	})
	if err != nil {
		return err
	}
	// A crash here: the form is on its way and the clerk saw an error. The same form again gets the same answer.
	if err := failpoint.Hit(failpoint.DeskKept); err != nil {
		return err
	}
	d.nudge()
	return nil
}

// putNew writes a new notification with its message and its places in the spool and the indexes.
func (d *Desk) putNew(tx store.Tx, c composed, message []byte) error {
	id := c.state.GetId()
	if err := d.put(tx, nil, c.state); err != nil {
		return err
	}
	err := errors.Join(tx.Put(schema.DeskMessage, []byte(id), message),
		tx.Put(schema.DeskReference, join(c.state.GetReference(), id), []byte{1}),
		tx.Put(schema.DeskContent, append(slices.Clone(c.content), id...), []byte{1}))
	if err != nil {
		return err
	}
	return d.enqueue(tx, hubDestination, id, id)
}

// enqueue puts a message that waits under its id into a line of the spool.
func (d *Desk) enqueue(tx store.Tx, line, id, notification string) error {
	next, err := nextSequence(tx)
	if err != nil {
		return err
	}
	now := d.cfg.Clock()
	item := queue.Item{Destination: line, Sequence: next, ID: id, Body: []byte(notification), EnqueueTime: now, DueTime: now}
	return errors.Join(d.spool.Put(tx, item), putSequence(tx, next+1))
}

// nudge wakes the loop that drains the spool.
func (d *Desk) nudge() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}
