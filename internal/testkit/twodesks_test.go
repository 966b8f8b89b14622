package testkit_test

import (
	"crypto/hpke"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/testkit/stranger"
	posternv1 "postern/proto/postern/v1"
)

// TestTwoDesksAgree: whatever form is taken, our desk and another program's, both written to the same page, make the same
// notifications of it: to the same authorities, with the same consent, the same facts and the same sections.
func TestTwoDesksAgree(t *testing.T) {
	key := must(hpke.MLKEM768X25519().GenerateKey())(t)
	seed := must(key.Bytes())(t)
	r := readTranscript(t)
	routes := map[string]int{}
	rapid.Check(t, func(rt *rapid.T) {
		f := formtest.Any(rt)
		checked, err := form.Check(f, formtest.Env())
		if err != nil {
			rt.Fatal(err)
		}
		parts := checked.Parts(uuid)
		theirs, err := strangersDeskWithKey(t, r, key.PublicKey().Bytes()).Take(f)
		if err != nil {
			rt.Fatalf("the stranger takes no form that ours takes: %v\n%v", err, f)
		}
		if len(theirs) != len(parts) {
			rt.Fatalf("ours makes %d notifications and the stranger %d of\n%v", len(parts), len(theirs), f)
		}
		for i, p := range parts {
			ours, got := said(p), heard(rt, theirs[i], seed)
			for _, what := range slices.Sorted(maps.Keys(ours)) {
				if ours[what] != got[what] {
					rt.Fatalf("%s: ours says\n%s\nand the stranger\n%s\nof\n%v", what, ours[what], got[what], f)
				}
			}
			if len(got) != len(ours) {
				rt.Fatalf("the stranger says %q, and ours %q, of\n%v", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(ours)), f)
			}
			routes[fmt.Sprint(p.Route, p.Enquiry != nil)]++
		}
	})
	if t.Logf("they agreed on %v", routes); len(routes) < 4 {
		t.Errorf("they agreed on %v: this proves little", routes)
	}
}

// strangersDeskWithKey is another program's desk that knows one recipient key for every authority, and no hub.
func strangersDeskWithKey(t *testing.T, r transcript, public []byte) *stranger.Desk {
	anchors := map[string][]byte{}
	for name, pem := range r.Anchors {
		anchors[name] = []byte(pem)
	}
	trust := must(stranger.NewTrust(r.Domain, anchors))(t)
	self := must(trust.NewSelf([]byte(r.Desk.Certificates), []byte(r.Desk.Key)))(t)
	d := stranger.NewDesk(self, trust, nil, must(stranger.NewFollower(r.Sent...))(t), func() time.Time { return formtest.Now }, &posternv1.Sender{PrisonId: "BLI"}, random())
	for _, code := range []string{formtest.Bristol, formtest.Lancashire, formtest.Wrexham} {
		d.Directory.Know(code, public, formtest.Now.AddDate(1, 0, 0))
	}
	return d
}

// said is what a part of our form package says, each thing by its name.
func said(p form.Part) map[string]string {
	children, hub := form.Facts(p, form.FactsConfig{Today: form.Today(formtest.Now), DeskKey: random(), FirstSubmit: formtest.Now, SlipCode: "a code"})
	all := map[string]string{"0 manifest": text(&posternv1.Manifest{Reception: p.Reception, NoticeVersion: p.NoticeVersion})}
	if p.Enquiry != nil {
		all["1 enquiry"], hub.SlipCodeSha256 = text(p.Enquiry), nil
	} else {
		offer := &posternv1.Offer{Route: p.Route, Authority: p.Authority, DestinationSource: p.Source, LawfulBasis: p.LawfulBasis, Consent: withoutID(p.Consent)}
		all["1 offer"] = text(offer)
	}
	for _, s := range p.Sections {
		all["4 section "+s.Path] = text(s.Message)
	}
	facts(all, children, hub)
	return all
}

// heard is what a notification of the stranger's says, in the same way, once it is opened.
func heard(t *rapid.T, o *stranger.Outgoing, seed []byte) map[string]string {
	n, m := &posternv1.SealedNotification{}, &posternv1.Manifest{}
	if proto.Unmarshal(o.Message, n) != nil || proto.Unmarshal(n.GetManifest().GetPayload(), m) != nil {
		t.Fatal("it cannot be read")
	}
	all := map[string]string{"0 manifest": text(&posternv1.Manifest{Reception: m.GetReception(), NoticeVersion: m.GetNoticeVersion()})}
	if m.GetEnquiry() != nil {
		all["1 enquiry"] = text(m.GetEnquiry())
	} else {
		offer := proto.CloneOf(m.GetOffer())
		s, err := stranger.Unsealing(seed, offer.GetEncapsulatedKey(), m.GetNotificationId(), "spiffe://exchange.postern.test/prison/BLI/desk", offer.GetRecipientKeyId())
		if err != nil {
			t.Fatal(err)
		}
		for _, sealed := range n.GetSections() {
			opened, err := s.Open(sealed)
			if err != nil {
				t.Fatal(err)
			}
			all["4 section "+sealed.GetPath()] = text(opened)
		}
		offer.Suite, offer.RecipientKeyId, offer.EncapsulatedKey, offer.SectionsSha256, offer.Consent = 0, "", nil, nil, withoutID(offer.GetConsent())
		all["1 offer"] = text(offer)
	}
	var children []*posternv1.ChildFacts
	var hub *posternv1.HubFacts
	for _, b := range n.GetFacts() {
		f := &posternv1.FactsBlock{}
		if err := proto.Unmarshal(b, f); err != nil {
			t.Fatal(err)
		}
		if f.GetHub() != nil {
			hub = f.GetHub()
		} else {
			children = append(children, f.GetChild())
		}
	}
	facts(all, children, hub)
	return all
}

// facts adds facts. The references are each desk's own, and are compared only for being there.
func facts(all map[string]string, children []*posternv1.ChildFacts, hub *posternv1.HubFacts) {
	for _, c := range children {
		all[fmt.Sprintf("2 facts of child %d", c.GetNumber())] = text(c)
	}
	hub = proto.CloneOf(hub)
	there := fmt.Sprintf("%d children, subject %v, content %v, slip code %v\n", len(hub.GetChildRefs()), len(hub.GetSubjectRef()), len(hub.GetContentRef()), len(hub.GetSlipCodeSha256()))
	hub.ChildRefs, hub.SubjectRef, hub.ContentRef, hub.SlipCodeSha256 = nil, nil, nil, nil
	all["3 facts for the hub"] = there + text(hub)
}

func withoutID(c *posternv1.Consent) *posternv1.Consent {
	if c = proto.CloneOf(c); c != nil {
		c.Id = ""
	}
	return c
}

// text is a message as text; prototext spaces it at random, a build.
func text(m proto.Message) string {
	return strings.Join(strings.Fields(prototext.MarshalOptions{Multiline: true}.Format(m)), " ")
}
