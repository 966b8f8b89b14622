package postern.sharing

import rego.v2

# Moments are nanoseconds since 1970 in UTC. Nothing here reads a clock: now and today are facts of the input.
now := time.parse_rfc3339_ns(input.now)

# METADATA
# title: The end of the next working day
# description: The hour in the settings, in England and Wales, on the first day after today that is neither weekend nor bank holiday.
next_working_day := in_london(working_days[0], data.settings.due_hour)

# Ten days reach over every run of weekends and holidays.
working_days := [day |
	today := time.parse_ns("2006-01-02", input.today)
	some i in numbers.range(1, 10)
	day := today + (i * 86400000000000)
	time.weekday(day) in data.calendar.working_days
	not data.calendar.bank_holidays[time.format([day, "UTC", "2006-01-02"])]
]

# METADATA
# title: An hour of the day in London
# description: >-
#   The moment of an hour on a day that is given by its first moment in UTC. For hours from 2 to 22: the clocks change
#   at one in the morning, universal time, and never by more than an hour.
in_london(day, hour) := utc - ((clock[0] - hour) * 3600000000000) if {
	utc := day + (hour * 3600000000000)
	clock := time.clock([utc, "Europe/London"])
}
