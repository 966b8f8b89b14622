package subject

import (
	"slices"

	"postern/internal/plain"
	posternv1 "postern/proto/postern/v1"
)

// place is for what it is held back to which council something went, since that is where the children live: it is in the copy
// only where the person named that council, or said themselves where each of the children lives, and it is not to be kept from them.
func (n Notification) place(forms []Form) Why {
	at := slices.IndexFunc(forms, func(f Form) bool { return f.GetFormId() == n.Full.GetFormId() })
	if at < 0 {
		return Whereabouts
	}
	f := forms[at]
	named := slices.Contains(f.GetConsent().GetAuthorities(), n.Full.GetAuthority())
	for _, number := range n.Full.GetFormChildren() {
		if number == 0 || int(number) > len(f.GetChildren()) {
			return Whereabouts
		}
		child := f.GetChildren()[number-1]
		home := child.GetHome()
		said := len(plain.Lines(home)) > 0 && plain.Source(home).GetBasis() == posternv1.Basis_BASIS_PARENT_SAID
		if child.GetAddressConfidential() || child.GetInCare() || child.GetAuthorityChecked() || !named && !said {
			return Whereabouts
		}
	}
	return Given
}

// mayBeRead are the rules whose reasons are about the person, their permission or the exchange. Others say what is held back
// elsewhere, such as that an address is confidential or who has the child; and so may one that comes later.
var mayBeRead = []string{"agreement_sections", "already_notified", "capacity_concern", "consent_declined", "consent_expired", "consent_given",
	"consent_not_asked", "consent_withdrawn", "duty_considered", "enquiry_recorded", "gate_not_done", "minimum", "no_data_sharing_agreement",
	"no_recipient", "not_understood", "parent_under_18", "policy_error", "public_task_considered", "recipient_not_covered", "too_old"}

// ofDecision is for what the reasons of a decision are held back.
func ofDecision(d *posternv1.Decision) Why {
	reasons := slices.Clone(d.GetReasons())
	for _, c := range d.GetChildren() {
		reasons = append(reasons, c.GetReasons()...)
	}
	if slices.ContainsFunc(reasons, func(r *posternv1.Reason) bool { return !slices.Contains(mayBeRead, r.GetRuleId()) }) {
		return Safeguarding
	}
	return Given
}

// ofReply is for what the reply of a team is held back: some tell where a family does not live, or who knows it already.
func ofReply(r *posternv1.Reply) Why {
	switch r.GetCode() {
	case posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA, posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE:
		return Whereabouts
	case posternv1.ReplyCode_REPLY_CODE_DELIVERED, posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL,
		posternv1.ReplyCode_REPLY_CODE_CLOSED, posternv1.ReplyCode_REPLY_CODE_UNDELIVERED, posternv1.ReplyCode_REPLY_CODE_STOP_ASKED:
		return Given
	}
	return ThirdParty
}
