package postern.sharing_test

import rego.v2

test_sender_and_recipient_must_be_known if {
	bad := {
		"/caller/known": [false, "policy_error"],
		"/caller/jurisdiction": ["GB-SCT", "policy_error"],
		"/recipient/known": [false, "no_recipient"],
		"/recipient/enrolled": [false, "no_recipient"],
		"/recipient/jurisdiction": ["GB-NIR", "no_recipient"],
	}
	every path, found in bad {
		decided(with_value(path, found[0]), 1) == {"outcome": "REFER_TO_PERSON", "rules": {found[1]}}
		decided(without(path), 1) == {"outcome": "REFER_TO_PERSON", "rules": {found[1]}}
	}
}

test_no_recipient_means_the_manual_route if {
	given := with_value("/recipient/enrolled", false)
	findings_of(given, 1, "no_recipient") == {["REFER_TO_PERSON", [], "Tue 17:00"]}
	obligations(given) == {["MANUAL_ROUTE", "01632 960123", "Tue 17:00", 0]}
}

test_no_recipient_is_no_way_round if {
	held := with_values({"/recipient/enrolled": false, "/gate": "HOLD"})
	decided(held, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"gate_hold", "no_recipient"}}
	obligations(held) == set()
	withdrawn := with_values({"/recipient/enrolled": false, "/consent/state": "WITHDRAWN"})
	decided(withdrawn, 1) == {"outcome": "REFER_TO_PERSON", "rules": {"consent_withdrawn"}}
	obligations(withdrawn) == set()
}

test_wales_is_written_in_the_settings if shares(with_value("/recipient/jurisdiction", "GB-WLS"))
