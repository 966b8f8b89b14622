package hub_test

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// wire keeps the deliveries of every inbox as they crossed.
type wire struct {
	raw        [][]byte
	deliveries map[string]*posternv1.Delivery // by manifest
}

func (w *world) listen(authorities ...string) *wire {
	k := &wire{deliveries: map[string]*posternv1.Delivery{}}
	for _, code := range authorities {
		w.Inbox(code).Link.Requests(func(_ string, b []byte) []byte {
			req := &posternv1.DeliverRequest{}
			if err := proto.Unmarshal(b, req); err != nil {
				w.t.Error(err)
			}
			k.raw = append(k.raw, bytes.Clone(b))
			k.deliveries[string(req.GetDelivery().GetNotification().GetManifest().GetPayload())] = req.GetDelivery()
			return b
		})
	}
	return k
}

// everything is all that the hub holds and says: its database as it lies on disk, every record and waiting body
// opened, and every log line.
func (w *world) everything() [][]byte {
	w.t.Helper()
	all := [][]byte{must(os.ReadFile(w.Path("hub", "hub.db")))(w.t), w.Logs()}
	for _, e := range w.events(0) {
		all = append(all, e.Record.GetCore(), e.Record.GetDetails())
	}
	return all
}

// Whatever a family says and agrees to: what arrives is what was agreed and is in the agreement, the hub's facts stay
// at the hub, and no value is anywhere at the hub.
func TestAnyFamily(t *testing.T) {
	agreed := []string{"parent/name", "parent/language", "child/{n}/identity", "child/{n}/home", "child/{n}/safety", "child/{n}/carer", "child/{n}/needs"}
	w := newWorld(t, func(c *testkit.Config) { c.Register.Sections = map[string][]string{testkit.Bristol: agreed} })
	kept := w.listen(testkit.Bristol, testkit.Lancashire)
	var words []string
	shares, sections := 0, 0
	for seed := range testkit.N(40, 3000) {
		f := rapid.Custom(family).Example(seed)
		words = append(words, testkit.Personal(f)...)
		for _, n := range w.Seal(testkit.HMPParc, f) {
			answer := must(w.submit(testkit.HMPParc, n))(t)
			w.Settle()
			d := kept.deliveries[string(n.GetManifest().GetPayload())]
			if (d != nil) != (answer.GetDecision().GetOutcome() == share) {
				t.Fatalf("family %d: decided %v, delivered %v", seed, answer.GetDecision().GetOutcome(), d != nil)
			}
			if d == nil {
				continue
			}
			shares++
			sections += len(d.GetNotification().GetSections())
			if err := onlyAgreed(f, d, agreed); err != nil {
				t.Errorf("family %d: %v", seed, err)
			}
			if err := noHubFacts(n, d); err != nil {
				t.Errorf("family %d: %v", seed, err)
			}
		}
	}
	if shares < 15 || sections < 80 {
		t.Fatalf("only %d shares of %d sections: the property says little", shares, sections)
	}
	slices.Sort(words)
	words = slices.Compact(words)
	if found := testkit.Holds(words, append(w.everything(), kept.raw...)...); len(found) > 0 {
		t.Errorf("at the hub: %q", found)
	}
	t.Logf("%d shares, %d sections, %d words", shares, sections, len(words))
}

// family draws a family, two times of three one of whom enough is known and agreed that something can be shared.
func family(t *rapid.T) *posternv1.Form {
	f := formtest.Valid(t)
	if rapid.IntRange(0, 2).Draw(t, "as it comes") == 0 {
		return f
	}
	var codes []string
	for _, c := range f.GetChildren() {
		codes = append(codes, c.GetAuthority())
	}
	whole := formtest.New(codes...)
	f.Parent.Name = whole.GetParent().GetName()
	for i, c := range f.GetChildren() {
		known := whole.GetChildren()[i]
		c.Identity, c.Home, c.Safety, c.Carer = known.GetIdentity(), known.GetHome(), known.GetSafety(), known.GetCarer()
		c.InCare, c.AddressConfidential = false, false
	}
	given := formtest.Consent(0, "parent/name", "child/{n}/identity", "child/{n}/home", "child/{n}/safety")
	for _, entry := range f.GetConsent().GetSections() {
		if !slices.Contains(given.GetSections(), entry) {
			given.Sections = append(given.Sections, entry)
		}
	}
	given.Children = f.GetConsent().GetChildren()
	f.Consent = given
	return f
}

// onlyAgreed holds what arrived against the form as it was typed, and not against the consent as the desk projected it.
func onlyAgreed(f *posternv1.Form, d *posternv1.Delivery, agreement []string) error {
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(d.GetNotification().GetManifest().GetPayload(), m); err != nil {
		return err
	}
	authority := m.GetOffer().GetAuthority()
	var numbers []int // of the authority's children in the form, by their number in the notification less one
	for i, c := range f.GetChildren() {
		if c.GetAuthority() == authority {
			numbers = append(numbers, i+1)
		}
	}
	if !consent.Reaches(f.GetConsent(), authority) {
		return fmt.Errorf("the parent did not agree to tell %s", authority)
	}
	for _, s := range d.GetNotification().GetSections() {
		row, ok := section.Lookup(s.GetPath())
		if !ok {
			return fmt.Errorf("%s is no section", s.GetPath())
		}
		typed := s.GetPath()
		if n, ok := section.ChildOf(typed); ok {
			typed = row.Path(numbers[n-1])
			if !slices.Contains(f.GetConsent().GetChildren(), uint32(numbers[n-1])) {
				return fmt.Errorf("the parent did not agree to tell of the child of %s", s.GetPath())
			}
		}
		if !consent.Covers(f.GetConsent(), typed) {
			return fmt.Errorf("the parent did not agree to tell %s", typed)
		}
		if authority == testkit.Bristol && !slices.Contains(agreement, row.Pattern) {
			return fmt.Errorf("%s is not in the agreement", row.Pattern)
		}
	}
	return nil
}

// noHubFacts checks that no facts for the hub alone, and no facts of a child that was left out, crossed.
func noHubFacts(n *posternv1.SealedNotification, d *posternv1.Delivery) error {
	told := map[int]bool{}
	for _, s := range d.GetNotification().GetSections() {
		if c, ok := section.ChildOf(s.GetPath()); ok {
			told[c] = true
		}
	}
	raw, err := proto.Marshal(d)
	if err != nil {
		return err
	}
	for _, b := range n.GetFacts() {
		f := &posternv1.FactsBlock{}
		if err := proto.Unmarshal(b, f); err != nil {
			return err
		}
		crossed := bytes.Contains(raw, f.GetSalt())
		if f.GetHub() != nil {
			for _, ref := range append(f.GetHub().GetChildRefs(), f.GetHub().GetSubjectRef(), f.GetHub().GetContentRef()) {
				crossed = crossed || bytes.Contains(raw, ref)
			}
		}
		if want := f.GetHub() == nil && told[int(f.GetChild().GetNumber())]; crossed != want {
			return fmt.Errorf("facts %v crossed: %v", f, crossed)
		}
	}
	return nil
}

// The control: a value that is written anywhere at the hub is found.
func TestAValueAtTheHubIsFound(t *testing.T) {
	f := formtest.New(testkit.Bristol)
	words := testkit.Personal(f)
	w := newWorld(t, func(c *testkit.Config) { c.Leaks = true })
	w.decided(w.one(f))
	if found := testkit.Holds(words, w.everything()...); len(found) > 0 {
		t.Fatalf("already there: %q", found)
	}
	w.Log.Logger().Info("leak", "name", "Morwenna")
	err := w.Ledger.Append(t.Context(), func(tx *ledger.Tx) error {
		return tx.Put(schema.HubMeta, []byte("leak"), []byte("ZZ99 3QT"))
	})
	if err != nil {
		t.Fatal(err)
	}
	leak := w.Seal(testkit.HMPBristol, formtest.Declined(), func(d *envelope.Draft) { d.Manifest.Sender.StaffId = "Gwladys Tattersby" })[0]
	w.decided(leak) // into the sealed record of an event
	if got := testkit.Holds(words, w.everything()...); !slices.Equal(got, []string{"Gwladys Tattersby", "Morwenna", "ZZ99 3QT"}) {
		t.Errorf("found %q", got)
	}
}
