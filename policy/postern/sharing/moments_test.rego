package postern.sharing_test

import rego.v2

import data.postern.sharing

due(today) := time.format([n, "Europe/London", "Mon 2006-01-02 15:04"]) if {
	n := sharing.next_working_day with input as {"today": today}
}

test_next_working_day if {
	due("2026-11-23") == "Tue 2026-11-24 17:00"
	due("2026-11-27") == "Mon 2026-11-30 17:00"
	due("2026-11-28") == "Mon 2026-11-30 17:00"
}

test_next_working_day_leaves_out_bank_holidays if {
	due("2026-08-28") == "Tue 2026-09-01 17:00"
	due("2026-12-24") == "Tue 2026-12-29 17:00"
	due("2027-03-25") == "Tue 2027-03-30 17:00"
}

hour(date) := time.format([sharing.in_london(time.parse_ns("2006-01-02", date), 17), "UTC", "15:04"])

test_an_hour_in_summer_and_in_winter if {
	hour("2026-07-01") == "16:00"
	hour("2026-12-01") == "17:00"
	hour("2026-03-28") == "17:00"
	hour("2026-03-29") == "16:00"
	hour("2026-10-24") == "16:00"
	hour("2026-10-25") == "17:00"
}

test_no_date_no_working_day if {
	not sharing.next_working_day with input as {}
}
