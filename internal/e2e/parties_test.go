//go:build e2e

package e2e

import (
	"log/slog"
	"net/http"
	"slices"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"

	auditsite "postern/internal/auditor/site"
	desksite "postern/internal/desk/site"
	inboxsite "postern/internal/inbox/site"
	"postern/internal/signin"
	"postern/internal/signin/signintest"
	"postern/internal/testkit"
	"postern/internal/web"
	posternv1 "postern/proto/postern/v1"
)

// parties are the three sites of one exchange, with a real hub between them and an invented family under way.
func parties(t *testing.T) []*site {
	x := testkit.NewExchange(t, withPostcodes(t))
	desk, inbox := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	form := x.Example("shared_in_part")
	id := desk.Take(form)[0]
	x.Settle()
	seeded := append(personal(form.ProtoReflect()), personal(describedFamily().ProtoReflect())...)
	shell := func(roles []string) web.Config {
		return signintest.Shell(x.Clock.Now, slog.New(slog.DiscardHandler), roles)
	}
	desks, err := desksite.New(desk.Desk, shell(desksite.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	inboxes, err := inboxsite.New(inbox.Inbox, shell(inboxsite.Roles()))
	if err != nil {
		t.Fatal(err)
	}
	watched := journal(t, x, shell(auditsite.Roles()), "auditor-demo")
	audits, err := auditsite.New(x.Auditor(), watched)
	if err != nil {
		t.Fatal(err)
	}
	cases, more := caseStops(t, x, desk, id)
	seeded = append(seeded, more...)
	return []*site{
		party(t, "desk", desks, seeded, slices.Concat(deskStops(), fillStops(t, desk), cases)), party(t, "inbox", inboxes, seeded, inboxStops(id)), party(t, "audit", audits, seeded, append(auditStops(id), auditMoreStops(desk.Logs().GetLogs()[0].GetCheckpoint())...)),
	}
}

// Stops of the three sites: every page in the states that matter, a line each.

func deskStops() []stop { return []stop{{name: "home", who: "ALL", path: "/"}} }

func auditStops(id string) []stop {
	slips := map[string]string{"notification": "PN-0", "prison": "Bristol", "authority": "Bristol", "rule": "Consent given"}
	return []stop{
		{name: "home", who: "ALL", path: "/"},
		{name: "search", who: "ALL", path: "/?outcome=SHARE", wrong: slips},
		{name: "search-cy", who: "ALL", path: "/?outcome=SHARE&lang=cy", wrong: slips},
		{name: "nothing", who: "ALL", path: "/?prison=ZZZ"},
		{name: "decision", who: "ALL", path: "/events/" + id},
		{name: "decision-cy", who: "ALL", path: "/events/" + id + "?lang=cy"},
		{name: "unknown", who: "ALL", path: "/events/00000000000000000000000000000000", status: http.StatusNotFound},
		{name: "coverage", who: "ALL", path: "/coverage"},
	}
}

// party is a site of a trial, with the stops that every one has.
func party(t *testing.T, name string, handler *web.Site, seeded []string, stops []stop) *site {
	own := []stop{
		{name: "sign-in", path: signin.Path, wrong: map[string]string{}, right: map[string]string{"who": "ALL"}, lands: "/"},
		{name: "signed-out", path: "/signed-out"},
		{name: "home-cy", who: "ALL", path: "/?lang=cy"},
	}
	return &site{name: name, handler: handler, base: serve(t, handler.Server()), seeded: seeded, stops: append(append(own, noticeStops(name)...), stops...),
		signIn: func(v *visit, who string) {
			v.open(signin.Path)
			v.answer(map[string]string{"who": who})
			v.submit()
		}}
}

// personal are the values of a form that name somebody, or say where or how to find them.
func personal(m protoreflect.Message) []string {
	names := map[protoreflect.Name]bool{"given_name": true, "family_name": true, "known_as": true, "postcode": true, "prison_number": true, "number": true, "address": true, "phone": true}
	var found []string
	var walk func(protoreflect.Message)
	walk = func(m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case f.IsMap():
			case f.IsList() && f.Message() != nil:
				for i := range v.List().Len() {
					walk(v.List().Get(i).Message())
				}
			case f.IsList():
			case f.Message() != nil:
				walk(v.Message())
			case f.Kind() == protoreflect.StringKind && names[f.Name()] && utf8.RuneCountInString(v.String()) > 3:
				found = append(found, v.String())
			}
			return true
		})
	}
	walk(m)
	return found
}

// TestNamesAreFoundInAForm is the control of what titles and addresses are searched for.
func TestNamesAreFoundInAForm(t *testing.T) {
	var form posternv1.Form
	data := `{"prison_number": "A0228ZZ", "parent": {"name": {"given_name": "Barnaby", "family_name": "Quillfeather"}}, "children": [{"home": {"postcode": "ZZ99 1AB"}}]}`
	if err := protojson.Unmarshal([]byte(data), &form); err != nil {
		t.Fatal(err)
	}
	if found := personal(form.ProtoReflect()); len(found) != 4 {
		t.Errorf("found %q", found)
	}
}
