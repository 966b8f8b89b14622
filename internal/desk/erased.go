package desk

import (
	"crypto/sha256"
	"strconv"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// remains is what is left of a chain.
func (d *Desk) remains(s store.Reader, chain []*localv1.Notification, now time.Time) (out []ending, err error) {
	forms := map[string]*posternv1.Form{}
	for _, n := range chain {
		f := &posternv1.Form{}
		if err := d.load(s, schema.DeskForm, n.GetFormId(), f); err != nil {
			return nil, err
		}
		forms[n.GetFormId()] = f
	}
	same := numbered(forms)
	for _, n := range chain {
		message, end, err := d.permission(s, n)
		if err != nil {
			return nil, err
		}
		sum := sha256.Sum256(message.GetManifest().GetPayload())
		e := &localv1.Erasure{EraseTime: timestamppb.New(now.Truncate(time.Second)), ManifestSha256: sum[:],
			AgreeTime: forms[n.GetFormId()].GetConsent().GetGiveTime(), SameChildren: same[n.GetFormId()]}
		if !end.IsZero() {
			e.PermissionEndTime = timestamppb.New(end)
		}
		out = append(out, ending{Notification: n, left: skeleton(n, e)})
	}
	return out, nil
}

// numbered gives a number to each child of the forms that stands for the same child in all of them.
func numbered(forms map[string]*posternv1.Form) map[string][]uint32 {
	var known []*posternv1.ChildIdentity
	out := map[string][]uint32{}
	for id, f := range forms {
		for _, c := range f.GetChildren() {
			number := uint32(0)
			for i, k := range known {
				if form.SameChild(k, c.GetIdentity()) {
					number = uint32(i + 1)
				}
			}
			if number == 0 && form.SameChild(c.GetIdentity(), c.GetIdentity()) { // something is known
				known = append(known, c.GetIdentity())
				number = uint32(len(known))
			}
			out[id] = append(out[id], number)
		}
	}
	return out
}

// asForm is what is known of an erased form, for what compares the forms of a chain: its children by their numbers.
func asForm(e *localv1.Erasure) *posternv1.Form {
	f := &posternv1.Form{Consent: &posternv1.Consent{GiveTime: e.GetAgreeTime()}}
	for _, number := range e.GetSameChildren() {
		c := &posternv1.Child{Identity: &posternv1.ChildIdentity{GivenName: strconv.Itoa(int(number)), Provenance: &posternv1.Provenance{}}}
		if number > 0 {
			c.Identity.Provenance.Known = posternv1.Known_KNOWN_KNOWN
		}
		f.Children = append(f.Children, c)
	}
	return f
}

// skeleton is what is kept of a notification whose form is erased: what it was called, what became of it and when, who at this
// prison did what, and what a withdrawal needs. It is a list of what stays, so that what is added to the record goes.
func skeleton(n *localv1.Notification, e *localv1.Erasure) *localv1.Notification {
	out := &localv1.Notification{
		Id: n.GetId(), Reference: n.GetReference(), Authority: n.GetAuthority(), AuthorityName: n.GetAuthorityName(), FormId: n.GetFormId(),
		State: n.GetState(), Decision: n.GetDecision(), Shared: n.GetShared(), Reply: n.GetReply(), Route: n.GetRoute(),
		CreateTime: n.GetCreateTime(), UpdateTime: n.GetUpdateTime(), DestinationSource: n.GetDestinationSource(),
		FormChildren: n.GetFormChildren(), Followups: n.GetFollowups(), Follows: n.GetFollows(), Supersedes: n.GetSupersedes(),
		SupersededBy: n.GetSupersededBy(), Reseals: n.GetReseals(), ResealedBy: n.GetResealedBy(),
		// The code too: another prison may ask for it by telephone, when the person has lost the slip.
		SlipCode: n.GetSlipCode(), Withdrawals: n.GetWithdrawals(), LeftOutPaths: n.GetLeftOutPaths(), TakenBackElsewhere: n.GetTakenBackElsewhere(),
		TakenBackElsewhereTime: n.GetTakenBackElsewhereTime(), MaybeSentSha256: n.GetMaybeSentSha256(), EarlierManifestSha256: n.GetEarlierManifestSha256(),
		Erasure: e,
	}
	for _, c := range n.GetCalls() {
		out.Calls = append(out.Calls, &localv1.RecordedCall{CallTime: c.GetCallTime(), Result: c.GetResult(), ChildNumber: c.GetChildNumber(), StaffId: c.GetStaffId()})
	}
	for _, c := range n.GetConsiderations() {
		codes := proto.CloneOf(c.GetCodes())
		codes.HelpsFunction, codes.ReasonsSha256 = "", digestOf(c.GetReasons()) // typed, both of them
		out.Considerations = append(out.Considerations, &localv1.RecordedConsideration{Id: c.GetId(), Share: c.GetShare(), Codes: codes, Answer: c.GetAnswer()})
	}
	if r := n.GetReview(); r != nil {
		out.Review = &localv1.RecordedReview{StaffId: r.GetStaffId(), ReviewTime: r.GetReviewTime()}
	}
	if m := n.GetManual(); m != nil {
		out.Manual = &localv1.ManualClosure{How: m.GetHow(), SendTime: m.GetSendTime(), StaffId: m.GetStaffId()}
	}
	return proto.CloneOf(out)
}

// signed is what was signed of a notification of this desk, with the digest of its manifest: of an erased one only that.
func (d *Desk) signed(s store.Reader, n *localv1.Notification) (message *posternv1.SealedNotification, digest []byte, err error) {
	message = &posternv1.SealedNotification{}
	if e := n.GetErasure(); e != nil {
		return message, e.GetManifestSha256(), nil
	}
	err = d.load(s, schema.DeskMessage, n.GetId(), message)
	sum := sha256.Sum256(message.GetManifest().GetPayload())
	return message, sum[:], err
}

// erased says that the form of a notification is not here any more.
func erased(n *localv1.Notification) error {
	return fault.Newf(fault.Precondition, "FORM_ERASED", "The form of this notification was erased on %s, as the period of this desk says. The person can still take permission back by its reference.",
		form.Today(n.GetErasure().GetEraseTime().AsTime()))
}
