package testkit_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/form/formtest"
	"postern/internal/testkit"
	"postern/internal/testkit/stranger"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// must is the first of two results; an error ends the test.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

// enrolled gives a stranger its papers and a connection to the hub.
func enrolled(t *testing.T, x *testkit.OverTLS, path string) (testkit.Papers, *stranger.Trust, *stranger.Self, *grpc.ClientConn) {
	t.Helper()
	p := x.Papers(path)
	trust := must(stranger.NewTrust(testkit.Domain, p.Anchors))(t)
	self := must(trust.NewSelf(p.Certificates, p.Key))(t)
	conn := must(stranger.Dial(x.Address, testkit.HubURI, self, trust, x.Clock.Now))(t)
	t.Cleanup(func() { conn.Close() })
	return p, trust, self, conn
}

// strangerDesk is another program's desk of a prison, with the directory.
func strangerDesk(t *testing.T, x *testkit.OverTLS, prison string) *stranger.Desk {
	t.Helper()
	p, trust, self, conn := enrolled(t, x, "/prison/"+prison+"/desk")
	d := stranger.NewDesk(self, trust, conn, must(stranger.NewFollower(p.Sent...))(t), x.Clock.Now, &posternv1.Sender{
		PrisonId: prison, Unit: "Reception", StaffId: "S-77", StaffRole: posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER,
		ReplyTo: &posternv1.ReplyTo{Role: "Families team", Phone: "01632 960555"}}, random())
	d.Basis = &posternv1.LawfulBasis{Article6: posternv1.Article6Basis_ARTICLE6_BASIS_PUBLIC_TASK, Article9Condition: "art9.2.g", Gateway: "ca2004.s11"}
	if err := d.Sync(soon(t)); err != nil {
		t.Fatal(err)
	}
	return d
}

// soon is a context with the deadline that every call needs.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

// family is what a father says at the stranger's desk of himself and his child.
func family() *posternv1.Form {
	said := func() *posternv1.Provenance {
		return &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_PARENT_SAID, AsOfDate: "2026-11-22"}
	}
	yes, no := posternv1.Answer_ANSWER_YES, posternv1.Answer_ANSWER_NO
	return &posternv1.Form{
		FormId: uuid(), PrisonNumber: "Z" + uuid()[:8], NoticeVersion: "2026-09", Gate: posternv1.Gate_GATE_NO_HOLD,
		Reception: &posternv1.Reception{Reason: posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION, ReceiveDate: "2026-11-22"},
		Parent:    &posternv1.Parent{Name: &posternv1.ParentName{Provenance: said(), GivenName: "Obadiah", FamilyName: "Thistlewick"}},
		Children: []*posternv1.Child{{
			Authority: testkit.Bristol,
			Identity:  &posternv1.ChildIdentity{Provenance: said(), GivenName: "Clementina", FamilyName: "Thistlewick", Born: &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: "2019-03-04"}},
			Relationship: &posternv1.ChildRelationship{Provenance: said(), Relationship: posternv1.Relationship_RELATIONSHIP_FATHER,
				ParentalResponsibility: yes, PrimaryCarerBefore: no, LivedWithBefore: yes, AgreesToEarlyHelp: yes},
			Home:   &posternv1.ChildHome{Provenance: said(), AddressLines: []string{"3 Invented Row"}, Postcode: "ZZ99 3WZ"},
			Carer:  &posternv1.ChildCarer{Provenance: said(), Name: "Philippa Thistlewick", Relationship: posternv1.Relationship_RELATIONSHIP_MOTHER, IsAdult: yes, HasParentalResponsibility: yes},
			Safety: &posternv1.ChildSafety{Provenance: said(), CarerKnows: yes, SafeManner: "ring first", Language: "en", InterpreterNeeded: no},
			Phone:  &posternv1.ChildPhone{Provenance: said(), CarerPhone: "01632 960777"},
		}},
		Consent: &posternv1.Consent{Id: uuid(), Version: 1, Jurisdiction: "GB-ENG", State: posternv1.ConsentState_CONSENT_STATE_GIVEN,
			Understood: posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_YES, Children: []uint32{1}, Authorities: []string{testkit.Bristol},
			Sections: []string{"parent/name", "child/{n}/identity", "child/{n}/relationship", "child/{n}/home", "child/{n}/carer", "child/{n}/safety", "child/{n}/phone"},
			Method:   posternv1.ConsentMethod_CONSENT_METHOD_FACE_TO_FACE, Witness: &posternv1.Witness{StaffId: "S-77", Role: "officer"},
			GiveTime: timestamppb.New(testkit.Now.Add(-time.Hour)), SlipGiven: true},
	}
}

// sectionsOf is every section of a family, by path.
func sectionsOf(f *posternv1.Form) map[string]proto.Message {
	c := f.GetChildren()[0]
	return map[string]proto.Message{"parent/name": f.GetParent().GetName(), "child/1/identity": c.GetIdentity(), "child/1/relationship": c.GetRelationship(),
		"child/1/home": c.GetHome(), "child/1/carer": c.GetCarer(), "child/1/safety": c.GetSafety(), "child/1/phone": c.GetPhone()}
}

func random() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}

// tell has a stranger's desk take a form and submit what it comes to.
func tell(t *testing.T, d *stranger.Desk, f *posternv1.Form) *stranger.Outgoing {
	t.Helper()
	out := must(d.Take(f))(t)
	if err := d.Flush(soon(t)); err != nil {
		t.Fatal(err)
	}
	if len(out) != 1 || out[0].Decision == nil {
		t.Fatalf("it came to %d statements, and was not answered: %s", len(out), out[0].Why)
	}
	return out[0]
}

// share has a stranger's desk submit a family, which must be shared.
func share(t *testing.T, d *stranger.Desk) *stranger.Outgoing {
	t.Helper()
	o := tell(t, d, family())
	if o.State != stranger.Shared {
		t.Fatalf("it was not shared: %v", o.Decision)
	}
	return o
}

// strangerInbox is another program's inbox of Bristol, which serves the hub at a port, with its key in the directory; or
// which collects.
func strangerInbox(t *testing.T, x *testkit.OverTLS, collects bool) *stranger.Inbox {
	t.Helper()
	return strangerInboxOf(t, x, testkit.Bristol, collects, testkit.Register{})
}

// strangerInboxOf is one of any authority, in a directory that says this of the others.
func strangerInboxOf(t *testing.T, x *testkit.OverTLS, authority string, collects bool, r testkit.Register) *stranger.Inbox {
	t.Helper()
	p, trust, self, conn := enrolled(t, x, "/authority/"+authority+"/inbox")
	in := stranger.NewInbox(self, trust, testkit.HubURI, conn, must(stranger.NewFollower(p.Sent...))(t), must(stranger.NewFollower(p.Received...))(t), x.Clock.Now)
	key := must(in.NewKey(testkit.Now.Add(-time.Hour), testkit.Now.AddDate(0, 1, 0)))(t)
	r.Keys = map[string]*posternv1.Signed{authority: key}
	if collects {
		r.Collect = []string{authority}
	} else {
		l := x.Listen()
		if r.Address == nil {
			r.Address = map[string]string{}
		}
		r.Address[authority] = l.Addr().String()
		server := in.Server()
		done := make(chan error, 1)
		go func() { done <- server.Serve(l) }()
		t.Cleanup(func() {
			server.Stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	x.LoadDirectory(1, r)
	return in
}

// without is an exchange without a directory yet.
func without(c *testkit.Config) { c.NoDirectory = true }

// ourDesk is our desk of HMP Bristol, with the directory.
func ourDesk(t *testing.T, x *testkit.OverTLS) *testkit.Desk {
	t.Helper()
	d := x.Desk(testkit.HMPBristol)
	must(d.StepDirectory(t.Context()))(t)
	return d
}

// TestAStrangersDeskTellsOurInbox: what another program seals and signs from the page alone is decided, delivered and
// opened by ours, and our acknowledgement convinces it.
func TestAStrangersDeskTellsOurInbox(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	x := testkit.NewOverTLS(t, func(c *testkit.Config) { c.Register.Address = map[string]string{testkit.Bristol: l.Addr().String()} })
	in := x.Inbox(testkit.Bristol, l)
	d := strangerDesk(t, x, testkit.HMPBristol)
	s := share(t, d)
	x.Settle()
	item := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: s.ID}))(t)
	told := sectionsOf(family())
	if len(item.GetSections()) != len(told) || item.GetItem().GetFactsMismatch() {
		t.Errorf("the team has %d sections of %d: %v", len(item.GetSections()), len(told), item.GetItem())
	}
	for _, got := range item.GetSections() {
		if want := must(proto.Marshal(told[got.GetPath()]))(t); string(want) != string(got.GetContent()) {
			t.Errorf("%s arrived otherwise", got.GetPath())
		}
	}
	must(d.Updates(soon(t)))(t)
	if !s.Acknowledged {
		t.Error("the acknowledgement did not come")
	}
}

// TestOurDeskTellsAStrangersInbox: what ours seals and signs another program checks and opens from the page alone, sent to
// or collecting; and what it signs convinces our desk and our hub.
func TestOurDeskTellsAStrangersInbox(t *testing.T) {
	for name, collects := range map[string]bool{"sent to": false, "collecting": true} {
		t.Run(name, func(t *testing.T) {
			x := testkit.NewOverTLS(t, without)
			in := strangerInbox(t, x, collects)
			d := ourDesk(t, x)
			f := formtest.New(testkit.Bristol, testkit.Bristol)
			id := d.Take(f)[0]
			come(t, x, in, collects)
			items := in.Items()
			if len(items) != 1 || items[0].ID != id || len(items[0].Mismatch) != 0 {
				t.Fatalf("the team has %v", items)
			}
			if got := items[0].Sections["child/2/home"]; !proto.Equal(got, f.GetChildren()[1].GetHome()) || len(items[0].Sections) != 25 {
				t.Errorf("the team has %d sections, and as home %v", len(items[0].Sections), got)
			}
			if got := d.State(id); got != localv1.State_STATE_DELIVERED {
				t.Fatalf("our desk does not believe the acknowledgement: %v", got)
			}
			if err := in.Reply(soon(t), items[0], posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT); err != nil {
				t.Fatal(err)
			}
			x.Clock.Advance(time.Hour)
			x.Settle()
			if got := d.Get(id).GetNotification().GetReply().GetCode(); got != posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT {
				t.Errorf("our desk did not hear of the reply: %v", got)
			}
		})
	}
}

// come has everything reach a stranger's inbox.
func come(t *testing.T, x *testkit.OverTLS, in *stranger.Inbox, collects bool) {
	t.Helper()
	x.Settle()
	if collects {
		must(in.Collect(soon(t), true))(t)
		x.Settle()
	}
}

// TestAStrangersDeskTellsAStrangersInbox: two programs of others meet over our hub.
func TestAStrangersDeskTellsAStrangersInbox(t *testing.T) {
	x := testkit.NewOverTLS(t, without)
	in := strangerInbox(t, x, false)
	d := strangerDesk(t, x, testkit.HMPParc)
	s := share(t, d)
	come(t, x, in, false)
	items := in.Items()
	if len(items) != 1 || len(items[0].Sections) != 7 || items[0].Sender.ID != testkit.HMPParc {
		t.Fatalf("the team has %v", items)
	}
	if err := in.Reply(soon(t), items[0], posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, "child/1/school"); err != nil {
		t.Fatal(err)
	}
	x.Clock.Advance(time.Hour)
	must(d.Updates(soon(t)))(t)
	if !s.Acknowledged || len(s.Replies) != 1 {
		t.Errorf("the desk knows: acknowledged %v, replies %v", s.Acknowledged, s.Replies)
	}
}

// TestAStrangerWithdraws: a withdrawal by another program, of a part and then of all, reaches our inbox as a stop request;
// one before anything was sent keeps everything back.
func TestAStrangerWithdraws(t *testing.T) {
	l := must(net.Listen("tcp", "127.0.0.1:0"))(t)
	x := testkit.NewOverTLS(t, func(c *testkit.Config) { c.Register.Address = map[string]string{testkit.Bristol: l.Addr().String()} })
	in := x.Inbox(testkit.Bristol, l)
	d := strangerDesk(t, x, testkit.HMPBristol)
	told := share(t, d)
	x.Settle()
	method := posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE
	withdrawn := func(d *stranger.Desk, w *stranger.Outgoing, rule string) {
		t.Helper()
		if err := d.Flush(soon(t)); err != nil {
			t.Fatal(err)
		}
		if got := w.Decision.GetReasons()[0].GetRuleId(); got != rule {
			t.Errorf("the withdrawal came to %s, not %s", got, rule)
		}
		x.Settle()
	}
	withdrawn(d, must(d.Withdraw(told, method, "child/1/phone"))(t), "stop_asked")
	if n := len(must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: told.ID}))(t).GetSections()); n != 6 {
		t.Errorf("after one section of seven was withdrawn the team has %d", n)
	}
	other := strangerDesk(t, x, testkit.HMPParc)
	withdrawn(other, must(other.WithdrawBySlip(told.Reference, told.Slip, method))(t), "stop_asked")
	if n := len(must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: told.ID}))(t).GetSections()); n != 0 {
		t.Errorf("after all was withdrawn at another prison the team has %d sections", n)
	}
	must(d.Updates(soon(t)))(t)
	early := share(t, d)
	withdrawn(d, must(d.Withdraw(early, method))(t), "withdrawn")
	if got, err := in.GetItem(t.Context(), &localv1.GetItemRequest{Id: early.ID}); err == nil {
		t.Errorf("what was withdrawn before it was sent is there: %v", got)
	}
}

// TestAStrangersTeamIsAskedToStop: a withdrawal at our desk reaches another program's inbox, which answers it.
func TestAStrangersTeamIsAskedToStop(t *testing.T) {
	for name, collects := range map[string]bool{"sent to": false, "collecting": true} {
		t.Run(name, func(t *testing.T) {
			x := testkit.NewOverTLS(t, without)
			in := strangerInbox(t, x, collects)
			d := ourDesk(t, x)
			id := d.Take(formtest.New(testkit.Bristol))[0]
			come(t, x, in, collects)
			for i, paths := range [][]string{{"child/1/phone"}, nil} {
				q := &localv1.WithdrawNotificationRequest{Id: id, Paths: paths, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}
				must(d.Withdraw(t.Context(), q, testkit.Staff))(t)
				come(t, x, in, collects)
				stops := in.Stops()
				if len(stops) != i+1 || !stops[i].Found {
					t.Fatalf("the team was asked to stop %v", stops)
				}
				if err := in.AnswerStop(soon(t), stops[i], posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED); err != nil {
					t.Fatal(err)
				}
				want := [][]*stranger.Item{{nil}, {}}[i]
				if got := in.Items(); len(got) != len(want) || i == 0 && len(got[0].Sections) != 14 {
					t.Fatalf("the team has %v", got)
				}
			}
			if got := d.State(id); got != localv1.State_STATE_STOP_ASKED {
				t.Errorf("our desk says %v", got)
			}
		})
	}
}

// TestAStrangersNextKey: our desk goes on to the key that another program's inbox publishes, and seals to it.
func TestAStrangersNextKey(t *testing.T) {
	x := testkit.NewOverTLS(t, without)
	in := strangerInbox(t, x, false)
	ours, theirs := ourDesk(t, x), strangerDesk(t, x, testkit.HMPParc)
	must(in.NewKey(x.Clock.Now(), x.Clock.Now().AddDate(0, 1, 0)))(t)
	id := must(in.Publish(soon(t)))(t)
	must(ours.StepKeys(t.Context()))(t)
	if err := theirs.Sync(soon(t)); err != nil {
		t.Fatal(err)
	}
	ours.Take(formtest.New(testkit.Bristol))
	share(t, theirs)
	x.Settle()
	items := in.Items()
	if len(items) != 2 {
		t.Fatalf("the team has %d items", len(items))
	}
	for _, it := range items {
		if got := it.Manifest.GetOffer().GetRecipientKeyId(); got != id {
			t.Errorf("%s still seals to %s", it.Sender.ID, got)
		}
	}
}
