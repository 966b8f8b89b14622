package postern.sharing_test

import rego.v2

asked_at(now, today, changes) := with_values(object.union(changes, {"/now": now, "/today": today}))

# Each of the three, with what brings it about.
asks := {
	"consent_not_asked": {"/consent/state": "NOT_ASKED"},
	"not_understood": {"/consent/understood": "NO"},
	"consent_expired": {"/consent/expire_time": "2026-11-23T09:00:00Z"},
}

test_asks_again_the_next_day if {
	every rule, changes in asks {
		given := with_values(changes)
		decided(given, 1) == {"outcome": "WAIT", "rules": {rule}}
		findings_of(given, 2, rule) == {["WAIT", ["ask_again"], "Tue 17:00"]}
		obligations(given) == {["ASK_AGAIN", "", "Tue 17:00", 0]}
	}
}

test_asks_again_on_the_third_day if {
	every rule, changes in asks {
		given := asked_at("2026-11-24T17:00:00Z", "2026-11-24", changes)
		findings_of(given, 1, rule) == {["WAIT", ["ask_again"], "Thu 17:00"]}
		obligations(given) == {["ASK_AGAIN", "", "Thu 17:00", 0]}
	}
}

test_after_the_third_day_a_person_decides if {
	every rule, changes in asks {
		given := asked_at("2026-11-26T17:00:00Z", "2026-11-26", changes)
		findings_of(given, 1, rule) == {["REFER_TO_PERSON", ["ask_again"], "Fri 17:00"]}
		obligations(given) == {["ASK_AGAIN", "", "Fri 17:00", 0]}
	}
}

test_permission_that_ran_out_later_is_asked_for_from_then if {
	given := asked_at("2026-12-07T10:00:00Z", "2026-12-07", {"/consent/expire_time": "2026-12-07T09:00:00Z"})
	findings_of(given, 1, "consent_expired") == {["WAIT", ["ask_again"], "Tue 17:00"]}
}

test_not_understood_when_nobody_said_so if {
	decided(with_value("/consent/understood", ""), 1) == {"outcome": "WAIT", "rules": {"not_understood"}}
}

# Each of the three, with what brings it about.
for_a_person := {
	"consent_withdrawn": {"/consent/state": "WITHDRAWN"},
	"capacity_concern": {"/consent/capacity_concern": true},
	"parent_under_18": {"/consent/grantor_under_18": true},
}

test_a_person_decides if {
	every rule, changes in for_a_person {
		given := with_values(changes)
		decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {rule}}
		findings_of(given, 1, rule) == {["REFER_TO_PERSON", [], "Tue 17:00"]}
		obligations(given) == set()
	}
}

test_a_doubt_is_stronger_than_waiting if {
	given := with_values({"/consent/capacity_concern": true, "/consent/understood": "NO"})
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"capacity_concern", "not_understood"}}
}

test_nothing_of_this_on_other_routes if {
	ids := {id | some id, _ in object.union(asks, for_a_person)}
	every _, changes in object.union(asks, for_a_person) {
		given := with_values(object.union(changes, {"/route": "DUTY"}))
		decided(given, 1).rules & ids == set()
	}
}

test_what_is_missing_is_not_permission if {
	every path in ["/consent/state", "/consent/understood", "/consent/capacity_concern", "/consent/grantor_under_18"] {
		decided(without(path), 1) == undecided
	}
}
