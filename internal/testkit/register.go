package testkit

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/section"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Register says how a directory differs from the ordinary one, in which Bristol has an agreement on every section with
// both prisons, and Lancashire with HMP Parc only.
type Register struct {
	Keys     map[string]*posternv1.Signed // the recipient key of an authority; that of the cast where absent
	KeyEnds  map[string]time.Time         // when the recipient key of an authority ends; in a year where absent
	Sections map[string][]string          // what the agreement of an authority includes, as patterns; all where absent
	Collect  []string                     // the authorities whose inbox collects
	Without  []string                     // authorities whose agreement is not in it
	Address  map[string]string            // of the endpoint of an authority, where it has moved
}

// Revision makes a signed directory revision.
func (x *Exchange) Revision(number uint64, r Register) *localv1.LoadDirectoryRequest {
	x.t.Helper()
	dir := x.t.TempDir()
	write := func(name string, b []byte) { must(x.t, os.WriteFile(filepath.Join(dir, name), b, 0o600)) }
	yaml := directoryYAML
	for _, code := range r.Collect {
		yaml = strings.Replace(yaml, pushes[code], "endpoint: {mode: collect}", 1)
	}
	for code, name := range names {
		if slices.Contains(r.Without, code) {
			yaml = strings.Replace(yaml, "  - file: agreement-"+name+"\n", "", 1)
		}
		if address := r.Address[code]; address != "" {
			yaml = strings.Replace(yaml, name+".example:8443", address, 1)
		}
	}
	write("directory.yaml", []byte(yaml))
	for _, code := range []string{Bristol, Lancashire} {
		end, ok := r.KeyEnds[code]
		if !ok {
			end = enrolled().AddDate(1, 0, 0)
		}
		signed := r.Keys[code]
		if signed == nil {
			signed = value(x.cast.recipients[code].Publish(x.Identity(inboxPath(code)), 1, enrolled(), end))(x.t)
		}
		write("key-"+code, value(proto.Marshal(signed))(x.t))
	}
	write("agreement-bristol", x.agreement("bristol", r.Sections[Bristol], Bristol, HMPBristol, HMPParc))
	write("agreement-lancashire", x.agreement("lancashire", r.Sections[Lancashire], Lancashire, HMPParc))
	src := value(directory.ReadYAML(filepath.Join(dir, "directory.yaml")))(x.t)
	revision, entries, err := directory.Build(src, number, Domain, x.Clock.Now())
	must(x.t, err)
	signed := value(directory.Sign(x.Identity(operatorPath), revision))(x.t)
	return &localv1.LoadDirectoryRequest{Revision: signed, Entries: entries}
}

// names are those of the authorities that take part, in file names and addresses.
var names = map[string]string{Bristol: "bristol", Lancashire: "lancashire"}

// LoadDirectory brings a revision into force at the hub; desks learn of it at their next StepDirectory.
func (x *Exchange) LoadDirectory(number uint64, r Register) {
	x.t.Helper()
	_, err := x.Hub.LoadDirectory(x.t.Context(), x.Revision(number, r))
	must(x.t, err)
}

// agreement is a data-sharing agreement, signed by its parties.
func (x *Exchange) agreement(name string, sections []string, authority string, prisons ...string) []byte {
	x.t.Helper()
	if sections == nil {
		for _, s := range section.All() {
			sections = append(sections, s.Pattern)
		}
	}
	date := func(months int) string { return Now.AddDate(0, months, 0).Format(time.DateOnly) }
	signed := value(directory.NewAgreement(&posternv1.DataSharingAgreement{
		Id: "test-" + name, Version: 1, Prisons: prisons, Authorities: []string{authority}, Sections: sections,
		StartDate: date(-1), EndDate: date(24), ReviewDate: date(12), ContentDays: 14, DecisionYears: 6,
	}))(x.t)
	must(x.t, directory.SignAgreement(signed, x.Identity(inboxPath(authority))))
	for _, p := range prisons {
		must(x.t, directory.SignAgreement(signed, x.Identity(deskPath(p))))
	}
	return value(proto.Marshal(signed))(x.t)
}

// pushes are the endpoints of the ordinary directory.
var pushes = map[string]string{
	Bristol:    `endpoint: {mode: push, address: "bristol.example:8443"}`,
	Lancashire: `endpoint: {mode: push, address: "lancashire.example:8443"}`,
}

// directoryYAML is the ordinary directory. The front doors' numbers differ, so that a test can tell them apart.
const directoryYAML = `
authorities:
  - code: E06000023
    name: Bristol
    jurisdiction: GB-ENG
    front_doors:
      - {role: EARLY_HELP, name: First Response, phone: 01632 960201, out_of_hours_name: Emergency Duty Team, out_of_hours_phone: 01632 960202, hours: [{days: mon-fri, opens: "08:30", closes: "17:00"}]}
      - {role: SAFEGUARDING, name: First Response, phone: 01632 960203, out_of_hours_name: Emergency Duty Team, out_of_hours_phone: 01632 960202, hours: [{days: mon-fri, opens: "08:30", closes: "17:00"}]}
    champion: {role: Champion for children of people in prison, mailbox: champion@bristol.example}
    endpoint: {mode: push, address: "bristol.example:8443"}
    recipient_key_file: key-E06000023
    undelivered_after_hours: 24
    start_date: "2026-01-01"
  - code: E10000017
    name: Lancashire
    jurisdiction: GB-ENG
    front_doors:
      - {role: EARLY_HELP, name: Support Hub, phone: 01632 960301, out_of_hours_name: Emergency Duty Team, out_of_hours_phone: 01632 960302, hours: [{days: mon-fri, opens: "08:00", closes: "20:00"}]}
      - {role: SAFEGUARDING, name: Safeguarding Hub, phone: 01632 960303, out_of_hours_name: Emergency Duty Team, out_of_hours_phone: 01632 960302, hours: [{days: mon-fri, opens: "08:00", closes: "20:00"}]}
    champion: {role: Champion for children of people in prison, mailbox: champion@lancashire.example}
    endpoint: {mode: push, address: "lancashire.example:8443"}
    recipient_key_file: key-E10000017
    undelivered_after_hours: 24
    start_date: "2026-01-01"
  - code: W06000006
    name: Wrexham
    name_cy: Wrecsam
    jurisdiction: GB-WLS
    front_doors:
      - {role: EARLY_HELP, name: Single Point of Access, phone: 01632 960401, out_of_hours_name: Emergency Duty Team, out_of_hours_phone: 01632 960402, hours: [{days: mon-fri, opens: "09:00", closes: "17:00"}]}
      - {role: SAFEGUARDING, name: Single Point of Access, phone: 01632 960403, out_of_hours_name: Emergency Duty Team, out_of_hours_phone: 01632 960402, hours: [{days: mon-fri, opens: "09:00", closes: "17:00"}]}
    champion: {role: Champion for children of people in prison, mailbox: champion@wrexham.example}
    start_date: "2026-01-01"
prisons:
  - id: BLI
    name: HMP Bristol
    jurisdiction: GB-ENG
    champion: {role: Champion for families, mailbox: families@bli.example}
  - id: PRI
    name: HMP Parc
    name_cy: CEF Parc
    jurisdiction: GB-WLS
    contracted: true
    champion: {role: Champion for families, mailbox: families@pri.example}
agreements:
  - file: agreement-bristol
  - file: agreement-lancashire
`
