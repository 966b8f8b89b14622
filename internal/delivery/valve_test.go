package delivery_test

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/delivery"
	"postern/internal/envelope"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

func said(code posternv1.ReplyCode, paths ...string) *posternv1.Update {
	return &posternv1.Update{NotificationId: "n", Update: &posternv1.Update_Reply{Reply: &posternv1.Reply{Code: code, Paths: paths}}}
}

// The whole table: who causes which code, and what a desk hears of it. What is not in it is refused.
func TestTheValveIsAClosedSet(t *testing.T) {
	const accepted = posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT
	type in struct {
		by   delivery.Cause
		code posternv1.ReplyCode
	}
	hears := map[in]posternv1.ReplyCode{
		{delivery.ByTeam, accepted}:                                     accepted,
		{delivery.ByTeam, posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA}:  accepted,
		{delivery.ByTeam, posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE}:  accepted,
		{delivery.ByTeam, posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN}: accepted,
		{delivery.ByTeam, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL}:  posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL,
		{delivery.ByInbox, posternv1.ReplyCode_REPLY_CODE_UNDELIVERED}:  posternv1.ReplyCode_REPLY_CODE_UNDELIVERED,
		{delivery.ByHub, posternv1.ReplyCode_REPLY_CODE_UNDELIVERED}:    posternv1.ReplyCode_REPLY_CODE_UNDELIVERED,
		{delivery.ByHub, posternv1.ReplyCode_REPLY_CODE_STOP_ASKED}:     posternv1.ReplyCode_REPLY_CODE_STOP_ASKED,
		{delivery.ByHub, posternv1.ReplyCode_REPLY_CODE_CLOSED}:         posternv1.ReplyCode_REPLY_CODE_CLOSED,
	}
	for by := range delivery.ByHub + 2 {
		for number := range posternv1.ReplyCode_name {
			code := posternv1.ReplyCode(number)
			out, err := delivery.Valve(by, said(code))
			want, ok := hears[in{by, code}]
			if (err == nil) != ok || ok && !proto.Equal(out, said(want)) {
				t.Errorf("%d %v: heard %v, %v", by, code, out, err)
			}
		}
		if _, err := delivery.Valve(by, said(99)); err == nil {
			t.Errorf("%d: a code that nobody knows passes", by)
		}
		if _, err := delivery.Valve(by, &posternv1.Update{}); err == nil {
			t.Errorf("%d: nothing passes", by)
		}
		_, err := delivery.Valve(by, &posternv1.Update{Update: &posternv1.Update_Decision{Decision: &posternv1.Decision{}}})
		if (err == nil) != (by == delivery.ByHub) {
			t.Errorf("%d decides: %v", by, err)
		}
	}
}

// An acknowledgement has room for a digest and for nothing else, in whatever field somebody looks for it.
func TestAnAcknowledgementHasRoomForADigest(t *testing.T) {
	ack := func(edit func(*posternv1.Signed)) *posternv1.Update {
		s := &posternv1.Signed{PayloadType: envelope.TypeAcknowledgement, Signatures: []*posternv1.Signature{{Signature: []byte("s")}},
			Payload: value(proto.Marshal(&posternv1.Acknowledgement{ManifestSha256: make([]byte, 32)}))(t)}
		edit(s)
		return &posternv1.Update{Update: &posternv1.Update_Acknowledgement{Acknowledgement: s}}
	}
	more := []byte{0x7a, 1, 'x'} // field 15, which no message has
	for name, edit := range map[string]func(*posternv1.Signed){
		"an unknown field in the payload": func(s *posternv1.Signed) { s.Payload = append(s.Payload, more...) },
		"the digest twice":                func(s *posternv1.Signed) { s.Payload = append(s.Payload, s.Payload...) },
		"a longer digest":                 func(s *posternv1.Signed) { s.Payload = append([]byte{0x0a, 33}, make([]byte, 33)...) },
		"an unknown field":                func(s *posternv1.Signed) { s.ProtoReflect().SetUnknown(more) },
		"an unknown field of a signature": func(s *posternv1.Signed) { s.Signatures[0].ProtoReflect().SetUnknown(more) },
		"two signatures":                  func(s *posternv1.Signed) { s.Signatures = append(s.Signatures, s.Signatures[0]) },
		"another kind of statement":       func(s *posternv1.Signed) { s.PayloadType = envelope.TypeReport },
		"no payload":                      func(s *posternv1.Signed) { s.Payload = nil },
	} {
		if _, err := delivery.Valve(delivery.ByInbox, ack(edit)); err == nil {
			t.Errorf("%s passes", name)
		}
	}
	out, err := delivery.Valve(delivery.ByInbox, ack(func(*posternv1.Signed) {}))
	if err != nil || out.GetAcknowledgement() == nil {
		t.Errorf("one as it should be does not pass: %v", err)
	}
	for _, by := range []delivery.Cause{delivery.ByTeam, delivery.ByHub} {
		if _, err := delivery.Valve(by, ack(func(*posternv1.Signed) {})); err == nil {
			t.Errorf("%d acknowledges", by)
		}
	}
}

// What a team does within an hour is told when the hour is over: the last of it, in one order of notifications, and not
// again what says the same as before.
func TestWhatATeamDoesIsToldByTheHour(t *testing.T) {
	const (
		accepted = posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT
		traced   = posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE
		needs    = posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL
	)
	h := newHub(t)
	tell := func(id string, code posternv1.ReplyCode, paths ...string) {
		u := said(code, paths...)
		u.NotificationId = id
		must(t, h.store.Update(t.Context(), func(tx store.Tx) error { return h.Tell(tx, delivery.ByTeam, desk, u, h.clock()) }))
		h.pass(7 * time.Minute)
	}
	list := func() (all []string) {
		must(t, h.TellGathered(t.Context(), desk))
		must(t, h.store.View(t.Context(), func(s store.Snapshot) error {
			updates, _, err := delivery.Updates(s, desk, 0, 100)
			for _, u := range updates {
				all = append(all, u.GetUpdateTime().AsTime().Format("15")+" "+u.GetNotificationId()+" "+u.GetReply().GetCode().String()[len("REPLY_CODE_"):])
			}
			return err
		}))
		return all
	}
	tell("b", accepted)
	tell("a", needs, "child/1/school")
	tell("a", traced)
	if told := list(); len(told) != 0 {
		t.Fatalf("within the hour it is told %q", told)
	}
	h.pass(time.Hour)
	first := []string{"09 a ACCEPTED_FOR_CONTACT", "09 b ACCEPTED_FOR_CONTACT"}
	if told := list(); !slices.Equal(told, first) {
		t.Fatalf("told %q, want %q", told, first)
	}
	tell("a", accepted)
	tell("b", needs, "child/1/school")
	h.pass(time.Hour)
	if told := list(); !slices.Equal(told, append(first, "10 b NEEDS_DETAIL")) {
		t.Fatalf("told %q", told)
	}
}
