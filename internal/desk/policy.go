package desk

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// rules are the sharing policy as the desk knows it: for looking ahead, offline too. What the hub decides is what counts.
type rules struct {
	mu      sync.Mutex // guards engine
	engine  *engine.Engine
	checked atomic.Pointer[time.Time] // when the hub last said that they are in force
}

// In DeskMeta: the GetPolicyResponse that was last verified, and when it came, as RFC 3339.
var keyRules, keyRulesTime = []byte("policy"), []byte("policy time")

// Policy is the engine of the policy that was last synced, or of the built-in one while there is none. It is compiled
// when somebody first asks.
func (d *Desk) Policy(ctx context.Context) (*engine.Engine, error) {
	d.rules.mu.Lock()
	defer d.rules.mu.Unlock()
	if d.rules.engine != nil {
		return d.rules.engine, nil
	}
	kept, err := d.keptPolicy(ctx)
	if err != nil {
		return nil, err
	}
	cfg := engine.Config{Log: d.cfg.Log}
	if len(kept.GetSignatures()) > 0 { // verified when it was kept
		if cfg.Bundle, err = engine.Unpack(kept.GetBundle()); err != nil {
			return nil, err
		}
	}
	d.rules.engine, err = engine.New(ctx, cfg)
	return d.rules.engine, err
}

// keptPolicy is what was last verified; empty when nothing was.
func (d *Desk) keptPolicy(ctx context.Context) (*posternv1.GetPolicyResponse, error) {
	var row []byte
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		row, err = s.Get(schema.DeskMeta, keyRules)
		return err
	})
	if err != nil {
		return nil, err
	}
	kept := &posternv1.GetPolicyResponse{}
	if err := proto.Unmarshal(row, kept); err != nil {
		return nil, fault.New(fault.Internal, "POLICY_STORED", "The stored policy cannot be read.").Because(err)
	}
	return kept, nil
}

// StepPolicy syncs the policy in force, verifies it, and keeps it. It reports whether another one came. One that is not
// signed is kept only if it is the very one that is built into this program: another program's is nobody's word.
func (d *Desk) StepPolicy(ctx context.Context) (bool, error) {
	kept, err := d.keptPolicy(ctx)
	if err != nil {
		return false, err
	}
	served, err := d.cfg.Directory.GetPolicy(ctx, &posternv1.GetPolicyRequest{KnownRevision: kept.GetRevision()})
	if err != nil {
		return false, err
	}
	now := d.cfg.Clock()
	if served.GetRevision() == "" { // it is the one that is kept
		d.rules.checked.Store(&now)
		return false, nil
	}
	if len(served.GetSignatures()) == 0 {
		own, err := engine.Revision(policy.Bundle)
		if err != nil {
			return false, err
		}
		if served.GetRevision() != own {
			return false, fault.New(fault.Unverified, "POLICY_UNSIGNED", "The hub decides by the rules of another version of this program. Looking ahead may differ; what it decides does not.")
		}
		served = &posternv1.GetPolicyResponse{Revision: own}
	} else if err := d.verifyPolicy(ctx, served); err != nil {
		return false, err
	}
	row, err := proto.Marshal(served)
	if err != nil {
		return false, fault.From(err)
	}
	at, err := now.UTC().MarshalText()
	if err != nil {
		return false, fault.From(err)
	}
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		return errors.Join(tx.Put(schema.DeskMeta, keyRules, row), tx.Put(schema.DeskMeta, keyRulesTime, at))
	})
	if err != nil {
		return false, err
	}
	d.rules.checked.Store(&now)
	d.rules.mu.Lock()
	defer d.rules.mu.Unlock()
	d.rules.engine = nil // compiled again when somebody asks
	return true, nil
}

// verifyPolicy verifies who signed a served policy and that this program can use it.
func (d *Desk) verifyPolicy(ctx context.Context, served *posternv1.GetPolicyResponse) error {
	source, err := engine.OpenServed(served, d.cfg.Anchors, d.cfg.Clock())
	if err != nil {
		return err
	}
	e, err := engine.New(ctx, engine.Config{Bundle: source, Log: d.cfg.Log})
	if err != nil {
		return err
	}
	if e.Revision() != served.GetRevision() {
		return fault.New(fault.Unverified, "POLICY_CHANGED", "The hub serves another policy than it says. Telephone its operator.")
	}
	return nil
}
