//go:build e2e

package e2e

import (
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/postcode"
	"postern/internal/rpc"
	"postern/internal/testkit"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// withPostcodes gives the desks of an exchange a table, as a desk in use has one.
func withPostcodes(t *testing.T) func(*testkit.Config) {
	table, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	return func(c *testkit.Config) { c.Desk = func(d *desk.Config) { d.Postcodes = table } }
}

// describedFamily is a draft's form when everything was answered: two children in two councils.
func describedFamily() *posternv1.Form {
	f := formtest.New(testkit.Bristol, testkit.Lancashire)
	f.Enquiry, f.Gate, f.PrisonNumber = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN, posternv1.Gate_GATE_NOT_DONE, "A0417ZZ"
	f.Children[0].Authority, f.Children[1].Authority = "", ""
	f.Children[1].Home.Postcode = "ZZ99 6TW"
	f.Children[1].Identity.GivenName = "Petronella"
	return f
}

// fillStops are the pages from the first child to the slip: empty, filled in, faulty, and what becomes of the form.
func fillStops(t *testing.T, d *testkit.Desk) []stop {
	ctx := rpc.WithPerson(t.Context(), rpc.Person{ID: "ALL", Roles: []string{"RECEPTION_OFFICER"}})
	begun := func(f *posternv1.Form, more ...string) *localv1.Draft {
		draft, err := d.BeginDraft(ctx, &localv1.Draft{Form: f, Answered: append([]string{"tonight", "person", "children", "permission"}, more...)})
		if err != nil {
			t.Fatal(err)
		}
		return draft
	}
	at := func(draft *localv1.Draft) string { return "/drafts/" + draft.GetId() }
	full := describedFamily()
	empty := proto.CloneOf(full)
	empty.Children, empty.Consent.Children = nil, nil
	named := proto.CloneOf(full)
	named.Children = []*posternv1.Child{{Identity: named.Children[0].Identity, Relationship: named.Children[0].Relationship}}
	named.Consent.Children = nil
	housed := proto.CloneOf(named)
	housed.Children[0].Home = full.Children[0].Home
	sister := proto.CloneOf(full)
	sister.Children[1].Home = &posternv1.ChildHome{Provenance: sister.Children[1].Home.Provenance, SameAsChild: 1}
	sister.Children[1].Carer, sister.Children[1].Phone, sister.Children[1].Safety = nil, nil, nil
	faraway := proto.CloneOf(named)
	faraway.Children[0].Home, faraway.Children[0].Authority = &posternv1.ChildHome{Provenance: &posternv1.Provenance{Known: posternv1.Known_KNOWN_NOT_KNOWN}}, testkit.Wrexham
	all := begun(full)
	sent, queued := begun(describedFamily()), begun(describedFamily())
	for draft, down := range map[*localv1.Draft]bool{sent: false, queued: true} {
		d.Link.Down(down)
		done, _, err := d.SendDraft(ctx, draft.GetId(), draft.GetVersion(), words.English)
		if err != nil {
			t.Fatal(err)
		}
		draft.NotificationIds = done.GetNotificationIds()
		d.Link.Down(false)
	}
	a, b, c := at(begun(empty)), at(begun(named)), at(begun(housed))
	slip := "/notifications/" + envelope.Reference(sent.GetNotificationIds()[0]) + "/slip"
	return []stop{
		{name: "child", who: "ALL", path: a + "/children/1", wrong: map[string]string{},
			right: map[string]string{"given_name": "Peregrine-1", "born": "AGE", "age_years": "7", "relationship": "MOTHER", "parental_responsibility": "YES", "lived_with_before": "YES", "primary_carer_before": "YES"},
			lands: a + "/children/1/home"},
		{name: "child-cy", who: "ALL", path: at(all) + "/children/2?lang=cy"},
		{name: "where", who: "ALL", path: b + "/children/1/home", wrong: map[string]string{"where": "ADDRESS", "postcode": "ZZ99"},
			right: map[string]string{"where": "ADDRESS", "address": "1 Sixpenny Steps", "postcode": "ZZ99 1AA"}, lands: b + "/children/1/carer"},
		{name: "where-known", who: "ALL", path: at(all) + "/children/2/home"},
		{name: "where-manual", who: "ALL", path: at(begun(faraway)) + "/children/1/carer"},
		{name: "carer", who: "ALL", path: c + "/children/1/carer", wrong: map[string]string{}, right: map[string]string{"known": "NO"}, lands: c + "/numbers"},
		{name: "carer-as-before", who: "ALL", path: at(begun(sister)) + "/children/2/carer"},
		{name: "safety", who: "ALL", path: c + "/children/1/safety", wrong: map[string]string{}, right: map[string]string{"carer_knows": "NO", "mention": "NO"}, lands: c + "/children/1/more"},
		{name: "safety-cy", who: "ALL", path: at(all) + "/children/1/safety?lang=cy"},
		{name: "more", who: "ALL", path: at(all) + "/children/1/more"},
		{name: "parent", who: "ALL", path: at(all) + "/parent", wrong: map[string]string{"given_name": "", "family_name": ""}},
		{name: "article-9", who: "ALL", path: c + "/basis", wrong: map[string]string{}},
		{name: "remove", who: "ALL", path: at(all) + "/children/2/remove"},
		{name: "check-unfinished", who: "ALL", path: b + "/check"},
		{name: "check", who: "ALL", path: at(all) + "/check"},
		{name: "check-cy", who: "ALL", path: at(all) + "/check?lang=cy"},
		{name: "sent", who: "ALL", path: at(sent) + "/sent"},
		{name: "sent-queued", who: "ALL", path: at(queued) + "/sent"},
		{name: "slip", who: "ALL", path: slip},
		{name: "slip-cy", who: "ALL", path: slip + "?in=cy"},
	}
}
