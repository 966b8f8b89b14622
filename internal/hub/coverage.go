package hub

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// What came of asking a person, as it is kept.
const (
	askedNotYet byte = 1 + iota
	askedChildren
	askedNone
	askedDeclined
	askedTold
)

// asked is what a statement says of asking; 0 for one that says nothing of it.
func asked(m *posternv1.Manifest) byte {
	switch m.GetEnquiry().GetOutcome() {
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED:
		return askedNotYet
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN:
		return askedChildren
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN:
		return askedNone
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED:
		return askedDeclined
	}
	if m.GetOffer() != nil {
		return askedTold
	}
	return 0
}

// noteAsked notes, in the transaction of a decision, what came of asking this person on this day of reception. A person
// is told from others by a reference that only the desk can make, and of that only a digest is kept: enough to count
// nobody twice. A transfer is no new reception. The notes of a day lie in the order of the log, so that writing one looks
// for no other; they are put together when somebody counts.
func noteAsked(tx *ledger.Tx, v *envelope.Verified, e ledger.Entry) error {
	m := v.Manifest()
	now, r := asked(m), m.GetReception()
	if _, err := time.Parse(time.DateOnly, r.GetReceiveDate()); err != nil || now == 0 || len(v.Hub().GetSubjectRef()) == 0 ||
		r.GetReason() == posternv1.ReceptionReason_RECEPTION_REASON_TRANSFER {
		return nil
	}
	subject := sha256.Sum256(v.Hub().GetSubjectRef())
	return tx.Put(schema.HubAsked, join(v.Sender().ID, r.GetReceiveDate(), string(e.Place())), append(subject[:subjectSize], now))
}

// subjectSize is how much is kept of the digest of a subject reference.
const subjectSize = 16

// people is what came of asking the people of one day, by the digest of each.
type people map[[subjectSize]byte]byte

// add takes the next note of the day. A later answer takes the place of an earlier one, but that nobody asked never takes
// the place of an answer, nor that there are children the place of having told about them.
func (p people) add(note []byte) error {
	if len(note) != subjectSize+1 {
		return fault.New(fault.Internal, "ASKED_ROW", "What the hub keeps of who was asked cannot be read.")
	}
	who, now := [subjectSize]byte(note), note[subjectSize]
	if before, known := p[who]; !known || now != askedNotYet && (now != askedChildren || before != askedTold) {
		p[who] = now
	}
	return nil
}

// countReceptions takes a prison's count of its receptions: verified already, recorded, answered. Nothing is decided.
func (h *Hub) countReceptions(ctx context.Context, v *envelope.Verified, known []*posternv1.KnownLog) (*posternv1.SubmitResponse, error) {
	var made recorded
	now := h.now()
	d := &posternv1.Decision{Outcome: posternv1.Outcome_OUTCOME_WITHHOLD, Reasons: []*posternv1.Reason{{
		RuleId: "receptions_counted", Text: "The counts are on record. Nothing was sent about anybody.", Law: "UK GDPR Article 5(2), accountability"}}}
	err := h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		made = recorded{} // the transaction may run again
		same := idempotencyKey(v.Sender().URI(), v.Manifest().GetNotificationId(), v.ManifestSHA256())
		if earlier, err := tx.Get(schema.HubIdempotency, same); err != nil || earlier != nil {
			copy(made.earlier[:], earlier)
			return err
		}
		entry, err := tx.Record(ledger.Sent, ledger.Event{
			Kind:    logv1.Kind_KIND_RECEPTIONS_COUNTED,
			Time:    now,
			Core:    &logv1.Core{ManifestSha256: v.ManifestSHA256(), Outcome: d.GetOutcome()},
			Details: &logv1.Details{Caller: v.Sender().URI(), Sender: v.Manifest().GetSender(), Decision: d, Receptions: v.Manifest().GetReceptions()},
		})
		if err != nil {
			return err
		}
		made.entry = entry
		event := entry.EventID()
		if err := tx.Put(schema.HubIdempotency, same, event[:]); err != nil {
			return err
		}
		for _, day := range v.Manifest().GetReceptions().GetDays() {
			if err := tx.Put(schema.HubReceived, join(v.Sender().ID, day.GetReceiveDate()), binary.BigEndian.AppendUint32(nil, day.GetReceived())); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h.answer(ctx, made, decision{Decision: d}, known)
}

// GetCoverage counts, by prison, who came and who was asked, at the prisons within the caller's scope. That it was asked
// is an event, as any question of an auditor is.
func (h *Hub) GetCoverage(ctx context.Context, req *posternv1.GetCoverageRequest) (*posternv1.GetCoverageResponse, error) {
	who, err := h.auditor(ctx)
	if err != nil {
		return nil, err
	}
	for _, date := range []string{req.GetStartDate(), req.GetEndDate()} {
		if _, err := time.Parse(time.DateOnly, date); err != nil && date != "" {
			return nil, fault.New(fault.Invalid, "BAD_DATE", "A day is written as year, month and day, such as 2026-11-22.")
		}
	}
	if err := h.disclosed(ctx, who, disclosure{Coverage: asks(req)}); err != nil {
		return nil, err
	}
	c := coverage{about: req, within: who.scope.counts, prisons: map[string]*posternv1.Coverage{}}
	if err := h.cfg.Store.View(ctx, c.gather); err != nil {
		return nil, err
	}
	out := &posternv1.GetCoverageResponse{Prisons: slices.Collect(maps.Values(c.prisons))}
	slices.SortFunc(out.Prisons, func(a, b *posternv1.Coverage) int { return strings.Compare(a.GetPrisonId(), b.GetPrisonId()) })
	return out, nil
}

// coverage is what is counted for one question.
type coverage struct {
	about   *posternv1.GetCoverageRequest
	within  func(prison string) bool // the scope of who asks
	prisons map[string]*posternv1.Coverage
}

// day is one day of a prison.
type day struct{ prison, date string }

// dayOf reads whose row a key is, and reports whether the question is about it.
func (c coverage) dayOf(key []byte) (d day, ok bool) {
	parts := strings.SplitN(string(key), "\x00", 3)
	d = day{parts[0], parts[1]}
	return d, c.within(d.prison) && (c.about.GetPrisonId() == "" || c.about.GetPrisonId() == d.prison) &&
		d.date >= c.about.GetStartDate() && (c.about.GetEndDate() == "" || d.date <= c.about.GetEndDate())
}

func (c coverage) of(prison string) *posternv1.Coverage {
	if c.prisons[prison] == nil {
		c.prisons[prison] = &posternv1.Coverage{PrisonId: prison}
	}
	return c.prisons[prison]
}

// gather counts in one snapshot.
func (c coverage) gather(s store.Snapshot) error {
	counted := map[day]bool{}
	received := s.Scan(schema.HubReceived, nil, nil, func(key, value []byte) (bool, error) {
		if d, ok := c.dayOf(key); ok {
			sum := c.of(d.prison)
			sum.DaysCounted++
			sum.Received += binary.BigEndian.Uint32(value)
			counted[d] = true
		}
		return true, nil
	})
	days := map[day]people{}
	notes := s.Scan(schema.HubAsked, nil, nil, func(key, note []byte) (bool, error) {
		d, ok := c.dayOf(key)
		if !ok {
			return true, nil
		}
		if days[d] == nil {
			days[d] = people{}
		}
		return true, days[d].add(note)
	})
	for d, who := range days {
		for _, what := range who {
			count(c.of(d.prison), what, counted[d])
		}
	}
	return errors.Join(received, notes)
}

// count adds one person; counted says whether the prison counted who came that day.
func count(c *posternv1.Coverage, what byte, counted bool) {
	if what == askedNotYet {
		c.NotAsked++
		return
	}
	c.Asked++
	if counted {
		c.AskedOfReceived++
	}
	switch what {
	case askedChildren:
		c.Children++
	case askedNone:
		c.NoChildren++
	case askedDeclined:
		c.Declined++
	case askedTold:
		c.Told++
	}
}
