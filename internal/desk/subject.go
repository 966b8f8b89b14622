package desk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/subject"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// MakeSubjectCopy gathers all that this desk holds about one person, and hands it out only once it has recorded that it did.
// Only the safeguarding lead may: what is gathered has what the check found and what they considered.
func (d *Desk) MakeSubjectCopy(req *localv1.MakeSubjectCopyRequest, stream grpc.ServerStreamingServer[localv1.MakeSubjectCopyResponse]) error {
	ctx := stream.Context()
	files, made, err := d.subjectCopy(ctx, req)
	if err != nil {
		return err
	}
	for _, f := range files {
		if err := stream.Send(&localv1.MakeSubjectCopyResponse{File: &localv1.SubjectFile{Name: f.Name, Content: f.Content}}); err != nil {
			return err
		}
	}
	return stream.Send(&localv1.MakeSubjectCopyResponse{Made: made})
}

func (d *Desk) subjectCopy(ctx context.Context, req *localv1.MakeSubjectCopyRequest) ([]subject.File, *localv1.SubjectCopy, error) {
	by, err := d.signedInAs(ctx, posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, "make the copy for somebody who asks what is held about them")
	if err != nil {
		return nil, nil, err
	}
	lang := language(req.GetLanguage())
	number, ok := form.PrisonNumber(req.GetPrisonNumber())
	if !ok {
		reason, fix := lang.Fault("form.prison_number", nil)
		return nil, nil, fault.InvalidFields("BAD_NUMBER", "Nobody can be looked for like this.", []fault.Field{{Path: "prison_number", Reason: reason, Fix: fix}})
	}
	held, err := d.heldAbout(ctx, number, req.GetAlso(), lang)
	if err != nil {
		return nil, nil, err
	}
	held.StaffID, held.MakeTime = by.ID, d.cfg.Clock().Truncate(time.Millisecond) // finer than a second, since one may follow at once
	files, heldBack, err := held.Files(lang)
	if err != nil {
		return nil, nil, err
	}
	index := sha256.Sum256(files[len(files)-1].Content)
	made := &localv1.SubjectCopy{MakeTime: timestamppb.New(held.MakeTime), StaffId: by.ID, IndexSha256: index[:], Forms: uint32(len(held.Forms)),
		Drafts: uint32(len(held.Drafts)), Arrivals: uint32(len(held.Arrivals)), Files: uint32(len(files)), HeldBack: uint32(heldBack)}
	for _, n := range held.Notifications {
		made.NotificationIds = append(made.NotificationIds, n.Full.GetId())
	}
	if made.Id, err = envelope.NewID(d.cfg.Rand); err != nil {
		return nil, nil, err
	}
	sealed, err := d.seal(schema.DeskSubject, made.GetId(), made)
	if err != nil {
		return nil, nil, err
	}
	// A full disk takes no right away.
	return files, made, d.promised().Update(ctx, func(tx store.Tx) error { return tx.Put(schema.DeskSubject, []byte(made.GetId()), sealed) })
}

// ListSubjectCopies lists the copies that were made.
func (d *Desk) ListSubjectCopies(ctx context.Context, _ *localv1.ListSubjectCopiesRequest) (*localv1.ListSubjectCopiesResponse, error) {
	if _, err := d.signedInAs(ctx, posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, "see which copies were made"); err != nil {
		return nil, err
	}
	out := &localv1.ListSubjectCopiesResponse{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		out.Copies, err = d.subjectCopies(s)
		return err
	})
	return out, err
}

// subjectCopies are the copies that were made, the newest first.
func (d *Desk) subjectCopies(s store.Snapshot) (all []*localv1.SubjectCopy, err error) {
	err = s.Scan(schema.DeskSubject, nil, nil, func(key, sealed []byte) (bool, error) {
		made := &localv1.SubjectCopy{}
		err := d.unseal(schema.DeskSubject, string(key), sealed, made)
		all = append(all, made)
		return true, err
	})
	slices.SortFunc(all, func(a, b *localv1.SubjectCopy) int {
		if c := b.GetMakeTime().AsTime().Compare(a.GetMakeTime().AsTime()); c != 0 {
			return c
		}
		return strings.Compare(a.GetId(), b.GetId())
	})
	return all, err
}

// heldAbout is all that this desk holds about the person with a prison number, and of the notifications that are named
// beside it: their forms with the chains that these belong to, drafts, and lines of the lists of arrivals.
func (d *Desk) heldAbout(ctx context.Context, number string, also []string, lang words.Language) (held subject.Held, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		held = subject.Held{Prison: called(lang, d.Prison()), KeptDays: int(d.formLife() / (24 * time.Hour))}
		g := &gathered{d: d, s: s, lang: lang, number: number, forms: map[string]*posternv1.Form{}, held: &held}
		if err := g.gather(also); err != nil {
			return err
		}
		copies, err := d.subjectCopies(s)
		for _, c := range copies {
			if slices.ContainsFunc(held.Notifications, func(n subject.Notification) bool { return slices.Contains(c.GetNotificationIds(), n.Full.GetId()) }) {
				held.Earlier = append(held.Earlier, c)
			}
		}
		return err
	})
	if err != nil {
		return held, err
	}
	people, faults := d.arrivals(lang)
	held.Unreadable = len(faults) > 0
	for _, p := range people {
		if came, _ := form.PrisonNumber(p.PrisonNumber); came == number {
			held.Arrivals = append(held.Arrivals, &posternv1.Form{PrisonNumber: p.PrisonNumber, Reception: p.Reception,
				Parent: d.parentNamed(p.GivenName, p.FamilyName, posternv1.Basis_BASIS_RECORD)})
		}
	}
	return held, nil
}

// gathered is what is found in one snapshot.
type gathered struct {
	d      *Desk
	s      store.Snapshot
	lang   words.Language
	number string
	forms  map[string]*posternv1.Form // those of the chains, by id
	held   *subject.Held
}

func (g *gathered) gather(also []string) error {
	if err := g.readForms(); err != nil {
		return err
	}
	all, err := g.d.everyNotification(g.s)
	if err != nil {
		return err
	}
	named := map[string]bool{}
	for _, name := range also {
		id, err := g.d.find(g.s, name)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all, func(n *localv1.Notification) bool { return n.GetId() == id }) {
			return notHere
		}
		named[id] = true
	}
	needed, err := g.d.needed(g.s)
	if err != nil {
		return err
	}
	for _, chain := range chainsOf(all) {
		of := slices.ContainsFunc(chain, func(n *localv1.Notification) bool { return g.forms[n.GetFormId()] != nil })
		if !of && !slices.ContainsFunc(chain, func(n *localv1.Notification) bool { return named[n.GetId()] }) {
			continue
		}
		if err := g.addChain(chain, of, needed); err != nil {
			return err
		}
	}
	slices.SortStableFunc(g.held.Forms, func(a, b subject.Form) int { return a.TakeTime.Compare(b.TakeTime) })
	slices.SortStableFunc(g.held.Notifications, func(a, b subject.Notification) int {
		return a.Full.GetCreateTime().AsTime().Compare(b.Full.GetCreateTime().AsTime())
	})
	return g.addDrafts()
}

// readForms reads the forms with the number.
func (g *gathered) readForms() error {
	return g.s.Scan(schema.DeskForm, nil, nil, func(key, sealed []byte) (bool, error) {
		f := &posternv1.Form{}
		err := g.d.unseal(schema.DeskForm, string(key), sealed, f)
		if number, _ := form.PrisonNumber(f.GetPrisonNumber()); err == nil && number == g.number {
			g.forms[string(key)] = f
		}
		return true, err
	})
}

// everyNotification reads the notifications of this desk, those of which only a withdrawal was taken here too.
func (d *Desk) everyNotification(s store.Snapshot) (all []*localv1.Notification, err error) {
	err = s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
		n := &localv1.Notification{}
		err := d.unseal(schema.DeskNotification, string(key), sealed, n)
		all = append(all, n)
		return true, err
	})
	return all, err
}

// addChain adds a chain: of is whether a form with the number is in it; otherwise somebody named one of it. A form in it that
// has another number is one that was put right, or somebody else's: then nobody may have it by a name.
func (g *gathered) addChain(chain []*localv1.Notification, of bool, needed map[string]bool) error {
	d, forms := g.d, map[string]*posternv1.Form{}
	for _, n := range chain {
		f := &posternv1.Form{}
		if err := d.loadIfThere(g.s, schema.DeskForm, n.GetFormId(), f); err != nil {
			return err
		}
		forms[n.GetFormId()] = f
		if f.GetPrisonNumber() != "" && !of {
			return fault.New(fault.Precondition, "NOT_THIS_PERSON", "One of the notifications that were named has a form with another prison number. Check its reference on the person's slip.")
		}
	}
	var due time.Time
	if !slices.ContainsFunc(chain, func(n *localv1.Notification) bool { return n.GetErasure() != nil || n.GetElsewhere() }) {
		at, err := d.eraseAt(g.s, chain, needed)
		if err != nil {
			return err
		}
		due = at
	}
	for _, n := range chain {
		f := forms[n.GetFormId()]
		wentUntold := func(n *localv1.Notification) bool {
			return n.GetFormId() == f.GetFormId() && untold(f.GetRoute(), n, f)
		}
		if f.GetFormId() != "" && !slices.ContainsFunc(g.held.Forms, func(x subject.Form) bool { return x.GetFormId() == f.GetFormId() }) {
			why := g.ofNumber(f)
			if why == subject.Given && slices.ContainsFunc(chain, wentUntold) { // what was considered last says whether they were told
				why = subject.NotTold
			}
			g.forms[f.GetFormId()] = f
			g.held.Forms = append(g.held.Forms, subject.Form{Form: f, TakeTime: n.GetCreateTime().AsTime(), Why: why})
		}
		one, err := g.notification(n, f, due)
		if err != nil {
			return err
		}
		if !of {
			one.Why = subject.Unnamed
		}
		g.held.Notifications = append(g.held.Notifications, one)
	}
	return nil
}

// ofNumber is why a form is held back that has another number than the person's.
func (g *gathered) ofNumber(f *posternv1.Form) subject.Why {
	if number, _ := form.PrisonNumber(f.GetPrisonNumber()); number != "" && number != g.number {
		return subject.OtherNumber
	}
	return subject.Given
}

// notification is all of one notification: as it is, as it may be seen, and what was signed and recorded about it.
func (g *gathered) notification(n *localv1.Notification, f *posternv1.Form, due time.Time) (out subject.Notification, err error) {
	shown, err := g.d.shown(g.s, n)
	if err != nil {
		return out, err
	}
	seen := forReception(shown)
	out = subject.Notification{Full: shown, Seen: seen, Stands: StateWordsIn(g.lang, seen.GetState()), Erase: due, Why: g.ofNumber(f)}
	if ObjectedElsewhere(n) {
		out.Stands = StandsIn(g.lang, n)
	}
	if out.Why == subject.Given && !n.GetElsewhere() && untold(n.GetRoute(), n, f) {
		out.Why = subject.NotTold
	}
	ids := []string{n.GetId()}
	for _, w := range n.GetWithdrawals() {
		ids = append(ids, w.GetId())
	}
	for _, c := range n.GetConsiderations() {
		if c.GetId() != n.GetId() {
			ids = append(ids, c.GetId())
		}
	}
	for _, id := range ids {
		if err := g.addSigned(&out, id); err != nil {
			return out, err
		}
	}
	return out, nil
}

// addSigned adds what was signed under one id, and its receipt.
func (g *gathered) addSigned(to *subject.Notification, id string) error {
	signed := &posternv1.SealedNotification{}
	switch err := g.d.load(g.s, schema.DeskMessage, id, signed); {
	case err == nil:
		m := subject.Message{ID: id, Manifest: &posternv1.Manifest{}, Sections: signed.GetSections()}
		if err := proto.Unmarshal(signed.GetManifest().GetPayload(), m.Manifest); err != nil {
			return badRecord(err)
		}
		for _, b := range signed.GetFacts() {
			facts := &posternv1.FactsBlock{}
			if err := proto.Unmarshal(b, facts); err != nil {
				return badRecord(err)
			}
			m.Facts = append(m.Facts, facts)
		}
		to.Messages = append(to.Messages, m)
	case fault.KindOf(err) != fault.NotFound:
		return err
	}
	b, err := g.s.Get(schema.DeskReceipt, []byte(id))
	if err != nil || b == nil {
		return err
	}
	receipt := &posternv1.Receipt{}
	if err := proto.Unmarshal(b, receipt); err != nil {
		return badRecord(err)
	}
	to.Receipts = append(to.Receipts, subject.Receipt{ID: id, Content: bytes.Clone(verify.MarshalFile(receipt))})
	return nil
}

func badRecord(err error) error {
	return fault.New(fault.Internal, "BAD_RECORD", "A record of this desk cannot be read.").Because(err)
}

// addDrafts adds the drafts with the number, and those that belong to a form that was found: also one whose time has passed,
// while it is here.
func (g *gathered) addDrafts() error {
	return g.s.Scan(schema.DeskDraft, nil, nil, func(key, sealed []byte) (bool, error) {
		draft := &localv1.Draft{}
		if err := g.d.unseal(schema.DeskDraft, string(key), sealed, draft); err != nil {
			return false, err
		}
		f := draft.GetForm()
		number, _ := form.PrisonNumber(f.GetPrisonNumber())
		if number != g.number && g.forms[f.GetFormId()] == nil && g.forms[f.GetSupersedes()] == nil {
			return true, nil
		}
		why := g.ofNumber(f)
		if why == subject.Given && untold(f.GetRoute(), nil, f) {
			why = subject.NotTold
		}
		for _, sent := range g.held.Forms { // what is left of a draft does not say by what it went
			if why == subject.Given && sent.GetFormId() == f.GetFormId() {
				why = sent.Why
			}
		}
		g.held.Drafts = append(g.held.Drafts, subject.Draft{Draft: draft, Why: why})
		return true, nil
	})
}
