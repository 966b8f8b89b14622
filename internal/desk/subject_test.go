package desk_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/plain"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// copied is a copy as the command gets it.
type copied struct {
	files map[string][]byte
	made  *localv1.SubjectCopy
}

// page is a page of a copy as it reads.
func (c copied) page(name string) string { return html.UnescapeString(string(c.files[name])) }

func (c copied) everything() (all [][]byte) {
	for _, content := range c.files {
		all = append(all, content)
	}
	return all
}

func subjectCopy(ctx context.Context, d *testkit.Desk, number string, also ...string) (copied, error) {
	out := copied{files: map[string][]byte{}}
	stream, err := d.Subject.MakeSubjectCopy(ctx, &localv1.MakeSubjectCopyRequest{PrisonNumber: number, Also: also})
	for err == nil {
		var next *localv1.MakeSubjectCopyResponse
		if next, err = stream.Recv(); errors.Is(err, io.EOF) {
			return out, nil
		}
		if f := next.GetFile(); f != nil {
			out.files[f.GetName()] = f.GetContent()
		}
		if next.GetMade() != nil {
			out.made = next.GetMade()
		}
	}
	return out, err
}

// aboutWhom are forms of so many people, each with as many forms, whatever is in them.
func aboutWhom(people, each int) (all [][]*posternv1.Form) {
	forms := rapid.Custom(formtest.Any)
	for p := range people {
		var own []*posternv1.Form
		for i := range each {
			f := forms.Example(p*each + i)
			f.FormId, f.PrisonNumber = "", fmt.Sprintf("b%04dzZ", p)
			for _, c := range f.GetChildren() {
				if c.GetAuthority() == formtest.Wrexham { // the register of the exchange has two
					c.Authority = testkit.Bristol
				}
			}
			if f.GetConsent() != nil {
				f.Consent.Authorities, f.Consent.FollowsChild = nil, true
			}
			own = append(own, f)
		}
		all = append(all, own)
	}
	return all
}

// What is held back of a form is not in the copy by what was decided about it, by to whom it went, or by what the team replied.
func TestTheCopyTellsNoOtherWayWhatItHoldsBack(t *testing.T) {
	const bristol = "value\": \"Bristol"
	for name, c := range map[string]struct {
		change func(*posternv1.Form)
		never  []string
	}{
		"a confidential address": {func(f *posternv1.Form) {
			f.Children[0].AddressConfidential, f.Children[0].Home, f.Children[0].School = true, nil, nil
		}, []string{bristol, "confidential", "address_confidential"}},
		"a child in care": {func(f *posternv1.Form) {
			f.Children[0].InCare, f.Children[0].Home, f.Children[0].School, f.Children[0].Carer = true, nil, nil, nil
		}, []string{bristol, "child_in_care"}},
		"nobody grown up":                {func(f *posternv1.Form) { f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NO }, []string{"carer_absent"}},
		"a home that somebody else told": {func(f *posternv1.Form) { f.Children[0].Home.Provenance.Basis = posternv1.Basis_BASIS_RECORD }, []string{bristol}},
		"a council that staff checked":   {func(f *posternv1.Form) { f.Children[0].AuthorityChecked = true }, []string{bristol}},
	} {
		t.Run(name, func(t *testing.T) {
			x, d := opened(t)
			f := family()
			c.change(f)
			d.Take(f)
			x.Settle()
			copied := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t)
			if found := testkit.Holds(c.never, copied.files["for-the-person.json"]); len(found) > 0 {
				t.Errorf("it holds %q", found)
			}
			if found := testkit.Holds(c.never[len(c.never)-1:], copied.files["read-first.html"]); len(found) == 0 && c.never[0] != bristol {
				t.Error("the officer's page lacks it")
			}
		})
	}
	x, d := opened(t)
	f := family()
	d.Take(f)
	x.Settle()
	if copied := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t); len(testkit.Holds([]string{bristol}, copied.files["for-the-person.json"])) == 0 {
		t.Error("who was told is left out, though the person said where the child lives")
	}
}

// Whatever a person's forms say, all of it is in their copy, on the officer's page too, and nothing of anybody else.
func TestACopyHasAllOfOnePersonAndNothingOfAnother(t *testing.T) {
	x, d := opened(t)
	people := aboutWhom(testkit.N(12, 300), 2)
	var said [][]string
	for _, own := range people {
		var values []string
		for _, f := range own {
			d.Take(f)
			values = append(values, testkit.Personal(f)...)
		}
		said = append(said, values)
	}
	x.Settle()
	for p, own := range people {
		c := must(subjectCopy(t.Context(), d, " B"+own[0].GetPrisonNumber()[1:]+"\n"))(t)
		if got := int(c.made.GetForms()); got != len(own) {
			t.Fatalf("%d forms of %d", got, len(own))
		}
		for _, v := range said[p] {
			if len(testkit.Holds([]string{v}, c.everything()...)) == 0 {
				t.Errorf("%q is not in the copy", v)
			}
			if _, err := time.Parse(time.DateOnly, v); err != nil && !strings.Contains(c.page("read-first.html"), plain.Visible(v)) {
				t.Errorf("%q is not on the officer's page", v)
			}
		}
		for q, theirs := range said {
			others := slices.DeleteFunc(slices.Clone(theirs), func(v string) bool { return slices.Contains(said[p], v) })
			if found := testkit.Holds(others, c.everything()...); q != p && len(found) > 0 {
				t.Errorf("of somebody else it holds %q", found)
			}
		}
	}
	if bytes.Contains(x.Logs(), []byte("B0000ZZ")) || bytes.Contains(x.Logs(), []byte("b0000zZ")) {
		t.Error("a prison number is in a log")
	}
}

// What an officer decides about is not in the copy to hand out, whatever else is: where somebody is, urgency, the check, what
// was considered, telephone calls, and who of staff did what. It tells of nobody's name that is not the person's own word.
func TestTheCopyToHandOutHoldsBackByDefault(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.Children[0].Carer.IsAdult = posternv1.Answer_ANSWER_NOT_KNOWN
	f.Children[0].Needs.Codes, f.Children[0].Needs.CommunicationNeeds = []posternv1.Need{posternv1.Need_NEED_DISABILITY}, "large print"
	f.Children[0].Identity.Provenance.Basis = posternv1.Basis_BASIS_RECORD
	id := d.Take(f)[0]
	x.Settle()
	must(d.Cases.RecordCall(t.Context(), &localv1.RecordCallRequest{Id: id, Result: posternv1.CallResult_CALL_RESULT_ANSWERED, Who: "Zebedee", Reference: "Ref-8812"}))(t)
	move(t, d, id, testkit.HMPParc)
	x.Settle()
	must(d.Local.WithdrawNotification(t.Context(), &localv1.WithdrawNotificationRequest{Id: id, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}))(t)
	x.Settle()
	c := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t)
	child := f.GetChildren()[0]
	held := append([]string{child.GetIdentity().GetGivenName(), child.GetPhone().GetCarerPhone(), child.GetSchool().GetSettingName(), child.GetSafety().GetSafeManner(),
		child.GetWorker().GetTeamName(), child.GetHome().GetPostcode(), "large print", "Zebedee", "Ref-8812", testkit.Staff.ID, "disability"}, child.GetHome().GetAddressLines()...)
	for _, name := range []string{"for-the-person.html", "for-the-person.json"} {
		if found := testkit.Holds(held, c.files[name]); len(found) > 0 {
			t.Errorf("%s holds %q", name, found)
		}
	}
	own := []string{"Morwenna", "Tattersby-Quill", child.GetCarer().GetName(), f.GetPrisonNumber(), d.Get(id).GetNotification().GetReference(), "Permission taken back", "Move to another prison"}
	for _, v := range own {
		if !strings.Contains(c.page("for-the-person.html"), v) {
			t.Errorf("the copy lacks %q", v)
		}
	}
	for _, v := range append(held, own...) {
		if !strings.Contains(c.page("read-first.html"), v) {
			t.Errorf("the officer's page lacks %q", v)
		}
	}
	var list []struct{ ID, Default, Why, Words string }
	if err := json.Unmarshal(c.files["to-consider.json"], &list); err != nil || len(list) <= int(c.made.GetHeldBack()) || c.made.GetHeldBack() == 0 {
		t.Fatalf("%d decisions, %d held back: %v", len(list), c.made.GetHeldBack(), err)
	}
	for _, l := range list {
		if l.ID == "" || l.Why == "" || strings.HasPrefix(l.Words, "[") || (l.Default == "GIVEN") != (l.Why == "SAID_BY_THE_PERSON") {
			t.Errorf("a decision is %v", l)
		}
	}
}

// Two worlds: the check holds the form, or is not done. To hand out they are the same, to the byte.
func TestTheCopyToHandOutNeverTellsOfAHold(t *testing.T) {
	x, d := opened(t)
	f := family()
	f.Gate = posternv1.Gate_GATE_NOT_DONE
	id := d.Take(f)[0]
	x.Settle()
	before := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t)
	setGate(t, d, id, posternv1.Gate_GATE_HOLD)
	x.Settle()
	after := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t)
	if d.State(id) != referred {
		t.Fatalf("it is %v", d.State(id))
	}
	for _, name := range []string{"for-the-person.html", "for-the-person.json"} {
		if !bytes.Equal(before.files[name], after.files[name]) {
			t.Errorf("%s was\n%s\nand is\n%s", name, before.files[name], after.files[name])
		}
	}
	if !strings.Contains(after.page("read-first.html"), "check holds something") || strings.Contains(before.page("read-first.html"), "check holds something") {
		t.Error("the officer is not told, or told too much")
	}
}

// Of what went urgently, and the person was not told of, the copy to hand out says nothing: it is that of somebody about whom
// nothing is held.
func TestWhatThePersonWasNotToldOfIsNotInTheirCopy(t *testing.T) {
	x, d := opened(t)
	f := formtest.Urgent(testkit.Bristol, 1)
	d.Take(f)
	x.Settle()
	nothing := must(subjectCopy(t.Context(), d, "Z9999ZZ"))(t)
	c := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t)
	for _, name := range []string{"for-the-person.html", "for-the-person.json"} {
		if !bytes.Equal(nothing.files[name], c.files[name]) {
			t.Errorf("%s is %s", name, c.files[name])
		}
	}
	if nothing.made.GetForms() != 0 || len(nothing.files) != 5 || !strings.Contains(c.page("read-first.html"), f.GetUrgency().GetWhatWasSaid()) {
		t.Errorf("of nobody %v in %d files", nothing.made, len(nothing.files))
	}
	told := formtest.Urgent(testkit.Bristol, 1)
	told.Urgency.ParentTold, told.Urgency.ParentNotToldReason = posternv1.Answer_ANSWER_YES, ""
	d.Take(told)
	x.Settle()
	c = must(subjectCopy(t.Context(), d, told.GetPrisonNumber()))(t)
	if page := c.page("for-the-person.html"); !strings.Contains(page, "Morwenna") || strings.Contains(page, told.GetUrgency().GetWhatWasSaid()) {
		t.Errorf("told, they get %s", page)
	}
}

// That they were told was written into the form by mistake; what the lead considers later says that they were not.
func TestAFormOfWhichThePersonWasNotToldAfterAllIsNotInTheirCopy(t *testing.T) {
	x, d := opened(t)
	f := formtest.Duty(testkit.Bristol, 2)
	f.Consideration.ParentTold, f.Consideration.NotMoreDetrimental, f.Consideration.Paths = posternv1.Answer_ANSWER_YES, nil, []string{"parent/name"}
	id := d.Take(f)[0]
	x.Settle()
	copied := func() []byte {
		t.Helper()
		return must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t).files["for-the-person.json"]
	}
	if !bytes.Contains(copied(), []byte(f.GetPrisonNumber())) {
		t.Fatal("told, they get nothing")
	}
	req := deciding(id, true)
	req.Codes.ParentTold = posternv1.Answer_ANSWER_NO
	must(d.Cases.Consider(t.Context(), req))(t)
	x.Settle()
	nothing := must(subjectCopy(t.Context(), d, "Z9999ZZ"))(t).files["for-the-person.json"]
	if got := copied(); !bytes.Equal(got, nothing) {
		t.Errorf("the copy is %s", got)
	}
}

// Every file is in the index by its digest, and the digest of the index is in the desk's own history, with who and when: for
// good, and whatever becomes of the form. The next copy knows of it.
func TestACopyIsRecorded(t *testing.T) {
	x, d := opened(t)
	f := family()
	id := d.Take(f)[0]
	x.Settle()
	c := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t)
	var index struct {
		Files []struct{ ID, SHA256 string } `json:"files"`
	}
	if err := json.Unmarshal(c.files["index.json"], &index); err != nil || len(index.Files) != len(c.files)-1 || int(c.made.GetFiles()) != len(c.files) {
		t.Fatalf("the index is %s, %v", c.files["index.json"], err)
	}
	for _, listed := range index.Files {
		if sum := sha256.Sum256(c.files[listed.ID]); hex.EncodeToString(sum[:]) != listed.SHA256 {
			t.Errorf("%s is %s", listed.ID, listed.SHA256)
		}
	}
	for name := range c.files {
		if found := testkit.Holds(testkit.Personal(f), []byte(name)); len(found) > 0 || !filepath.IsLocal(name) {
			t.Errorf("a file is called %s", name)
		}
	}
	if found := testkit.Holds(testkit.Personal(f), c.files["index.json"]); len(found) > 0 {
		t.Errorf("the index holds %q", found)
	}
	if c.files["receipts/"+id+".txt"] == nil || c.files["held/notification-"+id+".json"] == nil {
		t.Error("there is no receipt, or no notification")
	}
	x.Clock.Advance(time.Hour)
	again := must(subjectCopy(t.Context(), d, f.GetPrisonNumber()))(t)
	if !strings.Contains(again.page("read-first.html"), "was made before") || strings.Contains(again.page("for-the-person.html"), "made before") {
		t.Error("who made the first is not said, or said too widely")
	}
	d.Restart()
	all := must(d.Subject.ListSubjectCopies(t.Context(), &localv1.ListSubjectCopiesRequest{}))(t).GetCopies()
	sum := sha256.Sum256(c.files["index.json"])
	if len(all) != 2 || all[0].GetId() != again.made.GetId() || !bytes.Equal(all[1].GetIndexSha256(), sum[:]) || all[1].GetStaffId() != testkit.Staff.ID ||
		all[1].GetMakeTime() == nil || !slices.Equal(all[1].GetNotificationIds(), []string{id}) {
		t.Errorf("recorded is %v", all)
	}
}

// Nobody makes a copy, or sees of whom one was made, without the role; and nothing is recorded then.
func TestOnlyTheSafeguardingLeadMakesACopy(t *testing.T) {
	x, d := opened(t)
	f := family()
	d.Take(f)
	x.Settle()
	d.Restart(func(c *desk.Config) {
		s := testkit.Staff
		s.Also = []posternv1.StaffRole{posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION, posternv1.StaffRole_STAFF_ROLE_DUTY_GOVERNOR}
		c.Staff = map[uint32]desk.Staff{uint32(os.Getuid()): s}
	})
	_, err := subjectCopy(t.Context(), d, f.GetPrisonNumber())
	wantFault(t, err, fault.Denied, "WRONG_ROLE")
	_, err = d.Subject.ListSubjectCopies(t.Context(), &localv1.ListSubjectCopiesRequest{})
	wantFault(t, err, fault.Denied, "WRONG_ROLE")
	d.Restart()
	if all := must(d.Subject.ListSubjectCopies(t.Context(), &localv1.ListSubjectCopiesRequest{}))(t).GetCopies(); len(all) != 0 {
		t.Errorf("recorded is %v", all)
	}
	_, err = subjectCopy(t.Context(), d, "Morwenna Tattersby-Quill")
	wantFault(t, err, fault.Invalid, "BAD_NUMBER")
	if strings.Contains(err.Error(), "Morwenna") {
		t.Errorf("the fault repeats what was typed: %v", err)
	}
}

// Nothing of an erased form is found by the number; by its reference what is left of it is, which says that it was erased. A
// reference of somebody else gives nothing.
func TestACopySaysWhatWasErasedAndWhenTheRestWillBe(t *testing.T) {
	x, d := opened(t)
	f, other := family(), family()
	id, others := d.Take(f)[0], d.Take(other)[0]
	x.Settle()
	ref, number := d.Get(id).GetNotification().GetReference(), f.GetPrisonNumber()
	page := must(subjectCopy(t.Context(), d, number))(t).page("for-the-person.html")
	if !strings.Contains(page, "When its form is to be erased") || strings.Contains(page, "not yet known") {
		t.Errorf("it does not say when it will be erased: %s", page)
	}
	_, err := subjectCopy(t.Context(), d, number, d.Get(others).GetNotification().GetReference())
	wantFault(t, err, fault.Precondition, "NOT_THIS_PERSON")
	_, err = subjectCopy(t.Context(), d, number, "3d61416c-bca7-4f1b-b7d9-2eb2186a29bb")
	wantFault(t, err, fault.NotFound, "NOT_FOUND")
	if !later(t, x, d, 200) || !isErased(d, id) {
		t.Fatal("it is not erased")
	}
	if c := must(subjectCopy(t.Context(), d, number))(t); len(c.made.GetNotificationIds()) != 0 {
		t.Errorf("found is %v", c.made)
	}
	c := must(subjectCopy(t.Context(), d, number, ref))(t)
	if !slices.Equal(c.made.GetNotificationIds(), []string{id}) || !strings.Contains(c.page("read-first.html"), "Erased") ||
		!strings.Contains(c.page("read-first.html"), "named by its reference") || strings.Contains(c.page("for-the-person.html"), ref) {
		t.Errorf("what is left of it is %s", c.page("read-first.html"))
	}
	if found := testkit.Holds(names, c.everything()...); len(found) > 0 {
		t.Errorf("it still holds %q", found)
	}
}

// What is being filled in is held too, and so is a line of the arrivals; a form that puts the number right comes with the one
// that had it wrong, held back until somebody has looked.
func TestACopyHasDraftsArrivalsAndTheFormPutRight(t *testing.T) {
	dir := t.TempDir()
	x, d := opened(t, func(c *testkit.Config) { c.Desk = func(cfg *desk.Config) { cfg.Arrivals = dir } })
	if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte("prison_number,given_name,family_name,date\nC1234ZZ,Quillabel,Arrivington,2026-11-22\nC1235ZZ,Nobodella,Else,2026-11-22\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	reception := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, reception, &localv1.Draft{Form: &posternv1.Form{PrisonNumber: "c1234zz"}})
	draft.Form.PrisonNumber, draft.Form.Parent.Name.GivenName = "c1234zz", "Draftabella"
	must(d.SaveDraft(reception, draft))(t)
	wrong, right := family(), family()
	wrong.PrisonNumber = "C1243ZZ"
	first := d.Take(wrong)[0]
	x.Settle()
	right.PrisonNumber, right.Supersedes, right.Parent.Name.GivenName = "C1234ZZ", first, "Putrightia"
	d.Take(right)
	x.Settle()
	c := must(subjectCopy(t.Context(), d, "C1234ZZ"))(t)
	if c.made.GetForms() != 2 || c.made.GetDrafts() != 1 || c.made.GetArrivals() != 1 || len(c.made.GetNotificationIds()) != 2 {
		t.Fatalf("found is %v", c.made)
	}
	page := c.page("for-the-person.html")
	for _, v := range []string{"Quillabel", "Draftabella", "Putrightia"} {
		if !strings.Contains(page, v) {
			t.Errorf("the copy lacks %q", v)
		}
	}
	if strings.Contains(page, "C1243ZZ") || !strings.Contains(c.page("read-first.html"), "C1243ZZ") || !strings.Contains(c.page("read-first.html"), "another prison number") {
		t.Error("the form with the wrong number is in the copy, or not on the officer's page")
	}
	if found := testkit.Holds([]string{"Nobodella"}, c.everything()...); len(found) > 0 {
		t.Error("somebody else's arrival is in it")
	}
}
