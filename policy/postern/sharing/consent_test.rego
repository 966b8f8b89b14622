package postern.sharing_test

import rego.v2

import data.postern.sharing

shared := {"outcome": "SHARE", "rules": {"consent_given"}}

undecided := {"outcome": "REFER_TO_PERSON", "rules": {"policy_error"}}

test_consent_given if {
	decided(family, 1) == shared
	decided(family, 2) == shared
}

test_consent_given_follows_the_child if {
	given := json.patch(family, [
		{"op": "replace", "path": "/consent/authorities", "value": []},
		{"op": "replace", "path": "/consent/follows_child", "value": true},
	])
	decided(given, 1) == shared
}

test_permission_needs_every_fact if {
	bad := {
		"/statement": ["ENQUIRY", "policy_error"],
		"/consent/state": ["DECLINED", "consent_declined"],
		"/consent/understood": ["NO", "not_understood"],
		"/consent/capacity_concern": [true, "capacity_concern"],
		"/consent/grantor_under_18": [true, "parent_under_18"],
		"/consent/authorities": [["E10000017"], "recipient_not_covered"],
		"/consent/expire_time": ["2026-11-23T10:00:00Z", "consent_expired"],
	}
	every path, found in bad {
		decided(with_value(path, found[0]), 1).rules == {found[1]}
		decided(with_value(path, found[0]), 1).outcome != "SHARE"
		not sharing.permission with input as without(path)
	}
	decided(with_value("/consent/state", "NEW"), 1) == undecided
}

test_an_expiry_that_is_missing_never_shares if {
	every path in ["/consent/expire_time", "/consent/state", "/consent/understood", "/consent/capacity_concern", "/consent/authorities"] {
		not shares(without(path))
	}
}

test_recipient_not_covered if {
	elsewhere := {"/consent/authorities": ["E10000017"]}
	given := with_values(elsewhere)
	findings_of(given, 1, "recipient_not_covered") == {["REFER_TO_PERSON", [], "Tue 17:00"]}
	obligations(given) == set()
	decided(without("/consent/authorities"), 1).rules == {"recipient_not_covered"}
	asked_first := {"/consent/understood": ["NO", "not_understood"], "/consent/expire_time": ["2026-11-23T10:00:00Z", "consent_expired"]}
	every path, found in asked_first {
		decided(with_values(object.union(elsewhere, {path: found[0]})), 1).rules == {found[1]}
	}
	decided(with_values(object.union(elsewhere, {"/redirected": true})), 1).rules == {"redirected"}
	shares(with_values(object.union(elsewhere, {"/consent/follows_child": true})))
}

test_consent_given_covers_the_named_children_only if {
	given := with_value("/consent/children", [1])
	decided(given, 1) == shared
	decided(given, 2) == undecided
}

test_only_what_was_offered_and_permitted if {
	every list in ["offered", "permitted"] {
		d := sharing.decision with input as with_value(sprintf("/children/0/%s", [list]), minimum - {"carer"})
		d.children[0].sections == minimum - {"carer"}
		d.children[1].sections == minimum
	}
}

test_the_urgent_section_goes_on_its_own_route_only if {
	given := with_values({
		"/parent/offered": {"name", "urgency"},
		"/parent/permitted": {"name", "urgency"},
		"/agreement/parent": {"name", "urgency"},
	})
	d := sharing.decision with input as given
	d.sections == {"name"}
}

test_an_extra_section_of_the_parent_needs_permission if {
	given := with_value("/parent/offered", {"name", "birth"})
	d := sharing.decision with input as given
	d.sections == {"name"}
}
