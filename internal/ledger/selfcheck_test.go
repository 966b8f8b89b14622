package ledger

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
)

// pass steps a self-check until it has been through everything, and returns how many steps that took.
func (h *hub) pass(s *SelfCheck) (steps int, err error) {
	for worked := true; worked; steps++ {
		if worked, err = s.Step(h.tb.Context()); err != nil {
			return steps, err
		}
	}
	return steps, nil
}

func TestTheSelfCheckReadsEverything(t *testing.T) {
	h := newHub(t)
	s := NewSelfCheck(h.Ledger, 0, 0)
	if !s.State().Passed.IsZero() {
		t.Fatal("it has passed before it began")
	}
	_, err := h.pass(s)
	check(t, err)
	h.add(Sent, 256)
	h.add(Sent, 256)
	h.add(Sent, 188)
	h.add(Received, 3)
	before := s.State()
	steps, err := h.pass(s)
	check(t, err)
	if now := s.State(); now.Events != before.Events+703 || now.Passed != start || steps != 4 { // 256, 256, 188, 3
		t.Fatalf("%d steps: %+v after %+v", steps, now, before)
	}

	// What grows while a pass is under way waits for the next one.
	_, err = s.Step(t.Context())
	check(t, err)
	h.add(Sent, 100)
	_, err = h.pass(s)
	check(t, err)
	check(t, h.generation(2))
	s = NewSelfCheck(h.Ledger, 0, 0)
	_, err = h.pass(s)
	check(t, err)
	if n := s.State().Events; n != 805 {
		t.Fatalf("%d events of two generations", n)
	}
}

// TestTheSelfCheckFindsDamage: also what no start looks at, and then nothing is signed any more.
func TestTheSelfCheckFindsDamage(t *testing.T) {
	for name, c := range map[string]struct {
		ks  store.Keyspace
		key func(ids [][16]byte) []byte
		how func([]byte) []byte
	}{
		"an old leaf":   {schema.HubLeaf, func([][16]byte) []byte { return leafKey(tree(Sent), 3) }, flip},
		"an old tile":   {schema.HubTile, func([][16]byte) []byte { return tileKey(tree(Sent), 0, 0) }, flip},
		"an old record": {schema.HubRecord, func([][16]byte) []byte { return leafKey(tree(Sent), 7) }, flip},
		"a record gone": {schema.HubRecord, func([][16]byte) []byte { return leafKey(tree(Sent), 8) }, remove},
		"the control":   {schema.HubMeta, func([][16]byte) []byte { return []byte("x") }, func([]byte) []byte { return []byte("y") }},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			ids := h.add(Sent, 256)
			ids = append(ids, h.add(Sent, 256)...)
			ids = append(ids, h.add(Sent, 188)...)
			h.set(c.ks, c.key(ids), c.how)
			h.openLedger() // a start does not see it
			_, err := h.pass(NewSelfCheck(h.Ledger, 0, 0))
			appended := h.Append(t.Context(), record(Sent, 1))
			if name == "the control" {
				check(t, err)
				check(t, appended)
				return
			}
			if err == nil || appended == nil || h.Stopped() == nil {
				t.Fatalf("the damage gives %v, then %v", err, appended)
			}
			h.Ledger = nil
		})
	}
}

func TestTheSelfCheckRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHub(t)
		h.add(Sent, 2)
		h.add(Received, 1)
		s := NewSelfCheck(h.Ledger, time.Second, time.Hour)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- s.Run(ctx) }()
		synctest.Wait()
		if s.State().Events != 2 {
			t.Errorf("%d events at once", s.State().Events)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if s.State().Events != 3 || s.State().Passed.IsZero() {
			t.Errorf("%+v after a pause", s.State())
		}
		time.Sleep(time.Hour - time.Second)
		synctest.Wait()
		if s.State().Events != 3 {
			t.Error("it does not rest")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		_, err := s.Step(ctx)
		if fault.KindOf(err) == fault.Unverified {
			t.Errorf("an end is not damage: %v", err)
		}
	})
}
