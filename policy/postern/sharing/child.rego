package postern.sharing

import rego.v2

# METADATA
# title: Usable address
# description: Whether a home may be told at all; never for a child in care or with a confidential address.
address_usable(child) if {
	child.in_care == false
	child.address_confidential == false
}

# METADATA
# title: Age within the authority's limit
# description: An unknown age never leaves a child out, nor does being unborn.
age_within_limit(child) if child.age_years < input.recipient.age_limit

age_within_limit(child) if not child.age_years
