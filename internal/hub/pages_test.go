package hub_test

import (
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ledger"
	"postern/internal/ledger/verify"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

func TestUpdatesComeInPagesToTheirOwnDeskOnly(t *testing.T) {
	w := newWorld(t)
	var ids []string
	for range 5 {
		_, event := w.decided(w.shareable())
		ids = append(ids, w.notificationOf(event.EventID))
	}
	w.Settle()
	bli, pri := w.Submission(testkit.HMPBristol), w.Submission(testkit.HMPParc)
	var got, tokens []string
	token := ""
	for {
		page := must(bli.ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{PageSize: 2, PageToken: token}))(t)
		if _, err := verify.Checkpoint(page.GetCheckpoint(), w.LogKeys()); err != nil {
			t.Fatal(err)
		}
		if len(page.GetUpdates()) == 0 {
			break
		}
		if len(page.GetUpdates()) > 2 {
			t.Fatalf("%d updates in a page of two", len(page.GetUpdates()))
		}
		for _, u := range page.GetUpdates() {
			got = append(got, u.GetNotificationId())
			if at := u.GetUpdateTime().AsTime(); at.Minute()+at.Second()+at.Nanosecond() != 0 || u.GetAcknowledgement() == nil {
				t.Errorf("update %v at %v", u.GetUpdate(), at)
			}
		}
		token = page.GetNextPageToken()
		tokens = append(tokens, token)
	}
	if !slices.Equal(got, ids) {
		t.Errorf("updates of %v, want %v", got, ids)
	}
	again := must(bli.ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{PageToken: token}))(t)
	if again.GetNextPageToken() != token || len(again.GetUpdates()) > 0 {
		t.Error("the end of the list moves by itself")
	}
	for _, token := range append(tokens, "") { // whatever its owner was given
		page := must(pri.ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{PageToken: token}))(t)
		if len(page.GetUpdates()) > 0 {
			t.Error("another desk sees them")
		}
	}
	for _, token := range []string{"nonsense", "AAAA", "AAAAAAAAAAAAAAAAAAAA"} {
		_, err := bli.ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{PageToken: token})
		wantFault(t, err, fault.Invalid, "BAD_PAGE_TOKEN")
	}
}

// notificationOf is the notification of an event.
func (w *world) notificationOf(id [16]byte) string {
	w.t.Helper()
	for _, e := range w.events(0) {
		if e.Leaf.EventID == id {
			return e.Details.GetNotificationId()
		}
	}
	w.t.Fatal("no such event")
	return ""
}

func TestTheDirectoryComesInPagesThatVerify(t *testing.T) {
	w := newWorld(t)
	client := posternv1.NewDirectoryServiceClient(w.ToHub("/authority/E06000023/inbox"))
	list := func(size uint32, token string, known uint64) (*posternv1.ListAuthoritiesResponse, error) {
		return client.ListAuthorities(t.Context(), &posternv1.ListAuthoritiesRequest{PageSize: size, PageToken: token, KnownRevision: known})
	}
	whole := must(list(0, "", 0))(t)
	for _, size := range []uint32{1, 2, 3, 1 << 31} {
		var entries [][]byte
		token, pages := "", 0
		for {
			page := must(list(size, token, 0))(t)
			pages++
			if !proto.Equal(page.GetRevision(), whole.GetRevision()) || len(page.GetEntries()) > int(size) {
				t.Fatalf("page %d of size %d: %d entries", pages, size, len(page.GetEntries()))
			}
			entries = append(entries, page.GetEntries()...)
			if token = page.GetNextPageToken(); token == "" {
				break
			}
		}
		d := must(directory.Open(whole.GetRevision(), entries, w.Anchors(), w.Clock.Now()))(t)
		if len(d.Authorities()) != 3 || len(d.Prisons()) != 2 || d.Number() != 1 {
			t.Errorf("in pages of %d: %d authorities, %d prisons", size, len(d.Authorities()), len(d.Prisons()))
		}
	}
	if page := must(list(0, "", 1))(t); page.GetRevision() != nil || page.GetEntries() != nil {
		t.Error("who knows the newest is sent it again")
	}

	first := must(list(1, "", 0))(t)
	w.LoadDirectory(2, testkit.Register{})
	for _, token := range []string{first.GetNextPageToken(), "nonsense", "AAAAAAAAAAAAAAAA"} {
		_, err := list(1, token, 0)
		wantFault(t, err, fault.Invalid, "BAD_PAGE_TOKEN")
	}
	if page := must(list(0, "", 1))(t); page.GetRevision() == nil {
		t.Error("who knows an older one is not sent the newest")
	}
}

func TestOnlyANewerDirectoryOfTheOperatorComesIntoForce(t *testing.T) {
	w := newWorld(t)
	w.LoadDirectory(5, testkit.Register{})
	before := len(w.events(0))
	for _, number := range []uint64{1, 4, 5} {
		_, err := w.Hub.LoadDirectory(t.Context(), w.Revision(number, testkit.Register{}))
		wantFault(t, err, fault.Precondition, "DIRECTORY_NOT_NEWER")
	}
	bad := w.Revision(6, testkit.Register{})
	bad.Entries[0][len(bad.Entries[0])-1] ^= 1
	_, err := w.Hub.LoadDirectory(t.Context(), bad)
	wantFault(t, err, fault.Unverified, "DIRECTORY_ENTRIES")
	if len(w.events(0)) != before {
		t.Error("something was recorded")
	}
	good := w.Revision(6, testkit.Register{})
	loaded := must(w.Hub.LoadDirectory(t.Context(), good))(t)
	event := must(verify.Receipt(loaded.GetReceipt(), w.LogKeys()))(t)
	if loaded.GetNumber() != 6 || event.Origin != w.Ledger.Origin(ledger.Sent) {
		t.Errorf("number %d in %s", loaded.GetNumber(), event.Origin)
	}
	w.RestartHub()
	if got := must(w.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetDirectoryRevision(); got != 6 {
		t.Errorf("after a restart directory %d is in force", got)
	}
}

func TestStatusSaysWhatWaits(t *testing.T) {
	w := newWorld(t)
	w.Inbox(testkit.Bristol).Link.Down(true)
	w.decided(w.shareable())
	since := w.Clock.Now()
	w.Clock.Advance(60e9)
	w.decided(w.shareable())
	for range 2 { // also after an attempt
		s := must(w.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t)
		q := s.GetQueues()
		if len(q) != 1 || q[0].GetAuthority() != testkit.Bristol || q[0].GetWaiting() != 2 || !q[0].GetOldestTime().AsTime().Equal(since) {
			t.Errorf("queues %v", q)
		}
		if len(s.GetLogs()) != 2 || s.GetLogs()[0].GetOrigin() != w.Ledger.Origin(ledger.Sent) || s.GetLogs()[0].GetSize() != 3 || s.GetLogs()[1].GetSize() != 0 {
			t.Errorf("logs %v", s.GetLogs())
		}
		if s.GetDirectoryRevision() != 1 || len(s.GetPolicyRevision()) != 64 {
			t.Errorf("directory %d, policy %q", s.GetDirectoryRevision(), s.GetPolicyRevision())
		}
		if _, err := w.Hub.StepDelivery(t.Context()); err != nil {
			t.Error(err)
		}
	}
	w.Inbox(testkit.Bristol).Link.Down(false)
	w.Clock.Advance(testkit.MaxWait)
	w.Settle()
	if w.waiting() != 0 {
		t.Error("something waits still")
	}
}

// A desk without a form in the world is not told anything, and neither is one whose notification was not shared.
func TestNoUpdateWithoutADelivery(t *testing.T) {
	w := newWorld(t)
	w.decided(w.one(formtest.New(testkit.Lancashire)))
	w.Settle()
	if page := must(w.Submission(testkit.HMPBristol).ListUpdates(t.Context(), &posternv1.ListUpdatesRequest{}))(t); len(page.GetUpdates()) > 0 {
		t.Error(page.GetUpdates())
	}
}

// TestNobodyUsesUpTheNumbersOfTheDirectory: a desk is believed a number within reason, and an inbox none.
func TestNobodyUsesUpTheNumbersOfTheDirectory(t *testing.T) {
	w := newWorld(t)
	says := func(path string, number uint64) uint64 {
		_, err := posternv1.NewDirectoryServiceClient(w.ToHub(path)).ListAuthorities(t.Context(), &posternv1.ListAuthoritiesRequest{KnownRevision: number})
		if err != nil {
			t.Fatal(err)
		}
		return must(w.Hub.GetStatus(t.Context(), &localv1.GetStatusRequest{}))(t).GetDirectoryRevisionAtDesks()
	}
	desk, inbox := "/prison/"+testkit.HMPBristol+"/desk", "/authority/"+testkit.Bristol+"/inbox"
	for _, c := range []struct {
		path         string
		number, want uint64
	}{{desk, 1, 0}, {desk, 1<<64 - 1, 0}, {inbox, 9, 0}, {desk, 8, 8}, {desk, 5, 8}} {
		if got := says(c.path, c.number); got != c.want {
			t.Errorf("%s says %d: %d is believed, want %d", c.path, c.number, got, c.want)
		}
	}
}
