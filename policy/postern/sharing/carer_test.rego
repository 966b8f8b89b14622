package postern.sharing_test

import rego.v2

lived_apart(is_adult) := json.patch(family, [
	{"op": "replace", "path": "/children/0/carer_is_adult", "value": is_adult},
	{"op": "replace", "path": "/children/0/primary_carer_before", "value": "NO"},
	{"op": "replace", "path": "/children/0/lived_with_before", "value": "NO"},
])

test_an_adult_carer if decided(family, 1) == shared

calls(at) := {"outcome": at, "rules": {"carer_absent"}}

test_a_carer_who_may_be_a_child if {
	every answer in ["NO", "NOT_KNOWN", "", "SHARED"] {
		decided(with_value("/children/0/carer_is_adult", answer), 1) == calls("WAIT")
		decided(with_value("/children/0/carer_is_adult", answer), 2) == shared
	}
	decided(without("/children/0/carer_is_adult"), 1) == calls("WAIT")
}

no_carer := with_value("/children/0/carer_is_adult", "NO")

call(result, number) := {"time": "2026-11-23T09:50:00Z", "result": result, "child": number}

test_carer_absent_waits_an_hour_for_a_call if {
	findings_of(no_carer, 1, "carer_absent") == {["WAIT", ["call"], "Mon 11:00"]}
	obligations(no_carer) == {["PHONE_FRONT_DOOR", "01632 960124", "Mon 11:00", 1]}
}

test_carer_absent_without_a_call_in_time_is_overdue if {
	given := changed(no_carer, {"/now": "2026-11-23T11:00:00Z"})
	findings_of(given, 1, "carer_absent") == {["REFER_TO_PERSON", ["call"], "Mon 11:00"]}
	obligations(given) == {
		["PHONE_FRONT_DOOR", "01632 960124", "Mon 11:00", 1],
		["ALERT_DUTY_GOVERNOR", "", "Mon 11:00", 1],
	}
}

test_carer_absent_with_a_call_goes if {
	every made in [call("ANSWERED", 1), call("ANSWERED", 0), call("EMERGENCY_999", 1)] {
		given := changed(no_carer, {"/calls": [made]})
		decided(given, 1) == {"outcome": "SHARE", "rules": {"carer_absent", "consent_given"}}
		obligations(given) == set()
	}
	every made in [call("NO_ANSWER", 1), call("ANSWERED", 2), call("", 0)] {
		decided(changed(no_carer, {"/calls": [made]}), 1) == calls("WAIT")
	}
	decided(json.patch(no_carer, [{"op": "remove", "path": "/calls"}]), 1) == calls("WAIT")
}

test_carer_absent_whatever_else_holds if {
	others := [
		{"/consent/state": "NOT_ASKED"},
		{"/consent/state": "WITHDRAWN"},
		{"/consent/capacity_concern": true},
		{"/gate": "HOLD"},
		{"/gate": "NOT_DONE"},
		{"/agreement/in_force": false},
		{"/already_notified": true},
		{"/recipient/enrolled": false},
		{"/caller/known": false},
		{"/children/0/age_years": 18},
		{"/children/0/address_confidential": true},
		{"/children/0/known/home": "NOT_KNOWN"},
		{"/consent/children": []},
	]
	every other in others {
		given := changed(no_carer, other)
		count(findings_of(given, 1, "carer_absent")) == 1
		["PHONE_FRONT_DOOR", "01632 960124", "Mon 11:00", 1] in obligations(given)
	}
}

test_carer_absent_speaks_by_permission_only if {
	count(findings_of(changed(no_carer, {"/route": "DUTY"}), 1, "carer_absent")) == 0
}

test_the_other_front_door_answers_where_there_is_no_number if {
	given := changed(no_carer, {"/recipient/safeguarding/phone_now": ""})
	obligations(given) == {["PHONE_FRONT_DOOR", "01632 960123", "Mon 11:00", 1]}
}

test_carer_absent_does_not_speak_of_a_child_in_care if {
	given := changed(no_carer, {"/children/0/in_care": true})
	decided(given, 1) == {"outcome": "SHARE", "rules": {"child_in_care", "consent_given"}}
}

test_a_child_who_lived_elsewhere if {
	decided(lived_apart("NOT_KNOWN"), 1) == shared
	decided(lived_apart("NO"), 1) == calls("WAIT")
	every path in ["/children/0/primary_carer_before", "/children/0/lived_with_before"] {
		every answer in ["YES", "SHARED", "NOT_KNOWN"] {
			decided(json.patch(lived_apart("NOT_KNOWN"), [{"op": "replace", "path": path, "value": answer}]), 1) == calls("WAIT")
		}
	}
}

test_an_unborn_child_needs_no_carer if {
	unborn := json.patch(family, [
		{"op": "replace", "path": "/children/0/unborn", "value": true},
		{"op": "replace", "path": "/children/0/carer_is_adult", "value": "NOT_KNOWN"},
		{"op": "remove", "path": "/children/0/age_years"},
	])
	decided(unborn, 1) == shared
}
