package postern.sharing

import rego.v2

# METADATA
# title: Public-protection check
# description: Whether the prison's public-protection check was done and holds nothing back.
gate_open if input.gate == "NO_HOLD"

gate_waits if input.gate in {"NOT_DONE", ""}

# METADATA
# title: Held by the public-protection check
# description: A colleague checks every form before it goes.
# custom:
#   rule_id: gate_hold
#   law: Children Act 2004 s.11 (England), s.28 (Wales); multi-agency public protection arrangements, Criminal Justice Act 2003 s.325
#   routes: [STANDARD]
findings[0] contains {
	"rule": rego.metadata.rule(),
	"outcome": "REFER_TO_PERSON",
	"paths": [],
	"needs": [],
	"due": next_working_day,
} if {
	input.route == "STANDARD"
	input.gate == "HOLD"
}

# METADATA
# title: The public-protection check is not done yet
# description: A colleague checks every form before it goes. When the check is done and holds nothing back, it goes by itself.
# custom:
#   rule_id: gate_not_done
#   law: Children Act 2004 s.11 (England), s.28 (Wales); multi-agency public protection arrangements, Criminal Justice Act 2003 s.325
#   routes: [STANDARD]
gate_not_done := rego.metadata.rule()

findings[0] contains checked(gate_not_done) if {
	input.route == "STANDARD"
	gate_waits
}

# METADATA
# title: A child the parent hardly knows
# description: >-
#   The parent has no parental responsibility for this child, never lived with the child and was not the main carer. So
#   nothing about the child goes before the public-protection check says that it may.
# custom:
#   rule_id: distant_relation
#   law: Children Act 1989 s.3, parental responsibility; UK GDPR Article 5(1)(a), fairness
#   routes: [STANDARD]
distant_relation := rego.metadata.rule()

findings[child.number] contains checked(distant_relation) if {
	input.route == "STANDARD"
	not gate_open
	some child in input.children
	child.parental_responsibility == "NO"
	child.lived_with_before == "NO"
	child.primary_carer_before == "NO"
}

# METADATA
# title: Waiting for the check
# description: >-
#   What a rule finds that waits for the public-protection check: until the end of the next working day after the form
#   was first submitted, then a person decides. Waiting never turns into sharing.
checked(rule) := {
	"rule": rule,
	"outcome": "WAIT",
	"paths": [],
	"needs": ["public_protection_check"],
	"due": gate_due,
} if {
	now < gate_due
} else := {
	"rule": rule,
	"outcome": "REFER_TO_PERSON",
	"paths": [],
	"needs": ["public_protection_check"],
	"due": next_working_day,
}
