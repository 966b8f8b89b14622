package postern.sharing_test

import rego.v2

test_sender_and_recipient_must_be_known if {
	bad := {
		"/caller/known": false,
		"/caller/jurisdiction": "GB-SCT",
		"/recipient/known": false,
		"/recipient/enrolled": false,
		"/recipient/jurisdiction": "GB-NIR",
	}
	every path, value in bad {
		decided(with_value(path, value), 1) == undecided
		not shares(without(path))
	}
}

test_wales_is_written_in_the_settings if shares(with_value("/recipient/jurisdiction", "GB-WLS"))
