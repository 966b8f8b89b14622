package desk_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/rpc"
	"postern/internal/testkit"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// signedIn is a call of somebody who is signed in at the site.
func signedIn(t *testing.T, id string, roles ...string) context.Context {
	return rpc.WithPerson(t.Context(), rpc.Person{ID: id, Roles: roles})
}

// filled is a draft of a family, as far as it can be filled in.
func filled(t *testing.T, d *testkit.Desk, ctx context.Context, known *localv1.Draft) *localv1.Draft {
	t.Helper()
	draft := must(d.BeginDraft(ctx, known))(t)
	draft.Form = family()
	desk.Answered(draft, "tonight")
	return must(d.SaveDraft(ctx, draft))(t)
}

func TestADraftIsResumedByAColleague(t *testing.T) {
	_, d := opened(t)
	reception := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, reception, nil)
	colleague := signedIn(t, "RES2", "PUBLIC_PROTECTION", "RESETTLEMENT")
	there := must(d.Draft(colleague, draft.GetId()))(t)
	if !proto.Equal(there, draft) || there.GetBeginStaffId() != "REC1" || there.GetVersion() != 2 {
		t.Fatalf("the colleague reads %v", there)
	}
	there.Form.PrisonNumber = "A9999ZZ"
	there = must(d.SaveDraft(colleague, there))(t)
	if there.GetChangeStaffId() != "RES2" || there.GetBeginStaffId() != "REC1" {
		t.Errorf("begun by %s, changed by %s", there.GetBeginStaffId(), there.GetChangeStaffId())
	}
	if all := must(d.Drafts(reception))(t); len(all) != 1 || !proto.Equal(all[0], there) {
		t.Errorf("the drafts are %v", all)
	}
	for _, err := range []error{second(d.Draft(signedIn(t, "PP1", "PUBLIC_PROTECTION"), draft.GetId())), second(d.Drafts(signedIn(t, "PP1", "PUBLIC_PROTECTION"))),
		second(d.BeginDraft(signedIn(t, "PP1", "PUBLIC_PROTECTION"), nil)), second(d.SaveDraft(signedIn(t, "PP1", "PUBLIC_PROTECTION"), there)),
		d.DropDraft(signedIn(t, "PP1", "PUBLIC_PROTECTION"), draft.GetId())} {
		wantFault(t, err, fault.Denied, "WRONG_ROLE")
	}
}

func second[T any](_ T, err error) error { return err }

// Nobody at another prison finds a draft by its id.
func TestAnotherPrisonHasNoDraftOfOurs(t *testing.T) {
	x, d := opened(t)
	draft := filled(t, d, signedIn(t, "REC1", "RECEPTION_OFFICER"), nil)
	_, err := x.Desk(testkit.HMPParc).Draft(signedIn(t, "REC1", "RECEPTION_OFFICER"), draft.GetId())
	wantFault(t, err, fault.NotFound, "NO_DRAFT")
	for _, id := range []string{"", "PN-0000-0000", "../" + draft.GetId(), "\x00"} {
		_, err := d.Draft(signedIn(t, "REC1", "RECEPTION_OFFICER"), id)
		wantFault(t, err, fault.NotFound, "NO_DRAFT")
	}
}

// Of many who save at once what they all read, one is kept; the others are told, and nothing of theirs is mixed in.
func TestTwoTabsNeverLoseOrMix(t *testing.T) {
	_, d := opened(t)
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, ctx, nil)
	const tabs = 8
	var wg sync.WaitGroup
	errs := make([]error, tabs)
	for i := range tabs {
		wg.Go(func() {
			own := proto.CloneOf(draft)
			own.Form.Parent.Name.GivenName = string(rune('A' + i))
			own.Form.PrisonNumber = string(rune('A'+i)) + "0001ZZ"
			_, errs[i] = d.SaveDraft(ctx, own)
		})
	}
	wg.Wait()
	kept := must(d.Draft(ctx, draft.GetId()))(t)
	won := slices.Index(errs, nil)
	if won < 0 || kept.GetForm().GetParent().GetName().GetGivenName() != string(rune('A'+won)) || kept.GetForm().GetPrisonNumber()[:1] != string(rune('A'+won)) || kept.GetVersion() != draft.GetVersion()+1 {
		t.Errorf("kept %s of tab %d", kept.GetForm().GetPrisonNumber(), won)
	}
	for i, err := range errs {
		if i != won {
			wantFault(t, err, fault.Precondition, "DRAFT_CHANGED")
		}
	}
	// A second click says the same, from an older version, and is no conflict.
	again := proto.CloneOf(kept)
	again.Version = draft.GetVersion()
	if saved := must(d.SaveDraft(ctx, again))(t); saved.GetVersion() != kept.GetVersion() {
		t.Errorf("a second click made version %d of %d", saved.GetVersion(), kept.GetVersion())
	}
}

// A draft goes some days after it was saved last: at that moment for everybody who looks, and at the next step from the disk.
func TestADraftEnds(t *testing.T) {
	x, d := opened(t)
	d.Restart(func(c *desk.Config) { c.DraftLife = 48 * time.Hour })
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, ctx, nil)
	x.Clock.Advance(47 * time.Hour)
	draft.Form.PrisonNumber = "A9999ZZ"
	draft = must(d.SaveDraft(ctx, draft))(t)
	x.Clock.Advance(47 * time.Hour)
	must(d.Draft(ctx, draft.GetId()))(t)
	if worked := must(d.StepDrafts(t.Context()))(t); worked {
		t.Error("a draft was erased before its time")
	}
	x.Clock.Advance(time.Hour)
	wantFault(t, second(d.Draft(ctx, draft.GetId())), fault.NotFound, "NO_DRAFT")
	wantFault(t, second(d.SaveDraft(ctx, draft)), fault.NotFound, "NO_DRAFT")
	if all := must(d.Drafts(ctx))(t); len(all) != 0 {
		t.Errorf("there are %d drafts", len(all))
	}
	if worked := must(d.StepDrafts(t.Context()))(t); !worked {
		t.Error("nothing was erased")
	}
	if worked := must(d.StepDrafts(t.Context()))(t); worked {
		t.Error("it was erased twice")
	}
}

// A clock that was years ahead for a week costs no draft: what nobody saw meanwhile can be gone on with.
func TestAClockThatIsAheadErasesNoDraft(t *testing.T) {
	x, d := opened(t)
	var ahead time.Duration
	d.Restart(func(c *desk.Config) {
		c.Clock, c.DraftLife = func() time.Time { return x.Clock.Now().Add(ahead) }, 20*aDay
	})
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, ctx, nil)
	must(d.StepDrafts(t.Context()))(t)
	for range 7 {
		ahead = 5000 * aDay
		x.Clock.Advance(aDay)
		rests(t, must(d.StepDrafts(t.Context()))(t), nil)
		wantFault(t, second(d.Draft(ctx, draft.GetId())), fault.NotFound, "NO_DRAFT")
	}
	ahead = 0
	must(d.Draft(ctx, draft.GetId()))(t)
}

func TestADraftSentTwiceIsOneForm(t *testing.T) {
	x, d := opened(t)
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER", "PUBLIC_PROTECTION")
	draft := filled(t, d, ctx, nil)
	_, _, err := d.SendDraft(ctx, draft.GetId(), draft.GetVersion()-1, words.English)
	wantFault(t, err, fault.Precondition, "DRAFT_CHANGED")
	sent, all, err := d.SendDraft(ctx, draft.GetId(), draft.GetVersion(), words.English)
	if err != nil || len(all) != 1 || all[0].GetState() != accepted || all[0].GetFormId() != draft.GetForm().GetFormId() {
		t.Fatalf("%v: %v", err, all)
	}
	again, twice, err := d.SendDraft(signedIn(t, "RES2", "RESETTLEMENT"), draft.GetId(), draft.GetVersion(), words.English)
	if err != nil || len(twice) != 1 || twice[0].GetId() != all[0].GetId() || !proto.Equal(again, sent) {
		t.Fatalf("%v: %v", err, twice)
	}
	x.Settle()
	if n := decisions(t, x); n != 1 {
		t.Errorf("the hub decided %d times", n)
	}
	if there := must(d.Draft(ctx, draft.GetId()))(t); there.GetForm().GetChildren() != nil || there.GetForm().GetConsent() != nil || there.GetSendTime() == nil {
		t.Errorf("after it was sent there is left %v", there)
	}
	wantFault(t, second(d.SaveDraft(ctx, draft)), fault.Precondition, "DRAFT_SENT")
	wantFault(t, d.DropDraft(ctx, draft.GetId()), fault.Precondition, "DRAFT_SENT")
}

// A form that was taken just before a crash is a draft that was sent, though nobody wrote that down.
func TestADraftWhoseFormWasTakenIsSent(t *testing.T) {
	_, d := opened(t)
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, ctx, nil)
	ids := d.Take(desk.FormOf(draft))
	there := must(d.Draft(ctx, draft.GetId()))(t)
	if there.GetSendTime() == nil || !slices.Equal(there.GetNotificationIds(), ids) {
		t.Fatalf("there is %v", there)
	}
	draft.Form.PrisonNumber = "A9999ZZ"
	wantFault(t, second(d.SaveDraft(ctx, draft)), fault.Precondition, "DRAFT_SENT")
	if worked := must(d.StepDrafts(t.Context()))(t); !worked {
		t.Error("the draft was not ended")
	}
	if there = must(d.Draft(ctx, draft.GetId()))(t); len(there.GetForm().GetChildren()) > 0 || !slices.Equal(there.GetNotificationIds(), ids) {
		t.Errorf("there is %v", there)
	}
	if worked := must(d.StepDrafts(t.Context()))(t); worked {
		t.Error("it was ended twice")
	}
}

// Practice goes to the end: the same faults, and nothing leaves the desk or stays in its lists.
func TestPracticeSendsNothing(t *testing.T) {
	x, d := opened(t)
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, ctx, &localv1.Draft{Practice: true})
	wrong := proto.CloneOf(draft)
	wrong.Form.Children = nil
	wrong = must(d.SaveDraft(ctx, wrong))(t)
	_, _, err := d.SendDraft(ctx, wrong.GetId(), wrong.GetVersion(), words.English)
	if fault.KindOf(err) != fault.Invalid {
		t.Errorf("a form without children is answered by %v", err)
	}
	draft.Version = wrong.GetVersion()
	draft = must(d.SaveDraft(ctx, draft))(t)
	sent, all, err := d.SendDraft(ctx, draft.GetId(), draft.GetVersion(), words.English)
	if err != nil || len(all) != 0 || sent.GetSendTime() == nil {
		t.Fatalf("%v: %v", err, all)
	}
	x.Settle()
	if n := decisions(t, x) + len(spool(t, d)); n != 0 {
		t.Errorf("%d things left the desk", n)
	}
}

// Of somebody who arrived there is one draft at a time, whoever begins it.
func TestOneArrivalIsOneDraft(t *testing.T) {
	_, d := opened(t)
	known := &localv1.Draft{Arrival: "arrival-1", Form: &posternv1.Form{PrisonNumber: "A0001ZZ"}}
	first := must(d.BeginDraft(signedIn(t, "REC1", "RECEPTION_OFFICER"), known))(t)
	if again := must(d.BeginDraft(signedIn(t, "RES2", "RESETTLEMENT"), known))(t); again.GetId() != first.GetId() {
		t.Error("a second draft was begun")
	}
	if hand := must(d.BeginDraft(signedIn(t, "RES2", "RESETTLEMENT"), nil))(t); hand.GetId() == first.GetId() || hand.GetForm().GetFormId() == first.GetForm().GetFormId() {
		t.Error("somebody else’s draft was taken")
	}
}

// No byte of a draft that names anybody is on the disk in clear.
func TestADraftIsSealed(t *testing.T) {
	x, d := opened(t)
	ctx := signedIn(t, "REC1", "RECEPTION_OFFICER")
	draft := filled(t, d, ctx, nil)
	d.Restart()
	must(d.Draft(ctx, draft.GetId()))(t)
	found := 0
	err := filepath.WalkDir(x.Path("desk-"+testkit.HMPBristol), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, secret := range []string{draft.GetForm().GetParent().GetName().GetFamilyName(), draft.GetForm().GetPrisonNumber(), draft.GetForm().GetChildren()[0].GetHome().GetPostcode()} {
			if bytes.Contains(b, []byte(secret)) {
				t.Errorf("%s holds a name, a number or a postcode", e.Name())
			}
		}
		if bytes.Contains(b, []byte(draft.GetId())) {
			found++
		}
		return err
	})
	if err != nil || found == 0 {
		t.Errorf("the database with the draft was not found: %v", err)
	}
}
