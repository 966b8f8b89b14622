package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/follow"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	passedOn  = posternv1.RedirectState_REDIRECT_STATE_SENT
	staysHere = posternv1.RedirectState_REDIRECT_STATE_NOT_SHARED
)

// RedirectItem passes an item on to the authority where the child is: the desk's own bytes, with the keys of the sections
// that we hold, sealed to that authority. The hub decides anew, and the prison hears nothing of it. It is asked at once
// or not at all: without the hub there is no key to seal to. A crash after the hub's answer loses only our note of it;
// the same again gets the same answer.
func (in *Inbox) RedirectItem(ctx context.Context, req *localv1.RedirectItemRequest) (*localv1.RedirectItemResponse, error) {
	// Staff are told who was quicker before anything goes. Passing on twice at once is one at the hub.
	key, item, sealed, err := in.toPassOn(ctx, req)
	if err != nil {
		return nil, err
	}
	dir, to, err := in.recipient(ctx, req.GetAuthority())
	if err != nil {
		return nil, err
	}
	n, redirect, err := in.redirection(item, sealed, req.GetChildren(), to)
	if err != nil {
		return nil, err
	}
	signed, err := in.sign(&posternv1.Report{NotificationId: item.GetItem().GetId(), ManifestSha256: key, ReportTime: in.now(), Report: &posternv1.Report_Redirect{Redirect: redirect}})
	if err != nil {
		return nil, err
	}
	if err := in.mayPassOn(ctx, key, req.GetAuthority(), item); err != nil {
		return nil, err
	}
	answer, event, err := in.ask(ctx, &posternv1.ReportRequest{Signed: signed, Redirected: n})
	if err != nil {
		switch fault.KindOf(err) {
		case fault.Invalid, fault.Denied, fault.Precondition, fault.NotFound: // a clear no; after anything else it may have been taken
			err = errors.Join(err, in.cfg.Store.Update(ctx, func(tx store.Tx) error { return notPassedOn(tx, key, req.GetAuthority()) }))
		}
		return nil, err
	}
	shared := answer.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE
	if event != nil && (event.Kind != logv1.Kind_KIND_REDIRECTED || !bytes.Equal(event.Core.GetManifestSha256(), key) ||
		(event.Core.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE) != shared) {
		return nil, fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The hub's receipt is not about this.")
	}
	name, phone, _ := dir.PhoneNow(req.GetAuthority(), posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP, in.cfg.Clock())
	a, _ := dir.Authority(req.GetAuthority())
	p := &localv1.PassedOn{EndTime: in.now(), Authority: req.GetAuthority(), Name: strings.TrimPrefix(name+", "+a.GetName(), ", "), Phone: phone, PassTime: in.now(), State: staysHere, Children: req.GetChildren()}
	if shared {
		p.State, p.EndTime = passedOn, nil
	}
	out := &localv1.RedirectItemResponse{Decision: answer.GetDecision(), Reference: item.GetItem().GetReference()}
	out.PassedOn, err = in.keepPassedOn(ctx, key, p)
	in.wakeRedirects()
	if err == nil {
		in.cfg.Log.InfoContext(ctx, "passed on", "reference", out.GetReference(), "authority", req.GetAuthority(), "shared", shared)
	}
	return out, err
}

// toPassOn loads an item with what the desk sealed, and checks that it may be passed on.
func (in *Inbox) toPassOn(ctx context.Context, req *localv1.RedirectItemRequest) (key []byte, item *localv1.GetItemResponse, n *posternv1.SealedNotification, err error) {
	err = in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		if key, _, err = in.find(s, req.GetId()); err != nil {
			return err
		}
		if item, n, err = in.readToPassOn(s, key); err != nil {
			return err
		}
		return in.sawAll(s, key, req.SeenDeeds)
	})
	if err != nil {
		return nil, nil, nil, err
	}
	if err := in.passable(item, n, req.GetAuthority(), req.GetChildren()); err != nil {
		return nil, nil, nil, err
	}
	return key, item, n, thereAlready(item.GetItem(), req.GetAuthority(), req.GetChildren())
}

// thereAlready refuses to pass children on to a team that was passed others of the same notification, which is on its way
// to it or there: it goes to a team once, and these would be said to be there and never go.
func thereAlready(item *localv1.Item, authority string, children []uint32) error {
	if len(children) == 0 {
		children = item.GetChildNumbers()
	}
	for _, p := range item.GetPassedOn() {
		if p.GetAuthority() != authority || DidNotArrive(p) {
			continue
		}
		for _, child := range children {
			if !wentAlong(p, child) {
				return fault.Newf(fault.Precondition, "THERE_ALREADY",
					"This was passed on to %s without child %d, and goes to one team once. Telephone them about child %d: %s.", p.GetName(), child, child, p.GetPhone())
			}
		}
	}
	return nil
}

// readToPassOn reads an item and what the desk sealed of it.
func (in *Inbox) readToPassOn(r store.Reader, key []byte) (item *localv1.GetItemResponse, n *posternv1.SealedNotification, err error) {
	row, err := r.Get(schema.InboxItem, key)
	if err != nil || row == nil {
		return nil, nil, errors.Join(err, notHere)
	}
	if item, err = in.openItem(key, row); err != nil {
		return nil, nil, err
	}
	n, err = in.readSealed(r, key)
	return item, n, err
}

// passable checks that an item, or these children of it, may be passed on to an authority.
func (in *Inbox) passable(item *localv1.GetItemResponse, n *posternv1.SealedNotification, authority string, children []uint32) error {
	refused := func(reason, message string) error { return fault.New(fault.Precondition, reason, message) }
	switch stop := item.GetItem().GetStop(); {
	case stop != nil && len(stop.GetPaths()) == 0:
		return refused("WITHDRAWN", "The person withdrew this, so it is not passed on.")
	case item.GetItem().GetPassedOnBy() != "":
		return refused("PASSED_ON", "Another team passed this on to you, and a notification is passed on once. Telephone the team where the child is.")
	case authority == in.cfg.Identity.Party().ID:
		return refused("OUR_OWN", "That is this authority. Name the one where the child is.")
	case n == nil:
		return refused("NOT_KEPT", "What the prison sealed is not kept here, since this came before the inbox could pass things on. Telephone the team where the child is.")
	}
	for _, child := range children {
		if !slices.ContainsFunc(n.GetSections(), func(s *posternv1.SealedSection) bool {
			c, ok := section.ChildOf(s.GetPath())
			return ok && c == int(child)
		}) {
			return fault.InvalidFields("NO_CHILD", "This cannot be passed on like this.", []fault.Field{{
				Path: "children", Reason: fmt.Sprintf("There is no child %d in it.", child), Fix: "Children are numbered as `postern inbox show` shows them."}})
		}
	}
	return nil
}

// readSealed reads what the desk sealed; nil when it is not kept.
func (in *Inbox) readSealed(r store.Reader, key []byte) (*posternv1.SealedNotification, error) {
	row, err := r.Get(schema.InboxSealed, key)
	if err != nil || row == nil {
		return nil, err
	}
	b, err := in.cfg.Vault.Open(string(schema.InboxSealed), key, row)
	if err != nil {
		return nil, err
	}
	n := &posternv1.SealedNotification{}
	if err := proto.Unmarshal(b, n); err != nil {
		return nil, fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
	}
	return n, nil
}

// keepSealed keeps what the desk sealed as far as nothing of it was withdrawn; all withdrawn leaves none.
func (in *Inbox) keepSealed(tx store.Tx, key []byte, n *posternv1.SealedNotification, t tombstone) error {
	if n == nil || t.Whole {
		return tx.Delete(schema.InboxSealed, key)
	}
	left := proto.CloneOf(n)
	left.Sections = slices.DeleteFunc(left.Sections, func(s *posternv1.SealedSection) bool { return t.holds(s.GetPath()) })
	row, err := in.seal(schema.InboxSealed, key, left)
	if err != nil {
		return err
	}
	return tx.Put(schema.InboxSealed, key, row)
}

// directory asks the hub for the whole directory, so that nothing is given away, and verifies it.
func (in *Inbox) directory(ctx context.Context) (*directory.Directory, error) {
	var revision *posternv1.Signed
	var entries [][]byte
	for req := (&posternv1.ListAuthoritiesRequest{}); ; {
		page, err := in.cfg.Directory.ListAuthorities(ctx, req)
		if err != nil {
			return nil, err
		}
		revision, entries = page.GetRevision(), append(entries, page.GetEntries()...)
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			break
		}
	}
	dir, err := directory.Open(revision, entries, in.cfg.Anchors, in.cfg.Clock())
	if err != nil {
		return nil, err
	}
	return dir.At(in.cfg.Clock()), nil
}

// recipient finds the key of an authority in the hub's directory, and in what its inbox has published since: each later
// one must be signed by the one before it.
func (in *Inbox) recipient(ctx context.Context, authority string) (*directory.Directory, *posternv1.RecipientKey, error) {
	if in.cfg.Directory == nil {
		return nil, nil, fault.New(fault.Precondition, "NO_DIRECTORY", "This inbox has no way to the hub's directory.")
	}
	dir, err := in.directory(ctx)
	if err != nil {
		return nil, nil, err
	}
	key, ok := dir.RecipientKey(authority)
	if !ok {
		name, phone, _ := dir.PhoneNow(authority, posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP, in.cfg.Clock())
		if phone == "" {
			return nil, nil, fault.New(fault.NotFound, "NO_AUTHORITY", "The directory knows no such authority. Check the code: E06000023 is Bristol's.")
		}
		return nil, nil, fault.Newf(fault.Precondition, "NO_RECIPIENT", "That authority has no inbox yet. Telephone %s, %s.", name, phone)
	}
	for known := uint64(0); ; {
		page, err := in.cfg.Directory.ListKeys(ctx, &posternv1.ListKeysRequest{KnownNumber: known})
		if err == nil && (len(page.GetRecipientKeys()) == 0 || page.GetNumber() == known) && !in.cfg.Clock().Before(key.GetExpireTime().AsTime()) {
			err = fault.New(fault.Precondition, "KEY_ENDED", "The key of that authority's inbox has ended, so nothing can be sealed to it. Telephone its team.")
		}
		if err != nil || len(page.GetRecipientKeys()) == 0 || page.GetNumber() == known {
			return dir, key, err
		}
		known = page.GetNumber()
		for _, signed := range page.GetRecipientKeys() {
			next, err := directory.VerifyPublished(signed, in.cfg.Anchors, in.cfg.Clock())
			if err != nil || next.GetAuthority() != authority {
				continue
			}
			if newer, err := directory.Succeeds(key, signed, next); err == nil && newer {
				key = next
			}
		}
	}
}

// redirection is what goes: of these children, or of all, and of the parent.
func (in *Inbox) redirection(item *localv1.GetItemResponse, sealed *posternv1.SealedNotification, children []uint32, to *posternv1.RecipientKey) (*posternv1.SealedNotification, *posternv1.Redirect, error) {
	first := item.GetFirstReceipt()
	if first == nil {
		first = item.GetReceipt()
	}
	event, err := verify.Receipt(first, in.cfg.LogKeys)
	if err != nil {
		return nil, nil, err
	}
	as := envelope.VerifyConfig{Audience: in.cfg.Identity.Party().Domain, Anchors: in.cfg.Anchors, At: event.Core.GetEventTime().AsTime()}
	v, err := envelope.Verify(sealed, as)
	if err != nil {
		return nil, nil, err
	}
	paths := slices.DeleteFunc(slices.Clone(v.Paths()), func(p string) bool {
		n, ok := section.ChildOf(p)
		return ok && len(children) > 0 && !slices.Contains(children, uint32(n))
	})
	n, _ := v.Disclose(paths)
	if v, err = envelope.Verify(n, as); err != nil {
		return nil, nil, err
	}
	from, ok := in.ring.key(v.Manifest().GetOffer().GetRecipientKeyId())
	if !ok {
		return nil, nil, fault.New(fault.Precondition, "KEY_UNKNOWN", "The key that opened this is not here any more. Telephone the team where the child is.")
	}
	redirection, err := v.Redirect(from, to, in.cfg.Identity)
	if err != nil {
		return nil, nil, err
	}
	n.Redirections = []*posternv1.Redirection{redirection}
	redirect := &posternv1.Redirect{}
	return n, redirect, proto.Unmarshal(redirection.GetRedirect().GetPayload(), redirect)
}

// ask sends a report and returns the hub's answer with the event that its receipt proves; none where the inbox has no key
// of the received log and must believe the hub.
func (in *Inbox) ask(ctx context.Context, req *posternv1.ReportRequest) (*posternv1.ReportResponse, *verify.Event, error) {
	asked, err := in.follow.Ask()
	if err != nil {
		return nil, nil, err
	}
	req.KnownLogs = asked.Known()
	answer, err := in.cfg.Hub.Report(ctx, req)
	if err != nil {
		return nil, nil, in.follow.Failed(ctx, asked, err)
	}
	event, err := verify.Receipt(answer.GetReceipt(), in.cfg.AllLogs)
	if fault.From(err).Reason == "ORIGIN_UNKNOWN" {
		return answer, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	digest := sha256.Sum256(req.GetSigned().GetPayload())
	again := req.GetRedirected() != nil || req.GetResubmitted()                                        // which may have been recorded by an earlier report
	if req.GetDeliveryId() == "" && !again && !bytes.Equal(event.Core.GetSubjectSha256(), digest[:]) { // an answer to a delivery is an event of its own
		return nil, nil, fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The hub's receipt is not about this report.")
	}
	return answer, event, in.follow.Take(ctx, asked, answer.GetConsistency(), follow.SeenIn(event))
}
