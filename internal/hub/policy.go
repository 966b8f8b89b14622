package hub

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger"
	"postern/internal/ops"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// policyTime is the row of schema.HubMeta beside policyKey: when the policy in force was activated, which is when its
// signatures were judged. An operator's certificate that ends later takes no policy out of force.
var policyTime = []byte("policy activated")

// openPolicy reads the policy in force: the one that was activated last, or cfg.Engine's. One that cannot be used any
// more, such as after a change of the program, decides nothing, and no other decides in its place: every statement is
// referred to a person until somebody activates one that can.
func (h *Hub) openPolicy(ctx context.Context, s store.Snapshot) error {
	revision, err := s.Get(schema.HubMeta, policyKey)
	if err != nil {
		return err
	}
	if revision == nil {
		h.policy.Store(h.cfg.Engine)
		return nil
	}
	e, err := h.storedPolicy(ctx, s, string(revision))
	if err != nil {
		h.cfg.Log.ErrorContext(ctx, "the policy in force cannot be used: everything is referred to a person", "policy_revision", string(revision), "error", err)
		e = h.cfg.Engine.Refusing(string(revision))
	}
	h.policy.Store(e)
	return nil
}

// storedPolicy compiles a bundle of the hub's own store, after verifying it as it was verified when it was activated.
func (h *Hub) storedPolicy(ctx context.Context, s store.Snapshot, revision string) (*engine.Engine, error) {
	activated, err := s.Get(schema.HubMeta, policyTime)
	if err != nil {
		return nil, err
	}
	at, err := time.Parse(time.RFC3339, string(activated))
	if err != nil {
		return nil, fault.New(fault.Internal, "POLICY_STORED", "The row of the policy in force cannot be read.").Because(err)
	}
	served, err := readPolicy(s, revision)
	if err != nil {
		return nil, err
	}
	source, err := engine.OpenServed(served, h.cfg.Anchors, at)
	if err != nil {
		return nil, err
	}
	return h.cfg.Engine.For(ctx, source)
}

// readPolicy returns a bundle by its revision, as it is served.
func readPolicy(r store.Reader, revision string) (*posternv1.GetPolicyResponse, error) {
	b, err := r.Get(schema.HubPolicy, []byte(revision))
	if err != nil {
		return nil, err
	}
	if b == nil {
		return nil, notYours
	}
	out := &posternv1.GetPolicyResponse{}
	if err := proto.Unmarshal(b, out); err != nil {
		return nil, fault.New(fault.Internal, "POLICY_STORED", "A stored policy cannot be read.").Because(err)
	}
	return out, nil
}

// GetPolicy serves a bundle verbatim, the one in force or one that was: a decision of long ago is replayed with the rules
// it was made by.
func (h *Hub) GetPolicy(ctx context.Context, req *posternv1.GetPolicyRequest) (out *posternv1.GetPolicyResponse, err error) {
	revision := req.GetRevision()
	if revision == "" {
		revision = h.policy.Load().Revision()
	}
	if revision == req.GetKnownRevision() {
		return &posternv1.GetPolicyResponse{}, nil
	}
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		out, err = readPolicy(s, revision)
		return err
	})
	return out, err
}

// keepPolicy keeps the bundle that the hub was started with, so that what it decides can be replayed when the program
// has another. On a full disk too, as it comes before a start.
func (h *Hub) keepPolicy(ctx context.Context) error {
	archive := h.cfg.Engine.Archive()
	row, err := proto.Marshal(&posternv1.GetPolicyResponse{Revision: h.cfg.Engine.Revision(), Bundle: archive})
	if err != nil {
		return fault.From(err)
	}
	kept := false
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		b, err := s.Get(schema.HubPolicy, []byte(h.cfg.Engine.Revision()))
		kept = b != nil
		return err
	})
	if err != nil || kept {
		return err
	}
	return store.Reserved(h.cfg.Store).Update(ctx, func(tx store.Tx) error {
		return tx.Put(schema.HubPolicy, []byte(h.cfg.Engine.Revision()), row)
	})
}

// ActivatePolicy brings a bundle into force: its signatures, then a strict compile, then its tests, then its cases. On
// any fault the one in force stays, and that is told in the log, by a measure and by doctor.
func (h *Hub) ActivatePolicy(ctx context.Context, req *localv1.ActivatePolicyRequest) (*localv1.ActivatePolicyResponse, error) {
	out, err := h.activate(ctx, req.GetBundle())
	if err != nil {
		f := fault.From(err)
		h.cfg.Measures.policies("refused")
		h.refused.Store(&policyRefusal{h.now(), f.Reason})
		h.cfg.Log.ErrorContext(ctx, "a policy was refused; the one in force stays", "reason", f.Reason, "error", err, "policy_revision", h.policy.Load().Revision())
		return nil, err
	}
	h.cfg.Measures.policies("activated")
	h.refused.Store(nil)
	h.cfg.Log.WarnContext(ctx, "a policy came into force", "policy_revision", out.GetRevision(), "signed_by", strings.Join(out.GetSignedBy(), " "))
	return out, nil
}

// policyRefusal is when a policy was refused last, and why.
type policyRefusal struct {
	at     time.Time
	reason string
}

func (h *Hub) activate(ctx context.Context, archive []byte) (*localv1.ActivatePolicyResponse, error) {
	now := h.now()
	source, err := engine.Unpack(archive)
	if err != nil {
		return nil, err
	}
	signed, signers, err := engine.VerifyBundle(source, h.cfg.Anchors, now)
	if err != nil {
		return nil, err
	}
	report, err := h.cfg.TestPolicy(ctx, source)
	if err != nil {
		return nil, err
	}
	if !report.OK() {
		return nil, fault.New(fault.Invalid, "POLICY_TESTS_FAIL", "The tests of this policy do not all pass, so it is not brought into force:\n"+report.String())
	}
	e, err := h.cfg.Engine.For(ctx, source)
	if err != nil {
		return nil, err
	}
	served := &posternv1.GetPolicyResponse{Revision: e.Revision(), Bundle: e.Archive(), Signatures: signed.GetSignatures(), Statement: signed.GetPayload()}
	event, err := h.recordPolicy(ctx, e, served, signers, now)
	if err != nil {
		return nil, err
	}
	out := &localv1.ActivatePolicyResponse{Revision: e.Revision(), RuleTests: uint32(len(report.Rules)), Cases: uint32(len(report.Cases))}
	for _, p := range signers {
		out.SignedBy = append(out.SignedBy, p.URI())
	}
	out.Receipt, err = h.cfg.Ledger.Receipt(ctx, event)
	return out, err
}

// recordPolicy stores the bundle and the row that says that it is in force, in the transaction of its leaf, and then
// lets it decide.
func (h *Hub) recordPolicy(ctx context.Context, e *engine.Engine, served *posternv1.GetPolicyResponse, signers []identity.Party, now time.Time) (event [16]byte, err error) {
	bundle, err := proto.Marshal(served)
	if err != nil {
		return event, fault.From(err)
	}
	digest := sha256.Sum256(served.GetStatement())
	h.activating.Lock() // or the older of two could be the one that decides
	defer h.activating.Unlock()
	err = h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		entry, err := tx.Record(ledger.Sent, ledger.Event{
			Kind:    logv1.Kind_KIND_POLICY_CHANGED,
			Time:    now,
			Core:    &logv1.Core{PolicyRevision: e.Revision(), SubjectSha256: digest[:]},
			Details: &logv1.Details{Caller: signers[0].URI()},
		})
		if err != nil {
			return err
		}
		event = entry.EventID()
		if err := tx.Put(schema.HubPolicy, []byte(e.Revision()), bundle); err != nil {
			return err
		}
		if err := tx.Put(schema.HubMeta, policyTime, []byte(now.UTC().Format(time.RFC3339))); err != nil {
			return err
		}
		return tx.Put(schema.HubMeta, policyKey, []byte(e.Revision()))
	})
	if err != nil {
		return event, err
	}
	// A crash just here starts again with the new one. A decision made before this line with the old one is made again,
	// because its transaction reads the row.
	h.policy.Store(e)
	return event, nil
}

// examinePolicy tells which policy is in force, and whether one was refused since the start.
func (h *Hub) examinePolicy() []*localv1.Finding {
	p := h.policy.Load()
	found := ops.OK("policy", "revision "+p.Revision())
	if p == h.cfg.Engine {
		found = ops.OK("policy", "revision "+p.Revision()+", the one that is built in: none was activated at this hub")
	}
	if p.Refuses() {
		found = ops.Problem("policy", "The policy in force cannot be used by this program, so everything is referred to a person.",
			"Sign and activate a policy that this program can use, or start the program that it was made for.")
	}
	out := []*localv1.Finding{found}
	if r := h.refused.Load(); r != nil {
		out = append(out, ops.Warning("policy activation", fmt.Sprintf("A policy was refused on %s (%s). The one in force stayed.", r.at.UTC().Format("2 January at 15:04 UTC"), r.reason),
			"Put right what `postern policy test DIR` shows, sign it and activate it again."))
	}
	return out
}
