package demo

import (
	"crypto/rand"
	"fmt"
	mathrand "math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"postern/examples/forms"
	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	"postern/internal/postcode"
	"postern/internal/section"
)

// The cast. Prisons and authorities are real, since their codes are public; everybody and everything else is invented.
const (
	domain     = "demo.postern.example"
	hubName    = "demo"
	bristol    = "E06000023"
	lancashire = "E10000017"
	bridgend   = "W06000013"
	hmpBristol = "BLI"
	hmpParc    = "PRI"
)

var (
	authorities = []string{bristol, lancashire, bridgend} // those with an inbox; Blackburn with Darwen has none
	prisons     = []string{hmpBristol, hmpParc}
)

func inboxParty(code string) string { return "inbox-" + code }
func deskParty(id string) string    { return "desk-" + id }

// operationsOf names the operations listener of a party.
func operationsOf(party string) string { return party + " operations" }

// choosePorts opens a free loopback port for each party that listens, and keeps it open so that nobody else takes it.
func (f *folder) choosePorts() error {
	ports := []string{"hub"}
	for _, code := range authorities {
		ports = append(ports, inboxParty(code))
	}
	for party := range uris() {
		if party != "operator" { // a person, not a server
			ports = append(ports, operationsOf(party))
		}
	}
	for _, s := range sites {
		ports = append(ports, siteOf(s.party))
	}
	for _, p := range ports {
		lis, err := listen()
		if err != nil {
			return err
		}
		f.listeners[p], f.addresses[p] = lis, lis.Addr().String()
	}
	return nil
}

// listen opens a loopback port below those that the system gives to connections by itself: a folder is played again on the
// ports of its first time, and one of those might be some connection's by then.
func listen() (lis net.Listener, err error) {
	for range 100 { // the next one, where somebody listens already
		if lis, err = net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(20_000+mathrand.IntN(12_000)))); err == nil {
			return lis, nil
		}
	}
	return nil, fault.New(fault.Unavailable, "LISTEN", "No free loopback port could be opened.").Because(err)
}

// uris are the parties' names in their certificates.
func uris() map[string]string {
	all := map[string]string{"hub": "/hub/" + hubName, "operator": "/operator/" + hubName, "auditor": "/auditor/demo"}
	for _, id := range prisons {
		all[deskParty(id)] = "/prison/" + id + "/desk"
	}
	for _, code := range authorities {
		all[inboxParty(code)] = "/authority/" + code + "/inbox"
	}
	return all
}

func (f *folder) makeCertificates() error {
	if err := ca.Init(f.file("ca"), ca.Config{Domain: domain, Days: 90}); err != nil {
		return err
	}
	for party, path := range uris() {
		if err := os.MkdirAll(f.file(party), 0o700); err != nil {
			return fault.From(err)
		}
		err := ca.Issue(f.file("ca"), "spiffe://"+domain+path, ca.IssueConfig{OutCert: f.file(party, "cert.pem"), OutKey: f.file(party, "key.pem"), Days: 90})
		if err != nil {
			return err
		}
	}
	return nil
}

// of is the part of a party's configuration from which its first keys are made, as the commands do it.
func (f *folder) of(party string) config.Common {
	return config.Common{TrustDomain: domain, Data: f.file(party),
		Identity: config.Identity{Certificate: f.file(party, "cert.pem"), Key: f.file(party, "key.pem")},
		Anchors: config.Anchors{Prison: f.file("ca", "prison", "ca.pem"), Authority: f.file("ca", "authority", "ca.pem"),
			Hub: f.file("ca", "hub", "ca.pem"), Auditor: f.file("ca", "auditor", "ca.pem")}}
}

// makeKeys makes the log keys, the inboxes' recipient keys, the desks' reference keys and the signed agreements.
func (f *folder) makeKeys() (err error) {
	hub := config.Hub{Common: f.of("hub"), LogKey: config.LogKeys{Sent: f.file("hub", "sent.key"), Received: f.file("hub", "received.key")}}
	if f.sent, f.received, err = hub.NewKeys(rand.Reader); err != nil {
		return err
	}
	for _, code := range authorities {
		in := config.Inbox{Common: f.of(inboxParty(code)), RecipientKeys: f.file(inboxParty(code), "recipient")}
		statement, err := in.NewKey(1, time.Now())
		if err != nil {
			return err
		}
		b, err := os.ReadFile(statement) // the inbox keeps it: its next key follows this one
		if err != nil {
			return fault.From(err)
		}
		if err := os.WriteFile(f.file("recipient-"+code+".signed"), b, 0o644); err != nil {
			return fault.From(err)
		}
	}
	for _, id := range prisons {
		desk := config.Desk{Common: f.of(deskParty(id)), Reference: f.file(deskParty(id), "reference.key")}
		if err := desk.NewKey(rand.Reader); err != nil {
			return err
		}
	}
	return f.signAgreements()
}

// signAgreements makes the data-sharing agreements of the demo: both prisons with Bristol, and HMP Parc with Lancashire
// and with Bridgend. HMP Bristol has none with Lancashire, because it has not signed that one.
func (f *folder) signAgreements() error {
	now := time.Now()
	for _, a := range []struct {
		name        string
		prisons     []string
		authorities []string
	}{{"bristol", []string{hmpBristol, hmpParc}, []string{bristol}}, {"lancashire", []string{hmpParc}, []string{lancashire}}, {"bridgend", []string{hmpParc}, []string{bridgend}}} {
		terms := fmt.Sprintf("id: demo-%s\nversion: 1\nprisons: [%s]\nauthorities: [%s]\nstart_date: %q\nend_date: %q\nreview_date: %q\ncontent_days: 14\ndecision_years: 6\nsections:\n",
			a.name, strings.Join(a.prisons, ", "), strings.Join(a.authorities, ", "), form.Today(now.AddDate(0, -1, 0)), form.Today(now.AddDate(2, 0, 0)), form.Today(now.AddDate(1, 0, 0)))
		for _, s := range section.All() {
			terms += fmt.Sprintf("  - %q\n", s.Pattern)
		}
		file := f.file("agreement-" + a.name + ".yaml")
		if err := write(file, terms, 0o644); err != nil {
			return err
		}
		var signers []string
		for _, p := range a.prisons {
			signers = append(signers, deskParty(p))
		}
		for _, c := range a.authorities {
			signers = append(signers, inboxParty(c))
		}
		for _, party := range signers {
			_, signed, err := directory.ReadAgreement(file)
			if err != nil {
				return err
			}
			i, err := identity.Load(f.file(party, "cert.pem"), f.file(party, "key.pem"))
			if err != nil {
				return err
			}
			if err := directory.SignAgreement(signed, i); err != nil {
				return err
			}
			if err := directory.WriteAgreement(file, signed); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyForms puts the example forms where a visitor can edit and submit them.
func (f *folder) copyForms() error {
	entries, err := forms.Files.ReadDir(".")
	if err != nil {
		return fault.From(err)
	}
	for _, e := range entries {
		b, err := forms.Files.ReadFile(e.Name())
		if err != nil {
			return fault.From(err)
		}
		if err := write(f.file("forms", e.Name()), string(b), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func write(path, text string, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fault.From(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		return fault.New(fault.Precondition, "DEMO_FOLDER", "The demo's folder cannot be written.").Because(err)
	}
	return nil
}

// writeConfigs writes one configuration a party, with paths relative to the folder.
func (f *folder) writeConfigs() error {
	peer := fmt.Sprintf("hub:\n  name: %s\n  address: %s\n  phone: 01632 960109\n  log_keys:\n    - %s\n", hubName, f.addresses["hub"], f.sent)
	files := map[string]string{
		"hub.yaml": f.common("hub") + fmt.Sprintf("listen: %s\nlog_key:\n  sent: hub/sent.key\n  received: hub/received.key\n", f.addresses["hub"]) +
			"checkpoint_file: hub-checkpoints/newest\npostcodes: postcodes\nauditors:\n  - {name: demo, all: true}\noperator:\n  certificate: operator/cert.pem\n  key: operator/key.pem\ndeliver_to: [127.0.0.0/8]  # all inboxes of a demo are on this machine\ngather_seconds: 1  # elsewhere an hour: minutes would tell what a team does\n" + quickRetry,
		"auditor.yaml": f.common("auditor") + peer + "    - " + f.received + "\n" + accessYAML() + f.webYAML("auditor"),
	}
	for _, id := range prisons {
		files[deskParty(id)+".yaml"] = f.common(deskParty(id)) + peer + fmt.Sprintf(deskYAML, deskParty(id), deskParty(id), os.Getuid()) + quickRetry + f.webYAML(deskParty(id))
	}
	for _, code := range authorities {
		p := inboxParty(code)
		files[p+".yaml"] = f.common(p) + peer + "  received_keys:\n    - " + f.received + "\n" + fmt.Sprintf("listen: %s\npostcodes: postcodes\nrecipient_keys: %s/recipient\n", f.addresses[p], p) + quickRetry + f.webYAML(p)
	}
	for name, text := range files {
		if name == "hub.yaml" {
			continue
		}
		if err := write(f.file(name), text, 0o600); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(f.file("hub-checkpoints"), 0o700); err != nil {
		return fault.From(err)
	}
	return write(f.file("hub.yaml"), files["hub.yaml"], 0o600)
}

func (f *folder) common(party string) string {
	return fmt.Sprintf(`trust_domain: %s
data: %s
operations: %s
identity:
  certificate: %s/cert.pem
  key: %s/key.pem
anchors:
  prison: ca/prison/ca.pem
  authority: ca/authority/ca.pem
  hub: ca/hub/ca.pem
  auditor: ca/auditor/ca.pem
revocation:
  prison: ca/prison/crl.pem
  authority: ca/authority/crl.pem
  hub: ca/hub/crl.pem
  auditor: ca/auditor/crl.pem
`, domain, party, f.addresses[operationsOf(party)], party, party)
}

// quickRetry lets a visitor see a team come back within a second or two, not minutes.
const quickRetry = "retry:\n  base_seconds: 0.2\n  max_seconds: 2\n"

const deskYAML = `unit: Reception
reply_to:
  role: Resettlement team
  phone: 01632 960100
  mailbox: resettlement@prison.example
  hours: Monday to Friday 8:30 to 17:00
lawful_basis:
  article6: PUBLIC_TASK
  schedule1_paragraph: 18
  gateway: ca2004.s11
  confidentiality: CONSENT
reference_key: %s/reference.key
postcodes: postcodes
arrivals: %s/arrivals
staff:
  - uid: %d
    staff_id: DEMO01
    role: RECEPTION_OFFICER
    also: [PUBLIC_PROTECTION, DUTY_GOVERNOR, SAFEGUARDING_LEAD]  # one user plays everybody here; elsewhere each has their own
poll_seconds: 0.1
`

// writeDirectory writes directory.yaml; ports that change nothing afterwards are in it from the start.
func (f *folder) writeDirectory() error {
	return write(f.file("directory.yaml"), fmt.Sprintf(directoryYAML, f.addresses[inboxParty(bristol)], f.addresses[inboxParty(lancashire)], f.addresses[inboxParty(bridgend)]), 0o644)
}

// writeArrivals writes who came to each prison on the day on which the folder is made, as the prison's own system would
// export it: invented people, whose numbers nobody has.
func (f *folder) writeArrivals() error {
	for i, id := range prisons {
		if err := os.MkdirAll(f.file(deskParty(id), "arrivals"), 0o700); err != nil {
			return err
		}
		list := "prison_number,given_name,family_name,date,reason\n"
		for j, name := range [...]string{"Rowan,Example-Thistlewick", "Corwen,Example-Hawthornby", "Teodor,Example-Marrowby"} {
			list += fmt.Sprintf("A%d00%dZZ,%s,%s,%s\n", 7+i, 1+j, name, form.Today(time.Now()), [...]string{"NEW_ADMISSION", "LICENCE_RECALL", "TRANSFER"}[j])
		}
		if err := write(f.file(deskParty(id), "arrivals", "today.csv"), list, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// writePostcodes writes the sample of invented postcodes as the desks' table.
func (f *folder) writePostcodes() error {
	sample, err := postcode.Sample()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(f.file("postcodes"), 0o755); err != nil {
		return err
	}
	_, err = sample.Save(f.file("postcodes"))
	return err
}

const directoryYAML = `# Who takes part in the demo. Names of authorities and prisons are real; every number and mailbox is invented.
authorities:
  - code: E06000023
    name: Bristol
    jurisdiction: GB-ENG
    front_doors:
      - role: EARLY_HELP
        name: First Response
        phone: 01632 960201
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960202
        hours: [{days: mon-fri, opens: "08:30", closes: "17:00"}]
      - role: SAFEGUARDING
        name: First Response
        phone: 01632 960203
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960202
        hours: [{days: mon-fri, opens: "08:30", closes: "17:00"}]
    champion: {role: Champion for children of people in prison, phone: 01632 960204, mailbox: champion@bristol.example}
    endpoint: {mode: push, address: "%s"}
    recipient_key_file: recipient-E06000023.signed
    undelivered_after_hours: 24
    signposts:
      - {name: Families helpline, offers: "Advice for families of people in prison", phone: 0808 157 0001, web: "https://helpline.example"}
    start_date: "2026-01-01"
  - code: E10000017
    name: Lancashire
    jurisdiction: GB-ENG
    front_doors:
      - role: EARLY_HELP
        name: Children's Services Support Hub
        phone: 01632 960301
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960302
        hours: [{days: mon-fri, opens: "08:00", closes: "20:00"}]
      - role: SAFEGUARDING
        name: Multi-Agency Safeguarding Hub
        phone: 01632 960303
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960302
        hours: [{days: mon-fri, opens: "08:00", closes: "20:00"}]
    champion: {role: Champion for children of people in prison, phone: 01632 960304, mailbox: champion@lancashire.example}
    endpoint: {mode: push, address: "%s"}
    recipient_key_file: recipient-E10000017.signed
    undelivered_after_hours: 24
    start_date: "2026-01-01"
  - code: E06000008
    name: Blackburn with Darwen
    jurisdiction: GB-ENG
    front_doors:
      - role: EARLY_HELP
        name: Children's Advice and Duty Service
        phone: 01632 960501
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960502
        hours: [{days: mon-fri, opens: "08:45", closes: "17:00"}]
      - role: SAFEGUARDING
        name: Children's Advice and Duty Service
        phone: 01632 960503
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960502
        hours: [{days: mon-fri, opens: "08:45", closes: "17:00"}]
    champion: {role: Champion for children of people in prison, phone: 01632 960504, mailbox: champion@blackburn.example}
    start_date: "2026-01-01"
  - code: W06000013
    name: Bridgend
    name_cy: Pen-y-bont ar Ogwr
    jurisdiction: GB-WLS
    front_doors:
      - role: EARLY_HELP
        name: Early Help Hub
        phone: 01632 960601
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960602
        hours: [{days: mon-fri, opens: "08:30", closes: "17:00"}]
      - role: SAFEGUARDING
        name: Information, Advice and Assistance
        phone: 01632 960603
        out_of_hours_name: Emergency Duty Team
        out_of_hours_phone: 01632 960602
        hours: [{days: mon-fri, opens: "08:30", closes: "17:00"}]
    champion: {role: Champion for children of people in prison, phone: 01632 960604, mailbox: champion@bridgend.example}
    endpoint: {mode: push, address: "%s"}
    recipient_key_file: recipient-W06000013.signed
    undelivered_after_hours: 24
    start_date: "2026-01-01"
prisons:
  - id: BLI
    name: HMP Bristol
    jurisdiction: GB-ENG
    champion: {role: Champion for families, phone: 01632 960101, mailbox: families@bli.example}
  - id: PRI
    name: HMP Parc
    name_cy: CEF Parc
    jurisdiction: GB-WLS
    contracted: true
    champion: {role: Champion for families, phone: 01632 960111, mailbox: families@pri.example}
agreements:
  - file: agreement-bristol.signed
  - file: agreement-lancashire.signed
  - file: agreement-bridgend.signed
`
