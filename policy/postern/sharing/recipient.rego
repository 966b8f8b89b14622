package postern.sharing

import rego.v2

# METADATA
# title: Nobody can receive it there
# description: >-
#   The authority where the child lives is not known, is outside England and Wales, or cannot receive forms from here yet. So
#   nothing was sent. Telephone its front door, send a printed request for support, and note how, to whom and when.
# custom:
#   rule_id: no_recipient
#   law: Children Act 2004 s.10 and s.11 (England), s.25 and s.28 (Wales)
#   routes: [STANDARD, DUTY]
no_recipient := rego.metadata.rule()

findings[0] contains for_a_person(no_recipient) if {
	permission
	not reachable
}

findings[0] contains for_a_person(no_recipient) if {
	input.route == "DUTY"
	not reachable
}

obligations contains manual_route if {
	permission
	gate_open
	not reachable
}

obligations contains manual_route if {
	input.route == "DUTY"
	not reachable
}

# METADATA
# title: The manual route
# description: >-
#   A telephone call and a printed request for support. It is for what might have gone: without permission, or while
#   the public-protection check stands in the way, it would be a way round.
manual_route := {"kind": "MANUAL_ROUTE", "phone": early_help_phone, "due": next_working_day, "child": 0}

# The number that answers at this hour; none where the directory does not know the authority.
early_help_phone := input.recipient.early_help.phone_now

# METADATA
# title: Reachable
# description: >-
#   Whether the directory knows the recipient, the team can receive, and it is in a part of the country whose law is written in
#   the settings.
reachable if {
	input.recipient.known == true
	input.recipient.enrolled == true
	data.law[input.recipient.jurisdiction]
}

# METADATA
# title: Sender and recipient
# description: Whether the recipient is reachable, and the directory knows the sender, under a law in the settings.
recipient_ready if {
	reachable
	input.caller.known == true
	data.law[input.caller.jurisdiction]
}
