package postern.sharing

import rego.v2

# Moments are nanoseconds since 1970 in UTC. Nothing here reads a clock: now and today are facts of the input.
now := time.parse_rfc3339_ns(input.now)

# METADATA
# title: When waiting began
# description: >-
#   When this content was first submitted. The deadlines below are reckoned from it, each in one expression: answers that
#   rest on one of them are never remembered (docs/decisions/0011), and all others may be.
submitted := time.parse_rfc3339_ns(input.first_submit_time)

call_due := submitted + (data.settings.call_minutes * 60000000000)

gate_due := in_london(working_days_after(day_of(submitted))[0], data.settings.due_hour)

ask_first_due := in_london(days_after(submitted, data.settings.ask_again_days.first), data.settings.due_hour)

ask_last_due := in_london(days_after(submitted, data.settings.ask_again_days.last), data.settings.due_hour)

# A permission that ran out is asked for again from the day it ran out, when that is the later.
expired_since := max([submitted, consent_end])

expired_first_due := in_london(days_after(expired_since, data.settings.ask_again_days.first), data.settings.due_hour)

expired_last_due := in_london(days_after(expired_since, data.settings.ask_again_days.last), data.settings.due_hour)

# METADATA
# title: The end of the next working day
# description: The hour in the settings, in England and Wales, on the first day after today that is neither weekend nor bank holiday.
next_working_day := in_london(working_days_after(time.parse_ns("2006-01-02", input.today))[0], data.settings.due_hour)

# Ten days reach over every run of weekends and holidays.
working_days_after(day) := [later |
	some i in numbers.range(1, 10)
	later := day + (i * 86400000000000)
	time.weekday(later) in data.calendar.working_days
	not data.calendar.bank_holidays[time.format([later, "UTC", "2006-01-02"])]
]

# METADATA
# title: A day in London
# description: The first moment in UTC of the date that a moment has in England and Wales.
day_of(at) := time.parse_ns("2006-01-02", time.format([at, "Europe/London", "2006-01-02"]))

days_after(at, days) := day_of(at) + (days * 86400000000000)

# METADATA
# title: An hour of the day in London
# description: >-
#   The moment of an hour on a day that is given by its first moment in UTC. For hours from 2 to 22: the clocks change
#   at one in the morning, universal time, and never by more than an hour.
in_london(day, hour) := utc - ((clock[0] - hour) * 3600000000000) if {
	utc := day + (hour * 3600000000000)
	clock := time.clock([utc, "Europe/London"])
}
