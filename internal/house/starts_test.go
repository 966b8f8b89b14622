package house

import (
	"fmt"
	"go/types"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// starting are the functions of package config by which a party is read, made with its first keys, put together and opened.
var starting = []string{"LoadHub", "LoadDesk", "LoadInbox", "LoadAuditor", "NewKeys", "NewKey", "Build", "operations", "servers"}

// serving are the functions that a start puts in place for later, and the packages that answer later only. A fault of
// those is not why a party does not start.
var (
	serving         = []string{"Run", "Append", "AppendReserved", "Checks", "NewServer"}
	servingPackages = []string{"/site", "/web", "/signin", "/accesslog", "/archive", "/outlet", "/envelope", "/directory", "/engine", "/delivery"}
)

// notAtStart are the faults of what is called over the wire, or checked of a single event while the party serves, which a start
// names and does not come to; and of mistakes in this program.
var notAtStart = []string{"ADDRESS_NOT_ALLOWED", "CALLS_AT_ONCE", "CANCELLED", "CERTIFICATE_PROTOCOL", "CLIENT", "COMMITMENT_WRONG", "CORE_MALFORMED", "DEADLINE", "DEADLINE_REQUIRED",
	"HOUR_WRONG", "LEAF_MALFORMED", "LEAF_VERSION", "LEDGER_CONFIG", "LOG_AHEAD", "LOG_NOT_FOUND", "MESSAGE_TOO_LARGE", "NO_STAFF", "NO_USER", "NOT_FOUND",
	"OPENING_MALFORMED", "PEER_IDENTITY", "RATE", "ROLE", "STORE_CLOSED", "TOO_MUCH", "UNIMPLEMENTED", "UNKNOWN_METHOD", "UNREACHABLE"}

// Whoever is woken since a party does not start finds the reason that it gives in the page for the night, with what to do.
func TestEveryFaultOfAStartIsExplained(t *testing.T) {
	c := program(t, "internal/config")
	found := c.reach(func(o types.Object) bool {
		_, is := o.(*types.Func)
		return is && c.dirs[o] == "internal/config" && slices.Contains(starting, o.Name())
	}, func(o types.Object) bool {
		return slices.Contains(serving, o.Name()) || slices.ContainsFunc(servingPackages, func(d string) bool { return strings.HasSuffix(c.dirs[o], d) })
	})
	b, err := os.ReadFile(filepath.Join(root, measuresPage))
	if err != nil {
		t.Fatal(err)
	}
	missing := func(page string) (all []string) {
		for _, id := range slices.Sorted(maps.Keys(found)) {
			reason := strings.ToUpper(strings.TrimPrefix(id, "fault."))
			if len(found[id].kinds) > 0 && !slices.Contains(notAtStart, reason) && !strings.Contains(page, "`"+reason+"`") {
				all = append(all, fmt.Sprintf("%s (%s) is not in %s", reason, found[id].at, measuresPage))
			}
		}
		return all
	}
	for _, m := range missing(string(b)) {
		t.Error(m)
	}
	for _, reason := range notAtStart {
		if found["fault."+strings.ToLower(reason)].at == "" {
			t.Errorf("strike out %s: a start does not name it", reason)
		}
	}
	// The control: it finds what a configuration, a vault, a database, a log and first keys refuse.
	if none := missing(""); len(none) < 50 {
		t.Errorf("found only %d faults: it has gone blind", len(none))
	}
	for _, reason := range []string{"NO_ANCHOR", "WRONG_VAULT", "STORE_NEWER", "LEDGER_SHORTER", "KEYS_LOST", "KEYS_IN_PART", "ALREADY_RUNNING"} {
		if found["fault."+strings.ToLower(reason)].at == "" {
			t.Errorf("did not find %s", reason)
		}
	}
}
