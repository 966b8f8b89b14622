package postern.sharing_test

import rego.v2

test_only_a_check_that_holds_nothing_back_lets_go if {
	shares(family)
	every gate in ["HOLD", "NOT_DONE", "", "no_hold"] {
		decided(with_value("/gate", gate), 1) == undecided
	}
	not shares(without("/gate"))
}
