package postern.sharing_test

import rego.v2

import data.postern.sharing

no_agreement := {"outcome": "REFER_TO_PERSON", "rules": {"no_data_sharing_agreement"}}

test_no_data_sharing_agreement if {
	d := sharing.decision with input as with_value("/agreement/in_force", false)
	decided(with_value("/agreement/in_force", false), 1) == no_agreement
	rules(d.findings) == {"no_data_sharing_agreement"}
	d.obligations == {{
		"kind": "MANUAL_ROUTE",
		"phone": "01632 960123",
		"due": time.parse_rfc3339_ns("2026-11-24T17:00:00Z"),
		"child": 0,
	}}
}

test_an_agreement_past_its_end_is_none if {
	decided(with_value("/agreement/end_time", "2026-11-23T10:00:00Z"), 1) == no_agreement
}

test_no_fact_about_an_agreement_is_no_agreement if {
	decided(without("/agreement/in_force"), 1) == no_agreement
	decided(without("/agreement/end_time"), 1) == no_agreement
}

test_no_agreement_says_nothing_without_permission if {
	given := json.patch(family, [
		{"op": "replace", "path": "/agreement/in_force", "value": false},
		{"op": "replace", "path": "/consent/state", "value": "DECLINED"},
	])
	d := sharing.decision with input as given
	decided(given, 1).rules == {"consent_declined"}
	{o.kind | some o in d.obligations} == {"CONSIDER_DUTY"}
}

test_no_manual_route_around_the_gate if {
	given := json.patch(family, [
		{"op": "replace", "path": "/agreement/in_force", "value": false},
		{"op": "replace", "path": "/gate", "value": "HOLD"},
	])
	d := sharing.decision with input as given
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"gate_hold", "no_data_sharing_agreement"}}
	d.obligations == set()
}

test_agreement_sections_drops_a_childs_section if {
	wider := minimum | {"needs"}
	given := json.patch(family, [
		{"op": "replace", "path": "/children/0/offered", "value": wider},
		{"op": "replace", "path": "/children/0/permitted", "value": wider},
	])
	d := sharing.decision with input as given
	decided(given, 1) == {"outcome": "SHARE", "rules": {"consent_given", "agreement_sections"}}
	decided(given, 2) == shared
	d.children[0].sections == minimum
	named(d.children[0].findings, "agreement_sections") == {"child/1/needs"}
}

test_agreement_sections_drops_a_section_of_the_parent if {
	given := json.patch(family, [
		{"op": "replace", "path": "/parent/offered", "value": {"name", "birth"}},
		{"op": "replace", "path": "/parent/permitted", "value": {"name", "birth"}},
	])
	d := sharing.decision with input as given
	d.sections == {"name"}
	named(d.findings, "agreement_sections") == {"parent/birth"}
}

test_no_list_of_sections_shares_nothing if {
	not shares(without("/agreement/child"))
	not shares(without("/agreement/parent"))
}
