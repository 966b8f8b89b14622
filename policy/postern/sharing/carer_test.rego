package postern.sharing_test

import rego.v2

lived_apart(is_adult) := json.patch(family, [
	{"op": "replace", "path": "/children/0/carer_is_adult", "value": is_adult},
	{"op": "replace", "path": "/children/0/primary_carer_before", "value": "NO"},
	{"op": "replace", "path": "/children/0/lived_with_before", "value": "NO"},
])

test_an_adult_carer if decided(family, 1) == shared

test_a_carer_who_may_be_a_child if {
	every answer in ["NO", "NOT_KNOWN", "", "SHARED"] {
		decided(with_value("/children/0/carer_is_adult", answer), 1) == undecided
	}
	decided(without("/children/0/carer_is_adult"), 1) == undecided
}

test_a_child_who_lived_elsewhere if {
	decided(lived_apart("NOT_KNOWN"), 1) == shared
	decided(lived_apart("NO"), 1) == undecided
	every path in ["/children/0/primary_carer_before", "/children/0/lived_with_before"] {
		every answer in ["YES", "SHARED", "NOT_KNOWN"] {
			decided(json.patch(lived_apart("NOT_KNOWN"), [{"op": "replace", "path": path, "value": answer}]), 1) == undecided
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
