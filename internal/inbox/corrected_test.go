package inbox_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/outlet"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const (
	correction = posternv1.ChangeReason_CHANGE_REASON_CORRECTION
	childAdded = posternv1.ChangeReason_CHANGE_REASON_CHILD_ADDED
	keyChanged = posternv1.ChangeReason_CHANGE_REASON_KEY_CHANGED
)

// replacing seals a notification of a prison that says that it replaces another; "" for none.
func replacing(t *testing.T, x *testkit.Exchange, prison, old string, why posternv1.ChangeReason) (n *posternv1.SealedNotification, id string) {
	t.Helper()
	n = x.Seal(prison, formtest.New(testkit.Bristol), func(d *envelope.Draft) {
		id, d.Manifest.Supersedes, d.Manifest.GetOffer().ChangeReason = d.Manifest.GetNotificationId(), old, why
	})[0]
	return n, id
}

// arrives submits a notification as its prison and has it delivered.
func arrives(t *testing.T, x *testkit.Exchange, prison string, n *posternv1.SealedNotification) {
	t.Helper()
	must(x.Submission(prison).Submit(t.Context(), &posternv1.SubmitRequest{Notification: n}))(t)
	x.Settle()
}

// told is what an item says of others: which it puts right, why, and which put it right. A list says the same.
func told(t *testing.T, in *testkit.Inbox, id string) *localv1.Item {
	t.Helper()
	got := must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)
	if got.GetSignedSupersedes() != "" || got.GetSignedChangeReason() != 0 {
		t.Errorf("what is kept of %s is shown: %v", id, got)
	}
	i := got.GetItem()
	for _, listed := range in.Items() {
		if listed.GetId() == id && (listed.GetSupersedes() != i.GetSupersedes() || listed.GetChangeReason() != i.GetChangeReason() || !slices.Equal(listed.GetSupersededBy(), i.GetSupersededBy())) {
			t.Errorf("the list says %v of\n%v", listed, i)
		}
	}
	return i
}

// The team keeps what it has, and each of the two names the other, in whatever order they come, in the file for a case system
// too, and also when the older one was withdrawn since.
func TestACorrectionAndWhatItPutsRightNameOneAnother(t *testing.T) {
	for name, newerFirst := range map[string]bool{"the older came first": false, "the newer came first": true} {
		for _, why := range []posternv1.ChangeReason{correction, childAdded} {
			t.Run(name, func(t *testing.T) {
				x := testkit.NewExchange(t)
				in, dir := x.Inbox(testkit.Bristol), t.TempDir()
				in.Restart(func(c *inbox.Config) { c.Outlets.Folder = &outlet.Folder{Dir: dir} })
				first, old := replacing(t, x, testkit.HMPBristol, "", 0)
				second, id := replacing(t, x, testkit.HMPBristol, old, why)
				all := []*posternv1.SealedNotification{first, second}
				if newerFirst {
					slices.Reverse(all)
				}
				arrives(t, x, testkit.HMPBristol, all[0])
				alone := id
				if !newerFirst {
					alone = old
				}
				if i := told(t, in, alone); i.GetSupersedes() != "" || i.GetChangeReason() != 0 || len(i.GetSupersededBy()) != 0 {
					t.Errorf("alone it says %v", i)
				}
				arrives(t, x, testkit.HMPBristol, all[1])
				check := func() {
					t.Helper()
					if o := told(t, in, old); o.GetSupersedes() != "" || !slices.Equal(o.GetSupersededBy(), []string{id}) {
						t.Errorf("the older one says %v", o)
					}
					if n := told(t, in, id); n.GetSupersedes() != old || n.GetChangeReason() != why || len(n.GetSupersededBy()) != 0 {
						t.Errorf("the newer one says %v", n)
					}
				}
				check()
				for worked := true; worked; {
					worked = must(in.StepOutlet(t.Context(), "folder"))(t)
				}
				files := must(filepath.Glob(filepath.Join(dir, "*.json")))(t)
				for _, file := range files {
					var doc struct {
						ID   string
						Item struct {
							Supersedes   string
							SupersededBy []string `json:"superseded_by"`
						}
					}
					b := must(os.ReadFile(file))(t)
					if err := json.Unmarshal(b, &doc); err != nil {
						t.Fatal(err)
					}
					rows := string(must(os.ReadFile(strings.TrimSuffix(file, "json") + "csv"))(t))
					right := doc.Item.Supersedes == old && strings.Contains(rows, "Puts right,"+envelope.Reference(old))
					if doc.ID == old {
						right = slices.Equal(doc.Item.SupersededBy, []string{id}) && strings.Contains(rows, "Put right by,"+envelope.Reference(id))
					}
					if !right || strings.Contains(string(b), "signed_") {
						t.Errorf("the file says %s\n%s", b, rows)
					}
				}
				if len(files) != 2 {
					t.Errorf("there are %q", files)
				}
				s := &stopper{Exchange: x, t: t, in: in, id: old, manifest: manifestOf(&posternv1.Delivery{Content: &posternv1.Delivery_Notification{Notification: first}})}
				deliver(t, in, s.good())
				check()
			})
		}
	}
}

// Nothing stands on what a prison sent because another one signed that it replaces it; and of one that never came here
// nothing is said at all.
func TestWhatReplacesNothingHereIsNotLinked(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	first, old := replacing(t, x, testkit.HMPBristol, "", 0)
	arrives(t, x, testkit.HMPBristol, first)
	_, never := replacing(t, x, testkit.HMPBristol, "", 0)
	for prison, replaced := range map[string]string{testkit.HMPParc: old, testkit.HMPBristol: never} {
		n, id := replacing(t, x, prison, replaced, correction)
		arrives(t, x, prison, n)
		if i := told(t, in, id); i.GetSupersedes() != "" || i.GetChangeReason() != 0 {
			t.Errorf("it says %v", i)
		}
		if got := must(inbox.DocumentJSON(must(in.GetItem(t.Context(), &localv1.GetItemRequest{Id: id}))(t)))(t); strings.Contains(string(got), replaced) {
			t.Errorf("the file names it: %s", got)
		}
	}
	if i := told(t, in, old); len(i.GetSupersededBy()) != 0 || len(in.Items()) != 3 {
		t.Errorf("of %d, the one that another prison says it replaces says %v", len(in.Items()), i)
	}
}

// What was sealed again is on the page in the place of the first, and a correction names the first.
func TestACorrectionNamesWhatWasSealedAgain(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	_, first := replacing(t, x, testkit.HMPBristol, "", 0)
	n, again := replacing(t, x, testkit.HMPBristol, first, keyChanged)
	arrives(t, x, testkit.HMPBristol, n)
	n, id := replacing(t, x, testkit.HMPBristol, first, correction)
	arrives(t, x, testkit.HMPBristol, n)
	if i := told(t, in, again); i.GetSupersedes() != "" || !slices.Equal(i.GetSupersededBy(), []string{id}) {
		t.Errorf("what was sealed again says %v", i)
	}
	if i := told(t, in, id); i.GetSupersedes() != again || i.GetChangeReason() != correction {
		t.Errorf("the correction says %v", i)
	}
}

// Of a notification and the same sealed again the team is shown whichever came first, and acknowledges both. What another
// prison signs takes nothing's place and hides nothing.
func TestWhatIsSealedAgainIsShownOnce(t *testing.T) {
	for name, newerFirst := range map[string]bool{"the older came first": false, "the newer came first": true} {
		for _, prison := range []string{testkit.HMPBristol, testkit.HMPParc} {
			t.Run(name+", by "+prison, func(t *testing.T) {
				x := testkit.NewExchange(t)
				in := x.Inbox(testkit.Bristol)
				first, old := replacing(t, x, testkit.HMPBristol, "", 0)
				again, id := replacing(t, x, prison, old, keyChanged)
				send := []func(){func() { arrives(t, x, testkit.HMPBristol, first) }, func() { arrives(t, x, prison, again) }}
				want := []string{old, id}
				if newerFirst {
					slices.Reverse(send)
					slices.Reverse(want)
				}
				for _, one := range send {
					one()
				}
				if prison == testkit.HMPBristol {
					want = want[:1]
				}
				var shown []string
				for _, i := range in.Items() {
					shown = append(shown, i.GetId())
				}
				slices.Sort(shown)
				slices.Sort(want)
				if got := events(t, x, logv1.Kind_KIND_DELIVERED, ""); !slices.Equal(shown, want) || got != 2 {
					t.Errorf("the team is shown %d, want %d, and acknowledged %d", len(shown), len(want), got)
				}
			})
		}
	}
}
