package postern.sharing_test

import rego.v2

import data.postern.sharing

enquiry := {
	"now": "2026-11-23T10:00:00Z",
	"today": "2026-11-23",
	"first_submit_time": "2026-11-23T10:00:00Z",
	"statement": "ENQUIRY",
	"route": "",
	"enquiry": {"outcome": "DECLINED"},
	"children": [],
}

test_consent_declined if {
	d := sharing.decision with input as enquiry
	d.outcome == "REFER_TO_PERSON"
	rules(d.findings) == {"consent_declined"}
	d.children == []
	d.obligations == {{
		"kind": "CONSIDER_DUTY",
		"phone": "",
		"due": time.parse_rfc3339_ns("2026-11-24T17:00:00Z"),
		"child": 0,
	}}
}

test_enquiry_recorded if {
	d := sharing.decision with input as object.union(enquiry, {"enquiry": {"outcome": "NO_CHILDREN"}})
	d.outcome == "WITHHOLD"
	rules(d.findings) == {"enquiry_recorded"}
	d.obligations == set()
}

test_an_enquiry_that_says_nothing_is_undecided if {
	every outcome in ["", "NEW"] {
		d := sharing.decision with input as object.union(enquiry, {"enquiry": {"outcome": outcome}})
		rules(d.findings) == {"policy_error"}
		d.obligations == set()
	}
}

test_an_enquiry_about_nobody_asked_waits if {
	every outcome in ["CHILDREN", "NOT_ASKED"] {
		d := sharing.decision with input as object.union(enquiry, {"enquiry": {"outcome": outcome}})
		d.outcome == "WAIT"
		rules(d.findings) == {"consent_not_asked"}
		{[o.kind, due_of(o.due)] | some o in d.obligations} == {["ASK_AGAIN", "Tue 17:00"]}
	}
}

test_after_the_third_day_a_person_decides_who_was_not_asked_or_could_not_decide if {
	every outcome in ["CHILDREN", "NOT_ASKED"] {
		d := sharing.decision with input as object.union(enquiry, {
			"now": "2026-11-26T17:00:00Z",
			"today": "2026-11-26",
			"enquiry": {"outcome": outcome},
		})
		d.outcome == "REFER_TO_PERSON"
		rules(d.findings) == {"consent_not_asked"}
		{[o.kind, due_of(o.due)] | some o in d.obligations} == {["ASK_AGAIN", "Fri 17:00"]}
	}
}

test_consent_declined_in_an_offer if {
	given := with_value("/consent/state", "DECLINED")
	decided(given, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"consent_declined"}}
	obligations(given) == {["CONSIDER_DUTY", "", "Tue 17:00", 0]}
}

test_no_outcome_is_undecided if {
	d := sharing.decision with input as object.remove(enquiry, ["enquiry"])
	rules(d.findings) == {"policy_error"}
}

test_an_offer_is_no_enquiry if {
	d := sharing.decision with input as object.union(enquiry, {"statement": "OFFER"})
	rules(d.findings) == {"policy_error"}
}
