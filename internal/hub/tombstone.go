package hub

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// tombstone is what was withdrawn of a notification, whether or not it ever came. It belongs to one sender: a desk that
// withdraws what is not its own, without the code, leaves a tombstone that means nothing to the real sender.
type tombstone struct {
	Paths []string  `json:"paths,omitempty"` // what was withdrawn; none for all
	Time  time.Time `json:"time"`            // of the latest withdrawal
	Stop  []byte    `json:"stop,omitempty"`  // the event of the latest stop request, once there is one
	Early []early   `json:"early,omitempty"` // withdrawals of which nobody was asked to stop: they came before the notification did, or before a send of it began
	Asked []early   `json:"asked,omitempty"` // those of which the team was asked to stop: a team that it passed this on to may be named later

	row []byte // as it was read, to see whether it changed
}

// early is a withdrawal with its stop request: when a desk says that a hub before this one may have sent what was
// withdrawn, the team may have it, and is asked to stop.
type early struct {
	Event   [16]byte `json:"event"` // of the withdrawal
	Paths   []string `json:"paths,omitempty"`
	Request []byte   `json:"request"` // the desk's signed stop request, serialized
}

func tombstoneKey(owner, id string) []byte { return join(owner, id) }

// readTombstone returns the tombstone of a sender's notification; nil when nothing was withdrawn.
func readTombstone(r store.Reader, owner, id string) (*tombstone, error) {
	row, err := r.Get(schema.HubWithdrawal, tombstoneKey(owner, id))
	if err != nil || row == nil {
		return nil, err
	}
	t := &tombstone{row: row}
	if err := json.Unmarshal(row, t); err != nil {
		return nil, fault.New(fault.Internal, "TOMBSTONE", "A tombstone cannot be read.").Because(err)
	}
	return t, nil
}

// slipOwner stands in the place of the sender's URI in the tombstone of a notification that the hub does not know, when
// another prison took its withdrawal before, at a hub that is gone: whoever sends it is known by the code on the slip.
func slipOwner(slip []byte) string { return "slip:" + hex.EncodeToString(slip) }

// tombstoneOf is the tombstone of a notification that comes: its sender's, and in it those that wait for its code, under its
// id or its reference or both. waited is where the latter are.
func tombstoneOf(r store.Reader, v *envelope.Verified) (t *tombstone, waited [][]byte, err error) {
	id, slip := v.Manifest().GetNotificationId(), v.Hub().GetSlipCodeSha256()
	if t, err = readTombstone(r, v.Sender().URI(), id); err != nil || len(slip) == 0 {
		return t, nil, err
	}
	for _, name := range []string{id, envelope.Reference(id)} {
		w, err := readTombstone(r, slipOwner(slip), name)
		if err != nil {
			return nil, nil, err
		}
		if w != nil {
			both := t.with(w.Paths, w.Time)
			both.Early, both.row = append(both.Early, w.Early...), slices.Concat(t.raw(), w.row)
			t, waited = both, append(waited, tombstoneKey(slipOwner(slip), name))
		}
	}
	return t, waited, nil
}

// all are all withdrawals, whether or not the team was asked to stop: one that it passed this on to may have it anyway.
func (t *tombstone) all() []early {
	if t == nil {
		return nil
	}
	return slices.Concat(t.Asked, t.Early)
}

func (t *tombstone) raw() []byte {
	if t == nil {
		return nil
	}
	return t.row
}

// whole reports whether all was withdrawn.
func (t *tombstone) whole() bool { return t != nil && len(t.Paths) == 0 }

// holds reports whether a withdrawal of these paths says nothing new.
func (t *tombstone) holds(paths []string) bool {
	if t == nil || t.whole() || len(paths) == 0 {
		return t.whole()
	}
	return !slices.ContainsFunc(paths, func(p string) bool { return !consent.Withdrawn(t.Paths, p) })
}

// with is the tombstone after a further withdrawal.
func (t *tombstone) with(paths []string, at time.Time) *tombstone {
	next := &tombstone{Time: at}
	if t != nil {
		next.Stop, next.Early, next.Asked = t.Stop, t.Early, t.Asked
	}
	if t.whole() || len(paths) == 0 {
		return next
	}
	next.Paths = slices.Clone(paths)
	if t != nil {
		next.Paths = append(next.Paths, t.Paths...)
	}
	slices.Sort(next.Paths)
	next.Paths = slices.Compact(next.Paths)
	return next
}

func (t *tombstone) write(tx store.Tx, owner, id string) error {
	b, err := json.Marshal(t)
	if err != nil {
		return fault.From(err)
	}
	return tx.Put(schema.HubWithdrawal, tombstoneKey(owner, id), b)
}

// The rule ids of the reasons that a withdrawal is answered with. Desks go by them.
const (
	ruleWithdrawn = "withdrawn"          // nothing of it ever began to be sent
	ruleStopAsked = "stop_asked"         // it may have reached the team, which is asked to stop
	ruleObjection = "objection_recorded" // it was not sent by permission, so withdrawing permission does not undo it
)

const (
	lawPermission = "Common law duty of confidence (permission withdrawn)"
	lawObjection  = "UK GDPR Article 21"
)

// withdrawnReason is why something withdrawn does not go.
func withdrawnReason(text string, paths ...string) *posternv1.Reason {
	return &posternv1.Reason{RuleId: ruleWithdrawn, Law: lawPermission, Paths: paths, Text: text}
}

// withheld is the decision on a notification of which everything was withdrawn before it was decided. Policy is not
// asked: a withdrawal needs nobody's approval.
func (h *Hub) withheld(v *envelope.Verified, now time.Time) *posternv1.Decision {
	d := &posternv1.Decision{
		Outcome: posternv1.Outcome_OUTCOME_WITHHOLD, PolicyRevision: h.policy.Load().Revision(), EngineVersion: h.policy.Load().Version(), DecideTime: timestamppb.New(now),
		Reasons: []*posternv1.Reason{withdrawnReason("The person withdrew this before it came to the hub, so nothing of it goes.")},
	}
	for _, c := range v.Children() {
		d.Children = append(d.Children, &posternv1.ChildDecision{Number: c.GetNumber(), Outcome: d.GetOutcome(), Reasons: []*posternv1.Reason{proto.CloneOf(d.GetReasons()[0])}})
	}
	return d
}
