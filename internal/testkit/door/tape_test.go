package door_test

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"maps"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/form/formtest"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// message is one request as it once went over the line.
type message struct {
	method string
	path   string // who sent it
	to     string // the authority whose inbox it went to; empty for the hub
	body   []byte
}

// tape is every request that was made while it ran.
type tape struct {
	mu  sync.Mutex // guards all
	all []message
}

func (t *tape) record(d *doors) {
	take := func(path, to string) func(string, []byte) []byte {
		return func(method string, b []byte) []byte {
			t.mu.Lock()
			defer t.mu.Unlock()
			t.all = append(t.all, message{method, path, to, slices.Clone(b)})
			return b
		}
	}
	for _, path := range []string{deskBLI, deskPRI, inboxBristol, inboxLancs} {
		d.ToHub(path).Requests(take(path, ""))
	}
	for _, authority := range []string{testkit.Bristol, testkit.Lancashire} {
		d.Inbox(authority).Link.Requests(take(hubPath, authority))
	}
}

func (t *tape) end(d *doors) {
	for _, path := range []string{deskBLI, deskPRI, inboxBristol, inboxLancs} {
		d.ToHub(path).Requests(nil)
	}
	for _, authority := range []string{testkit.Bristol, testkit.Lancashire} {
		d.Inbox(authority).Link.Requests(nil)
	}
}

// history plays a day on which everything happens that a party can say, and returns all that was said. Bristol's inbox is
// sent to, Lancashire's collects.
func (d *doors) history() []message {
	d.t.Helper()
	ctx, t := d.t.Context(), &tape{}
	bli, pri, bristol, lancs := d.Desk(testkit.HMPBristol), d.Desk(testkit.HMPParc), d.Inbox(testkit.Bristol), d.Inbox(testkit.Lancashire)
	t.record(d)
	defer t.end(d)
	whole, part, answered := d.share(testkit.HMPBristol, testkit.Bristol), d.share(testkit.HMPBristol, testkit.Bristol), d.share(testkit.HMPParc, testkit.Lancashire)
	bli.Take(formtest.New(testkit.Bristol))
	bli.Take(d.Example("declined"))
	pri.Take(formtest.New(testkit.Lancashire))
	d.submit(testkit.HMPBristol, d.Seal(testkit.HMPBristol, formtest.New(testkit.Bristol), func(draft *envelope.Draft) { // the sealed birth date says another age
		draft.Children[0].Age = &posternv1.ChildFacts_AgeYears{AgeYears: 3}
	})[0])
	d.Settle()
	d.submit(testkit.HMPBristol, d.withdrawal(deskBLI, whole.id))
	d.submit(testkit.HMPBristol, d.withdrawal(deskBLI, part.id, func(w *posternv1.Withdrawal) { w.Paths = []string{"child/1/phone"} }))
	d.submit(testkit.HMPBristol, d.withdrawal(deskBLI, newID(d.t))) // of what never came
	d.submit(testkit.HMPParc, d.considered(deskPRI, newID(d.t)))
	d.submit(testkit.HMPBristol, d.statement(deskBLI, func(m *posternv1.Manifest) {
		m.Statement = &posternv1.Manifest_Receptions{Receptions: &posternv1.Receptions{Days: []*posternv1.ReceptionDay{{ReceiveDate: "2026-09-01", Received: 7}}}}
	}))
	d.Settle()
	must(bristol.AnswerStop(ctx, &localv1.AnswerStopRequest{Id: whole.id, Answer: posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED}))(d.t)
	for _, r := range []struct {
		path   string
		report *posternv1.Report
	}{
		{inboxBristol, accepted(part.id, part.manifest)}, {inboxLancs, accepted(answered.id, answered.manifest)},
		{inboxBristol, &posternv1.Report{NotificationId: part.id, ManifestSha256: part.manifest, Report: &posternv1.Report_Reply{Reply: &posternv1.Reply{
			Code: posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, Paths: []string{"child/1/school"}}}}},
	} {
		must(posternv1.NewMailboxServiceClient(d.ToHub(r.path)).Report(ctx, &posternv1.ReportRequest{Signed: d.report(r.path, r.report)}))(d.t)
	}
	must(bristol.Rotate(ctx, &localv1.RotateRequest{}))(d.t)
	must(lancs.Rotate(ctx, &localv1.RotateRequest{}))(d.t)
	d.Settle()
	d.Clock.Advance(3 * time.Hour) // what is told by the hour is told
	d.Settle()
	// Twice is once: what a desk or an inbox asks again and again is one message.
	seen := map[string]bool{}
	return slices.DeleteFunc(t.all, func(m message) bool {
		key := fmt.Sprintf("%s %s %x", m.method, m.path, sha256.Sum256(m.body))
		again := seen[key]
		seen[key] = true
		return again
	})
}

// ofManifest says of a row of the hub that it is by which a manifest is known again: notification id ‖ 1 ‖ digest.
func ofManifest(ks store.Keyspace, key []byte) bool {
	return ks == schema.HubNotification && len(key) == 36+1+sha256.Size && key[36] == 1
}

// state is everything that a party holds, by keyspace: of the ledger only what happened, since refusals are recorded.
type state map[string]string

func (d *doors) state() state {
	d.t.Helper()
	s := state{}
	logged := []store.Keyspace{schema.HubLeaf, schema.HubTile, schema.HubLog, schema.HubRecord, schema.HubTerm, schema.HubMeta}
	dump := func(party string, of store.Store, spaces []store.Keyspace, without ...store.Keyspace) {
		err := of.View(d.t.Context(), func(snap store.Snapshot) error {
			for _, ks := range spaces {
				if slices.Contains(without, ks) {
					continue
				}
				rows, sums := map[string]int{}, map[string]hash.Hash{}
				err := snap.Scan(ks, nil, nil, func(k, v []byte) (bool, error) {
					name := string(ks)
					if ks == schema.HubNotification && k[len(k)-1] == 0 && !ofManifest(ks, k) {
						name += " releases"
					}
					if rows[name]++; rows[name] == 1 {
						sums[name] = sha256.New()
					}
					fmt.Fprintf(sums[name], "%d %x %d %x ", len(k), k, len(v), v)
					return true, nil
				})
				if err != nil {
					return err
				}
				for name, sum := range sums {
					s[party+" "+name] = fmt.Sprintf("%d rows, %s", rows[name], hex.EncodeToString(sum.Sum(nil)[:8]))
				}
			}
			return nil
		})
		if err != nil {
			d.t.Fatal(err)
		}
	}
	dump("hub", d.Store, schema.Hub.Keyspaces, logged...)
	for _, authority := range []string{testkit.Bristol, testkit.Lancashire} {
		dump("inbox "+authority, d.Inbox(authority).Store, schema.Inbox.Keyspaces, schema.InboxMeta)
		var seen []string
		for _, item := range d.Inbox(authority).Items() {
			seen = append(seen, item.GetId())
		}
		s["inbox "+authority+" list"] = fmt.Sprint(seen)
	}
	for _, e := range d.events(0) {
		if e.Leaf.Kind != logv1.Kind_KIND_REFUSED {
			s[fmt.Sprintf("%v %x", e.Leaf.Kind, e.Leaf.EventID)] = "recorded"
		}
	}
	return s
}

// differs names what two states do not have in common.
func (s state) differs(from state) (all []string) {
	both := maps.Clone(from)
	maps.Copy(both, s)
	for _, name := range slices.Sorted(maps.Keys(both)) {
		if s[name] != from[name] {
			all = append(all, name+": "+from[name]+" became "+s[name])
		}
	}
	return all
}

// signed are the statements in a request.
func signed(m proto.Message) []*posternv1.Signed {
	var all []*posternv1.Signed
	switch r := m.(type) {
	case *posternv1.SubmitRequest:
		all = []*posternv1.Signed{r.GetNotification().GetManifest(), r.GetNotification().GetStopRequest()}
	case *posternv1.ReportRequest:
		all = []*posternv1.Signed{r.GetSigned()}
	case *posternv1.PublishKeyRequest:
		all = []*posternv1.Signed{r.GetRecipientKey()}
	case *posternv1.DeliverRequest:
		all = []*posternv1.Signed{r.GetDelivery().GetNotification().GetManifest(), r.GetDelivery().GetStopRequest()}
	}
	return slices.DeleteFunc(all, func(s *posternv1.Signed) bool { return s == nil })
}
