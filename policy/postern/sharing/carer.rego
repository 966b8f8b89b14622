package postern.sharing

import rego.v2

# METADATA
# title: Somebody grown up has the child
# description: >-
#   Whether nothing suggests that the child may be alone or with someone under 18 tonight: the carer is an adult; or
#   nobody said otherwise and the parent neither lived with the child nor was the main carer; or the child is unborn.
carer_settled(child) if child.carer_is_adult == "YES"

carer_settled(child) if {
	child.carer_is_adult != "NO"
	child.primary_carer_before == "NO"
	child.lived_with_before == "NO"
}

carer_settled(child) if child.unborn == true
