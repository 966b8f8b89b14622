package postern.sharing_test

import rego.v2

import data.postern.sharing

test_shares_everything_permitted if {
	d := sharing.decision with input as family
	d.outcome == "SHARE"
	d.sections == {"name"}
	[c.sections | some c in d.children] == [minimum, minimum]
	d.findings == set()
	d.obligations == set()
}

test_has_every_key_whatever_is_missing if {
	every given in {family, with_value("/children", []), with_value("/route", "DUTY"), without("/consent/state")} {
		d := sharing.decision with input as given
		object.keys(d) == {"outcome", "children", "findings", "sections", "obligations", "valid_until"}
	}
}

test_refers_what_no_rule_covers if {
	every route in ["", "OTHER"] {
		every number in [1, 2] {
			decided(with_value("/route", route), number) == {"outcome": "REFER_TO_PERSON", "rules": {"policy_error"}}
		}
	}
}

test_refers_an_offer_without_children if {
	d := sharing.decision with input as with_value("/children", [])
	d.outcome == "REFER_TO_PERSON"
	rules(d.findings) == {"policy_error"}
	d.sections == set()
}

test_one_child_does_not_hold_up_another if {
	d := sharing.decision with input as with_value("/children/1/known/home", "NOT_KNOWN")
	d.outcome == "SHARE"
	d.sections == {"name"}
	[c.sections | some c in d.children] == [minimum, set()]
	[c.outcome | some c in d.children] == ["SHARE", "REFER_TO_PERSON"]
}

finding(outcome) := {"outcome": outcome}

test_the_stronger_finding_wins if {
	sharing.strongest({finding("SHARE"), finding("WITHHOLD")}) == "WITHHOLD"
	sharing.strongest({finding("SHARE"), finding("WITHHOLD"), finding("WAIT")}) == "WAIT"
	sharing.strongest({finding("WAIT"), finding("REFER_TO_PERSON"), finding("")}) == "REFER_TO_PERSON"
	not sharing.strongest({finding("")})
	not sharing.strongest({finding("share")})
	not sharing.strongest(set())
}

valid_until(given) := n if {
	d := sharing.decision with input as given
	n := d.valid_until
}

test_valid_for_the_shortest_of_the_limits if {
	valid_until(family) == time.parse_rfc3339_ns("2026-11-30T10:00:00Z")
	valid_until(with_value("/consent/expire_time", "2026-11-25T12:00:00Z")) == time.parse_rfc3339_ns("2026-11-25T12:00:00Z")
	valid_until(with_value("/agreement/end_time", "2026-11-28T00:00:00Z")) == time.parse_rfc3339_ns("2026-11-28T00:00:00Z")
	valid_until(with_value("/gate", "HOLD")) == 0
}

test_the_rules_name_the_routes_they_speak_on if {
	inputs := {family, with_value("/agreement/in_force", false), with_value("/children/0/known/home", "NOT_KNOWN")}
	every given in inputs {
		d := sharing.decision with input as given
		every c in d.children {
			every f in c.findings {
				given.route in f.rule.custom.routes
			}
		}
	}
}
