# METADATA
# scope: package
# title: Who may be told what
# description: >-
#   The rules by which a form may leave a prison. Each subject has a file of its own. A rule adds findings about one
#   child (by number) or about the whole notification (number 0); this file weighs them. Nothing is shared unless a
#   finding says SHARE, and such a finding asks for every fact it needs: what is missing, unknown or new is not shared.
#   A finding has exactly these keys: rule (its own annotation: the reason people read), outcome (SHARE, WITHHOLD, WAIT,
#   REFER_TO_PERSON, or "" for a reason that decides nothing), paths, needs, due. Moments are nanoseconds since 1970, 0
#   for none. Each route says what may go on it, for the parent and for each child in the order of the input
#   (parent_may_go, child_may_go); that of permission also until when (good_until).
package postern.sharing

import rego.v2

# METADATA
# title: The decision
# description: For each child and overall, what goes, why, and what a person must do.
# entrypoint: true
decision := {
	"outcome": outcome,
	"children": children,
	"findings": general,
	"sections": sections,
	"obligations": obligations,
	"valid_until": valid_until,
}

# METADATA
# title: No rule could decide
# description: >-
#   The sharing rules could not decide this, so nothing was sent. It needs a decision by the safeguarding lead.
# custom:
#   rule_id: policy_error
#   law: UK GDPR Article 25, data protection by default
#   routes: [STANDARD, URGENT, DUTY]
undecided := {
	"rule": rego.metadata.rule(),
	"outcome": "REFER_TO_PERSON",
	"paths": [],
	"needs": [],
	"due": next_working_day,
}

# METADATA
# title: Strength
# description: The strongest finding decides.
strength := {"SHARE": 1, "WITHHOLD": 2, "WAIT": 3, "REFER_TO_PERSON": 4}

strongest(bearing) := name if {
	rank := max([strength[f.outcome] | some f in bearing])
	strength[name] == rank
}

# Read once whole: a look-up by child would run every rule again for each child.
found := findings

# What bears on the whole notification, and so on every child.
for_all := object.get(found, 0, set())

# Without children it must decide by itself.
general := for_all if {
	count(input.children) > 0
} else := for_all if {
	strongest(for_all)
} else := for_all | {undecided}

children := [verdict(i, child.number, object.get(found, child.number, set()) | for_all) | some i, child in input.children]

verdict(i, number, bearing) := {
	"number": number,
	"outcome": decided,
	"findings": bearing,
	"sections": released(i, decided),
} if {
	decided := strongest(bearing)
} else := {
	"number": number,
	"outcome": "REFER_TO_PERSON",
	"findings": (bearing | {undecided}),
	"sections": set(),
}

released(i, decided) := child_may_go[i] if {
	decided == "SHARE"
} else := set()

outcome := "SHARE" if {
	some child in children
	child.outcome == "SHARE"
} else := strongest({f | some child in children; some f in child.findings} | general)

# METADATA
# title: The parent's sections that go
# description: They go when any child is shared.
sections := parent_may_go if {
	outcome == "SHARE"
} else := set()

# METADATA
# title: How long the decision may be acted upon
# description: No longer than the hours in the settings, and on the route of permission no longer than permission and agreement.
valid_until := min([good_until, now + (data.settings.decision_valid_hours * 3600000000000)]) if {
	outcome == "SHARE"
	input.route == "STANDARD"
} else := now + (data.settings.decision_valid_hours * 3600000000000) if {
	outcome == "SHARE"
} else := 0
