package postern.sharing_test

import rego.v2

test_no_address_in_care_or_in_confidence if {
	every path in ["/children/0/in_care", "/children/0/address_confidential"] {
		decided(with_value(path, true), 1) == undecided
		decided(without(path), 1).outcome == "REFER_TO_PERSON"
		decided(with_value(path, true), 2) == shared
	}
}

test_age_within_the_limit if {
	decided(with_value("/children/0/age_years", 17), 1) == shared
	decided(with_value("/children/0/age_years", 0), 1) == shared
	decided(with_value("/children/0/age_years", 18), 1) == undecided
}

test_an_unknown_age_leaves_nobody_out if decided(without("/children/0/age_years"), 1) == shared

test_no_limit_is_no_permission if decided(without("/recipient/age_limit"), 1) == undecided
