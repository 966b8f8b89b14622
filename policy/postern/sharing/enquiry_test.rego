package postern.sharing_test

import rego.v2

import data.postern.sharing

enquiry := {
	"now": "2026-11-23T10:00:00Z",
	"today": "2026-11-23",
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

test_other_outcomes_are_undecided if {
	every outcome in ["CHILDREN", "NO_CHILDREN", "NOT_ASKED", ""] {
		d := sharing.decision with input as object.union(enquiry, {"enquiry": {"outcome": outcome}})
		rules(d.findings) == {"policy_error"}
		d.obligations == set()
	}
}

test_no_outcome_is_undecided if {
	d := sharing.decision with input as object.remove(enquiry, ["enquiry"])
	rules(d.findings) == {"policy_error"}
}

test_an_offer_is_no_enquiry if {
	d := sharing.decision with input as object.union(enquiry, {"statement": "OFFER"})
	rules(d.findings) == {"policy_error"}
}
