package postern.sharing

import rego.v2

# METADATA
# title: Sent before
# description: This prison has sent the same about the same children since the person came, so it was not sent again.
# custom:
#   rule_id: already_notified
#   law: UK GDPR Article 5(1)(c), no more than is needed
#   routes: [STANDARD]
findings[0] contains {
	"rule": rego.metadata.rule(),
	"outcome": "WITHHOLD",
	"paths": [],
	"needs": [],
	"due": 0,
} if {
	input.route == "STANDARD"
	input.already_notified == true
}

# METADATA
# title: Passed on to another team
# description: >-
#   The first team found the child in another authority's area. It may be passed on where the permission follows the
#   child, or where the route needs no permission; otherwise a person decides.
# custom:
#   rule_id: redirected
#   law: Children Act 2004 s.10 (England), s.25 (Wales); UK GDPR Article 5(1)(b), the same purpose
#   routes: [STANDARD, URGENT, DUTY]
redirected := rego.metadata.rule()

findings[0] contains {"rule": redirected, "outcome": "", "paths": [], "needs": [], "due": 0} if {
	input.redirected == true
	may_be_redirected
}

findings[0] contains for_a_person(redirected) if {
	input.redirected == true
	not may_be_redirected
}

may_be_redirected if input.redirected == false

may_be_redirected if input.consent.follows_child == true

may_be_redirected if input.route in {"URGENT", "DUTY"}
