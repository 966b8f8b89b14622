package desk

import (
	"cmp"
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// DraftLife is how long a draft is kept after it was saved last where the configuration says nothing: over a weekend
// with a bank holiday, and past the third day, on which somebody who could not be asked is asked again.
const DraftLife = 5 * 24 * time.Hour

var (
	errNoDraft = fault.New(fault.NotFound, "NO_DRAFT", "There is no such draft. It may have been sent, dropped, or erased because nobody went on with it. Begin again from the arrivals.")
	errChanged = fault.New(fault.Precondition, "DRAFT_CHANGED", "This draft was changed meanwhile, in another tab or by a colleague. Look at what it says now, and answer again.")
	errSent    = fault.New(fault.Precondition, "DRAFT_SENT", "This form was sent, so nothing more goes into it. To put something right, begin a form that replaces it.")
)

// BeginDraft begins a draft with what is known: reception, prison number, name, arrival, practice. The form_id is chosen
// here, so that a draft sent twice is one form. Of an arrival, and of a form that is put right, there is one draft at a time:
// a second officer who begins it goes on with the first one's, and a second click begins none.
func (d *Desk) BeginDraft(ctx context.Context, known *localv1.Draft) (*localv1.Draft, error) {
	by, err := d.fillsIn(ctx)
	if err != nil {
		return nil, err
	}
	d.drafting.Lock()
	defer d.drafting.Unlock()
	if known.GetArrival() != "" || known.GetForm().GetSupersedes() != "" {
		all, err := d.Drafts(ctx)
		if err != nil {
			return nil, err
		}
		for _, there := range all {
			same := there.GetArrival() == known.GetArrival() && (known.GetArrival() != "" || there.GetForm().GetSupersedes() == known.GetForm().GetSupersedes())
			if same && there.GetPractice() == known.GetPractice() && there.GetSendTime() == nil {
				return there, nil
			}
		}
	}
	now := d.now()
	draft := &localv1.Draft{Version: 1, Form: proto.CloneOf(known.GetForm()), BeginStaffId: by.ID, ChangeStaffId: by.ID, BeginTime: now, ChangeTime: now,
		ExpireTime: d.draftEnds(), Practice: known.GetPractice(), Answered: known.GetAnswered(), Arrival: known.GetArrival()}
	if draft.GetForm() == nil {
		draft.Form = &posternv1.Form{}
	}
	for _, id := range []*string{&draft.Id, &draft.Form.FormId} {
		if *id, err = envelope.NewID(d.cfg.Rand); err != nil {
			return nil, err
		}
	}
	return draft, d.cfg.Store.Update(ctx, func(tx store.Tx) error { return d.putDraft(tx, draft) })
}

// Draft returns a draft. Whoever may fill in forms at this prison may go on with any: reception begins, resettlement ends.
func (d *Desk) Draft(ctx context.Context, id string) (draft *localv1.Draft, err error) {
	if _, err := d.fillsIn(ctx); err != nil {
		return nil, err
	}
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		draft, err = d.loadDraft(s, id)
		return err
	})
	return draft, err
}

// Drafts returns all drafts, the one that was saved last first; those that came to their end too, until they are erased.
func (d *Desk) Drafts(ctx context.Context) (all []*localv1.Draft, err error) {
	if _, err := d.fillsIn(ctx); err != nil {
		return nil, err
	}
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		all = nil
		return s.Scan(schema.DeskDraft, nil, nil, func(key, _ []byte) (bool, error) {
			draft, err := d.loadDraft(s, string(key))
			if fault.KindOf(err) == fault.NotFound { // its time has passed
				return true, nil
			}
			all = append(all, draft)
			return true, err
		})
	})
	slices.SortStableFunc(all, func(a, b *localv1.Draft) int {
		return cmp.Or(b.GetChangeTime().AsTime().Compare(a.GetChangeTime().AsTime()), cmp.Compare(a.GetId(), b.GetId()))
	})
	return all, err
}

// SaveDraft keeps a draft as it is given, as the next version. One that was saved by somebody else since it was read is
// refused, unless it says the same, and so is one that was sent: two tabs never lose or mix what was written.
func (d *Desk) SaveDraft(ctx context.Context, draft *localv1.Draft) (*localv1.Draft, error) {
	by, err := d.fillsIn(ctx)
	if err != nil {
		return nil, err
	}
	d.drafting.Lock()
	defer d.drafting.Unlock()
	var saved *localv1.Draft
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		there, err := d.loadDraft(tx, draft.GetId())
		switch {
		case err != nil:
			return err
		case there.GetSendTime() != nil:
			return errSent
		case proto.Equal(there.GetForm(), draft.GetForm()) && slices.Equal(there.GetAnswered(), draft.GetAnswered()):
			saved = there // a second click
			return nil
		case there.GetVersion() != draft.GetVersion():
			return errChanged
		}
		saved = proto.CloneOf(there)
		saved.Form, saved.Answered = proto.CloneOf(draft.GetForm()), slices.Clone(draft.GetAnswered())
		saved.Form.FormId = there.GetForm().GetFormId() // from its beginning
		saved.Version, saved.ChangeStaffId, saved.ChangeTime, saved.ExpireTime = there.GetVersion()+1, by.ID, d.now(), d.draftEnds()
		return d.putDraft(tx, saved)
	})
	return saved, err
}

// DropDraft erases a draft that was not sent. One that is not there is dropped already.
func (d *Desk) DropDraft(ctx context.Context, id string) error {
	if _, err := d.fillsIn(ctx); err != nil {
		return err
	}
	d.drafting.Lock()
	defer d.drafting.Unlock()
	return d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		draft, err := d.loadDraft(tx, id)
		if fault.KindOf(err) == fault.NotFound {
			return nil
		}
		if err != nil {
			return err
		}
		if draft.GetSendTime() != nil && !draft.GetPractice() {
			return errSent
		}
		return tx.Delete(schema.DeskDraft, []byte(id))
	})
}

// SendDraft takes the form of a draft, as SubmitForm takes any, and tries it once. Sent again it is the same form, with
// the same notifications. The version is the one that was read through before: another was changed since. For practice
// the form is checked as any other, and nothing goes anywhere.
func (d *Desk) SendDraft(ctx context.Context, id string, version uint64, lang words.Language) (*localv1.Draft, []*localv1.Notification, error) {
	by, err := d.fillsIn(ctx)
	if err != nil {
		return nil, nil, err
	}
	draft, err := d.takeDraft(ctx, id, version, lang, by)
	if err != nil {
		return nil, nil, err
	}
	d.drain(ctx, draft.GetNotificationIds())
	all, err := d.show(ctx, draft.GetNotificationIds())
	return draft, all, err
}

func (d *Desk) takeDraft(ctx context.Context, id string, version uint64, lang words.Language, by Staff) (*localv1.Draft, error) {
	d.drafting.Lock() // nobody saves between the taking and the end of the draft
	defer d.drafting.Unlock()
	draft, err := d.Draft(ctx, id)
	if err != nil || draft.GetSendTime() != nil {
		return draft, err
	}
	if draft.GetVersion() != version {
		return nil, errChanged
	}
	if err := d.firstDirectory(ctx); err != nil && !draft.GetPractice() {
		return nil, err
	}
	typed, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(FormOf(draft))
	if err != nil {
		return nil, fault.From(err)
	}
	if draft.GetPractice() {
		_, err = d.check(lang, FormOf(draft), d.directory.Load().At(d.cfg.Clock()))
	} else {
		_, draft.NotificationIds, err = d.TakeIn(ctx, lang, typed, by)
	}
	if err != nil {
		return nil, err
	}
	// A crash here: the form was taken, so the draft counts as sent, and StepDrafts ends it.
	draft.SendTime = d.now()
	return draft, d.endDraft(ctx, draft)
}

// endDraft keeps of a draft what says whom it was about, so that the list of arrivals can show what became of it.
func (d *Desk) endDraft(ctx context.Context, draft *localv1.Draft) error {
	f := draft.GetForm()
	draft.Form = &posternv1.Form{FormId: f.GetFormId(), Reception: f.GetReception(), PrisonNumber: f.GetPrisonNumber(), Enquiry: FormOf(draft).GetEnquiry(),
		NotAskedReason: f.GetNotAskedReason(), AskAgainDate: f.GetAskAgainDate(), Supersedes: f.GetSupersedes()}
	if name := f.GetParent().GetName(); name != nil {
		draft.Form.Parent = &posternv1.Parent{Name: name}
	}
	draft.ExpireTime = timestamppb.New(draft.GetSendTime().AsTime().Add(max(d.draftLife(), ArrivalDays*24*time.Hour))) // while they are listed
	return d.promised().Update(ctx, func(tx store.Tx) error { return d.putDraft(tx, draft) })
}

// FormOf is the form of a draft as it is checked, looked ahead at and taken: a pure function of the draft, so that it is
// the same form every time. It tells of children only where the person agreed to that; a person who said no is one who
// declined, and one who has children nobody described is one who was not asked for permission. What is urgent, or puts
// right what was shared under the duty, tells of them whatever the person said.
func FormOf(draft *localv1.Draft) *posternv1.Form {
	f := proto.CloneOf(draft.GetForm())
	agreed := f.GetConsent().GetState()
	switch {
	case f.GetRoute() > posternv1.Route_ROUTE_STANDARD:
		return aboutChildren(f)
	case f.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN && f.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED:
		f.Consent = nil
	case agreed == posternv1.ConsentState_CONSENT_STATE_DECLINED:
		f.Enquiry = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED
	case agreed == posternv1.ConsentState_CONSENT_STATE_NOT_ASKED:
		f.Enquiry = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN
	default: // with permission, or the check of the form says that it is missing
		return aboutChildren(f)
	}
	f.Parent, f.Children, f.Calls, f.Urgency = nil, nil, nil, nil
	return f
}

// aboutChildren makes a form tell of its children. Permission that names no child was given for all of them before they
// were described; whoever takes children out of it must never leave it naming none.
func aboutChildren(f *posternv1.Form) *posternv1.Form {
	f.Enquiry = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED
	if f.GetConsent() != nil && len(f.GetConsent().GetChildren()) == 0 {
		for i := range f.GetChildren() {
			f.Consent.Children = append(f.Consent.Children, uint32(i+1))
		}
	}
	return f
}

// OutcomeOf is the outcome of asking that a draft's form tells, or told; none where it tells of children.
func OutcomeOf(draft *localv1.Draft) posternv1.EnquiryOutcome {
	if f := draft.GetForm(); draft.GetSendTime() != nil && f.GetConsent() == nil && len(f.GetChildren()) == 0 {
		return f.GetEnquiry() // what is left of it
	}
	return FormOf(draft).GetEnquiry()
}

// StepDrafts erases the drafts that ended, and ends those whose form was taken just before a crash. It reports whether
// there was any. A clock that is ahead erases nothing, though nobody sees until it is set right what has ended by it.
func (d *Desk) StepDrafts(ctx context.Context) (bool, error) {
	over, err := d.lapse.Now(ctx)
	if err != nil {
		return false, err
	}
	d.drafting.Lock()
	defer d.drafting.Unlock()
	var gone [][]byte
	var taken []*localv1.Draft
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		gone, taken = nil, nil
		return s.Scan(schema.DeskDraft, nil, nil, func(key, _ []byte) (bool, error) {
			draft, err := d.loadDraft(s, string(key))
			switch {
			case fault.KindOf(err) == fault.NotFound:
				ended := &localv1.Draft{}
				if err = d.load(s, schema.DeskDraft, string(key), ended); err == nil && !over.Before(ended.GetExpireTime().AsTime()) {
					gone = append(gone, slices.Clone(key))
				}
				return true, err
			case err == nil && draft.GetSendTime() != nil && (len(draft.GetForm().GetChildren()) > 0 || draft.GetForm().GetConsent() != nil):
				taken = append(taken, draft)
			}
			return true, err
		})
	})
	for _, key := range gone {
		if err == nil {
			err = d.promised().Update(ctx, func(tx store.Tx) error { return tx.Delete(schema.DeskDraft, key) })
		}
	}
	for _, draft := range taken {
		if err == nil {
			err = d.endDraft(ctx, draft)
		}
	}
	return len(gone)+len(taken) > 0 && err == nil, err
}

// fillsIn is whoever is signed in, where they may fill in forms. Public protection may not: what it knows of a person
// must not be what the person is asked by.
func (d *Desk) fillsIn(ctx context.Context) (Staff, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return Staff{}, err
	}
	for _, role := range append([]posternv1.StaffRole{by.Role}, by.Also...) {
		if role != posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION {
			return by, nil
		}
	}
	return Staff{}, fault.New(fault.Denied, "WRONG_ROLE", "The public-protection team fills in no forms. Ask a colleague in reception or resettlement.")
}

func (d *Desk) draftLife() time.Duration { return cmp.Or(d.cfg.DraftLife, DraftLife) }

func (d *Desk) draftEnds() *timestamppb.Timestamp {
	return timestamppb.New(d.now().AsTime().Add(d.draftLife()))
}

// loadDraft reads a draft whose time has not passed. One whose form was taken has come to its end, whatever its row says.
func (d *Desk) loadDraft(s store.Reader, id string) (*localv1.Draft, error) {
	if !envelope.ValidID(id) {
		return nil, errNoDraft
	}
	draft := &localv1.Draft{}
	switch err := d.load(s, schema.DeskDraft, id, draft); {
	case fault.KindOf(err) == fault.NotFound:
		return nil, errNoDraft
	case err != nil:
		return nil, err
	case !d.cfg.Clock().Before(draft.GetExpireTime().AsTime()):
		return nil, errNoDraft
	case draft.GetSendTime() != nil:
		return draft, nil
	}
	parts, err := s.Get(schema.DeskFormParts, []byte(draft.GetForm().GetFormId()))
	if err != nil || parts == nil {
		return draft, err
	}
	draft.SendTime, draft.NotificationIds = draft.GetChangeTime(), splitIDs(parts)
	return draft, nil
}

func (d *Desk) putDraft(tx store.Tx, draft *localv1.Draft) error {
	sealed, err := d.seal(schema.DeskDraft, draft.GetId(), draft)
	if err != nil {
		return err
	}
	return tx.Put(schema.DeskDraft, []byte(draft.GetId()), sealed)
}

// Answered notes that a page of a draft was answered, such as tonight or children/1/home.
func Answered(draft *localv1.Draft, step string) {
	if !slices.Contains(draft.GetAnswered(), step) {
		draft.Answered = append(draft.Answered, step)
	}
}
