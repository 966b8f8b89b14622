package house

import (
	"maps"
	"path"
	"slices"
	"strings"
)

// rows is every package of the module from top to bottom. A package imports packages of lower rows only.
var rows = [][]string{
	// bench, crash, licences and world stand above what they measure, kill, count and play
	{"cmd/postern", "internal/house", "internal/bench", "internal/crash", "internal/e2e", "internal/licences", "internal/testkit/world", "internal/testkit/door", "internal/testkit/valve"},
	{"internal/demo", "internal/testkit", "internal/doctor"},
	{"internal/config"},
	sites,
	actors,
	{"internal/follow", "internal/signin", "internal/signin/signintest", "internal/accesslog", "internal/notices"}, // what several of the four actors have
	{"internal/rpc", "internal/web", "internal/ops", "internal/delivery", "internal/engine"},
	{"internal/ledger", "internal/ledger/archive", "internal/ledger/verify", "internal/queue", "internal/directory", "internal/outlet", "internal/outlet/outlettest"},
	{"internal/envelope", "internal/form", "internal/form/formtest", "internal/schema", "internal/slip", "internal/subject"},
	{"internal/consent", "internal/identity", "internal/identity/ca", "internal/postcode", "internal/postcode/postcodetest", "internal/vault", "internal/lapse"},
	{"internal/store", "internal/store/bolt", "internal/store/mem", "internal/store/etcd", "internal/store/storetest",
		"internal/strict", "policy", "examples/forms"},
	{"internal/fault", "internal/failpoint", "internal/plain", "internal/section", "internal/sheet", "internal/web/ui", "internal/web/webtest", "internal/testkit/stranger", "internal/testkit/flood"},
	{"proto/postern/local/v1", "proto/postern/log/v1", "internal/words"},
	{"proto/postern/v1"},
}

// actors are the four parties: not even their tests import one another.
var actors = []string{"internal/hub", "internal/desk", "internal/inbox", "internal/auditor"}

// sites are the pages of the parties: each knows its own party and no other.
var sites = []string{"internal/desk/site", "internal/inbox/site", "internal/auditor/site"}

// exception lets one package import another of its own row.
type exception struct{ from, to, why string }

var exceptions = []exception{
	{"internal/ledger", "internal/ledger/verify", "the hub checks a receipt with the code a stranger would use"},
	{"internal/ledger/archive", "internal/ledger/verify", "an export is read with the code a stranger would use"},
	{"internal/identity/ca", "internal/identity", "what issues a certificate must spell its URI as what reads it does"},
	{"internal/store/bolt", "internal/store", "an engine implements the interface above it in its own folder"},
	{"internal/store/mem", "internal/store", "an engine implements the interface above it in its own folder"},
	{"internal/store/etcd", "internal/store", "an engine implements the interface above it in its own folder"},
	{"internal/signin/signintest", "internal/signin", "a site is opened in tests as somebody, by the page that signs people in"},
	{"internal/outlet/outlettest", "internal/outlet", "the mail server knows how a team would be set up to send by it"},
	{"internal/form/formtest", "internal/form", "the invented families are made for the check of the form"},
	{"internal/store/storetest", "internal/store", "the conformance suite speaks of the interface and of no engine"},
}

func importWalls() rule {
	return rule{
		name: "packages import lower rows only",
		why: "the rows are the design: the four parties meet only in proto/, what decides knows nothing of who calls it, " +
			"and a lower package can be read without the higher ones",
		check: walls,
		broken: map[string]controlled{
			"a package without a row": {map[string]string{"internal/util/util.go": "package util"}, "has no row"},
			"a lower package imports a higher one": {map[string]string{
				"internal/consent/c.go": `package consent; import _ "postern/internal/ledger"`}, "a higher row"},
			"neighbours": {map[string]string{
				"internal/form/f.go": `package form; import _ "postern/internal/envelope"`}, "its own row"},
			"two parties": {map[string]string{
				"internal/desk/d.go": `package desk; import _ "postern/internal/hub"`}, "parties meet only in proto/"},
			"two parties in a test": {map[string]string{
				"internal/desk/d_test.go": `package desk; import _ "postern/internal/hub"`}, "parties meet only in proto/"},
			"a site of another party": {map[string]string{
				"internal/desk/site/s.go": `package site; import _ "postern/internal/inbox"`}, "parties meet only in proto/"},
			"a test that reaches up": {map[string]string{
				"internal/form/f_test.go": `package form; import _ "postern/internal/hub"`}, "a higher row"},
			"an exception nobody uses": {map[string]string{"internal/store/bolt/b.go": "package bolt"}, "strike it out"},
		},
		fine: []map[string]string{{
			"internal/hub/h.go":         `package hub; import _ "postern/internal/rpc"`,
			"internal/hub/h_test.go":    `package hub; import _ "postern/internal/testkit"`,
			"internal/desk/site/s.go":   `package site; import _ "postern/internal/desk"`,
			"internal/rpc/r_test.go":    `package rpc_test; import (_ "postern/internal/engine"; _ "postern/internal/rpc")`,
			"internal/ledger/l.go":      `package ledger; import (_ "postern/internal/ledger/verify"; _ "postern/internal/store")`,
			"internal/ledger/verify/.x": "not Go",
		}},
	}
}

func walls(t tree) []string {
	row := map[string]int{}
	for n, packages := range rows {
		for _, p := range packages {
			row[p] = n
		}
	}
	var findings []string
	packages := t.packages()
	for _, dir := range slices.Sorted(maps.Keys(packages)) {
		if _, ok := row[dir]; !ok {
			findings = append(findings, packages[dir][0].line(1, "package %s has no row; place it in rows", dir))
		}
	}
	used := map[exception]bool{}
	for _, f := range t.written(true) {
		from, placed := row[f.dir()]
		for _, imported := range slices.Sorted(maps.Keys(f.imports())) {
			own, isOwn := strings.CutPrefix(imported, module+"/")
			to, ok := row[own]
			if !isOwn || !ok || !placed || own == f.dir() || to > from && !foreign(f.dir(), own) {
				continue
			}
			if i := slices.IndexFunc(exceptions, func(e exception) bool { return e.from == f.dir() && e.to == own }); i >= 0 {
				used[exceptions[i]] = true
				continue
			}
			if verdict := judge(f, own, from, to); verdict != "" {
				findings = append(findings, f.at(f.imports()[imported], "%s imports %s: %s", f.dir(), own, verdict))
			}
		}
	}
	for _, e := range exceptions {
		if len(packages[e.from].written(false)) > 0 && !used[e] {
			findings = append(findings, e.from+" does not import "+e.to+"; strike it out of exceptions")
		}
	}
	return findings
}

// foreign reports whether a site imports a party that is not its own.
func foreign(dir, own string) bool {
	return slices.Contains(sites, dir) && slices.Contains(actors, own) && path.Dir(dir) != own
}

// judge says what is wrong with an import that does not point down, "" if nothing is: a test may use its own row, and
// testkit, which stands above what it serves.
func judge(f *file, own string, from, to int) string {
	switch {
	case slices.Contains(actors, f.dir()) && slices.Contains(actors, own), foreign(f.dir(), own):
		return "the four parties meet only in proto/"
	case f.test() && (to == from || own == "internal/testkit"):
		return ""
	case to == from:
		return "a package of its own row"
	}
	return "a package of a higher row"
}

// private is a package that few may import, though their rows would let them.
type private struct {
	name      string
	importers []string
	why       string
}

var privates = []private{
	{"internal/store/bolt", []string{"internal/config", "internal/demo", "internal/testkit", "internal/bench", "cmd/postern"},
		"a party gets its store from its Config, so that a simulator can hand it another engine"},
	{"internal/identity/ca", []string{"internal/config", "internal/demo", "internal/testkit", "cmd/postern"},
		"no party holds a key that makes certificates"},
	{"internal/store/storetest", nil, "it is for tests"},
	{"internal/testkit/stranger", nil, "it is for tests"},
	{"internal/web/webtest", []string{"internal/signin/signintest"}, "it is for tests"},
	{"internal/signin/signintest", nil, "it is for tests"},
	{"internal/form/formtest", []string{"internal/testkit"}, "it is for tests"},
	{"internal/postcode/postcodetest", []string{"internal/bench"}, "it is for tests"},
}

func privatePackages() rule {
	return rule{
		name: "engines and the trial CA are handed in",
		why:  "who opens a file or holds a CA key is decided where the parties are put together, not inside one",
		check: func(t tree) []string {
			var findings []string
			for _, f := range t.written(false) {
				for _, p := range privates {
					pos, ok := f.imports()[module+"/"+p.name]
					if ok && !slices.Contains(p.importers, f.dir()) {
						findings = append(findings, f.at(pos, "%s imports %s: %s", f.dir(), p.name, p.why))
					}
				}
			}
			return findings
		},
		broken: map[string]controlled{
			"a hub with a file": {map[string]string{
				"internal/hub/h.go": `package hub; import _ "postern/internal/store/bolt"`}, "gets its store from its Config"},
			"a hub with a CA": {map[string]string{
				"internal/hub/h.go": `package hub; import _ "postern/internal/identity/ca"`}, "makes certificates"},
		},
		fine: []map[string]string{{
			"internal/hub/h_test.go": `package hub; import _ "postern/internal/store/bolt"`,
			"internal/demo/d.go":     `package demo; import _ "postern/internal/store/bolt"`,
		}},
	}
}
