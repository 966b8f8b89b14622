package postern.sharing

import rego.v2

# METADATA
# title: The parent gave permission
# description: >-
#   The parent gave permission to tell this team about this child, could say back what that means, and the permission
#   has not run out.
# custom:
#   rule_id: consent_given
#   law: >-
#     Common law duty of confidence (permission); UK GDPR Article 6(1)(e); Children Act 2004 s.11 (England), s.28 (Wales)
#   routes: [STANDARD]
findings[child.number] contains {
	"rule": rego.metadata.rule(),
	"outcome": "SHARE",
	"paths": [],
	"needs": [],
	"due": 0,
} if {
	permission
	recipient_ready
	agreement_in_force
	gate_open
	input.already_notified == false
	may_be_redirected
	some i, child in input.children
	child.number in input.consent.children
	address_open(child)
	age_within_limit(child)
	carer_or_call(child)
	minimum_met(i)
}

# METADATA
# title: Permission
# description: Whether this is the route of permission, and the permission is good today for this recipient.
permission if {
	input.route == "STANDARD"
	input.statement == "OFFER"
	input.consent.state == "GIVEN"
	input.consent.understood == "YES"
	input.consent.capacity_concern == false
	input.consent.grantor_under_18 == false
	recipient_covered
	now < consent_end
}

consent_end := time.parse_rfc3339_ns(input.consent.expire_time)

recipient_covered if input.recipient.authority in input.consent.authorities

recipient_covered if input.consent.follows_child == true

# METADATA
# title: The parent named other teams
# description: >-
#   The parent gave permission to tell, and did not name this team, so nothing was sent to it. Ask the parent whether this
#   team may be told too. Otherwise the safeguarding lead decides what to do for the children who live here.
# custom:
#   rule_id: recipient_not_covered
#   law: Common law duty of confidence (permission, to those it names); UK GDPR Article 5(1)(b), the same purpose
#   routes: [STANDARD]
recipient_not_covered := rego.metadata.rule()

# Of a child found elsewhere another rule speaks, and so does another where the permission is no good for anybody.
findings[0] contains for_a_person(recipient_not_covered) if {
	input.route == "STANDARD"
	input.statement == "OFFER"
	input.redirected == false
	input.consent.state == "GIVEN"
	input.consent.understood == "YES"
	now < consent_end
	not recipient_covered
}

# METADATA
# title: What permission and agreement let go
# description: >-
#   The sections that are offered, that the parent agreed to tell, and that the data-sharing agreement includes, by name;
#   the children's in the order of the input. No home goes for a child in care, and the urgent section goes on the urgent route only.
parent_may_go := parent_permitted & input.agreement.parent if permission

child_may_go := [both |
	some i, sections in child_permitted
	both := (sections & input.agreement.child) - without_address(input.children[i])
] if {
	permission
}

parent_permitted := (input.parent.offered & input.parent.permitted) - {"urgency"}

child_permitted := [both | some child in input.children; both := child.offered & child.permitted]

good_until := min([consent_end, agreement_end]) if permission
