package postern.sharing

import rego.v2

# METADATA
# title: The duty to share was considered
# description: >-
#   The safeguarding lead considered the duty to share. The information matters for the child's welfare and helps the
#   team's work, and telling does the child no more harm than not telling. What the safeguarding lead named goes, without permission.
# custom:
#   rule_id: duty_considered
#   law: Children Act 2004 s.16LA (England); UK GDPR Article 6(1)(c), legal obligation
#   routes: [DUTY]
#   basis: LEGAL_OBLIGATION
duty_considered := rego.metadata.rule()

findings[child.number] contains told(duty_considered) if {
	duty_holds
	recipient_ready
	some i, child in input.children
	may_be_told(child)
	count(child_may_go[i]) > 0
}

# METADATA
# title: Telling as a public task was considered
# description: >-
#   The safeguarding lead considered telling the team as part of the prison's public task. The information matters for the child's
#   welfare and helps the team's work, and telling does the child no more harm than not telling. What the safeguarding lead named
#   goes, without permission.
# custom:
#   rule_id: public_task_considered
#   law: >-
#     UK GDPR Article 6(1)(e), public task; Children Act 2004 s.28 (Wales); Social Services and Well-being (Wales) Act 2014;
#     Offender Management Act 2007 s.14
#   routes: [DUTY]
#   basis: PUBLIC_TASK
public_task_considered := rego.metadata.rule()

findings[child.number] contains told(public_task_considered) if {
	public_task_holds
	recipient_ready
	some i, child in input.children
	may_be_told(child)
	count(child_may_go[i]) > 0
}

# METADATA
# title: No decision to tell about this child
# description: >-
#   There is no record that the safeguarding lead considered telling about this child under the law that holds here today, and
#   found it right. So nothing about the child was sent. It needs a decision.
# custom:
#   rule_id: not_considered
#   law: Children Act 2004 s.16LA (England), s.28 (Wales); UK GDPR Article 5(2), accountability
#   routes: [DUTY]
not_considered := rego.metadata.rule()

findings[child.number] contains for_a_person(not_considered) if {
	input.route == "DUTY"
	some child in input.children
	not told_by_law(child)
}

obligations contains {"kind": "CONSIDER_DUTY", "phone": "", "due": next_working_day, "child": child.number} if {
	input.route == "DUTY"
	some child in input.children
	not told_by_law(child)
}

told(rule) := {"rule": rule, "outcome": "SHARE", "paths": [], "needs": [], "due": 0}

told_by_law(child) if {
	duty_holds
	may_be_told(child)
}

told_by_law(child) if {
	public_task_holds
	may_be_told(child)
}

may_be_told(child) if child.number in input.consideration.not_more_detrimental

# METADATA
# title: Considered
# description: Whether a person whose role may decide it said that telling is relevant and helps, and whether the parent was told.
considered if {
	input.route == "DUTY"
	input.statement == "OFFER"
	input.consideration.relevant == "YES"
	input.consideration.helps_function != ""
	input.consideration.parent_told in {"YES", "NO"}
	input.consideration.role in data.settings.considering_roles
}

# METADATA
# title: The duty holds
# description: >-
#   Whether the duty to share was considered where it holds: prison and authority both in a part of the country whose law has it, from
#   the date in the settings.
duty_holds if {
	considered
	input.consideration.law == "DUTY_S16LA"
	duty_binds
	data.law[input.caller.jurisdiction].duty_to_share.start_date <= input.today
}

# METADATA
# title: The public task holds
# description: Whether telling was considered as a public task, where the duty to share does not bind both.
public_task_holds if {
	considered
	input.consideration.law == "PUBLIC_TASK"
	not duty_binds
}

duty_binds if {
	data.law[input.caller.jurisdiction].duty_to_share
	input.caller.jurisdiction == input.recipient.jurisdiction
}

parent_may_go := {name |
	some name in input.parent.offered
	sprintf("parent/%s", [name]) in input.consideration.paths
} if {
	considered
}

child_may_go := [names |
	some child in input.children
	names := {name |
		may_be_told(child)
		some name in child.offered
		sprintf("child/%d/%s", [child.number, name]) in input.consideration.paths
	}
] if {
	considered
}
