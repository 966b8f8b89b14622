package postern.sharing

import rego.v2

# METADATA
# title: Nobody grown up is known to have the child
# description: >-
#   The child may be alone, or with somebody under 18. Telephone the team's front door now: with the call on record the
#   form goes, as one to be looked at first. Without a call within the hour nothing is sent, a person decides at once and the duty
#   governor is told.
# custom:
#   rule_id: carer_absent
#   law: Children Act 1989 s.17 and s.47; Children Act 2004 s.11 (England), s.28 (Wales)
#   routes: [STANDARD]
#   priority: true
carer_absent := rego.metadata.rule()

# These two run for every child, whatever else holds.
findings[child.number] contains called_in_time(carer_absent) if {
	input.route == "STANDARD"
	some child in input.children
	not carer_settled(child)
	not call_answered(child.number)
}

findings[child.number] contains {"rule": carer_absent, "outcome": "", "paths": [], "needs": [], "due": 0} if {
	input.route == "STANDARD"
	some child in input.children
	not carer_settled(child)
	call_answered(child.number)
}

obligations contains {"kind": "PHONE_FRONT_DOOR", "phone": safeguarding_phone, "due": call_due, "child": child.number} if {
	input.route == "STANDARD"
	some child in input.children
	not carer_settled(child)
	not call_answered(child.number)
}

obligations contains {"kind": "ALERT_DUTY_GOVERNOR", "phone": "", "due": call_due, "child": child.number} if {
	input.route == "STANDARD"
	some child in input.children
	not carer_settled(child)
	not call_answered(child.number)
	now >= call_due
}

# METADATA
# title: Somebody grown up has the child
# description: >-
#   Whether nothing suggests that the child may be alone or with someone under 18 tonight: the carer is an adult; or
#   nobody said otherwise and the parent neither lived with the child nor was the main carer; or the child is unborn, or
#   in the care of an authority.
carer_settled(child) if child.carer_is_adult == "YES"

carer_settled(child) if {
	child.carer_is_adult != "NO"
	child.primary_carer_before == "NO"
	child.lived_with_before == "NO"
}

carer_settled(child) if child.unborn == true

carer_settled(child) if child.in_care == true

# METADATA
# title: Somebody answered
# description: Whether a call about this child, or about all, was answered. A call that nobody answers tells nobody.
call_answered(number) if {
	some call in input.calls
	call.result in {"ANSWERED", "EMERGENCY_999"}
	call.child in {0, number}
}

carer_or_call(child) if carer_settled(child)

carer_or_call(child) if call_answered(child.number)

# METADATA
# title: Waiting for a call
# description: >-
#   What a rule finds that waits for a call: as many minutes as the settings say after the form was first submitted. From
#   then on it is overdue, since a child cannot wait for the next working day.
called_in_time(rule) := {
	"rule": rule,
	"outcome": "WAIT",
	"paths": [],
	"needs": ["call"],
	"due": call_due,
} if {
	now < call_due
} else := {
	"rule": rule,
	"outcome": "REFER_TO_PERSON",
	"paths": [],
	"needs": ["call"],
	"due": call_due,
}

# The number that answers at this hour; the other front door's where the directory gives none.
safeguarding_phone := input.recipient.safeguarding.phone_now if {
	input.recipient.safeguarding.phone_now != ""
} else := input.recipient.early_help.phone_now
