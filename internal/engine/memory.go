package engine

import (
	"crypto/sha256"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	posternv1 "postern/proto/postern/v1"
)

const (
	maxRemembered = 16384 // questions
	maxAnswers    = 4096  // different ones among theirs; some 2 KB each
	sampleOneIn   = 64    // of the answers that are remembered or have just been, evaluated whole all the same
)

// memory remembers answers of the policy by the inputs they are answers to: all of an input but its leaves (moments.go),
// and in what order the moments among those lie. What comes out of it is what evaluating would give; a sample is
// evaluated for ever to prove it, and one difference ends the memory for good.
//
// It keeps what the policy answered, before the locks: they are applied to every answer, remembered or not.
type memory struct {
	moments moments
	asked   atomic.Uint64 // answers found by it
	off     atomic.Bool

	mu      sync.RWMutex // guards both
	answers map[question]*remembered
	alike   map[[sha256.Size]byte]*remembered // the same, by the digest of what is answered: most questions have the answer of another
}

// remembered is what the policy answered to some questions; nobody changes the decision.
type remembered struct {
	decision  *posternv1.Decision
	sum       [sha256.Size]byte
	questions int
}

// question is a digest of all that an answer depends on.
type question [sha256.Size]byte

// instant is the moments of one input.
type instant struct {
	now, consentEnd, agreementEnd time.Time
}

// newMemory returns nil for a bundle whose answers cannot be remembered.
func newMemory(b *bundle) *memory {
	m := momentsOf(b)
	if m == nil {
		return nil
	}
	return &memory{moments: *m, answers: map[question]*remembered{}, alike: map[[sha256.Size]byte]*remembered{}}
}

// question reads an input, also as it was written; false when a moment in it is none, and the answer then cannot be remembered.
// Other routes than that of permission are few, and their decisions end otherwise.
func (m *memory) question(in *Input, verbatim []byte, leaves places) (q question, at instant, ok bool) {
	if m == nil || m.off.Load() || in.Route != "STANDARD" {
		return q, at, false
	}
	for _, t := range []struct {
		text string
		to   *time.Time
	}{{in.Now, &at.now}, {in.Consent.ExpireTime, &at.consentEnd}, {in.Agreement.EndTime, &at.agreementEnd}} {
		var err error
		// The evaluator counts nanoseconds in 64 bits: years that do not fit are an error there.
		if *t.to, err = time.Parse(time.RFC3339, t.text); err != nil || t.to.Year() < 1700 || t.to.Year() > 2200 {
			return q, at, false
		}
	}
	h := sha256.New()
	h.Write([]byte{byte(1 + at.now.Compare(at.consentEnd)), byte(1 + at.now.Compare(at.agreementEnd)), byte(1 + at.consentEnd.Compare(at.agreementEnd))})
	from := 0
	for _, leaf := range leaves {
		h.Write(verbatim[from:leaf.from])
		h.Write([]byte{0}) // the place of the leaf; no JSON has this byte
		from = leaf.to
	}
	h.Write(verbatim[from:])
	return question(h.Sum(nil)), at, true
}

// validUntil is what valid_until in untilRules comes to.
func (m *memory) validUntil(at instant) *timestamppb.Timestamp {
	until := at.now.Add(m.moments.hours)
	for _, end := range []time.Time{at.consentEnd, at.agreementEnd} {
		if end.Before(until) {
			until = end
		}
	}
	return timestamppb.New(until)
}

// recall returns a remembered answer, the caller's own, as it is at this instant.
func (m *memory) recall(q question, at instant) *posternv1.Decision {
	m.mu.RLock()
	known := m.answers[q]
	m.mu.RUnlock()
	if known == nil {
		return nil
	}
	d := proto.CloneOf(known.decision)
	if d.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE {
		d.ValidUntilTime = m.validUntil(at)
	}
	return d
}

// sampled reports whether this answer is one to evaluate whole all the same.
func (m *memory) sampled() bool { return m.asked.Add(1)%sampleOneIn == 0 }

// forget ends the memory.
func (m *memory) forget() {
	m.off.Store(true)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answers, m.alike = nil, nil
}

// timeless evaluates an input without the moment from which deadlines are reckoned. Whatever reads that moment is an error
// without it. So an answer that comes of it rests on no deadline, and is the answer to the input as it is. On an error this
// is nil; also when a child waits, since it waits for something by a deadline.
func (e *Engine) timeless(in *Input, verbatim []byte, leaves places) *posternv1.Decision {
	without, at := *in, leaves[firstSubmitLeaf]
	without.FirstSubmitTime = ""
	d, err := e.evaluateWritten(&without, slices.Concat(verbatim[:at.from], []byte(`""`), verbatim[at.to:]), e.timeout)
	if err != nil || slices.ContainsFunc(d.GetChildren(), func(c *posternv1.ChildDecision) bool { return c.GetOutcome() == posternv1.Outcome_OUTCOME_WAIT }) {
		return nil
	}
	return d
}

// learn remembers an answer, unless it is not valid until when it should be.
func (m *memory) learn(q question, at instant, d *posternv1.Decision) {
	if d.GetOutcome() == posternv1.Outcome_OUTCOME_SHARE && !proto.Equal(d.GetValidUntilTime(), m.validUntil(at)) {
		return
	}
	kept := proto.CloneOf(d)
	kept.ValidUntilTime = nil
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(kept)
	if err != nil {
		return
	}
	sum := sha256.Sum256(b)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.off.Load() || m.answers[q] != nil {
		return
	}
	for old := range m.answers { // any: what is asked often is soon back
		if len(m.answers) < maxRemembered && (len(m.alike) < maxAnswers || m.alike[sum] != nil) {
			break
		}
		m.drop(old)
	}
	a := m.alike[sum]
	if a == nil {
		a = &remembered{decision: kept, sum: sum}
		m.alike[sum] = a
	}
	a.questions++
	m.answers[q] = a
}

// drop forgets a question, and its answer with the last one. The caller holds mu.
func (m *memory) drop(q question) {
	a := m.answers[q]
	delete(m.answers, q)
	if a.questions--; a.questions == 0 {
		delete(m.alike, a.sum)
	}
}
