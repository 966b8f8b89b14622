package postern.sharing_test

import rego.v2

import data.postern.sharing

answered := {"time": "2026-11-23T09:50:00Z", "result": "ANSWERED", "child": 0}

unanswered := {"time": "2026-11-23T09:50:00Z", "result": "NO_ANSWER", "child": 0}

emergency := with_values({
	"/route": "URGENT",
	"/urgency": {"reason": "CHILD_MAY_BE_ALONE", "authorised_role": "DUTY_GOVERNOR"},
	"/calls": [answered],
	"/consent/state": "NOT_ASKED",
	"/parent/permitted": set(),
	"/children/0/permitted": set(),
	"/children/1/permitted": set(),
})

urgent := {"outcome": "SHARE", "rules": {"urgent"}}

test_urgent_goes_without_permission if {
	decided(emergency, 1) == urgent
	decided(emergency, 2) == urgent
	obligations(emergency) == {["REVIEW", "", "Tue 17:00", 0]}
}

test_urgent_goes_whatever_else_holds if {
	others := [{"/gate": "HOLD"}, {"/gate": "NOT_DONE"}, {"/agreement/in_force": false}, {"/already_notified": true}, {"/consent/state": "WITHDRAWN"}]
	every other in others {
		decided(changed(emergency, other), 1) == urgent
	}
}

test_urgent_tells_what_helps_tonight if {
	given := changed(emergency, {
		"/parent/offered": {"name", "birth", "custody", "language", "wishes", "urgency"},
		"/children/0/offered": {"identity", "relationship", "home", "carer", "safety", "phone", "school", "knowledge", "needs", "worker"},
	})
	d := sharing.decision with input as given
	d.sections == {"name", "birth", "urgency"}
	d.children[0].sections == {"identity", "relationship", "home", "carer", "safety", "phone", "school", "worker"}
	d.children[1].sections == minimum
}

test_urgent_needs_a_reason_and_a_role if {
	bad := {"/urgency/reason": "", "/urgency/authorised_role": "RECEPTION_OFFICER", "/statement": "ENQUIRY"}
	every path, value in bad {
		decided(changed(emergency, {path: value}), 1) == undecided
		decided(json.patch(emergency, [{"op": "remove", "path": path}]), 1) == undecided
	}
}

test_urgent_about_a_child_of_whom_nothing_is_offered if {
	given := changed(emergency, {"/children/0/offered": set()})
	decided(given, 1) == undecided
	decided(given, 2) == urgent
}

test_urgent_unphoned_waits_an_hour if {
	every given in [changed(emergency, {"/calls": []}), json.patch(emergency, [{"op": "remove", "path": "/calls"}])] {
		decided(given, 1) == {"outcome": "WAIT", "rules": {"urgent_unphoned"}}
		findings_of(given, 1, "urgent_unphoned") == {["WAIT", ["call"], "Mon 11:00"]}
		obligations(given) == {["PHONE_FRONT_DOOR", "01632 960124", "Mon 11:00", 0]}
	}
}

test_urgent_unphoned_is_overdue if {
	given := changed(emergency, {"/calls": [], "/now": "2026-11-23T11:00:00Z"})
	findings_of(given, 1, "urgent_unphoned") == {["REFER_TO_PERSON", ["call"], "Mon 11:00"]}
	obligations(given) == {
		["PHONE_FRONT_DOOR", "01632 960124", "Mon 11:00", 0],
		["ALERT_DUTY_GOVERNOR", "", "Mon 11:00", 0],
	}
}

test_urgent_goes_though_nobody_answered if {
	given := changed(emergency, {"/calls": [unanswered]})
	decided(given, 1) == urgent
	obligations(given) == {
		["PHONE_FRONT_DOOR", "01632 960124", "Mon 11:00", 0],
		["REVIEW", "", "Tue 17:00", 0],
	}
}

test_two_unanswered_calls_mean_the_police if {
	police := ["CALL_POLICE", "999", "Mon 10:00", 0]
	police in obligations(changed(emergency, {"/calls": [unanswered, unanswered]}))
	not police in obligations(changed(emergency, {"/calls": [unanswered, answered, unanswered]}))
	not police in obligations(with_value("/calls", [unanswered, unanswered]))
}

test_urgent_no_recipient if {
	given := changed(emergency, {"/recipient/enrolled": false})
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"urgent_no_recipient"}}
	obligations(given) == {["MANUAL_ROUTE", "01632 960124", "Tue 17:00", 0]}
	decided(json.patch(emergency, [{"op": "remove", "path": "/recipient/known"}]), 1).rules == {"urgent_no_recipient"}
}

test_urgent_is_valid_as_long_as_the_settings_say if valid_until(emergency) == time.parse_rfc3339_ns("2026-11-30T10:00:00Z")
