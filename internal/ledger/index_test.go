package ledger

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	logv1 "postern/proto/postern/log/v1"
)

// byAuthority indexes the test's events by authority and kind, and by their delivery as a rare term.
func byAuthority(e Logged) Terms {
	return Terms{Common: []string{"a/" + e.Details.GetAuthority(), fmt.Sprintf("k/%d", e.Leaf.Kind)}, Rare: []string{e.Details.GetDeliveryId()}}
}

// question is one that an auditor may ask of the test's events.
type question struct {
	authority, delivery string
	kind                int      // 0 for any
	any                 []string // authorities of which it is one; none for any
	where               Where
}

func drawQuestion(rt *rapid.T, events int) question {
	q := question{authority: rapid.SampledFrom([]string{"E1", "E2", "E3", "rare", "nobody"}).Draw(rt, "authority"), kind: rapid.IntRange(0, 3).Draw(rt, "kind")}
	q.where.Terms.Common = []string{"a/" + q.authority}
	if q.kind > 0 {
		q.where.Terms.Common = append(q.where.Terms.Common, fmt.Sprintf("k/%d", q.kind))
	}
	if rapid.IntRange(0, 3).Draw(rt, "one") == 0 {
		q = question{delivery: fmt.Sprint("delivery ", rapid.IntRange(0, events+5).Draw(rt, "delivery"))}
		q.where.Terms.Rare = []string{q.delivery}
	}
	if rapid.Bool().Draw(rt, "within") {
		q.any = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"E1", "E2", "E3", "rare", "nobody"}), 1, 3, rapid.ID).Draw(rt, "any")
		for _, a := range q.any {
			q.where.Any = append(q.where.Any, "a/"+a)
		}
	}
	if rapid.Bool().Draw(rt, "timed") {
		first, _ := verify.HourOf(start)
		q.where.From = first + uint32(rapid.IntRange(0, events/3).Draw(rt, "from"))
		q.where.To = q.where.From + uint32(rapid.IntRange(0, 60).Draw(rt, "hours"))
		from, to := q.where.From, q.where.To
		q.where.Leaf = func(l verify.Leaf) bool { return l.Hour >= from && l.Hour <= to }
	}
	return q
}

func (q question) wants(e Logged) bool {
	return (q.delivery == "" || e.Details.GetDeliveryId() == q.delivery) && (q.authority == "" || e.Details.GetAuthority() == q.authority) &&
		(len(q.any) == 0 || slices.Contains(q.any, e.Details.GetAuthority())) && (q.kind == 0 || int(e.Leaf.Kind) == q.kind) && (q.where.Leaf == nil || q.where.Leaf(e.Leaf))
}

// listed are the events that a question finds in pages, and how many records were opened for it.
func (h *hub) listed(rt *rapid.T, q question, where Where, page int) (ids [][16]byte, opened int) {
	var at Position
	for {
		var err error
		at, err = h.Cut().Events(h.tb.Context(), at, page, where, func(e Logged) (bool, error) {
			opened++
			if q.wants(e) {
				ids = append(ids, e.Leaf.EventID)
			}
			return q.wants(e), nil
		})
		check(rt, err)
		if at == "" {
			return ids, opened
		}
	}
}

// addVaried adds events 20 minutes apart, of three authorities and a rare one and of three kinds.
func (h *hub) addVaried(g Log, from, count int) {
	var ops []func(*Tx) error
	for i := from; i < from+count; i++ {
		ev := event(i)
		ev.Kind, ev.Time = logv1.Kind(1+i*7%3), start.Add(time.Duration(i)*20*time.Minute)
		ev.Details = &logv1.Details{Authority: fmt.Sprint("E", 1+i*5%7%3), DeliveryId: fmt.Sprint("delivery ", i)}
		if i%211 == 0 {
			ev.Details.Authority = "rare"
		}
		ops = append(ops, func(tx *Tx) error { _, err := tx.Record(g, ev); return err })
	}
	for _, err := range h.batch(ops...) {
		check(h.tb, err)
	}
}

// TestTheIndexFindsWhatAScanFinds: for every question, however much is indexed and however little one call may look up, in
// pages of any size; and it opens no more than the scan does.
func TestTheIndexFindsWhatAScanFinds(t *testing.T) {
	h := newHub(t, func(c *Config) { c.Terms = byAuthority })
	const events = 900
	for i := 0; i < events; i += 180 {
		h.addVaried(Sent, i, 120)
		h.addVaried(Received, i+120, 60)
	}
	for worked, blocks := true, 0; worked; blocks++ {
		t.Run(fmt.Sprint(blocks, " blocks"), rapid.MakeCheck(func(rt *rapid.T) {
			q, page := drawQuestion(rt, events), rapid.IntRange(1, 50).Draw(rt, "page")
			h.maxLook = rapid.SampledFrom([]int{1, 9, 1 << 12}).Draw(rt, "looks")
			got, opened := h.listed(rt, q, q.where, page)
			want, scanned := h.listed(rt, q, Where{}, page)
			if !slices.Equal(got, want) || opened > scanned {
				rt.Fatalf("%+v gives %d events of %d opened, a scan %d of %d", q, len(got), opened, len(want), scanned)
			}
		}))
		var err error
		worked, err = h.StepIndex(t.Context())
		check(t, err)
	}
	// What is rare costs little to find: the control is that without the index all is opened.
	q := question{authority: "rare", where: Where{Terms: Terms{Common: []string{"a/rare"}}}}
	rapid.Check(t, func(rt *rapid.T) {
		if got, opened := h.listed(rt, q, q.where, 50); len(got) != 5 || opened > 5+events-768 {
			rt.Fatalf("%d of %d opened", len(got), opened)
		}
	})
}

// TestOneCallLooksUpSoMuch: a question that nothing fits comes to its end over several calls, each of which looks up a part
// and says where to go on; without the bound one call would go through all of the index.
func TestOneCallLooksUpSoMuch(t *testing.T) {
	h := newHub(t, func(c *Config) { c.Terms = byAuthority })
	for i := 0; i < 1600; i += 200 {
		h.addVaried(Sent, i, 200)
	}
	for worked := true; worked; {
		var err error
		worked, err = h.StepIndex(t.Context())
		check(t, err)
	}
	for name, where := range map[string]Where{
		"two terms that never go together": {Terms: Terms{Common: []string{"a/E1", "a/E2"}}},
		"a delivery that is not there":     {Terms: Terms{Rare: []string{"delivery none"}}},
		"before all":                       {To: 1},
	} {
		where.Leaf = func(verify.Leaf) bool { return false } // what is not indexed is looked through
		for looks, want := range map[int]bool{2: true, 1 << 12: false} {
			h.maxLook = looks
			calls := 0
			for at := Position(""); calls == 0 || at != ""; calls++ {
				var err error
				at, err = h.Cut().Events(t.Context(), at, 25, where, func(Logged) (bool, error) { return true, nil })
				check(t, err)
			}
			if (calls > 1) != want {
				t.Errorf("%s: %d calls with %d looks each", name, calls, looks)
			}
		}
	}
}

// TestTheIndexIsChecked: a row that is not the one of its events hides some from an auditor, so the self-check finds it.
func TestTheIndexIsChecked(t *testing.T) {
	for name, c := range map[string]struct {
		key []byte
		how func([]byte) []byte
	}{
		"a term":  {termKey("a/E06000023", 1, 0), flip},
		"missing": {termKey("a/E06000023", 1, 0), remove},
		"a block": {blockKey(1, 0), flip},
		"control": {[]byte("else"), func([]byte) []byte { return []byte("x") }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, func(c *Config) { c.Terms = byAuthority })
			h.add(Sent, 256)
			h.add(Sent, 50)
			for worked := true; worked; {
				var err error
				worked, err = h.StepIndex(t.Context())
				check(t, err)
			}
			h.set(schema.HubTerm, c.key, c.how)
			err := h.CheckAll(t.Context())
			if name == "control" {
				check(t, err)
				return
			}
			wantFault(t, err, fault.Unverified, "LEDGER_CORRUPT")
			h.Ledger = nil
		})
	}
}
