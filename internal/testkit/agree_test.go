package testkit_test

import (
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/testkit/stranger"
	posternv1 "postern/proto/postern/v1"
)

// TestTwoInboxesAgree: whatever is done to the deliveries of the committed exchange on their way, our inbox and another
// program's, both written to the same page, take the same ones, refuse the others for the same reason, and show the same.
func TestTwoInboxesAgree(t *testing.T) {
	r := newReplay(t, readTranscript(t))
	files, edits := r.secrets(), editsOf(t, r)
	verdicts := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		base := rapid.SampledFrom(edits.deliveries).Draw(rt, "delivery")
		d := proto.CloneOf(base.Delivery)
		r.now = base.at
		names := ""
		for range rapid.IntRange(0, 3).Draw(rt, "edits") {
			e := rapid.SampledFrom(edits.all).Draw(rt, "edit")
			names += " " + e.name
			e.do(rt, d, &r.now)
		}
		r.open(files)
		stranger := strangersInbox(t, r)
		both := func(d *posternv1.Delivery) string {
			q := &posternv1.DeliverRequest{Delivery: d}
			ours, err := r.inbox.Deliver(t.Context(), proto.CloneOf(q))
			mine := verdict(ours, err)
			theirs, err := stranger.Deliver(t.Context(), q)
			if v := verdict(theirs, err); v != mine {
				rt.Fatalf("after%s we say %s and the stranger %s (%v)", names, mine, v, err)
			}
			return mine
		}
		if rapid.Bool().Draw(rt, "the other first") {
			for _, other := range edits.deliveries {
				if other.Delivery != base.Delivery {
					both(proto.CloneOf(other.Delivery)) // a late copy, or one that is stopped
				}
			}
		}
		verdicts[both(d)]++
		var ours, theirs []string
		for _, s := range allSections(t, r) {
			ours = append(ours, s.GetPath())
		}
		for _, item := range stranger.Items() {
			theirs = append(theirs, slices.Sorted(maps.Keys(item.Sections))...)
		}
		if slices.Sort(ours); !slices.Equal(ours, theirs) {
			rt.Fatalf("after%s we show %q and the stranger %q", names, ours, theirs)
		}
	})
	t.Logf("they agreed on %v", verdicts)
	if verdicts["acknowledged"] == 0 || len(verdicts) < 4 {
		t.Errorf("they agreed on %v: this proves little", verdicts)
	}
}

// verdict is what an inbox made of a delivery.
func verdict(a *posternv1.DeliverResponse, err error) string {
	report := &posternv1.Report{}
	switch {
	case err != nil:
		return "cannot say"
	case a.GetAcknowledgement() != nil:
		return "acknowledged"
	case proto.Unmarshal(a.GetReport().GetPayload(), report) != nil:
		return "unreadable"
	}
	return strings.TrimPrefix(report.GetRefusal().GetReason().String(), "REFUSAL_REASON_")
}

// strangersInbox is another program's inbox with the keys of the transcript, in which nothing is yet.
func strangersInbox(t testing.TB, r *replay) *stranger.Inbox {
	t.Helper()
	anchors := map[string][]byte{}
	for name, pem := range r.Anchors {
		anchors[name] = []byte(pem)
	}
	trust := must(stranger.NewTrust(r.Domain, anchors))(t)
	self := must(trust.NewSelf([]byte(r.Inbox.Certificates), []byte(r.Inbox.Key)))(t)
	in := stranger.NewInbox(self, trust, r.Hub, nil, must(stranger.NewFollower(r.Sent...))(t), must(stranger.NewFollower(r.Received...))(t), r.clock)
	must(in.AddKey(must(hex.DecodeString(r.PrivateKey))(t)))(t)
	return in
}

// edits is what can be done to a delivery, and the deliveries to do it to.
type edits struct {
	deliveries []deliveredAt
	all        []edit
}

type deliveredAt struct {
	*posternv1.Delivery
	at time.Time
}

type edit struct {
	name string
	do   func(*rapid.T, *posternv1.Delivery, *time.Time)
}

func editsOf(t *testing.T, r *replay) (e edits) {
	t.Helper()
	var receipts []*posternv1.Receipt // of other events
	var statements []*posternv1.Signed
	for _, c := range r.Calls {
		switch c.Method[strings.LastIndexByte(c.Method, '/'):] {
		case "/Deliver":
			q, a := &posternv1.DeliverRequest{}, &posternv1.DeliverResponse{}
			r.read(c, q, a)
			e.deliveries = append(e.deliveries, deliveredAt{q.GetDelivery(), c.Time})
			receipts = append(receipts, q.GetDelivery().GetReceipt())
			statements = append(statements, a.GetAcknowledgement(), q.GetDelivery().GetStopRequest())
		case "/Submit":
			q, a := &posternv1.SubmitRequest{}, &posternv1.SubmitResponse{}
			r.read(c, q, a)
			receipts = append(receipts, a.GetReceipt())
			statements = append(statements, q.GetNotification().GetManifest())
		case "/Report":
			q, a := &posternv1.ReportRequest{}, &posternv1.ReportResponse{}
			r.read(c, q, a)
			receipts = append(receipts, a.GetReceipt())
			statements = append(statements, q.GetSigned())
		}
	}
	statements = slices.DeleteFunc(statements, func(s *posternv1.Signed) bool { return s == nil })
	add := func(name string, do func(*rapid.T, *posternv1.Delivery, *time.Time)) {
		e.all = append(e.all, edit{name, do})
	}
	// of is one thing in a list, if there is one.
	index := func(rt *rapid.T, n int) (int, bool) {
		if n == 0 {
			return 0, false
		}
		return rapid.IntRange(0, n-1).Draw(rt, "which"), true
	}
	flip := func(rt *rapid.T, b []byte) []byte {
		b = slices.Clone(b)
		if i, ok := index(rt, len(b)); ok {
			b[i] ^= byte(rapid.IntRange(1, 255).Draw(rt, "bits"))
		}
		return b
	}
	section := func(name string, do func(*rapid.T, *posternv1.SealedNotification, int)) {
		add(name, func(rt *rapid.T, d *posternv1.Delivery, _ *time.Time) {
			if i, ok := index(rt, len(d.GetNotification().GetSections())); ok {
				do(rt, d.GetNotification(), i)
			}
		})
	}
	section("drop a section", func(_ *rapid.T, n *posternv1.SealedNotification, i int) {
		n.Sections = slices.Delete(n.Sections, i, i+1)
	})
	section("double a section", func(_ *rapid.T, n *posternv1.SealedNotification, i int) {
		n.Sections = append(n.Sections, n.Sections[i])
	})
	section("change a section", func(rt *rapid.T, n *posternv1.SealedNotification, i int) {
		n.Sections[i].Ciphertext = flip(rt, n.Sections[i].Ciphertext)
	})
	section("rename a section", func(rt *rapid.T, n *posternv1.SealedNotification, i int) {
		n.Sections[i].Path = rapid.SampledFrom([]string{"child/1/school", "child/2/home", "child/01/home", "child/{n}/home", "child/99/home", "urgency", ""}).Draw(rt, "path")
	})
	section("reverse the sections", func(_ *rapid.T, n *posternv1.SealedNotification, _ int) { slices.Reverse(n.Sections) })
	facts := func(name string, do func(*rapid.T, *posternv1.SealedNotification, int)) {
		add(name, func(rt *rapid.T, d *posternv1.Delivery, _ *time.Time) {
			if i, ok := index(rt, len(d.GetNotification().GetFacts())); ok {
				do(rt, d.GetNotification(), i)
			}
		})
	}
	facts("drop facts", func(_ *rapid.T, n *posternv1.SealedNotification, i int) { n.Facts = slices.Delete(n.Facts, i, i+1) })
	facts("double facts", func(_ *rapid.T, n *posternv1.SealedNotification, i int) { n.Facts = append(n.Facts, n.Facts[i]) })
	facts("change facts", func(rt *rapid.T, n *posternv1.SealedNotification, i int) { n.Facts[i] = flip(rt, n.Facts[i]) })
	signed := func(name string, do func(*rapid.T, *posternv1.Signed)) {
		add(name, func(rt *rapid.T, d *posternv1.Delivery, _ *time.Time) {
			if s := d.GetNotification().GetManifest(); s != nil {
				do(rt, s)
			} else if s := d.GetStopRequest(); s != nil {
				do(rt, s)
			}
		})
	}
	signed("change what is signed", func(rt *rapid.T, s *posternv1.Signed) { s.Payload = flip(rt, s.Payload) })
	signed("say another type", func(_ *rapid.T, s *posternv1.Signed) { s.PayloadType = "application/vnd.postern.report.v1" })
	signed("drop the signature", func(_ *rapid.T, s *posternv1.Signed) { s.Signatures = nil })
	signed("double the signature", func(_ *rapid.T, s *posternv1.Signed) { s.Signatures = append(s.Signatures, s.Signatures...) })
	signed("change the signature", func(rt *rapid.T, s *posternv1.Signed) {
		for _, one := range s.Signatures {
			one.Signature = flip(rt, one.Signature)
		}
	})
	signed("lose the certificates", func(_ *rapid.T, s *posternv1.Signed) {
		for _, one := range s.Signatures {
			one.Certificates = nil
		}
	})
	signed("put another statement there", func(rt *rapid.T, s *posternv1.Signed) {
		proto.Reset(s)
		proto.Merge(s, rapid.SampledFrom(statements).Draw(rt, "statement"))
	})
	receipt := func(name string, do func(*rapid.T, *posternv1.Receipt)) {
		add(name, func(rt *rapid.T, d *posternv1.Delivery, _ *time.Time) {
			if d.Receipt != nil {
				do(rt, d.Receipt)
			}
		})
	}
	for name, field := range map[string]func(*posternv1.Receipt) *[]byte{
		"leaf": func(r *posternv1.Receipt) *[]byte { return &r.Leaf }, "core": func(r *posternv1.Receipt) *[]byte { return &r.Core },
		"details": func(r *posternv1.Receipt) *[]byte { return &r.DetailsSha256 }, "opening": func(r *posternv1.Receipt) *[]byte { return &r.Opening }} {
		receipt("change the "+name, func(rt *rapid.T, r *posternv1.Receipt) { *field(r) = flip(rt, *field(r)) })
	}
	receipt("change the proof", func(rt *rapid.T, r *posternv1.Receipt) { r.TlogProof = string(flip(rt, []byte(r.TlogProof))) })
	receipt("add an extra line", func(_ *rapid.T, r *posternv1.Receipt) {
		r.TlogProof = strings.Replace(r.TlogProof, "\n", "\nextra AAAA\n", 1)
	})
	receipt("put another receipt there", func(rt *rapid.T, r *posternv1.Receipt) {
		proto.Reset(r)
		proto.Merge(r, rapid.SampledFrom(receipts).Draw(rt, "receipt"))
	})
	add("lose the receipt", func(_ *rapid.T, d *posternv1.Delivery, _ *time.Time) { d.Receipt = nil })
	add("let time pass", func(rt *rapid.T, _ *posternv1.Delivery, now *time.Time) {
		*now = now.AddDate(0, 0, rapid.IntRange(0, 200).Draw(rt, "days"))
	})
	add("lose all of it", func(_ *rapid.T, d *posternv1.Delivery, _ *time.Time) { d.Content = nil })
	add("lose its number", func(_ *rapid.T, d *posternv1.Delivery, _ *time.Time) { d.Sequence = 0 })
	add("pass it on for nobody", func(_ *rapid.T, d *posternv1.Delivery, _ *time.Time) {
		if n := d.GetNotification(); n != nil {
			n.Redirections = append(n.Redirections, &posternv1.Redirection{})
		}
	})
	add("a field to come", func(_ *rapid.T, d *posternv1.Delivery, _ *time.Time) {
		if n := d.GetNotification(); n != nil {
			n.ProtoReflect().SetUnknown([]byte{0xf8, 0x7f, 1})
		}
	})
	slices.SortFunc(e.all, func(a, b edit) int { return strings.Compare(a.name, b.name) })
	if len(e.deliveries) < 2 || len(e.all) < 25 {
		t.Fatal(fmt.Sprint(len(e.deliveries), " deliveries, ", len(e.all), " edits"))
	}
	return e
}
