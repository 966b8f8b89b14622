package desk_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/desk"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/postcode"
	"postern/internal/testkit"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// slip is the slip of a notification, as text or as a page.
func slip(t *testing.T, d *testkit.Desk, id, lang string, html bool) string {
	t.Helper()
	out, err := d.Counter.GetSlip(t.Context(), &localv1.GetSlipRequest{Id: id, Language: lang, Html: html})
	if err != nil {
		t.Fatal(err)
	}
	return string(out.GetContent())
}

func says(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if not, ok := strings.CutPrefix(want, "!"); ok && strings.Contains(text, not) {
			t.Errorf("it says %q:\n%s", not, text)
		} else if !ok && !strings.Contains(text, want) {
			t.Errorf("it does not say %q:\n%s", want, text)
		}
	}
}

func TestTheNumbersNeedNeitherHubNorAGoodForm(t *testing.T) {
	_, d := opened(t)
	d.Link.Down(true)
	for name, c := range map[string]struct {
		req  *localv1.TonightRequest
		want []string
	}{
		"a form with faults": {&localv1.TonightRequest{FormJson: []byte(`{"tonight":{"answer":"TONIGHT_ANSWER_YES"},"oops":1,"children":[{"authority":"E06000023"}]}`)}, []string{testkit.Bristol}},
		"no authority":       {&localv1.TonightRequest{FormJson: []byte(`{"tonight":{"answer":"TONIGHT_ANSWER_NOT_SURE"}}`)}, []string{testkit.Bristol, testkit.Lancashire, "W06000006"}},
		"an unknown one":     {&localv1.TonightRequest{Authorities: []string{"E09000001"}}, []string{testkit.Bristol, testkit.Lancashire, "W06000006"}},
		"nobody alone":       {&localv1.TonightRequest{FormJson: []byte(`{"tonight":{"answer":"TONIGHT_ANSWER_NO"},"children":[{"authority":"E06000023"}]}`)}, nil},
		"one by name":        {&localv1.TonightRequest{Authorities: []string{testkit.Lancashire}}, []string{testkit.Lancashire}},
	} {
		out, err := d.Counter.Tonight(t.Context(), c.req)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, n := range out.GetNumbers() {
			got = append(got, n.GetAuthority())
			if n.GetPhone() == "" || n.GetTeam() == "" || n.GetName() == "" {
				t.Errorf("%s: %v", name, n)
			}
		}
		if strings.Join(got, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s: the numbers of %q, want %q", name, got, c.want)
		}
	}
}

func TestASlipForEveryEnd(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol, testkit.Bristol)
	f.Consent.Children = []uint32{1}
	id := d.Take(f)[0]
	says(t, slip(t, d, id, "", false), "Nothing has been sent yet", "About Peregrine-1", "Code: ")
	x.Settle()
	sent := slip(t, d, id, "en", false)
	says(t, sent, "They have been told", "About Peregrine-1", "Nothing is sent about Peregrine-2", d.Get(id).GetNotification().GetSlipCode(), "Your permission lasts until")
	says(t, slip(t, d, id, "cy", true), `<html lang="cy">`, "<title>Yr hyn a ddywedoch wrthym am eich teulu</title>", "Am Peregrine-1")

	declined := d.Take(formtest.Declined())[0]
	x.Settle()
	says(t, slip(t, d, declined, "", false), "You said no.", "must still think", "!Code:", "!Lancashire")

	_, err := d.Counter.GetSlip(t.Context(), &localv1.GetSlipRequest{Id: id, Language: "fr"})
	wantFault(t, err, fault.Invalid, "NO_LANGUAGE")
}

// The paper says the day on which the list says it: of those after they came, not after the form was filled in.
func TestTheSlipAndTheListAskAgainOnOneDay(t *testing.T) {
	for _, outcome := range []posternv1.EnquiryOutcome{posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED, posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN} {
		for late, days := range [][]int{{1, 1, 3, 3}, {3, 3, 3}, {3, 3}, {0}} { // by how late the form is, and then the slip
			x, d := opened(t)
			ctx, came := signedIn(t, "REC1", "RECEPTION_OFFICER"), x.Clock.Now()
			x.Clock.Advance(time.Duration(late) * 24 * time.Hour)
			f := formtest.Enquiry(outcome)
			f.AskAgainDate, f.Reception.ReceiveDate = "", came.Format(time.DateOnly)
			if outcome == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN { // has children, and could not decide
				f.Consent = &posternv1.Consent{Version: 1, Jurisdiction: "GB-ENG", State: posternv1.ConsentState_CONSENT_STATE_NOT_ASKED}
			}
			draft := must(d.BeginDraft(ctx, &localv1.Draft{Form: f}))(t)
			sent, all, err := d.SendDraft(ctx, draft.GetId(), draft.GetVersion(), words.English)
			if err != nil {
				t.Fatal(err)
			}
			for waited, day := range days {
				want := came.AddDate(0, 0, day)
				if waited == 0 && day > 0 && desk.AskAgainOn(sent) != want.Format(time.DateOnly) {
					t.Errorf("the list of a form %d days late says %s", late, desk.AskAgainOn(sent))
				}
				if said := "We will ask you again on "; day == 0 {
					says(t, slip(t, d, all[0].GetId(), "", false), "!"+said)
				} else {
					says(t, slip(t, d, all[0].GetId(), "", false), said+want.Format("2 January 2006"))
				}
				x.Clock.Advance(24 * time.Hour)
			}
		}
	}
}

// The slip of a child who goes on by herself is hers: it names nobody else, and does not say that nothing is sent about her.
func TestTheSlipOfAChildWhoGoesOnByHerself(t *testing.T) {
	x, d := opened(t)
	id := d.Take(sisters())[0]
	x.Settle()
	all := answeredCall(t, d, id, 2)
	x.Settle()
	second := all[len(all)-1]
	if !slices.Equal(second.GetFormChildren(), []uint32{2}) {
		t.Fatalf("she does not go on by herself: %v", all)
	}
	says(t, slip(t, d, second.GetId(), "", false), "About Peregrine-2", "!Peregrine-1", "!Nothing is sent about")
	says(t, slip(t, d, id, "", false), "About Peregrine-1", "Nothing is sent about Peregrine-2")
}

// On paper they would be told, so there is no slip of what they were not told on purpose.
func TestNoSlipTellsWhoWasNotTold(t *testing.T) {
	_, d := opened(t)
	urgent := formtest.Urgent(testkit.Bristol, 1)
	id := d.Take(urgent)[0]
	_, err := d.Counter.GetSlip(t.Context(), &localv1.GetSlipRequest{Id: id})
	wantFault(t, err, fault.Precondition, "NOT_TOLD")
	urgent.Urgency.ParentTold, urgent.PrisonNumber = posternv1.Answer_ANSWER_YES, "A0078ZZ"
	says(t, slip(t, d, d.Take(urgent)[0], "", false), "Nothing has been sent yet", "You can object", "!Code:")
}

// Who named other teams, or was not asked, did not agree that this one is told, and the slip does not say so.
func TestTheSlipSaysYouAgreedToNobodyWhoDidNot(t *testing.T) {
	x, d := opened(t)
	f := formtest.New(testkit.Bristol, testkit.Lancashire)
	f.Consent.Authorities, f.Consent.FollowsChild = []string{testkit.Bristol}, false
	ids := d.Take(f)
	x.Settle()
	says(t, slip(t, d, ids[0], "", false), "You agreed that we tell", "Code: ")
	says(t, slip(t, d, ids[1], "", false), "You have not agreed that we tell", "!You agreed", "!What we tell them", "!Code: ")
	if s := d.State(ids[1]); s != referred || d.Get(ids[1]).GetNotification().GetDecision().GetReasons()[0].GetRuleId() != "recipient_not_covered" {
		t.Errorf("it is %s: %v", s, d.Get(ids[1]).GetNotification().GetDecision())
	}
	unasked := formtest.New(testkit.Bristol)
	unasked.PrisonNumber, unasked.Consent = "A0079ZZ", &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_NOT_ASKED, Jurisdiction: "GB-ENG"}
	says(t, slip(t, d, d.Take(unasked)[0], "cy", false), "Nid ydych wedi cytuno")
}

// The form asked for permission, the safeguarding lead shared without it: what they recorded counts, and not the form.
func TestNoSlipTellsWhoWasNotToldOfAConsideration(t *testing.T) {
	x, d := opened(t)
	for _, told := range []posternv1.Answer{posternv1.Answer_ANSWER_NO, posternv1.Answer_ANSWER_YES} {
		f := unchecked(testkit.Bristol)
		f.PrisonNumber = fmt.Sprintf("A007%dZZ", told)
		id := d.Take(f)[0]
		x.Settle()
		must(d.Cases.Consider(t.Context(), &localv1.ConsiderRequest{Id: id, Share: true, Reasons: "why", Codes: &posternv1.Consideration{
			Relevant: posternv1.Answer_ANSWER_YES, ParentTold: told, HelpsFunction: "ca1989.s17", NotMoreDetrimental: []uint32{1},
			Paths: []string{"parent/name", "child/1/identity", "child/1/home", "child/1/safety"}}}))(t)
		x.Settle()
		if s := d.State(id); s != delivered {
			t.Fatalf("considered and shared, it is %s", s)
		}
		out, err := d.Counter.GetSlip(t.Context(), &localv1.GetSlipRequest{Id: id})
		if told == posternv1.Answer_ANSWER_NO {
			wantFault(t, err, fault.Precondition, "NOT_TOLD")
		} else if err != nil {
			t.Error(err)
		} else {
			says(t, string(out.GetContent()), "You can object", "without your permission")
		}
	}
}

// Where only the postcode told the authority, the slip has the names all the same.
func TestTheSlipOfAFormThatNamesNoAuthority(t *testing.T) {
	_, d := opened(t)
	table, err := postcode.Sample()
	if err != nil {
		t.Fatal(err)
	}
	d.Restart(func(c *desk.Config) { c.Postcodes = table })
	f := formtest.New("")
	f.Children[0].Home.Postcode = "ZZ99 1AA"
	says(t, slip(t, d, d.Take(f)[0], "", false), "About Peregrine-1")
}

func TestCountsGoToTheHubOrNowhere(t *testing.T) {
	x, d := opened(t)
	csv := []byte("date,received\n" + x.Clock.Now().Format("2/1/2006") + ",7\n")
	d.Link.Down(true)
	_, err := d.Counter.SendReceptions(t.Context(), &localv1.SendReceptionsRequest{Csv: csv})
	if fault.KindOf(err) != fault.Unavailable || len(spool(t, d)) != 0 {
		t.Errorf("without the hub: %v, %d wait", err, len(spool(t, d)))
	}
	d.Link.Down(false)
	out, err := d.Counter.SendReceptions(t.Context(), &localv1.SendReceptionsRequest{Csv: csv})
	if err != nil || out.GetDays() != 1 || out.GetReceived() != 7 {
		t.Errorf("%v, %v", out, err)
	}
	coverage, err := posternv1.NewCoverageServiceClient(x.ToHub(testkit.AuditorPath)).GetCoverage(t.Context(), &posternv1.GetCoverageRequest{})
	if err != nil || len(coverage.GetPrisons()) != 1 || coverage.GetPrisons()[0].GetReceived() != 7 {
		t.Errorf("the hub has %v, %v", coverage, err)
	}
	_, err = d.Counter.SendReceptions(t.Context(), &localv1.SendReceptionsRequest{Csv: []byte("date,received\nsoon,7\n"), Language: "cy"})
	wantFault(t, err, fault.Invalid, "RECEPTIONS_INVALID")
}
