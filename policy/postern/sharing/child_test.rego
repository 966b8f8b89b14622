package postern.sharing_test

import rego.v2

import data.postern.sharing

test_address_confidential_is_for_the_telephone if {
	given := with_value("/children/0/address_confidential", true)
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"address_confidential"}}
	decided(given, 2) == shared
	obligations(given) == {["PHONE_FRONT_DOOR", "01632 960123", "Tue 17:00", 1]}
}

test_address_confidential_unless_said_otherwise if {
	decided(without("/children/0/address_confidential"), 1).rules == {"address_confidential"}
}

test_address_confidential_is_no_way_round if {
	every path, value in {"/gate": "HOLD", "/consent/state": "WITHDRAWN"} {
		given := with_values({"/children/0/address_confidential": true, path: value})
		"address_confidential" in decided(given, 1).rules
		obligations(given) == set()
	}
}

test_child_in_care_goes_without_an_address if {
	given := with_value("/children/0/in_care", true)
	decided(given, 1) == {"outcome": "SHARE", "rules": {"child_in_care", "consent_given"}}
	decided(given, 2) == shared
	d := sharing.decision with input as given
	d.children[0].sections == minimum - {"home"}
	named(d.children[0].findings, "child_in_care") == {"child/1/home"}
	decided(without("/children/0/in_care"), 1) == shared
}

test_too_old if {
	decided(with_value("/children/0/age_years", 17), 1) == shared
	decided(with_value("/children/0/age_years", 0), 1) == shared
	decided(with_value("/children/0/age_years", 18), 1) == {"outcome": "WITHHOLD", "rules": {"too_old"}}
	decided(with_value("/children/0/age_years", 18), 2) == shared
	decided(with_values({"/children/0/age_years": 18, "/recipient/age_limit": 19}), 1) == shared
}

test_too_old_needs_a_limit if {
	every path, value in {"/recipient/age_limit": 0, "/recipient/known": false} {
		not "too_old" in decided(with_value(path, value), 1).rules
	}
}

test_an_unknown_age_leaves_nobody_out if decided(without("/children/0/age_years"), 1) == shared

test_no_limit_is_no_permission if decided(without("/recipient/age_limit"), 1) == undecided
