package postern.sharing

import rego.v2

# METADATA
# title: The parent was not asked yet
# description: >-
#   The parent has not been asked yet whether the team may be told, so nothing was sent. Somebody asks again the next day
#   and on the third day. Without an answer by then, the safeguarding lead decides what to do.
# custom:
#   rule_id: consent_not_asked
#   law: Common law duty of confidence (permission); UK GDPR Article 5(1)(a), openness
#   routes: [STANDARD]
consent_not_asked := rego.metadata.rule()

findings[0] contains asked(consent_not_asked, asking) if not_asked

# METADATA
# title: The parent did not understand
# description: >-
#   The parent agreed but could not say back what that means, so it does not count as permission and nothing was sent.
#   Somebody explains and asks again the next day and on the third day. After that the safeguarding lead decides.
# custom:
#   rule_id: not_understood
#   law: Common law duty of confidence (permission that is informed); Mental Capacity Act 2005 s.1(3)
#   routes: [STANDARD]
not_understood := rego.metadata.rule()

findings[0] contains asked(not_understood, asking) if misunderstood

# METADATA
# title: The permission has run out
# description: >-
#   The parent's permission has run out, so nothing was sent. Somebody asks again the next day and on the third day. After
#   that the safeguarding lead decides.
# custom:
#   rule_id: consent_expired
#   law: Common law duty of confidence (permission); UK GDPR Article 5(1)(e), kept no longer than needed
#   routes: [STANDARD]
consent_expired := rego.metadata.rule()

findings[0] contains asked(consent_expired, asking_since_expiry) if expired

# METADATA
# title: The parent took the permission back
# description: The parent took the permission back, so nothing was sent. The safeguarding lead thinks about whether a child needs help.
# custom:
#   rule_id: consent_withdrawn
#   law: Common law duty of confidence (permission that may be taken back); Children Act 2004 s.11 (England), s.28 (Wales)
#   routes: [STANDARD]
consent_withdrawn := rego.metadata.rule()

findings[0] contains for_a_person(consent_withdrawn) if {
	input.route == "STANDARD"
	input.consent.state == "WITHDRAWN"
}

# METADATA
# title: A doubt about capacity
# description: >-
#   Somebody doubts whether the parent is able to decide about this now, so nothing was sent. It needs a decision by the
#   safeguarding lead.
# custom:
#   rule_id: capacity_concern
#   law: Mental Capacity Act 2005 s.2 and s.3
#   routes: [STANDARD]
capacity_concern := rego.metadata.rule()

findings[0] contains for_a_person(capacity_concern) if {
	input.route == "STANDARD"
	input.consent.capacity_concern == true
}

# METADATA
# title: The parent is under 18
# description: >-
#   The parent is under 18 and so is looked after as a child too. Nothing was sent. It needs a decision by the
#   safeguarding lead.
# custom:
#   rule_id: parent_under_18
#   law: Children Act 1989 s.105; Children Act 2004 s.11 (England), s.28 (Wales)
#   routes: [STANDARD]
parent_under_18 := rego.metadata.rule()

findings[0] contains for_a_person(parent_under_18) if {
	input.route == "STANDARD"
	input.consent.grantor_under_18 == true
}

# Who was asked and declined, or took it back, is not asked again by a clock.
not_asked if {
	input.route == "STANDARD"
	input.consent.state == "NOT_ASKED"
}

# Who has children and was asked for no permission, or could not decide, is asked as one whom nobody asked. Who said no is an
# enquiry that was DECLINED.
not_asked if {
	input.statement == "ENQUIRY"
	input.enquiry.outcome in {"CHILDREN", "NOT_ASKED"}
}

misunderstood if {
	input.route == "STANDARD"
	input.consent.state == "GIVEN"
	input.consent.understood in {"NO", ""}
}

expired if {
	input.route == "STANDARD"
	input.consent.state == "GIVEN"
	now >= consent_end
}

# What a rule finds that waits until somebody asks again.
asked(rule, at) := {
	"rule": rule,
	"outcome": at.outcome,
	"paths": [],
	"needs": ["ask_again"],
	"due": at.due,
}

asking := {"outcome": "WAIT", "due": ask_first_due} if {
	now < ask_first_due
} else := {"outcome": "WAIT", "due": ask_last_due} if {
	now < ask_last_due
} else := {"outcome": "REFER_TO_PERSON", "due": next_working_day}

asking_since_expiry := {"outcome": "WAIT", "due": expired_first_due} if {
	now < expired_first_due
} else := {"outcome": "WAIT", "due": expired_last_due} if {
	now < expired_last_due
} else := {"outcome": "REFER_TO_PERSON", "due": next_working_day}

obligations contains {"kind": "ASK_AGAIN", "phone": "", "due": asking.due, "child": 0} if {
	not_asked
}

obligations contains {"kind": "ASK_AGAIN", "phone": "", "due": asking.due, "child": 0} if {
	misunderstood
}

obligations contains {"kind": "ASK_AGAIN", "phone": "", "due": asking_since_expiry.due, "child": 0} if {
	expired
}

# METADATA
# title: For a person
# description: What a rule finds that only a person can decide, by the end of the next working day.
for_a_person(rule) := {
	"rule": rule,
	"outcome": "REFER_TO_PERSON",
	"paths": [],
	"needs": [],
	"due": next_working_day,
}
