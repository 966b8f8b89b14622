package postern.sharing_test

import rego.v2

test_only_a_check_that_holds_nothing_back_lets_go if {
	shares(family)
	every gate in ["HOLD", "NOT_DONE", "", "no_hold"] {
		not shares(with_value("/gate", gate))
	}
	decided(with_value("/gate", "no_hold"), 1) == undecided
	decided(without("/gate"), 1) == undecided
}

test_gate_hold if {
	given := with_value("/gate", "HOLD")
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"gate_hold"}}
	findings_of(given, 1, "gate_hold") == {["REFER_TO_PERSON", [], "Tue 17:00"]}
	obligations(given) == set()
}

test_gate_not_done_waits if {
	every gate in ["NOT_DONE", ""] {
		given := with_value("/gate", gate)
		decided(given, 2) == {"outcome": "WAIT", "rules": {"gate_not_done"}}
		findings_of(given, 1, "gate_not_done") == {["WAIT", ["public_protection_check"], "Tue 17:00"]}
	}
}

test_gate_not_done_is_overdue if {
	given := with_values({"/gate": "NOT_DONE", "/now": "2026-11-24T17:00:00Z", "/today": "2026-11-24"})
	findings_of(given, 1, "gate_not_done") == {["REFER_TO_PERSON", ["public_protection_check"], "Wed 17:00"]}
}

test_gate_not_done_without_a_start_is_for_a_person if {
	given := json.patch(with_value("/gate", "NOT_DONE"), [{"op": "remove", "path": "/first_submit_time"}])
	findings_of(given, 1, "gate_not_done") == {["REFER_TO_PERSON", ["public_protection_check"], "Tue 17:00"]}
}

test_gates_speak_by_permission_only if {
	every gate in ["HOLD", "NOT_DONE"] {
		given := with_values({"/gate": gate, "/route": "DUTY"})
		decided(given, 1).rules & {"gate_hold", "gate_not_done", "distant_relation"} == set()
	}
}

distant := {
	"/children/0/parental_responsibility": "NO",
	"/children/0/lived_with_before": "NO",
	"/children/0/primary_carer_before": "NO",
}

test_distant_relation_waits_for_the_check if {
	given := with_values(object.union(distant, {"/gate": "NOT_DONE"}))
	decided(given, 1) == {"outcome": "WAIT", "rules": {"gate_not_done", "distant_relation"}}
	decided(given, 2) == {"outcome": "WAIT", "rules": {"gate_not_done"}}
	findings_of(given, 1, "distant_relation") == {["WAIT", ["public_protection_check"], "Tue 17:00"]}
	decided(with_values(object.union(distant, {"/gate": "HOLD"})), 1).outcome == "REFER_TO_PERSON"
}

test_distant_relation_goes_after_the_check if decided(with_values(distant), 1) == shared

test_distant_relation_never_expires_into_sharing if {
	given := with_values(object.union(distant, {"/gate": "NOT_DONE", "/now": "2026-12-24T17:00:00Z", "/today": "2026-12-24"}))
	findings_of(given, 1, "distant_relation") == {["REFER_TO_PERSON", ["public_protection_check"], "Tue 17:00"]}
}

test_distant_relation_needs_all_three_answers if {
	every path, _ in distant {
		given := with_values(object.union(object.union(distant, {"/gate": "NOT_DONE"}), {path: "YES"}))
		findings_of(given, 1, "distant_relation") == set()
		missing := json.patch(with_values(object.union(distant, {"/gate": "NOT_DONE"})), [{"op": "remove", "path": path}])
		findings_of(missing, 1, "distant_relation") == set()
	}
}
