package postern.sharing

import rego.v2

# METADATA
# title: Sender and recipient
# description: >-
#   Whether the directory knows both, the team can receive, and each is in a part of the country whose law is written
#   in the settings.
recipient_ready if {
	input.caller.known == true
	input.recipient.known == true
	input.recipient.enrolled == true
	data.law[input.caller.jurisdiction]
	data.law[input.recipient.jurisdiction]
}
