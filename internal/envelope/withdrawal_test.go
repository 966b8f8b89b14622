package envelope_test

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// TestSlipCodes: every code reads back however it is typed, and no wrong character is taken for another code.
func TestSlipCodes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		code := value(envelope.NewSlipCode(strings.NewReader(string(rapid.SliceOfN(rapid.Byte(), 9, 9).Draw(t, "random")))))(t)
		typed := strings.ToLower(strings.ReplaceAll(code, "-", rapid.SampledFrom([]string{"", " ", "-", " - "}).Draw(t, "between")))
		if got := value(envelope.ParseSlipCode(typed))(t); got != code {
			t.Fatalf("%q reads as %q, not %q", typed, got, code)
		}
		const alphabet = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
		b := []byte(code)
		at := rapid.SampledFrom([]int{0, 1, 2, 3, 4, 6, 7, 8, 9, 10}).Draw(t, "place")
		b[at] = alphabet[rapid.IntRange(0, 31).Draw(t, "character")]
		if _, err := envelope.ParseSlipCode(string(b)); (err == nil) != (string(b) == code) {
			t.Fatalf("%s for %s: %v", b, code, err)
		}
	})
	for _, bad := range []string{"", "7K3F9", "0K3F9-2MQXK", "7K3F9-2MQX", "7K3F9-2MQXKK", "ÀK3F9-2MQX"} {
		_, err := envelope.ParseSlipCode(bad)
		refusedAs(t, err, "BAD_SLIP_CODE")
		// What the message shows as an example is a code: somebody will hold theirs against it.
		shown := regexp.MustCompile(`[0-9A-Z]{5}-[0-9A-Z]{5}`).FindString(fault.From(err).Message)
		if got, err := envelope.ParseSlipCode(shown); err != nil || got != shown {
			t.Errorf("the example %q is no code: %v", shown, err)
		}
	}
	page := value(os.ReadFile("../../docs/formats.md"))(t)
	shown := regexp.MustCompile("written `([^`]+)`").FindSubmatch(page)
	if shown == nil || value(envelope.ParseSlipCode(string(shown[1])))(t) != string(shown[1]) {
		t.Errorf("the page of the formats has no slip code as example: %q", shown)
	}
	if _, err := envelope.NewSlipCode(strings.NewReader("short")); err == nil {
		t.Error("a code from too little randomness")
	}
}

// withdrawal is the draft of a withdrawal.
func withdrawal(tb failer, change func(*posternv1.Withdrawal)) envelope.Draft {
	tb.Helper()
	m := manifest(tb)
	w := &posternv1.Withdrawal{Withdraws: newID(tb), Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PAPER}
	change(w)
	m.Statement = &posternv1.Manifest_Withdrawal{Withdrawal: w}
	return envelope.Draft{Manifest: m}
}

func TestWithdrawals(t *testing.T) {
	w := newWorld(t)
	code := value(envelope.NewSlipCode(random{}))(t)
	reference := envelope.Reference(newID(t))
	for name, c := range map[string]struct {
		change func(*posternv1.Withdrawal)
		reason string
	}{
		"all of it":                 {func(*posternv1.Withdrawal) {}, ""},
		"children and sections":     {func(w *posternv1.Withdrawal) { w.Paths = []string{"child/2", "child/1/phone", "parent/birth"} }, ""},
		"with a code":               {func(w *posternv1.Withdrawal) { w.SlipCode = code }, ""},
		"by reference, with a code": {func(w *posternv1.Withdrawal) { w.Withdraws, w.SlipCode = reference, code }, ""},
		"by reference alone":        {func(w *posternv1.Withdrawal) { w.Withdraws = reference }, "BAD_WITHDRAWAL"},
		"a reference spelled otherwise": {func(w *posternv1.Withdrawal) {
			w.Withdraws, w.SlipCode = strings.ToLower(reference), code
		}, "BAD_WITHDRAWAL"},
		"nothing":                  {func(w *posternv1.Withdrawal) { w.Withdraws = "" }, "BAD_WITHDRAWAL"},
		"a code spelled otherwise": {func(w *posternv1.Withdrawal) { w.SlipCode = strings.ToLower(code) }, "BAD_WITHDRAWAL"},
		"no method":                {func(w *posternv1.Withdrawal) { w.Method = 0 }, "BAD_WITHDRAWAL"},
		"no such section":          {func(w *posternv1.Withdrawal) { w.Paths = []string{"child/1/offence"} }, "BAD_WITHDRAWAL"},
		"a pattern":                {func(w *posternv1.Withdrawal) { w.Paths = []string{"child/{n}/home"} }, "BAD_WITHDRAWAL"},
		"a section twice":          {func(w *posternv1.Withdrawal) { w.Paths = []string{"parent/name", "parent/name"} }, "BAD_WITHDRAWAL"},
		"too many sections":        {func(w *posternv1.Withdrawal) { w.Paths = slices.Repeat([]string{"parent/name"}, 513) }, "BAD_WITHDRAWAL"},
		"a method to come":         {func(w *posternv1.Withdrawal) { w.Method = 99 }, "UNKNOWN_CONTENT"},
	} {
		t.Run(name, func(t *testing.T) {
			n := value(envelope.Seal(withdrawal(t, c.change), nil, w.desk))(t)
			v, err := envelope.Verify(n, w.whole())
			if c.reason != "" {
				refusedAs(t, err, c.reason)
				return
			}
			check(t, err)
			stop, signer, err := envelope.OpenStopRequest(v.StopRequest(), w.anchors, now)
			check(t, err)
			stated := v.Manifest().GetWithdrawal()
			if signer != w.desk.Party() || stop.GetNotificationId() != stated.GetWithdraws() || !slices.Equal(stop.GetPaths(), stated.GetPaths()) {
				t.Errorf("the team is asked %v", stop)
			}
			for _, secret := range []string{code, "staff-1"} {
				if strings.Contains(string(v.StopRequest().GetPayload()), secret) {
					t.Error("the stop request carries what a team must not see")
				}
			}
		})
	}
	t.Run("of itself", func(t *testing.T) {
		d := withdrawal(t, func(*posternv1.Withdrawal) {})
		d.Manifest.GetWithdrawal().Withdraws = d.Manifest.GetNotificationId()
		_, err := envelope.Verify(value(envelope.Seal(d, nil, w.desk))(t), w.whole())
		refusedAs(t, err, "BAD_WITHDRAWAL")
	})
}

// A decision not to share says what it is about, and by which codes it was made.
func TestWhatIsConsideredIsNamed(t *testing.T) {
	w := newWorld(t)
	for name, c := range map[string]struct {
		about  string
		codes  *posternv1.Consideration
		reason string
	}{
		"whole":               {newID(t), &posternv1.Consideration{}, ""},
		"about nothing":       {"", &posternv1.Consideration{}, "INCOMPLETE_CONSIDERATION"},
		"about a reference":   {envelope.Reference(newID(t)), &posternv1.Consideration{}, "INCOMPLETE_CONSIDERATION"},
		"without its codes":   {newID(t), nil, "INCOMPLETE_CONSIDERATION"},
		"with a code to come": {newID(t), &posternv1.Consideration{Relevant: 99}, "UNKNOWN_CONTENT"},
	} {
		t.Run(name, func(t *testing.T) {
			m := manifest(t)
			m.Statement = &posternv1.Manifest_Considered{Considered: &posternv1.Considered{Considers: c.about, Consideration: c.codes}}
			_, err := envelope.Verify(value(envelope.Seal(envelope.Draft{Manifest: m}, nil, w.desk))(t), w.whole())
			if c.reason == "" {
				check(t, err)
				return
			}
			refusedAs(t, err, c.reason)
		})
	}
}

func TestStopRequests(t *testing.T) {
	w := newWorld(t)
	n := value(envelope.Seal(withdrawal(t, func(*posternv1.Withdrawal) {}), nil, w.desk))(t)
	m := &posternv1.Manifest{}
	check(t, proto.Unmarshal(n.GetManifest().GetPayload(), m))
	id := m.GetWithdrawal().GetWithdraws()
	signed := func(by *identity.Identity, r *posternv1.StopRequest) *posternv1.Signed {
		return value(envelope.SignStatement(by, envelope.TypeStopRequest, value(proto.Marshal(r))(t)))(t)
	}
	for name, c := range map[string]struct {
		stop   *posternv1.Signed
		reason string
	}{
		"none":                {nil, "NOT_ONE_SIGNATURE"},
		"another desk's":      {signed(w.other, &posternv1.StopRequest{NotificationId: id}), "BAD_STOP_REQUEST"},
		"an inbox's":          {signed(w.inbox, &posternv1.StopRequest{NotificationId: id}), "NOT_A_DESK"},
		"for another":         {signed(w.desk, &posternv1.StopRequest{NotificationId: newID(t)}), "BAD_STOP_REQUEST"},
		"for a part":          {signed(w.desk, &posternv1.StopRequest{NotificationId: id, Paths: []string{"child/1"}}), "BAD_STOP_REQUEST"},
		"with half a digest":  {signed(w.desk, &posternv1.StopRequest{NotificationId: id, ManifestSha256: make([]byte, 16)}), "BAD_STOP_REQUEST"},
		"the manifest itself": {n.GetManifest(), "WRONG_PAYLOAD_TYPE"},
	} {
		changed := proto.CloneOf(n)
		changed.StopRequest = c.stop
		_, err := envelope.Verify(changed, w.whole())
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		refusedAs(t, err, c.reason)
	}
	offer := w.seal(t, family(t))
	offer.StopRequest = n.GetStopRequest()
	for _, c := range []envelope.VerifyConfig{w.whole(), w.released()} {
		_, err := envelope.Verify(offer, c)
		refusedAs(t, err, "UNEXPECTED_STOP_REQUEST")
	}
}
