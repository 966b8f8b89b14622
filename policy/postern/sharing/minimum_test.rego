package postern.sharing_test

import rego.v2

import data.postern.sharing

missing_of(given, number) := named(found.findings, "minimum") if {
	d := sharing.decision with input as given
	some found in d.children
	found.number == number
	found.outcome == "REFER_TO_PERSON"
}

test_minimum_known_and_permitted if missing_paths(family) == set()

missing_paths(given) := {path |
	d := sharing.decision with input as given
	some c in d.children
	some path in named(c.findings, "minimum")
}

test_minimum_not_known if {
	every state in ["NOT_KNOWN", "NOT_ASKED", "DECLINED", ""] {
		missing_of(with_value("/children/0/known/home", state), 1) == {"child/1/home"}
		missing_of(with_value("/children/1/known/identity", state), 2) == {"child/2/identity"}
		missing_of(with_value("/parent/known/name", state), 1) == {"parent/name"}
		missing_of(with_value("/parent/known/name", state), 2) == {"parent/name"}
	}
}

test_minimum_not_permitted_or_not_offered if {
	every list in ["offered", "permitted"] {
		missing_of(with_value(sprintf("/children/0/%s", [list]), minimum - {"home", "identity"}), 1) == {"child/1/home", "child/1/identity"}
		missing_of(with_value(sprintf("/parent/%s", [list]), set()), 1) == {"parent/name"}
	}
}

test_minimum_without_facts if {
	missing_of(without("/children/0/known/home"), 1) == {"child/1/home"}
	missing_of(without("/parent/known/name"), 1) == {"parent/name"}
}

test_minimum_includes_safety_where_it_is_known if {
	given := with_value("/children/0/offered", minimum - {"safety"})
	missing_of(given, 1) == {"child/1/safety"}
	unknown := json.patch(given, [{"op": "replace", "path": "/children/0/known/safety", "value": "NOT_KNOWN"}])
	decided(unknown, 1) == shared
}

test_minimum_of_a_child_in_care_has_no_home if {
	given := json.patch(family, [
		{"op": "replace", "path": "/children/0/in_care", "value": true},
		{"op": "replace", "path": "/children/0/known/home", "value": "NOT_ASKED"},
		{"op": "replace", "path": "/children/0/offered", "value": minimum - {"home", "safety"}},
	])
	decided(given, 1).outcome == "SHARE"
}

test_minimum_of_a_confidential_address_says_nothing_of_the_home if {
	given := with_values({"/children/0/address_confidential": true, "/children/0/known/home": "NOT_ASKED", "/children/0/offered": set()})
	missing_of(given, 1) == {"child/1/identity"}
}

test_minimum_says_nothing_without_permission_or_agreement_or_recipient if {
	unknown := {"op": "replace", "path": "/children/0/known/home", "value": "NOT_KNOWN"}
	every path, value in {"/consent/state": "DECLINED", "/agreement/in_force": false, "/recipient/enrolled": false} {
		missing_paths(json.patch(family, [unknown, {"op": "replace", "path": path, "value": value}])) == set()
	}
}
