package demo

import (
	"context"
	"fmt"
	"os/exec"
	"runtime"

	"postern/internal/fault"
)

// sites are the parties of the demo with pages: one of each kind.
var sites = []struct{ party, who, yaml string }{
	{deskParty(hmpBristol), "reception at HMP Bristol", `  organisation: HMP Bristol
  telephone: 01632 960100
  sign_in:
    trial:
      - {staff_id: DEMO11, name: Robin Example, about: Reception officer, roles: [RECEPTION_OFFICER]}
      - {staff_id: DEMO12, name: Sam Example, about: Resettlement worker, roles: [RESETTLEMENT]}
      - {staff_id: DEMO13, name: Ash Example, about: Public protection, roles: [PUBLIC_PROTECTION]}
      - {staff_id: DEMO14, name: Chris Example, about: Safeguarding lead, roles: [SAFEGUARDING_LEAD]}
      - {staff_id: DEMO15, name: Jo Example, about: Duty governor, roles: [DUTY_GOVERNOR]}
      - {staff_id: DEMO16, name: Kit Example, about: Orderly officer, roles: [ORDERLY_OFFICER]}
`},
	{inboxParty(bristol), "the early help team at Bristol", `  organisation: Bristol early help
  telephone: 01632 960201
  sign_in:
    trial:
      - {staff_id: DEMO21, name: Lee Example, about: Duty worker, roles: [DUTY_WORKER]}
      - {staff_id: DEMO22, name: Max Example, about: Team manager, roles: [TEAM_MANAGER, DUTY_WORKER]}
`},
	{"auditor", "an auditor", `  organisation: Audit
  sign_in:
    trial:
      - {staff_id: DEMO31, name: Pat Example, about: Auditor, roles: [AUDITOR]}
`},
}

// siteOf names the listener for browsers of a party.
func siteOf(party string) string { return party + " site" }

// webYAML is the part of a configuration that gives a party its site; nothing for a party without one.
func (f *folder) webYAML(party string) string {
	for _, s := range sites {
		if s.party == party {
			return "web:\n  listen: " + f.addresses[siteOf(party)] + "\n" + s.yaml
		}
	}
	return ""
}

// accessYAML lets the auditor see who looked at the sites of the others, as if they had handed over their access logs.
func accessYAML() string {
	yaml := "access_logs:\n"
	for _, s := range sites {
		if s.party != "auditor" {
			yaml += "  - " + s.party + "/access\n"
		}
	}
	return yaml
}

// site is where a browser finds the site of a party, as its configuration says.
func (s *stage) site(party string) string {
	if w := s.webs[party]; w != nil {
		return "http://" + w.Listen + "/"
	}
	return ""
}

// browse opens an address in the visitor's browser, as their system does it.
func browse(ctx context.Context, address string) error {
	command := []string{"xdg-open", address}
	switch runtime.GOOS {
	case "darwin":
		command[0] = "open"
	case "windows":
		command = []string{"rundll32", "url.dll,FileProtocolHandler", address}
	}
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	if err := c.Start(); err != nil {
		return fault.Newf(fault.Precondition, "NO_BROWSER", "No browser could be started with %s. Open the address of the tour yourself.", command[0]).Because(err)
	}
	go func() { _ = c.Wait() }() // how it ends is between the visitor and their browser
	return nil
}

// addresses are where browsers find the sites.
func (s *stage) addresses() (all []string) {
	for _, x := range sites {
		all = append(all, s.site(x.party))
	}
	return all
}

// siteLines say where the sites are and for whom.
func (s *stage) siteLines() (lines string) {
	for _, x := range sites {
		lines += fmt.Sprintf("  %-36s %s\n", x.who, s.site(x.party))
	}
	return lines
}
