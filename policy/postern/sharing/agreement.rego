package postern.sharing

import rego.v2

# METADATA
# title: No data-sharing agreement
# description: >-
#   No data-sharing agreement between this prison and this authority is in force today, so nothing was sent. Telephone
#   the early-help team and ask how to request support for the family in another way.
# custom:
#   rule_id: no_data_sharing_agreement
#   law: UK GDPR Articles 5(2) and 24, accountability; Data Protection Act 2018 s.121, the data-sharing code
#   routes: [STANDARD]
no_data_sharing_agreement := rego.metadata.rule()

findings[0] contains for_a_person(no_data_sharing_agreement) if {
	permission
	not agreement_in_force
}

obligations contains manual_route if {
	permission
	gate_open
	not agreement_in_force
}

# METADATA
# title: Not in the data-sharing agreement
# description: The data-sharing agreement with this authority does not include these sections, so they stay in the prison.
# custom:
#   rule_id: agreement_sections
#   law: UK GDPR Article 5(1)(b) and (c), purpose and no more than is needed; Data Protection Act 2018 s.121
#   routes: [STANDARD]
findings[number] contains {
	"rule": rego.metadata.rule(),
	"outcome": "",
	"paths": left_out,
	"needs": [],
	"due": 0,
} if {
	permission
	agreement_in_force
	agreement_leaves_out
	some number, left_out in left_out_by_agreement
	count(left_out) > 0
}

agreement_leaves_out if parent_permitted != parent_may_go

agreement_leaves_out if child_permitted != child_may_go

left_out_by_agreement[0] := {sprintf("parent/%s", [name]) | some name in (parent_permitted - input.agreement.parent)}

left_out_by_agreement[child.number] := {sprintf("child/%d/%s", [child.number, name]) |
	some name in (child_permitted[i] - input.agreement.child)
} if {
	some i, child in input.children
}

# METADATA
# title: Agreement in force
# description: Whether the directory holds an agreement for today; its end is looked at again here.
agreement_in_force if {
	input.agreement.in_force == true
	now < agreement_end
}

agreement_end := time.parse_rfc3339_ns(input.agreement.end_time)
