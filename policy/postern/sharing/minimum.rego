package postern.sharing

import rego.v2

# METADATA
# title: Too little to help
# description: >-
#   A team needs at least the parent's name, who the child is, where the child lives and how to make contact safely.
#   Nobody knows the sections named here, or the permission or the data-sharing agreement does not include them, so
#   nothing about this child was sent. It needs a decision.
# custom:
#   rule_id: minimum
#   law: UK GDPR Article 5(1)(c) and (d), adequate and accurate
#   routes: [STANDARD]
findings[child.number] contains {
	"rule": rego.metadata.rule(),
	"outcome": "REFER_TO_PERSON",
	"paths": missing(i),
	"needs": [],
	"due": next_working_day,
} if {
	permission
	agreement_in_force
	reachable
	some i, child in input.children
	not minimum_met(i)
}

# METADATA
# title: The minimum is there
# description: >-
#   Whether the parent's name, who the child is and where the child lives are known and may go. Children are counted
#   from 0 here, as in the input.
minimum_met(i) if {
	name_met
	object.subset(child_may_go[i], {"identity", "home", "safety"})
	object.subset(input.children[i].known, {"identity": "KNOWN", "home": "KNOWN"})
} else if {
	count(missing(i)) == 0
}

missing(i) := union({
	{"parent/name" | not name_met},
	{sprintf("child/%d/identity", [input.children[i].number]) | not met(i, "identity")},
	{sprintf("child/%d/home", [input.children[i].number]) | not home_met(i)},
	{sprintf("child/%d/safety", [input.children[i].number]) | not safety_met(i)},
})

name_met if {
	"name" in parent_may_go
	input.parent.known.name == "KNOWN"
}

met(i, name) if {
	name in child_may_go[i]
	input.children[i].known[name] == "KNOWN"
}

home_met(i) if met(i, "home")

home_met(i) if home_elsewhere(i)

# The authority that has a child in its care knows where the child lives; of a confidential address another rule speaks.
home_elsewhere(i) if input.children[i].in_care == true

home_elsewhere(i) if input.children[i].address_confidential == true

# Nobody gets an address without the way to knock safely, where that is known.
safety_met(i) if "safety" in child_may_go[i]

safety_met(i) if input.children[i].known.safety != "KNOWN"

safety_met(i) if home_elsewhere(i)
