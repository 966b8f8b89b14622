# METADATA
# scope: package
# title: A family for tests
# description: A mother with two children, all that a team needs known and permitted. Tests say what differs.
package postern.sharing_test

import rego.v2

import data.postern.sharing

minimum := {"identity", "relationship", "home", "carer", "safety"}

child(number) := {
	"number": number,
	"age_years": number * 4,
	"unborn": false,
	"carer_known": "YES",
	"carer_is_adult": "YES",
	"primary_carer_before": "YES",
	"lived_with_before": "YES",
	"parental_responsibility": "YES",
	"in_care": false,
	"address_confidential": false,
	"known": {"identity": "KNOWN", "home": "KNOWN", "safety": "KNOWN"},
	"offered": minimum,
	"permitted": minimum,
}

family := {
	"now": "2026-11-23T10:00:00Z",
	"today": "2026-11-23",
	"statement": "OFFER",
	"route": "STANDARD",
	"gate": "NO_HOLD",
	"already_notified": false,
	"redirected": false,
	"first_submit_time": "2026-11-23T10:00:00Z",
	"caller": {"prison_id": "BLI", "jurisdiction": "GB-ENG", "known": true},
	"enquiry": {"outcome": ""},
	"consent": {
		"state": "GIVEN",
		"understood": "YES",
		"capacity_concern": false,
		"grantor_under_18": false,
		"expire_time": "2027-02-21T09:30:00Z",
		"children": [1, 2],
		"authorities": ["E06000023"],
		"follows_child": false,
	},
	"recipient": {
		"authority": "E06000023",
		"known": true,
		"enrolled": true,
		"jurisdiction": "GB-ENG",
		"age_limit": 18,
		"early_help": {"phone_now": "01632 960123"},
		"safeguarding": {"phone_now": "01632 960124"},
	},
	"agreement": {
		"in_force": true,
		"parent": {"name"},
		"child": minimum,
		"end_time": "2027-03-31T23:00:00Z",
	},
	"parent": {"known": {"name": "KNOWN"}, "offered": {"name"}, "permitted": {"name"}},
	"children": [child(1), child(2)],
	"calls": [],
}

# The family with several values replaced, or added.
with_values(changes) := changed(family, changes)

changed(given, changes) := json.patch(given, [{"op": "add", "path": path, "value": value} | some path, value in changes])

# The findings about a child of an input by one rule.
findings_of(given, number, rule_id) := {[f.outcome, f.needs, due_of(f.due)] |
	d := sharing.decision with input as given
	some c in d.children
	c.number == number
	some f in c.findings
	f.rule.custom.rule_id == rule_id
}

obligations(given) := {[o.kind, o.phone, due_of(o.due), o.child] |
	d := sharing.decision with input as given
	some o in d.obligations
}

# A moment as people read it; "" for none.
due_of(0) := ""

due_of(at) := time.format([at, "Europe/London", "Mon 15:04"]) if at > 0

# The family with one value replaced, or added.
with_value(path, value) := json.patch(family, [{"op": "add", "path": path, "value": value}])

# The family with one value missing.
without(path) := json.patch(family, [{"op": "remove", "path": path}])

# What is decided for a child of an input: its outcome and the rules that spoke.
decided(given, number) := {"outcome": found.outcome, "rules": rules(found.findings)} if {
	d := sharing.decision with input as given
	some found in d.children
	found.number == number
}

rules(findings) := {f.rule.custom.rule_id | some f in findings}

# The paths that the reasons of one rule name.
named(findings, rule_id) := {path |
	some f in findings
	f.rule.custom.rule_id == rule_id
	some path in f.paths
}

shares(given) if {
	d := sharing.decision with input as given
	d.outcome == "SHARE"
}
