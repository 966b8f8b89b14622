package envelope_test

import (
	"encoding/pem"
	"fmt"
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/envelope"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

// A second signature beside that of a recipient key is the predecessor's, which has no certificate. One with a certificate
// is refused with the whole, whoever made it and whether or not it holds: nothing that was signed is passed over.
func TestNoSecondPartySignsARecipientKey(t *testing.T) {
	w := newWorld(t)
	signed := value(w.key.Publish(w.inbox, 1, now, now.AddDate(1, 0, 0)))(t)
	renewed := w.issue(t, inboxURI, ca.IssueConfig{P256: true})
	by := map[string]*posternv1.Signature{
		"another authority's":     value(envelope.SignStatement(w.away, envelope.TypeRecipientKey, signed.GetPayload()))(t).GetSignatures()[0],
		"its own, renewed":        value(envelope.SignStatement(renewed, envelope.TypeRecipientKey, signed.GetPayload()))(t).GetSignatures()[0],
		"its own, once more":      signed.GetSignatures()[0],
		"its own, broken":         {Certificates: signed.GetSignatures()[0].GetCertificates(), Signature: make([]byte, 64)},
		"with no certificate":     {Certificates: [][]byte{{}}, Signature: make([]byte, 64)},
		"with noise for one":      {Certificates: [][]byte{[]byte("noise")}, Signature: make([]byte, 64)},
		"of another payload type": value(envelope.SignStatement(w.inbox, envelope.TypeReport, signed.GetPayload()))(t).GetSignatures()[0],
	}
	for name, second := range by {
		both := proto.CloneOf(signed)
		both.Signatures = append(both.Signatures, second)
		if _, err := envelope.VerifyRecipientKey(both, w.anchors, now); err == nil {
			t.Errorf("%s: taken", name)
		} else {
			refusedAs(t, err, "NOT_ONE_SIGNATURE")
		}
		both.Signatures = both.GetSignatures()[1:] // and none alone stands for the predecessor's
		both.Signatures = append(both.Signatures, &posternv1.Signature{Signature: signed.GetSignatures()[0].GetSignature()})
		if _, err := envelope.VerifyRecipientKey(both, w.anchors, now); (err == nil) != (name == "its own, renewed" || name == "its own, once more") {
			t.Errorf("%s, first: %v", name, err)
		}
	}
}

// A key file whose digests hold, and whose keys are none, is refused as a damaged one is.
func TestAKeyFileOfOtherLengthsIsRefused(t *testing.T) {
	w := newWorld(t)
	var blocks []*pem.Block
	for rest := value(w.key.MarshalPEM())(t); ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		blocks = append(blocks, b)
	}
	if len(blocks) != 2 {
		t.Fatalf("%d blocks", len(blocks))
	}
	file := func(lengths ...int) (text []byte) {
		for i, n := range lengths {
			b := *blocks[i]
			b.Bytes = append(slices.Clone(b.Bytes), make([]byte, 64)...)[:n]
			b.Headers = map[string]string{"Digest": envelope.KeyID(b.Bytes)}
			text = append(text, pem.EncodeToMemory(&b)...)
		}
		return text
	}
	first, second := len(blocks[0].Bytes), len(blocks[1].Bytes)
	if got := value(envelope.ParseRecipient(file(first, second)))(t); got.KeyID() != w.key.KeyID() {
		t.Fatal("the test makes another key")
	}
	for _, lengths := range [][]int{{first - 1, second}, {first + 1, second}, {0, second}, {first, second - 1}, {first, second + 1}, {first, 0}, {first, 64}, {first}, {}} {
		_, err := envelope.ParseRecipient(file(lengths...))
		refusedAs(t, err, "BAD_RECIPIENT_KEY")
	}
}

// What a desk signs and no desk should: a stop request is of a notification and of what there is in one, whatever the rest of
// the line makes of it.
func TestAStopRequestNamesWhatThereIs(t *testing.T) {
	w := newWorld(t)
	id := newID(t)
	for name, c := range map[string]struct {
		r      *posternv1.StopRequest
		reason string
	}{
		"all of it":            {&posternv1.StopRequest{NotificationId: id}, ""},
		"by its reference":     {&posternv1.StopRequest{NotificationId: envelope.Reference(id)}, ""},
		"with its manifest":    {&posternv1.StopRequest{NotificationId: id, ManifestSha256: make([]byte, 32)}, ""},
		"a part":               {&posternv1.StopRequest{NotificationId: id, Paths: []string{"child/1", "parent/name"}}, ""},
		"nothing":              {&posternv1.StopRequest{}, "BAD_WITHDRAWAL"},
		"half a digest":        {&posternv1.StopRequest{NotificationId: id, ManifestSha256: make([]byte, 16)}, "BAD_STOP_REQUEST"},
		"one byte of a digest": {&posternv1.StopRequest{NotificationId: id, ManifestSha256: make([]byte, 1)}, "BAD_STOP_REQUEST"},
		"a digest too long":    {&posternv1.StopRequest{NotificationId: id, ManifestSha256: make([]byte, 33)}, "BAD_STOP_REQUEST"},
		"no such section":      {&posternv1.StopRequest{NotificationId: id, Paths: []string{"child/1/offence"}}, "BAD_WITHDRAWAL"},
		"a section twice":      {&posternv1.StopRequest{NotificationId: id, Paths: []string{"child/1", "child/1"}}, "BAD_WITHDRAWAL"},
		"an empty path":        {&posternv1.StopRequest{NotificationId: id, Paths: []string{""}}, "BAD_WITHDRAWAL"},
	} {
		got, by, err := envelope.OpenStopRequest(value(envelope.SignStatement(w.desk, envelope.TypeStopRequest, value(proto.Marshal(c.r))(t)))(t), w.anchors, now)
		switch {
		case by != w.desk.Party():
			t.Errorf("%s: signed by %s", name, by)
		case c.reason != "" && err == nil:
			t.Errorf("%s: taken", name)
		case c.reason != "":
			refusedAs(t, err, c.reason)
		case err != nil || !proto.Equal(got, c.r):
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

// A withdrawal may name every section of sixteen children; and as many signatures as a statement may have all count.
func TestTheMostThereMayBe(t *testing.T) {
	w := newWorld(t)
	var paths []string
	for _, s := range []string{"identity", "relationship", "home", "carer", "safety", "phone", "school", "knowledge", "needs", "worker"} {
		for n := range 16 {
			paths = append(paths, fmt.Sprintf("child/%d/%s", n+1, s))
		}
	}
	_, err := envelope.Verify(value(envelope.Seal(withdrawal(t, func(wd *posternv1.Withdrawal) { wd.Paths = paths }), nil, w.desk))(t), w.whole())
	check(t, err)
}

// What a team says of where it passes something on is read whole or not at all: a field to come is refused, and nothing of
// it is then taken for a notification that was not passed on.
func TestARedirectWithAFieldToCome(t *testing.T) {
	w := newWorld(t)
	_, to := w.recipient(t, w.away)
	good := w.passOn(t, family(t), to, "parent/name", "child/1/phone")
	stated := &posternv1.Redirect{}
	check(t, proto.Unmarshal(good.GetRedirections()[0].GetRedirect().GetPayload(), stated))
	stated.ProtoReflect().SetUnknown(laterField)
	good.Redirections[0].Redirect = value(envelope.SignStatement(w.inbox, envelope.TypeRedirect, value(proto.Marshal(stated))(t)))(t)
	_, err := envelope.Verify(good, w.redirected())
	refusedAs(t, err, "UNKNOWN_CONTENT")
}

// A key of a section that a team sealed wrongly, in any byte or length, opens nothing, and the fault is not called ours.
func TestAWrongSectionKeyOpensNothing(t *testing.T) {
	w := newWorld(t)
	key, to := w.recipient(t, w.away)
	good := w.passOn(t, family(t), to, "parent/name", "child/1/phone")
	rapid.Check(t, func(t *rapid.T) {
		n := proto.CloneOf(good)
		wrong := n.GetRedirections()[0].GetSectionKeys()[rapid.IntRange(0, 1).Draw(t, "section")]
		switch at := rapid.IntRange(0, len(wrong.GetCiphertext())-1).Draw(t, "at"); rapid.IntRange(0, 2).Draw(t, "how") {
		case 0:
			wrong.Ciphertext[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		case 1:
			wrong.Ciphertext = wrong.GetCiphertext()[:at]
		default:
			wrong.Ciphertext = append(wrong.GetCiphertext(), wrong.GetCiphertext()[:at+1]...)
		}
		v := value(envelope.Verify(n, w.redirected()))(t)
		_, err := v.Open(key)
		assertReason(t, err, "BAD_SECTION")
	})
	_, err := w.verify(t, w.seal(t, family(t))).Redirect(w.key, &posternv1.RecipientKey{Authority: lancs, PublicKey: []byte("no key")}, w.inbox)
	assertReason(t, err, "BAD_KEY")
}

// A statement of receptions is of days in order, up to today as any clock in Britain has it, each of people who can have
// come, and of no more than a year and a day.
func TestReceptionsAreOfDaysThatCanBe(t *testing.T) {
	w := newWorld(t)
	day := func(back int, n uint32) *posternv1.ReceptionDay {
		return &posternv1.ReceptionDay{ReceiveDate: now.AddDate(0, 0, -back).Format(time.DateOnly), Received: n}
	}
	days := func(n int) (all []*posternv1.ReceptionDay) {
		for i := range n {
			all = append(all, day(n-1-i, 7))
		}
		return all
	}
	for name, c := range map[string]struct {
		days []*posternv1.ReceptionDay
		ok   bool
	}{
		"today":              {days(1), true},
		"a year and a day":   {days(366), true},
		"a day more":         {days(367), false},
		"no day":             {nil, false},
		"nobody came":        {[]*posternv1.ReceptionDay{day(0, 0)}, true},
		"as many as can be":  {[]*posternv1.ReceptionDay{day(0, 1000)}, true},
		"one more":           {[]*posternv1.ReceptionDay{day(0, 1001)}, false},
		"one more before":    {[]*posternv1.ReceptionDay{day(1, 1001), day(0, 7)}, false},
		"a day twice":        {[]*posternv1.ReceptionDay{day(1, 7), day(1, 7)}, false},
		"a day back":         {[]*posternv1.ReceptionDay{day(1, 7), day(2, 7)}, false},
		"back after forward": {[]*posternv1.ReceptionDay{day(3, 7), day(1, 7), day(2, 7)}, false},
		"tomorrow":           {[]*posternv1.ReceptionDay{day(-1, 7)}, false},
		"no date":            {[]*posternv1.ReceptionDay{{ReceiveDate: "2026-02-30", Received: 7}}, false},
		"another spelling":   {[]*posternv1.ReceptionDay{{ReceiveDate: "2026-1-2", Received: 7}}, false},
		"nothing":            {[]*posternv1.ReceptionDay{{Received: 7}}, false},
	} {
		m := manifest(t)
		m.Statement = &posternv1.Manifest_Receptions{Receptions: &posternv1.Receptions{Days: c.days}}
		n, err := envelope.Seal(envelope.Draft{Manifest: m}, nil, w.desk)
		if err == nil {
			_, err = envelope.Verify(n, w.whole())
		}
		if c.ok {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		} else if err == nil {
			t.Errorf("%s: taken", name)
		} else {
			refusedAs(t, err, "BAD_RECEPTIONS")
		}
	}
	// In summer the day that begins in Britain at eleven in the evening by UTC is one.
	m := manifest(t)
	m.Statement = &posternv1.Manifest_Receptions{Receptions: &posternv1.Receptions{Days: []*posternv1.ReceptionDay{day(-1, 7)}}}
	n := value(envelope.Seal(envelope.Draft{Manifest: m}, nil, w.desk))(t)
	for hour, ok := range map[time.Duration]bool{12: false, 13: true} {
		c := w.whole()
		c.At = now.Add(hour * time.Hour)
		if _, err := envelope.Verify(n, c); (err == nil) != ok {
			t.Errorf("at %v tomorrow is taken: %v", c.At, err)
		}
	}
}
