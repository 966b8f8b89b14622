package desk_test

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

const formID = "0d3e8a52-6f1b-4c7d-9a20-5b8c1e4f7a36"

func TestTheSameFormIsOneForm(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.FormId = formID
	first := d.Take(f)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, again, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, f), testkit.Staff); err != nil || !slices.Equal(again, first) {
				t.Errorf("%v, want %v: %v", again, first, err)
			}
		})
	}
	wg.Wait()
	if len(spool(t, d)) != 1 {
		t.Errorf("%d wait", len(spool(t, d)))
	}
	x.Settle()
	d.Restart()
	if again := d.Take(f); !slices.Equal(again, first) || d.State(first[0]) != delivered || decisions(t, x) != 1 {
		t.Errorf("%v, want %v; %v; %d decisions", again, first, d.State(first[0]), decisions(t, x))
	}
}

func TestAnotherFormUnderTheSameIDIsRefused(t *testing.T) {
	_, d := opened(t)
	f := family()
	f.FormId = formID
	ids := d.Take(f)
	f.Children[0].School.SettingName = "Another Primary"
	_, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, f), testkit.Staff)
	wantFault(t, err, fault.Invalid, "FORM_CHANGED")
	if fields := fault.From(err).Fields; len(fields) != 1 || fields[0].Path != "form_id" || fields[0].Fix == "" {
		t.Errorf("fields %v", fields)
	}
	if got := spool(t, d); len(got) != 1 || got[0].ID != ids[0] {
		t.Errorf("%d wait", len(got))
	}
}

func TestTheSameFormWithADateAsPeopleWriteItIsOneForm(t *testing.T) {
	_, d := opened(t)
	f := family()
	f.FormId, f.Parent.Birth.DateOfBirth, f.Reception.ReceiveDate = formID, "3 Feb 1994", "21/11/2026"
	if first, again := d.Take(f), d.Take(f); len(first) != 1 || !slices.Equal(first, again) {
		t.Errorf("%v, and again %v", first, again)
	}
}

func TestAFormWithoutAnIDGetsOneEachTime(t *testing.T) {
	_, d := opened(t)
	one, _, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, family()), testkit.Staff)
	two, _, err2 := d.Desk.Take(t.Context(), testkit.FormJSON(t, family()), testkit.Staff)
	if err != nil || err2 != nil || !envelope.ValidID(one) || !envelope.ValidID(two) || one == two {
		t.Errorf("%q and %q: %v, %v", one, two, err, err2)
	}
}

func TestAFaultyFormIsNotTaken(t *testing.T) {
	_, d := opened(t)
	f := family()
	f.PrisonNumber, f.Children[0].Authority = "", "E06000024"
	_, err := d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, f)})
	wantFault(t, err, fault.Invalid, "FORM_INVALID")
	var paths []string
	for _, field := range fault.From(err).Fields {
		paths = append(paths, field.Path)
	}
	if !slices.Contains(paths, "prison_number") || !slices.Contains(paths, "children[0].authority") {
		t.Errorf("faults in %v", paths)
	}
	if len(spool(t, d)) > 0 {
		t.Error("something waits")
	}
}

func TestAnUnmappedUserIsRefused(t *testing.T) {
	_, d := opened(t)
	ids := d.Take(family())
	d.Restart(func(c *desk.Config) { c.Staff = map[uint32]desk.Staff{uint32(os.Getuid()) + 1: testkit.Staff} })
	_, err := d.Local.SubmitForm(t.Context(), &localv1.SubmitFormRequest{FormJson: testkit.FormJSON(t, family())})
	wantFault(t, err, fault.Denied, "UNMAPPED_USER")
	_, err = d.Local.GetNotification(t.Context(), &localv1.GetNotificationRequest{Id: ids[0]})
	wantFault(t, err, fault.Denied, "UNMAPPED_USER")
	_, err = d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{})
	wantFault(t, err, fault.Denied, "UNMAPPED_USER")
	if len(spool(t, d)) != 1 {
		t.Error("a form was taken")
	}
	_, err = d.SubmitForm(t.Context(), &localv1.SubmitFormRequest{}) // not through the socket: nobody knows who
	wantFault(t, err, fault.Unauthenticated, "NO_USER")
}

// No authority can tell that another exists: not from its code, its name, an id or a child's number.
func TestTwoAuthoritiesKnowNothingOfEachOther(t *testing.T) {
	x := testkit.NewExchange(t)
	d := x.Desk(testkit.HMPParc)
	var crossed [][]byte
	d.Link.Requests(func(_ string, b []byte) []byte { crossed = append(crossed, bytes.Clone(b)); return b })
	f := x.Example("two_authorities")
	f.FormId = formID
	ids := d.Take(f)
	for range 2 {
		worked, err := d.StepSpool(t.Context())
		works(t, worked, err)
	}
	if len(ids) != 2 || len(crossed) != 2 {
		t.Fatalf("%d notifications, %d crossed", len(ids), len(crossed))
	}
	words := map[string][]string{testkit.Bristol: {testkit.Bristol, "Bristol"}, testkit.Lancashire: {testkit.Lancashire, "Lancashire"}}
	other := map[string]string{testkit.Bristol: testkit.Lancashire, testkit.Lancashire: testkit.Bristol}
	consents := map[string]bool{}
	for i, b := range crossed {
		req, m := &posternv1.SubmitRequest{}, &posternv1.Manifest{}
		if err := proto.Unmarshal(b, req); err != nil {
			t.Fatal(err)
		}
		if err := proto.Unmarshal(req.GetNotification().GetManifest().GetPayload(), m); err != nil {
			t.Fatal(err)
		}
		to := m.GetOffer().GetAuthority()
		never := append(words[other[to]], ids[1-i], formID, f.GetConsent().GetId())
		if found := testkit.Holds(never, b); len(found) > 0 {
			t.Errorf("the notification for %s holds %q", to, found)
		}
		if found := testkit.Holds(words[to][:1], b); len(found) != 1 {
			t.Errorf("the control: the notification for %s does not hold its own code", to)
		}
		consents[m.GetOffer().GetConsent().GetId()] = true
		if want := map[string]int{testkit.Bristol: 2, testkit.Lancashire: 1}[to]; len(m.GetOffer().GetConsent().GetChildren()) != want {
			t.Errorf("consent of %s names children %v", to, m.GetOffer().GetConsent().GetChildren())
		}
	}
	if len(consents) != 2 {
		t.Error("the two consents share an id")
	}
	d.Link.Requests(nil)
	x.Settle()
	for _, code := range []string{testkit.Bristol, testkit.Lancashire} {
		if items := x.Inbox(code).Items(); len(items) != 1 {
			t.Errorf("%s has %d items", code, len(items))
		}
	}
}

// Without a key that is good today nothing is sealed, and a person takes over.
func TestNothingIsSealedToAKeyThatHasEnded(t *testing.T) {
	x, d := opened(t, func(c *testkit.Config) {
		c.Register.KeyEnds = map[string]time.Time{testkit.Bristol: testkit.Now}
	})
	var sent *posternv1.SealedNotification
	d.Link.Requests(func(_ string, b []byte) []byte {
		req := &posternv1.SubmitRequest{}
		if proto.Unmarshal(b, req) == nil && req.GetNotification() != nil {
			sent = req.GetNotification()
		}
		return b
	})
	ids := d.Take(family())
	worked, err := d.StepSpool(t.Context())
	works(t, worked, err)
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(sent.GetManifest().GetPayload(), m); err != nil {
		t.Fatal(err)
	}
	if o := m.GetOffer(); len(sent.GetSections()) > 0 || o.GetSuite() != 0 || o.GetRecipientKeyId() != "" || o.GetEncapsulatedKey() != nil {
		t.Errorf("sealed %d sections to %q", len(sent.GetSections()), o.GetRecipientKeyId())
	}
	if d.State(ids[0]) != referred {
		t.Errorf("it is %v", d.State(ids[0]))
	}
	x.Settle()
	if items := x.Inbox(testkit.Bristol).Items(); len(items) > 0 {
		t.Error("something arrived")
	}
}

func TestANotificationIsFoundByEverySpelling(t *testing.T) {
	_, d := opened(t)
	id := d.Take(family())[0]
	ref := envelope.Reference(id)
	for _, name := range []string{id, ref, strings.ToLower(ref), strings.ReplaceAll(ref, "-", ""), strings.TrimPrefix(ref, "PN-"), " " + strings.ReplaceAll(ref, "-", " ") + " "} {
		if got := d.Get(name).GetNotification(); got.GetId() != id || got.GetReference() != ref || got.GetAuthorityName() != "Bristol" {
			t.Errorf("%q is %v", name, got)
		}
	}
	const stranger = "5f0c6d2e-8b1a-4e3f-9a47-1c2d3e4f5a6b"
	for name, want := range map[string]struct {
		kind   fault.Kind
		reason string
	}{
		stranger:                     {fault.NotFound, "NOT_FOUND"},
		envelope.Reference(stranger): {fault.NotFound, "NOT_FOUND"},
		"PN-2222-2222":               {fault.Invalid, "BAD_REFERENCE"},
		"":                           {fault.Invalid, "BAD_REFERENCE"},
	} {
		_, err := d.Local.GetNotification(t.Context(), &localv1.GetNotificationRequest{Id: name})
		wantFault(t, err, want.kind, want.reason)
	}
	err := d.Store.Update(t.Context(), func(tx store.Tx) error { // another notification with the same first 35 bits
		return tx.Put(schema.DeskReference, []byte(ref+"\x00"+stranger), []byte{1})
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Local.GetNotification(t.Context(), &localv1.GetNotificationRequest{Id: ref})
	wantFault(t, err, fault.Precondition, "AMBIGUOUS")
	d.Get(id)
}

func TestListsAreNewestFirstAndByState(t *testing.T) {
	x, d := opened(t)
	old := d.Take(family())[0]
	x.Settle()
	x.Clock.Advance(60e9)
	no := d.Take(formtest.Declined())[0]
	x.Settle()
	x.Clock.Advance(60e9)
	waits := d.Take(family())[0]
	list := func(states ...localv1.State) (ids []string) {
		for _, n := range must(d.Local.ListNotifications(t.Context(), &localv1.ListNotificationsRequest{States: states}))(t).GetNotifications() {
			ids = append(ids, n.GetId())
		}
		return ids
	}
	for _, c := range []struct{ got, want []string }{
		{list(), []string{waits, no, old}}, {list(queued), []string{waits}}, {list(referred, delivered), []string{no, old}}, {list(accepted), nil},
	} {
		if !slices.Equal(c.got, c.want) {
			t.Errorf("%v, want %v", c.got, c.want)
		}
	}
}

// On disk and in the log a desk's families are not readable.
func TestNoValueLiesOpenOnDisk(t *testing.T) {
	x, d := opened(t)
	f := family()
	d.Take(f)
	x.Settle()
	raw := must(os.ReadFile(x.Path("desk-BLI", "desk.db")))(t)
	words := testkit.Personal(f)
	if found := testkit.Holds(words, raw, x.Logs()); len(found) > 0 {
		t.Errorf("found %q", found)
	}
	err := d.Store.Update(t.Context(), func(tx store.Tx) error { return tx.Put(schema.DeskMeta, []byte("leak"), []byte("Morwenna")) })
	if err != nil {
		t.Fatal(err)
	}
	if found := testkit.Holds(words, must(os.ReadFile(x.Path("desk-BLI", "desk.db")))(t)); !slices.Equal(found, []string{"Morwenna"}) {
		t.Errorf("the control found %q", found)
	}
}

func TestAFormTakenLongAgoGetsItsAnswerAgain(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.FormId = formID
	first := d.Take(f)
	x.Settle()
	x.Clock.Advance(400 * 24 * time.Hour) // its consent has ended, and a new form like it would be judged otherwise
	_, again, err := d.Desk.Take(t.Context(), testkit.FormJSON(t, f), testkit.Staff)
	if err != nil || !slices.Equal(again, first) {
		t.Errorf("%v, want %v: %v", again, first, err)
	}
}

// TestEachNotificationStatesItsLawfulBasis: the prison's own where the form names none, else the form's, under the desk's
// signature.
func TestEachNotificationStatesItsLawfulBasis(t *testing.T) {
	x, d := opened(t)
	own := &posternv1.LawfulBasis{Article6: posternv1.Article6Basis_ARTICLE6_BASIS_PUBLIC_TASK, Schedule1Paragraph: 18, Article9Condition: "art9.2.g", Gateway: "ca2004.s11"}
	d.Restart(func(c *desk.Config) { c.Basis = own })
	named := family()
	named.LawfulBasis = &posternv1.LawfulBasis{Article6: posternv1.Article6Basis_ARTICLE6_BASIS_PUBLIC_TASK, Schedule1Paragraph: 29,
		Article9Condition: "art9.2.g", Gateway: "ca1989.s17"}
	var stated []*posternv1.LawfulBasis
	d.Link.Requests(func(_ string, b []byte) []byte {
		req, m := &posternv1.SubmitRequest{}, &posternv1.Manifest{}
		if proto.Unmarshal(b, req) == nil && proto.Unmarshal(req.GetNotification().GetManifest().GetPayload(), m) == nil && m.GetOffer() != nil {
			stated = append(stated, m.GetOffer().GetLawfulBasis())
		}
		return b
	})
	d.Take(family())
	d.Take(named)
	x.Settle()
	if len(stated) != 2 || !proto.Equal(stated[0], own) || !proto.Equal(stated[1], named.GetLawfulBasis()) {
		t.Errorf("stated %v", stated)
	}
}
