package house

import (
	"maps"
	"slices"
	"strings"
)

// stranger is the second implementation of the formats, which proves that their page is enough.
const stranger = "internal/testkit/stranger"

// known is all that a stranger has in common with the program: the protos, and what puts them on the wire.
var known = []string{module + "/proto/postern/v1", module + "/proto/postern/log/v1", "google.golang.org/protobuf", "google.golang.org/grpc", "google.golang.org/genproto/googleapis/rpc/errdetails"}

func strangersShareNothing() rule {
	return rule{
		name: "the stranger shares no code with the program",
		why:  "two implementations that agree prove the page of the formats only while neither calls the other",
		check: func(t tree) []string {
			var findings []string
			for _, f := range t.written(true) {
				if f.dir() != stranger && !strings.HasPrefix(f.dir(), stranger+"/") {
					continue
				}
				for _, imported := range slices.Sorted(maps.Keys(f.imports())) {
					first, _, _ := strings.Cut(imported, "/")
					standard := first != module && !strings.Contains(first, ".")
					may := slices.ContainsFunc(known, func(k string) bool { return imported == k || strings.HasPrefix(imported, k+"/") })
					if !standard && !may {
						findings = append(findings, f.at(f.imports()[imported], "the stranger imports %s", imported))
					}
				}
			}
			return findings
		},
		broken: map[string]controlled{
			"it calls the program": {map[string]string{
				stranger + "/a.go": `package stranger; import _ "postern/internal/envelope"`}, "imports postern/internal/envelope"},
			"its tests do": {map[string]string{
				stranger + "/a_test.go": `package stranger; import _ "postern/internal/section"`}, "imports postern/internal/section"},
			"a library that ours uses too": {map[string]string{
				stranger + "/a.go": `package stranger; import _ "golang.org/x/mod/sumdb/note"`}, "imports golang.org/x/mod"},
		},
		fine: []map[string]string{{
			stranger + "/a.go":  `package stranger; import (_ "crypto/hpke"; _ "google.golang.org/grpc/credentials"; _ "google.golang.org/protobuf/proto"; _ "postern/proto/postern/log/v1")`,
			"internal/hub/h.go": `package hub; import _ "postern/internal/envelope"`,
		}},
	}
}
