package postern.sharing

import rego.v2

# METADATA
# title: A child may be in danger now
# description: >-
#   A child may be in danger now, so the safeguarding team is told at once, with or without permission. It was authorised and a
#   call is on record. A person looks at it again on the next working day.
# custom:
#   rule_id: urgent
#   law: UK GDPR Article 6(1)(d), vital interests; Children Act 1989 s.47; Data Protection Act 2018 Schedule 1 paragraphs 18 and 30
#   routes: [URGENT]
#   basis: VITAL_INTERESTS
#   priority: true
findings[child.number] contains {
	"rule": rego.metadata.rule(),
	"outcome": "SHARE",
	"paths": [],
	"needs": [],
	"due": 0,
} if {
	urgent_authorised
	phoned
	recipient_ready
	some i, child in input.children
	count(child_may_go[i]) > 0
}

# METADATA
# title: Nobody has telephoned yet
# description: >-
#   A child may be in danger now and no call is on record. Telephone the safeguarding team first, then record the call:
#   the form follows at once. If nobody answers twice, call the police.
# custom:
#   rule_id: urgent_unphoned
#   law: Children Act 1989 s.47 and s.46; Children Act 2004 s.11 (England), s.28 (Wales)
#   routes: [URGENT]
urgent_unphoned := rego.metadata.rule()

findings[0] contains called_in_time(urgent_unphoned) if {
	input.route == "URGENT"
	not phoned
}

# METADATA
# title: Urgent, and nobody can receive it there
# description: >-
#   A child may be in danger now, and the team cannot receive forms from here. Telephone it, send a printed request for support,
#   and note how, to whom and when.
# custom:
#   rule_id: urgent_no_recipient
#   law: Children Act 1989 s.47; Children Act 2004 s.11 (England), s.28 (Wales)
#   routes: [URGENT]
urgent_no_recipient := rego.metadata.rule()

findings[0] contains for_a_person(urgent_no_recipient) if {
	input.route == "URGENT"
	not reachable
}

obligations contains {"kind": "MANUAL_ROUTE", "phone": safeguarding_phone, "due": next_working_day, "child": 0} if {
	input.route == "URGENT"
	not reachable
}

# Until somebody answers: the number for this hour.
obligations contains {"kind": "PHONE_FRONT_DOOR", "phone": safeguarding_phone, "due": call_due, "child": 0} if {
	input.route == "URGENT"
	not answered
}

obligations contains {"kind": "CALL_POLICE", "phone": data.settings.police_phone, "due": submitted, "child": 0} if {
	input.route == "URGENT"
	not answered
	count([call | some call in input.calls; call.result == "NO_ANSWER"]) > 1
}

obligations contains {"kind": "ALERT_DUTY_GOVERNOR", "phone": "", "due": call_due, "child": 0} if {
	input.route == "URGENT"
	not phoned
	now >= call_due
}

obligations contains {"kind": "REVIEW", "phone": "", "due": next_working_day, "child": 0} if {
	urgent_authorised
	outcome == "SHARE"
}

phoned if count(input.calls) > 0

answered if {
	some call in input.calls
	call.result in {"ANSWERED", "EMERGENCY_999"}
}

# METADATA
# title: Authorised as urgent
# description: Whether there is a reason, and somebody whose role may authorise it did.
urgent_authorised if {
	input.route == "URGENT"
	input.statement == "OFFER"
	input.urgency.reason in data.settings.urgent_reasons
	input.urgency.authorised_role in data.settings.urgent_roles
}

# METADATA
# title: What goes in an emergency
# description: >-
#   The minimum, the urgent section and what helps to find and reach the child tonight; no permission and no
#   data-sharing agreement is asked for.
parent_may_go := input.parent.offered & {"name", "birth", "urgency"} if urgent_authorised

child_may_go := [told |
	some child in input.children
	told := child.offered & {"identity", "relationship", "home", "carer", "safety", "phone", "school", "worker"}
] if urgent_authorised
