package house

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// home says where a library lives. The longest library that is a prefix of an import decides.
type home struct {
	library string
	in      []string // these packages must use it
	guests  []string // these may; "*" is every package. With neither, only tests may.
	why     string
}

// parties are the packages that put servers together: they name *grpc.Server to register on one.
var parties = append([]string{"internal/config", "internal/demo", "internal/testkit", "internal/doctor", "internal/bench", "cmd/postern"}, actors...)

// peers measures us beside the bare libraries.
var peers = []string{"internal/bench"}

var homes = []home{
	{"go.etcd.io/bbolt", []string{"internal/store/bolt"}, peers,
		"the store's contract is four verbs; whoever sees a bucket will use what other engines lack"},
	{"github.com/cespare/xxhash/v2", []string{"internal/store/bolt"}, nil,
		"a checksum without a key is for what breaks by itself, and nobody else has use for one"},
	{"github.com/open-policy-agent/opa", []string{"internal/engine"}, peers,
		"one place closes the engine's traps: built-ins, timeouts, undefined results"},
	{"google.golang.org/grpc", []string{"internal/rpc"}, append([]string{stranger}, parties...),
		"limits, deadlines, identity and access are set once, in rpc; the others only register"},
	{"google.golang.org/grpc/codes", []string{"internal/rpc"}, []string{stranger},
		"one table turns a fault into a status; a second one would leak a cause"},
	{"google.golang.org/grpc/status", []string{"internal/rpc"}, []string{stranger},
		"one table turns a fault into a status; a second one would leak a cause"},
	{"google.golang.org/genproto", []string{"internal/rpc"}, []string{stranger},
		"error details belong to the one error table"},
	{"golang.org/x/mod", []string{"internal/ledger", "internal/ledger/verify"}, nil,
		"tiles, proofs and notes are cut and checked in one place, with no second reading of the formats"},
	{"crypto/hpke", []string{"internal/envelope"}, []string{stranger},
		"a sealing context is used once; only the envelope can promise that"},
	{"github.com/goccy/go-yaml", []string{"internal/strict"}, nil,
		"every file is read strictly, with every problem at once"},
	{"github.com/spf13/cobra", []string{"cmd/postern"}, nil,
		"commands stay thin: what they do is in a package that no terminal is needed for"},
	{"github.com/google/uuid", []string{"internal/envelope"}, nil,
		"ids are made in one place, from a source of randomness that is handed in"},
	{"golang.org/x/time/rate", []string{"internal/delivery", "internal/hub", "internal/rpc"}, nil,
		"callers are held back in rpc, what they are refused is counted by the hub, and delivery is gentle with inboxes"},
	{"github.com/prometheus/client_golang", []string{"internal/ops"}, nil,
		"one registry a party and none for the process; labels are words and never a person's"},
	{"os/exec", nil, []string{"internal/demo", "internal/licences", "internal/bench", "internal/outlet"},
		"nothing that anybody typed comes near a command line: the demo opens a browser, an outlet runs what the operator's file names, the others are tools"},
	{"github.com/wneessen/go-mail", []string{"internal/outlet"}, nil,
		"mail leaves by one door, over TLS, with a reference and a link"},
	{"github.com/emersion/go-sasl", nil, []string{"internal/outlet/outlettest"},
		"the mail server of a test signs in as one does"},
	{"github.com/emersion/go-smtp", nil, []string{"internal/outlet/outlettest"},
		"the mail server of a test is a real one"},
	{"github.com/google/licensecheck", []string{"internal/licences"}, nil,
		"what a licence file says is read in one place, and what is agreed to stands beside it"},
	{"google.golang.org/protobuf", nil, []string{"*"},
		"messages are the contract between the packages too"},
	{"github.com/coreos/go-oidc", []string{"internal/signin"}, nil,
		"tokens are checked in one place, and nobody else ever holds one"},
	{"golang.org/x/oauth2", []string{"internal/signin"}, nil,
		"codes and tokens are traded in one place"},
	{"pgregory.net/rapid", nil, harnesses, "properties are for tests"},
	{"github.com/google/go-cmp", nil, harnesses, "it compares for tests"},
	{"github.com/rogpeppe/go-internal", nil, nil, "command scripts are tests"},
	{"golang.org/x/net/http2", []string{"internal/testkit/flood"}, nil, "frames by hand are for attacks"},
	{"golang.org/x/net/dns", nil, nil, "a name server that lies is for tests"},
	{"golang.org/x/net/html", nil, []string{"internal/web/webtest"}, "a page is read in tests as a browser reads it"},
	{"github.com/chromedp", nil, nil, "a real browser is for tests"},
	{"github.com/transparency-dev/merkle", nil, nil, "a second implementation to check the ledger against"},
	{"github.com/anishathalye/porcupine", nil, nil, "it judges histories for tests"},
}

// harnesses are packages for tests that are not test files, because several packages' tests share them.
var harnesses = []string{"internal/store/storetest", "internal/form/formtest", "internal/testkit"}

func libraryHomes() rule {
	return rule{
		name:  "every library has one home",
		why:   "a library with one home can be replaced, and its traps are closed once",
		check: residents,
		broken: map[string]controlled{
			"abroad": {map[string]string{
				"internal/desk/d.go": `package desk; import _ "go.etcd.io/bbolt"`}, "whoever sees a bucket"},
			"a longer path has its own home": {map[string]string{
				"internal/desk/d.go": `package desk; import _ "google.golang.org/grpc/status"`}, "one table turns a fault"},
			"a path below a home": {map[string]string{
				"internal/desk/d.go": `package desk; import _ "github.com/open-policy-agent/opa/v1/rego"`}, "one place closes"},
			"a standard package with a home": {map[string]string{
				"internal/desk/d.go": `package desk; import _ "crypto/hpke"`}, "used once"},
			"a test library outside tests": {map[string]string{
				"internal/form/f.go": `package form; import _ "pgregory.net/rapid"`}, "properties are for tests"},
			"a library without a home": {map[string]string{
				"internal/form/f_test.go": `package form; import _ "example.org/left/pad"`}, "has no home"},
			"a home that moved out": {map[string]string{
				"internal/store/bolt/b.go":      `package bolt; import _ "github.com/cespare/xxhash/v2"`, // its other one
				"internal/store/bolt/b_test.go": `package bolt; import _ "go.etcd.io/bbolt"`}, "no longer uses"},
		},
		fine: []map[string]string{{
			"internal/desk/d.go":          `package desk; import (_ "google.golang.org/grpc"; _ "crypto/tls")`,
			"internal/form/f_test.go":     `package form; import (_ "go.etcd.io/bbolt"; _ "pgregory.net/rapid")`,
			"proto/postern/v1/x.pb.go":    "// Code generated by a test. DO NOT EDIT.\n\npackage v1\n\nimport _ \"google.golang.org/grpc/status\"\n",
			"internal/consent/consent.go": `package consent; import _ "google.golang.org/protobuf/proto"`,
		}},
	}
}

func residents(t tree) []string {
	var findings []string
	type stay struct{ library, dir string }
	seen := map[stay]bool{}
	for _, f := range t.written(true) {
		for _, imported := range slices.Sorted(maps.Keys(f.imports())) {
			h, ok := homeOf(imported)
			first, _, _ := strings.Cut(imported, "/")
			switch {
			case !ok && first != module && strings.Contains(first, "."):
				findings = append(findings, f.at(f.imports()[imported], "%s has no home; give it one in homes, with the reason", imported))
			case !ok || f.test():
			case slices.Contains(h.in, f.dir()) || slices.Contains(h.guests, f.dir()) || slices.Contains(h.guests, "*"):
				seen[stay{h.library, f.dir()}] = true
			default:
				findings = append(findings, f.at(f.imports()[imported], "%s imports %s, which lives in %s: %s",
					f.dir(), imported, cmp.Or(strings.Join(h.in, " and "), "tests"), h.why))
			}
		}
	}
	packages := t.written(false).packages()
	for _, h := range homes {
		for _, dir := range h.in {
			if len(packages[dir]) > 0 && !seen[stay{h.library, dir}] {
				findings = append(findings, dir+" no longer uses "+h.library+"; mend homes")
			}
		}
	}
	return findings
}

func homeOf(imported string) (home, bool) {
	var best home
	for _, h := range homes {
		if (imported == h.library || strings.HasPrefix(imported, h.library+"/")) && len(h.library) > len(best.library) {
			best = h
		}
	}
	return best, best.library != ""
}
