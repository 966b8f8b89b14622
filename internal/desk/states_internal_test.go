package desk

import (
	"os"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// table returns the rows under a table's head in the page about states.
func table(t *testing.T, head string) [][]string {
	t.Helper()
	page, err := os.ReadFile("../../docs/states.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(page), head+"\n")
	if !found {
		t.Fatalf("docs/states.md has no table %q", head)
	}
	var rows [][]string
	for line := range strings.Lines(rest) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		if !strings.HasPrefix(line, "|") {
			break
		}
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows[1:] // without the line of dashes
}

// states is every state that is shown, in the order of the enum.
func states() []localv1.State {
	var all []localv1.State
	for n := range localv1.State_name {
		if n != 0 {
			all = append(all, localv1.State(n))
		}
	}
	slices.Sort(all)
	return all
}

func TestThePageNamesEveryState(t *testing.T) {
	rows := table(t, "| state | the counter reads | it means |")
	if len(rows) != len(states()) {
		t.Fatalf("the page has %d states, the enum %d", len(rows), len(states()))
	}
	for i, s := range states() {
		if rows[i][0] != plain.Enum(s) || rows[i][1] != StateWords(s) || rows[i][2] == "" {
			t.Errorf("the page says %q; the code has %s: %s", rows[i], plain.Enum(s), StateWords(s))
		}
	}
}

func TestThePageNamesEveryMove(t *testing.T) {
	var page, code []string
	for _, row := range table(t, "| from | when this is heard | who says it | to |") {
		if row[2] == "" {
			t.Errorf("nobody says %q", row)
		}
		page = append(page, row[0]+" when "+row[1]+" to "+row[3])
	}
	for _, from := range states() {
		if moves[from] == nil {
			t.Errorf("%s has no row in moves, not even an empty one", from)
		}
		for e, to := range moves[from] {
			code = append(code, plain.Enum(from)+" when "+string(e)+" to "+plain.Enum(to))
		}
	}
	slices.Sort(page)
	slices.Sort(code)
	for _, m := range page {
		if !slices.Contains(code, m) {
			t.Error("only the page has: " + m)
		}
	}
	for _, m := range code {
		if !slices.Contains(page, m) {
			t.Error("only the code has: " + m)
		}
	}
	if len(page) != len(code) {
		t.Errorf("the page has %d moves, the code %d", len(page), len(code))
	}
}

// Whatever comes in whatever order: closed is the end, what the team signed for is not taken back by the hub's word,
// and hearing the same again changes nothing.
func TestStatesGoForward(t *testing.T) {
	events := []event{decidedShare, decidedWait, decidedWithhold, decidedRefer, againShare, againWait, againWithhold, againRefer,
		acknowledged, undelivered, withdrawn, stopAsked, partWithdrawn, notWithdrawn, closed, submittedAgain, replaced, notToShare, sentByHand, ""}
	rapid.Check(t, func(t *rapid.T) {
		s, signed, ended := stateQueued, false, false
		for _, e := range rapid.SliceOfN(rapid.SampledFrom(events), 1, 12).Draw(t, "events") {
			was := s
			s = after(s, e)
			if after(s, e) != s {
				t.Fatalf("%q heard twice moves %s on to %s", e, s, after(s, e))
			}
			signed = signed || was != stateDelivered && s == stateDelivered
			ended = ended || s == stateClosed
			if ended && s != stateClosed {
				t.Fatalf("%q opened a closed one: %s", e, s)
			}
			if was != s && s == stateQueued && was != stateWaiting && was != stateReferred && was != stateWithheld {
				t.Fatalf("%s, of which something may be with the team, was submitted again under its id", was)
			}
			if signed && (s == stateUndelivered || s == stateWithdrawn || s == stateAccepted) {
				t.Fatalf("%q took back what the team had signed for", e)
			}
			ownDoing := e == "" || e == submittedAgain || e == replaced || e == notToShare || e == sentByHand
			if s == stateQueued && !ownDoing {
				t.Fatalf("%q left it queued", e)
			}
			if (was == stateWithdrawn || was == stateStopAsked) && s != was && s != stateStopAsked && s != stateClosed {
				t.Fatalf("%q took back a withdrawal: %s became %s", e, was, s)
			}
		}
	})
}

// Every outcome and every reply code has its event, and one from a newer hub is safe: a person decides, or nothing moves.
func TestEveryCodeHasItsEvent(t *testing.T) {
	for n := range posternv1.Outcome_name {
		o := posternv1.Outcome(n)
		if got := after(stateQueued, decided(o)); got == stateAccepted && o != posternv1.Outcome_OUTCOME_SHARE {
			t.Errorf("%s is accepted", o)
		}
	}
	if got := after(stateQueued, decided(99)); got != stateReferred {
		t.Errorf("an unknown outcome leads to %s", got)
	}
	for n, name := range posternv1.ReplyCode_name {
		code := posternv1.ReplyCode(n)
		want := map[posternv1.ReplyCode]event{posternv1.ReplyCode_REPLY_CODE_UNDELIVERED: undelivered,
			posternv1.ReplyCode_REPLY_CODE_STOP_ASKED: stopAsked, posternv1.ReplyCode_REPLY_CODE_CLOSED: closed}[code]
		if e := replied(&posternv1.Reply{Code: code}); e != want {
			t.Errorf("%s is the event %q", name, e)
		}
	}
	if e := replied(&posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_STOP_ASKED, Paths: []string{"child/1/phone"}}); e != "" {
		t.Errorf("a stop that was asked for a part is the event %q", e)
	}
	if got := after(stateDelivered, replied(&posternv1.Reply{Code: 99})); got != stateDelivered {
		t.Errorf("an unknown reply leads to %s", got)
	}
}

func TestEveryStateHasItsWords(t *testing.T) {
	for n := range localv1.State_name {
		for _, lang := range []words.Language{words.English, words.Welsh} {
			if s := localv1.State(n); s != localv1.State_STATE_UNSPECIFIED && strings.HasPrefix(StateWordsIn(lang, s), "[") {
				t.Errorf("%v has no words in %s", s, lang)
			}
		}
	}
}

// What waits says for what; whatever rests on the check says that alone.
func TestWhatAWaitIsFor(t *testing.T) {
	child := func(rule string, needs ...string) *posternv1.Decision {
		return &posternv1.Decision{Children: []*posternv1.ChildDecision{{Number: 1, Needs: needs, Reasons: []*posternv1.Reason{{RuleId: rule}}}}}
	}
	asks := &posternv1.Decision{Obligations: []*posternv1.Obligation{{Kind: posternv1.ObligationKind_OBLIGATION_KIND_ASK_AGAIN}}}
	for want, d := range map[string]*posternv1.Decision{
		"waiting for a telephone call: nothing is sent until somebody has telephoned and it is recorded": child(ruleUnphoned, "call"),
		"waiting until the person is asked again":                                                        asks,
		"waiting: a colleague checks every form before it goes":                                          child(ruleNotDone, checkNeed, "call"),
	} {
		n := &localv1.Notification{State: stateWaiting, Decision: d}
		if got := StandsIn(words.English, n); got != want {
			t.Errorf("it is said to be %q, not %q", got, want)
		}
		if n.State = stateAccepted; StandsIn(words.English, n) != StateWords(stateAccepted) {
			t.Errorf("accepted, it is said to be %q", StandsIn(words.English, n))
		}
	}
}
