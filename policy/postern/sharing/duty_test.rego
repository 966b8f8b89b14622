package postern.sharing_test

import rego.v2

import data.postern.sharing

named_sections := {"identity", "home", "safety"}

considered := with_values({
	"/route": "DUTY",
	"/consent/state": "DECLINED",
	"/consideration": {
		"law": "DUTY_S16LA",
		"relevant": "YES",
		"helps_function": "ca1989.s17",
		"not_more_detrimental": [1, 2],
		"parent_told": "NO",
		"paths": array.concat(["parent/name"], [path |
			some number in [1, 2]
			some name in named_sections
			path := sprintf("child/%d/%s", [number, name])
		]),
		"role": "SAFEGUARDING_LEAD",
		"time": "2026-11-23T09:30:00Z",
	},
})

in_wales := {
	"/caller/jurisdiction": "GB-WLS",
	"/recipient/jurisdiction": "GB-WLS",
	"/consideration/law": "PUBLIC_TASK",
}

duty := {"outcome": "SHARE", "rules": {"duty_considered"}}

not_considered := {"outcome": "REFER_TO_PERSON", "rules": {"not_considered"}}

test_duty_considered if {
	decided(considered, 1) == duty
	decided(considered, 2) == duty
	obligations(considered) == set()
	d := sharing.decision with input as considered
	d.sections == {"name"}
	[c.sections | some c in d.children] == [named_sections, named_sections]
}

test_duty_considered_needs_every_fact if {
	bad := {
		"/statement": "ENQUIRY",
		"/consideration/law": "PUBLIC_TASK",
		"/consideration/relevant": "NO",
		"/consideration/helps_function": "",
		"/consideration/parent_told": "",
		"/consideration/role": "RECEPTION_OFFICER",
		"/consideration/not_more_detrimental": [],
		"/today": "2026-09-29",
	}
	every path, value in bad {
		decided(changed(considered, {path: value}), 1) == not_considered
	}
	every path, _ in object.remove(bad, ["/today"]) {
		decided(json.patch(considered, [{"op": "remove", "path": path}]), 1) == not_considered
	}
	decided(json.patch(considered, [{"op": "remove", "path": "/consideration"}]), 1) == not_considered
	not shares(json.patch(considered, [{"op": "remove", "path": "/consideration/paths"}]))
}

test_not_considered_is_for_a_person if {
	given := changed(considered, {"/consideration/not_more_detrimental": [2]})
	decided(given, 1) == not_considered
	decided(given, 2) == duty
	obligations(given) == {["CONSIDER_DUTY", "", "Tue 17:00", 1]}
	d := sharing.decision with input as given
	d.children[0].sections == set()
}

test_the_duty_holds_from_its_date_in_england_only if {
	decided(changed(considered, {"/today": "2026-09-30"}), 1) == duty
	decided(changed(considered, {"/caller/jurisdiction": "GB-WLS"}), 1) == not_considered
	decided(changed(considered, {"/recipient/jurisdiction": "GB-WLS"}), 1) == not_considered
}

test_public_task_considered if {
	public := {"outcome": "SHARE", "rules": {"public_task_considered"}}
	every changes in [in_wales, object.remove(in_wales, ["/caller/jurisdiction"]), object.remove(in_wales, ["/recipient/jurisdiction"])] {
		decided(changed(considered, changes), 1) == public
		decided(changed(considered, object.union(changes, {"/consideration/role": "RESETTLEMENT"})), 1) == not_considered
	}
}

test_the_duty_needs_somebody_who_can_receive if {
	given := changed(considered, {"/recipient/enrolled": false, "/gate": "HOLD"})
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"no_recipient"}}
	obligations(given) == {["MANUAL_ROUTE", "01632 960123", "Tue 17:00", 0]}
	decided(changed(considered, {"/caller/known": false}), 1) == undecided
}

test_nothing_offered_of_what_was_named if {
	decided(changed(considered, {"/children/0/offered": {"phone"}}), 1) == undecided
}
