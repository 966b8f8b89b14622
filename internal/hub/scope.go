package hub

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/plain"
	"postern/internal/rpc"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Scope is what an auditor may see: the events of some prisons and of some authorities, or all. An event that is outside
// is not there: not in a list, not by its id, and of an export its leaf without a body. Events about nobody's child (a
// policy or a directory that came into force, a start of the hub) are in every scope.
type Scope struct {
	All         bool
	Prisons     []string // by id
	Authorities []string // by GSS code
}

// counts reports whether the people of a prison are counted for an auditor.
func (s Scope) counts(prison string) bool { return s.All || slices.Contains(s.Prisons, prison) }

// nobodys are the kinds of event that are about no prison and no authority.
var nobodys = []logv1.Kind{logv1.Kind_KIND_POLICY_CHANGED, logv1.Kind_KIND_DIRECTORY_CHANGED, logv1.Kind_KIND_KEY_EPOCH_CLOSED,
	logv1.Kind_KIND_GENERATION_OPENED, logv1.Kind_KIND_HUB_STARTED}

// holds reports whether an event is within the scope of an auditor. What was disclosed to them is theirs to see.
func (s Scope) holds(auditor identity.Party, kind logv1.Kind, d *logv1.Details) bool {
	return s.All || slices.Contains(nobodys, kind) || d.GetCaller() == auditor.URI() ||
		slices.Contains(s.Prisons, prisonOf(d)) || slices.Contains(s.Authorities, d.GetAuthority())
}

// terms are terms of which every event within the scope has at least one; none where all are. Others may have one too.
func (s Scope) terms() (all []string) {
	if s.All {
		return nil
	}
	for _, kind := range append([]logv1.Kind{logv1.Kind_KIND_DISCLOSED_TO_AUDITOR, logv1.Kind_KIND_REFUSED}, nobodys...) { // the first two may be the auditor's own
		all = append(all, term("kind", kindName(kind)))
	}
	for _, prison := range s.Prisons {
		all = append(all, term("prison", prison))
	}
	for _, authority := range s.Authorities {
		all = append(all, term("authority", authority))
	}
	return all
}

// prisonOf is the prison that an event concerns: the sender's, or that of the desk that caused it.
func prisonOf(d *logv1.Details) string {
	if id := d.GetSender().GetPrisonId(); id != "" {
		return id
	}
	if p, err := identity.ParseURI(d.GetCaller()); err == nil && p.Role == posternv1.Role_ROLE_DESK {
		return p.ID
	}
	return ""
}

// auditing is an auditor who calls, and what they may see.
type auditing struct {
	party identity.Party
	scope Scope
}

// auditor is the auditor who calls. One that the hub's configuration does not name may not ask at all.
func (h *Hub) auditor(ctx context.Context) (auditing, error) {
	party, _ := rpc.Party(ctx)
	scope, ok := h.cfg.Auditors[party.ID]
	if !ok {
		return auditing{}, fault.New(fault.Denied, "AUDITOR_UNKNOWN", "This hub's configuration does not say what you may see. Ask its operator to name you under auditors.")
	}
	return auditing{party, scope}, nil
}

func (a auditing) sees(at ledger.Logged) bool {
	return a.scope.holds(a.party, at.Leaf.Kind, at.Details)
}

// disclosure is what an auditor asks for, as its event says it.
type disclosure struct {
	Filter   any    `json:"filter,omitempty"`
	Coverage any    `json:"coverage,omitempty"`
	Event    string `json:"event,omitempty"`
	Origin   string `json:"origin,omitempty"`
	From     uint64 `json:"from,omitempty"`
	To       uint64 `json:"to,omitempty"`

	opened []byte // the event that is opened, if it is one
}

func listed(f *posternv1.EventFilter) disclosure { return disclosure{Filter: asks(f)} }

// asks is what a question says, {} for everything.
func asks(question proto.Message) map[string]any {
	asked := map[string]any{}
	for name, value := range plain.Map(question) {
		if value != "" {
			asked[name] = value
		}
	}
	return asked
}

func opening(event [16]byte) disclosure {
	return disclosure{Event: hex.EncodeToString(event[:]), opened: event[:]}
}

// disclosed records what an auditor asks for, before they are answered: whoever looks is looked at. In the received log,
// since a prison is not to learn that its decisions are being read.
func (h *Hub) disclosed(ctx context.Context, a auditing, what disclosure) error {
	question, err := json.Marshal(what)
	if err != nil {
		return fault.From(err)
	}
	return h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Record(ledger.Received, ledger.Event{Kind: logv1.Kind_KIND_DISCLOSED_TO_AUDITOR, Time: h.now(),
			Core: &logv1.Core{FollowsEvent: what.opened}, Details: &logv1.Details{Caller: a.party.URI(), Question: string(question)}})
		return err
	})
}
