package postern.sharing_test

import rego.v2

test_already_notified if {
	given := with_value("/already_notified", true)
	decided(given, 1) == {"outcome": "WITHHOLD", "rules": {"already_notified"}}
	obligations(given) == set()
	decided(without("/already_notified"), 1) == undecided
}

test_already_notified_is_the_weakest if {
	given := with_values({"/already_notified": true, "/gate": "NOT_DONE"})
	decided(given, 1) == {"outcome": "WAIT", "rules": {"already_notified", "gate_not_done"}}
}

test_already_notified_speaks_by_permission_only if {
	not "already_notified" in decided(with_values({"/already_notified": true, "/route": "DUTY"}), 1).rules
}

test_redirected_where_permission_follows_the_child if {
	given := with_values({"/redirected": true, "/consent/authorities": [], "/consent/follows_child": true})
	decided(given, 1) == {"outcome": "SHARE", "rules": {"redirected", "consent_given"}}
}

test_redirected_against_a_named_authority if {
	given := with_value("/redirected", true)
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"redirected"}}
	findings_of(given, 1, "redirected") == {["REFER_TO_PERSON", [], "Tue 17:00"]}
}

test_redirected_needs_no_permission_on_other_routes if {
	decided(changed(emergency, {"/redirected": true}), 1) == {"outcome": "SHARE", "rules": {"redirected", "urgent"}}
	decided(changed(considered, {"/redirected": true}), 1) == {"outcome": "SHARE", "rules": {"redirected", "duty_considered"}}
}

test_whether_it_was_redirected_must_be_said if decided(without("/redirected"), 1) == undecided
