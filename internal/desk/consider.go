package desk

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// considerations is the spool's line for decisions not to share.
const considerations = "considerations"

// Consider records what the safeguarding lead decided on the duty to share. To share makes the notification again by the
// route DUTY, with the sections that they named; not to share is a record of its own. Tried once, for a few seconds.
func (d *Desk) Consider(ctx context.Context, req *localv1.ConsiderRequest) (*localv1.ConsiderResponse, error) {
	by, err := d.signedInAs(ctx, posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, "consider the duty to share")
	if err != nil {
		return nil, err
	}
	id, err := d.consider(ctx, req, by)
	if err != nil {
		return nil, err
	}
	all, err := d.goOn(ctx, []string{id})
	return &localv1.ConsiderResponse{Notifications: all}, err
}

func (d *Desk) consider(ctx context.Context, req *localv1.ConsiderRequest, by Staff) (id string, err error) {
	d.submit.Lock()
	defer d.submit.Unlock()
	n, err := d.named(ctx, req.GetId())
	if err != nil {
		return "", err
	}
	r, err := d.recorded(n, req, by)
	if err != nil {
		return "", err
	}
	if last := lastConsidered(n, req.GetShare()); last != nil && sameConsideration(last, r) {
		return n.GetId(), nil
	}
	switch {
	case !mayConsider(n):
		return "", ended(n, "consider")
	case req.GetShare() && len(n.GetFormChildren()) == 0:
		return "", fault.New(fault.Precondition, "NO_CHILDREN", "This form tells of no child, so nothing of it can be shared. Fill in a form with the route ROUTE_DUTY from what the prison holds, name this one under supersedes, and submit it.")
	case req.GetShare():
		return n.GetId(), d.change(ctx, n.GetId(), func(_ store.Tx, n *localv1.Notification) error {
			r.Id = n.GetId()
			n.Considerations, n.Changes = append(n.Considerations, r), n.GetChanges()+1
			return nil
		})
	}
	return n.GetId(), d.keepConsideration(ctx, n, r, by)
}

// mayConsider reports whether anything of a notification is left to consider: the hub has decided, and something waits,
// needs a decision, or stayed here because the safeguarding lead said so before.
func mayConsider(n *localv1.Notification) bool {
	if n.GetDecision() == nil || n.GetResubmitting() || n.GetErasure() != nil {
		return false
	}
	return open(n) || n.GetState() == stateWithheld && lastConsidered(n, false) != nil && !back(n)
}

// recorded is a consideration as it is kept: by the numbers of the form, with who, when and the digest of the reasons.
func (d *Desk) recorded(n *localv1.Notification, req *localv1.ConsiderRequest, by Staff) (*localv1.RecordedConsideration, error) {
	codes := proto.CloneOf(req.GetCodes())
	if codes == nil {
		codes = &posternv1.Consideration{}
	}
	reasons := strings.TrimSpace(req.GetReasons())
	if err := checkConsideration(n, codes, reasons, req.GetShare()); err != nil {
		return nil, err
	}
	codes.Law = d.lawFor(n.GetAuthority())
	slices.Sort(codes.NotMoreDetrimental)
	codes.NotMoreDetrimental = inForm(n, codes.GetNotMoreDetrimental())
	for i, path := range codes.GetPaths() {
		if number, ok := section.ChildOf(path); ok {
			s, _ := section.Lookup(path)
			codes.Paths[i] = s.Path(int(n.GetFormChildren()[number-1]))
		}
	}
	codes.StaffId, codes.Role, codes.ConsiderTime = by.ID, by.Role, d.now()
	return &localv1.RecordedConsideration{Share: req.GetShare(), Codes: codes, Reasons: reasons}, nil
}

// lawFor is the law that is considered: the duty where prison and authority are both in England, otherwise the public
// task with its gateway. From when the duty holds is for policy.
func (d *Desk) lawFor(authority string) posternv1.ConsiderationLaw {
	dir := d.directory.Load()
	prison, _ := dir.Prison(d.cfg.Identity.Party().ID)
	to, ok := dir.Authority(authority)
	if prison.GetJurisdiction() == "GB-ENG" && (!ok || to.GetJurisdiction() == "GB-ENG") {
		return posternv1.ConsiderationLaw_CONSIDERATION_LAW_DUTY_S16LA
	}
	return posternv1.ConsiderationLaw_CONSIDERATION_LAW_PUBLIC_TASK
}

// maxReasons bounds the reasons in words.
const maxReasons = 4000

func checkConsideration(n *localv1.Notification, c *posternv1.Consideration, reasons string, share bool) error {
	var fields []fault.Field
	wrong := func(is bool, path, reason, fix string) {
		if is {
			fields = append(fields, fault.Field{Path: path, Reason: reason, Fix: fix})
		}
	}
	yesOrNo := func(a posternv1.Answer) bool {
		return a == posternv1.Answer_ANSWER_YES || a == posternv1.Answer_ANSWER_NO
	}
	wrong(!yesOrNo(c.GetRelevant()), "relevant", "It is not said whether this matters to a child's welfare.", "Use YES or NO.")
	wrong(!yesOrNo(c.GetParentTold()), "parent_told", "It is not said whether the person was told.", "Use YES or NO.")
	wrong(share && c.GetHelpsFunction() == "", "helps_function", "It is not said which of the authority's functions this helps.", "Give its code, such as ca1989.s17.")
	wrong(len(c.GetHelpsFunction()) > maxWords, "helps_function", "This is too long.", "Give a code, such as ca1989.s17.")
	wrong(reasons == "", "reasons", "The reasons in words are missing.", "Write why; the words stay in the prison.")
	wrong(len(reasons) > maxReasons, "reasons", "This is too long.", fmt.Sprintf("Use at most %d characters.", maxReasons))
	wrong(share && len(c.GetPaths()) == 0, "paths", "It is not said what to share.", "Name the sections, such as parent/name or child/1/home.")
	wrong(!share && len(c.GetPaths()) > 0, "paths", "Sections are named, but nothing is to be shared.", "Leave them out, or decide to share.")
	for i, number := range c.GetNotMoreDetrimental() {
		wrong(number == 0 || int(number) > len(n.GetFormChildren()), fmt.Sprintf("not_more_detrimental[%d]", i),
			"There is no child with this number.", "Children count from 1.")
	}
	for i, path := range c.GetPaths() {
		at := fmt.Sprintf("paths[%d]", i)
		s, known := section.Lookup(path)
		number, ofChild := section.ChildOf(path)
		wrong(!known || s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT || ofChild && number > len(n.GetFormChildren()), at,
			"There is no such section.", "Use parent/name and the like, or child/2/home for a section of a child.")
		wrong(ofChild && !slices.Contains(c.GetNotMoreDetrimental(), uint32(number)), at,
			"Nobody decided that telling about this child is not more detrimental.", "Name the child under not_more_detrimental, or leave the section out.")
	}
	return fault.InvalidFields("BAD_CONSIDERATION", "The consideration cannot be recorded like this.", fields)
}

// lastConsidered is the newest consideration that ended in sharing, or in not sharing, unless a later one ended otherwise.
func lastConsidered(n *localv1.Notification, share bool) *localv1.RecordedConsideration {
	all := n.GetConsiderations()
	if len(all) == 0 || all[len(all)-1].GetShare() != share {
		return nil
	}
	return all[len(all)-1]
}

// sameConsideration reports whether the same person decided the same for the same reasons.
func sameConsideration(a, b *localv1.RecordedConsideration) bool {
	x, y := proto.CloneOf(a.GetCodes()), proto.CloneOf(b.GetCodes())
	x.ConsiderTime, y.ConsiderTime = nil, nil
	return a.GetShare() == b.GetShare() && a.GetReasons() == b.GetReasons() && proto.Equal(x, y)
}

// keepConsideration signs a decision not to share and puts it into the spool.
func (d *Desk) keepConsideration(ctx context.Context, n *localv1.Notification, r *localv1.RecordedConsideration, by Staff) error {
	id, err := envelope.NewID(d.cfg.Rand)
	if err != nil {
		return err
	}
	r.Id = id
	now := d.now()
	codes := proto.CloneOf(r.GetCodes())
	codes.ReasonsSha256 = digestOf(r.GetReasons())
	message, err := envelope.Seal(envelope.Draft{Manifest: &posternv1.Manifest{
		NotificationId: id, Audience: d.cfg.Identity.Party().Domain,
		CreateTime: now, ExpireTime: timestamppb.New(now.AsTime().Add(manifestLife)), Sender: d.sender(by),
		Statement: &posternv1.Manifest_Considered{Considered: &posternv1.Considered{Considers: n.GetId(), Consideration: inNotification(n, codes)}},
	}}, nil, d.cfg.Identity)
	if err != nil {
		return err
	}
	sealed, err := d.seal(schema.DeskMessage, id, message)
	if err != nil {
		return err
	}
	err = d.change(ctx, n.GetId(), func(tx store.Tx, n *localv1.Notification) error {
		n.Considerations = append(n.Considerations, r)
		if err := tx.Put(schema.DeskMessage, []byte(id), sealed); err != nil {
			return err
		}
		return d.enqueue(tx, considerations, id, n.GetId())
	})
	if err == nil {
		d.nudge()
	}
	return err
}

// inNotification gives a consideration the numbers of the notification: those of the form tell of other children.
func inNotification(n *localv1.Notification, c *posternv1.Consideration) *posternv1.Consideration {
	var numbers []uint32
	for i, inForm := range n.GetFormChildren() {
		if slices.Contains(c.GetNotMoreDetrimental(), inForm) {
			numbers = append(numbers, uint32(i+1))
		}
	}
	c.NotMoreDetrimental = numbers
	return c
}

// submitConsidered submits one decision not to share and keeps the answer.
func (d *Desk) submitConsidered(ctx context.Context, item queue.Item) error {
	message, err := d.message(ctx, item.ID)
	if err != nil {
		return err
	}
	answer, err := d.ask(ctx, message, false, d.checkConsidered)
	if fault.From(err).Reason == stoppedReason {
		return err
	}
	if err == nil {
		return d.settleConsidered(ctx, item, answer.GetDecision(), answer.GetReceipt())
	}
	if f := fault.From(err); forGood(f) {
		return d.settleConsidered(ctx, item, d.refusedByHub(f), nil)
	}
	return d.postpone(ctx, item, err)
}

// checkConsidered verifies that the consideration is in the sent log.
func (d *Desk) checkConsidered(message *posternv1.SealedNotification, answer *posternv1.SubmitResponse) (*verify.Event, error) {
	event, err := verify.Receipt(answer.GetReceipt(), d.cfg.LogKeys)
	if err != nil {
		return nil, err
	}
	manifest := sha256.Sum256(message.GetManifest().GetPayload())
	if event.Kind != logv1.Kind_KIND_CONSIDERED || !bytes.Equal(event.Core.GetManifestSha256(), manifest[:]) {
		return nil, fault.New(fault.Unverified, "RECEIPT_OF_ANOTHER", "The hub's receipt is not about this consideration. Stop using this hub and telephone its operator.")
	}
	return event, nil
}

// settleConsidered keeps the hub's answer with its receipt, sets the state, and takes the item off the spool, in one
// transaction. What a person decided stands, whatever a hub says of the record. When a hub that had lost it answers once
// more, what was done since stands too, and a final refusal, such as when it has expired, changes nothing.
func (d *Desk) settleConsidered(ctx context.Context, item queue.Item, answer *posternv1.Decision, receipt *posternv1.Receipt) error {
	return d.change(ctx, string(item.Body), func(tx store.Tx, n *localv1.Notification) error {
		for _, r := range n.GetConsiderations() {
			if r.GetId() != item.ID {
				continue
			}
			if r.GetAnswer() == nil {
				n.State, n.UpdateTime = after(n.GetState(), notToShare), d.now()
			}
			if r.GetAnswer() == nil || receipt != nil {
				r.Answer = answer
			}
		}
		if receipt != nil {
			b, err := proto.Marshal(receipt)
			if err != nil {
				return fault.From(err)
			}
			if err := tx.Put(schema.DeskReceipt, []byte(item.ID), b); err != nil {
				return err
			}
		}
		return d.spool.Remove(tx, item)
	})
}

func digestOf(words string) []byte {
	sum := sha256.Sum256([]byte(words))
	return sum[:]
}
