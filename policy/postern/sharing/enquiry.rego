package postern.sharing

import rego.v2

# METADATA
# title: The parent said no
# description: >-
#   The parent said no to telling anybody, so nothing was sent. The safeguarding lead now thinks about whether a child
#   needs help, from what the prison already holds.
# custom:
#   rule_id: consent_declined
#   law: Common law duty of confidence; Children Act 2004 s.11, s.16LA (England), s.28 (Wales)
#   routes: [STANDARD]
consent_declined := rego.metadata.rule()

findings[0] contains for_a_person(consent_declined) if declined

obligations contains {"kind": "CONSIDER_DUTY", "phone": "", "due": next_working_day, "child": 0} if {
	declined
}

declined if {
	input.statement == "ENQUIRY"
	input.enquiry.outcome == "DECLINED"
}

# A refusal is an enquiry. One that comes with children all the same is no less a refusal.
declined if {
	input.route == "STANDARD"
	input.consent.state == "DECLINED"
}

# METADATA
# title: Asked, and nothing to send
# description: Somebody asked about children and wrote down the answer. There is nothing to send.
# custom:
#   rule_id: enquiry_recorded
#   law: UK GDPR Article 5(2), accountability
#   routes: [STANDARD]
findings[0] contains {
	"rule": rego.metadata.rule(),
	"outcome": "WITHHOLD",
	"paths": [],
	"needs": [],
	"due": 0,
} if {
	input.statement == "ENQUIRY"
	input.enquiry.outcome == "NO_CHILDREN"
}
