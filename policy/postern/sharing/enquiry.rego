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
findings[0] contains {
	"rule": rego.metadata.rule(),
	"outcome": "REFER_TO_PERSON",
	"paths": [],
	"needs": [],
	"due": next_working_day,
} if {
	declined
}

obligations contains {
	"kind": "CONSIDER_DUTY",
	"phone": "",
	"due": next_working_day,
	"child": 0,
} if {
	declined
}

declined if {
	input.statement == "ENQUIRY"
	input.enquiry.outcome == "DECLINED"
}
