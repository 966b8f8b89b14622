package postern.sharing

import rego.v2

# METADATA
# title: The address is confidential
# description: >-
#   The address of this child is confidential, so this form cannot carry it and nothing about the child was sent. Telephone the
#   team's front door and agree on another way.
# custom:
#   rule_id: address_confidential
#   law: UK GDPR Article 5(1)(f), security; Family Law Act 1996 Part IV
#   routes: [STANDARD]
address_confidential := rego.metadata.rule()

findings[child.number] contains for_a_person(address_confidential) if {
	input.route == "STANDARD"
	some child in input.children
	not address_open(child)
}

# A call about the family needs the same permission as a form, and goes no other way round the check.
obligations contains {"kind": "PHONE_FRONT_DOOR", "phone": early_help_phone, "due": next_working_day, "child": child.number} if {
	permission
	gate_open
	some child in input.children
	not address_open(child)
}

# METADATA
# title: The child is in care
# description: >-
#   This child is in the care of an authority, which knows where the child lives. The team hears of the child without
#   an address.
# custom:
#   rule_id: child_in_care
#   law: Children Act 1989 s.22 (England); Social Services and Well-being (Wales) Act 2014 s.74
#   routes: [STANDARD]
findings[child.number] contains {
	"rule": rego.metadata.rule(),
	"outcome": "",
	"paths": {sprintf("child/%d/%s", [child.number, name]) | some name in (child.offered & {"home"})},
	"needs": [],
	"due": 0,
} if {
	input.route == "STANDARD"
	some child in input.children
	child.in_care == true
}

# METADATA
# title: Too old for this team
# description: This child has reached the age at which the team no longer takes requests, so nothing about the child was sent.
# custom:
#   rule_id: too_old
#   law: Children Act 1989 s.105, a child is under 18; UK GDPR Article 5(1)(c), no more than is needed
#   routes: [STANDARD]
findings[child.number] contains {
	"rule": rego.metadata.rule(),
	"outcome": "WITHHOLD",
	"paths": [],
	"needs": [],
	"due": 0,
} if {
	input.route == "STANDARD"
	input.recipient.known == true
	input.recipient.age_limit > 0
	some child in input.children
	child.age_years >= input.recipient.age_limit
}

# METADATA
# title: Open address
# description: Whether it is said that the address is not confidential.
address_open(child) if child.address_confidential == false

# METADATA
# title: What of a child has no address
# description: The sections that may not go for a child in care.
without_address(child) := {"home"} if {
	child.in_care == true
} else := set()

# METADATA
# title: Age within the authority's limit
# description: An unknown age never leaves a child out, nor does being unborn.
age_within_limit(child) if child.age_years < input.recipient.age_limit

age_within_limit(child) if not child.age_years
