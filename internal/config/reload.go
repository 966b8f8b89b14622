package config

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ops"
)

// reloadEvery is how often certificate, key, anchors and revocation lists are looked at. Whoever is on a new list is
// refused within a minute of its copying, on open connections too: every call and every message of a stream asks again.
const reloadEvery = 15 * time.Second

// reload takes what a party's certificate rests on from its files while it runs. What cannot be used leaves what was
// before it in force and is said aloud, once for each state of the files and by postern_reload_failed as long as it lasts.
type reload struct {
	common   *Common
	identity *identity.Identity
	anchors  *identity.Anchors
	clock    func() time.Time
	log      *slog.Logger

	seen   [sha256.Size]byte // of the files that were looked at last; owned by Step
	taken  atomic.Int64
	failed atomic.Bool
}

func newReload(c *Common, b *base, rt Runtime) *reload {
	r := &reload{common: c, identity: b.identity, anchors: b.anchors, clock: rt.Clock, log: rt.Log}
	r.seen = r.digest()
	return r
}

// digest is that of every file, as it is now; one that cannot be read counts as empty, and Step says what is wrong.
func (r *reload) digest() [sha256.Size]byte {
	c, h := r.common, sha256.New()
	for _, path := range []string{c.Identity.Certificate, c.Identity.Key, c.Anchors.Prison, c.Anchors.Authority, c.Anchors.Hub, c.Anchors.Auditor,
		c.Revocation.Prison, c.Revocation.Authority, c.Revocation.Hub, c.Revocation.Auditor} {
		text, err := os.ReadFile(c.resolve(path))
		one := sha256.Sum256(text)
		if err == nil {
			h.Write(one[:])
		}
		h.Write([]byte{0})
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Step takes what has changed in the files, and reports whether anything had. Whom others may believe and who we are are
// taken apart: a certificate that cannot be used must not hold back a revocation.
func (r *reload) Step(ctx context.Context) (bool, error) {
	now := r.digest()
	if now == r.seen {
		return false, nil
	}
	r.seen = now
	good := true
	for _, part := range []struct {
		what string
		take func() error
	}{
		{"anchors or revocation lists", r.takeTrust}, // first: a certificate may come from an authority that is new with it
		{"certificate or key", r.takeIdentity},
	} {
		if err := part.take(); err != nil {
			good = false
			// Half a pair, or half a file, is what a copy under way looks like: the next look finds the rest.
			r.log.ErrorContext(ctx, "changed "+part.what+" cannot be used, so those before stay in force", "reason", fault.From(err).Reason, "why", fault.From(err).Message)
		}
	}
	r.failed.Store(!good)
	if good {
		r.taken.Add(1)
		r.log.InfoContext(ctx, "took changed certificates, anchors or revocation lists", "party", r.identity.Party(), "ends", r.identity.Leaf().NotAfter.UTC().Format(time.RFC3339))
	}
	return true, nil
}

func (r *reload) takeTrust() error {
	trust, err := r.common.anchorConfig()
	if err != nil {
		return err
	}
	return r.anchors.Replace(trust)
}

func (r *reload) takeIdentity() error {
	next, err := r.common.LoadIdentity()
	if err != nil {
		return err
	}
	if _, err := Verifies(next, r.anchors, r.clock()); err != nil {
		return err
	}
	return r.identity.Replace(next)
}

// Run looks at the files until ctx ends.
func (r *reload) Run(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(reloadEvery):
		}
		if _, err := r.Step(ctx); err != nil {
			return err
		}
	}
}

var trustGauges = []ops.Gauge{
	{Name: "postern_reloads", Help: "How often since the start changed certificates, anchors or revocation lists were taken."},
	{Name: "postern_reload_failed", Help: "1 while changed certificates, anchors or revocation lists cannot be used."},
	{Name: "postern_anchor_days", Help: "Whole days until the first certificate of a trust anchor ends, and everybody it vouches for with it; negative after it.", Labels: []string{"anchor"}},
	{Name: "postern_revocation_list_hours", Help: "Whole hours until the revocation list of an anchor is out of date; then everybody it vouches for is refused.", Labels: []string{"anchor"}},
}

func (r *reload) measure(_ context.Context, report ops.Report) error {
	failed := 0.0
	if r.failed.Load() {
		failed = 1
	}
	report("postern_reloads", float64(r.taken.Load()))
	report("postern_reload_failed", failed)
	for anchor, end := range r.anchors.Ends() {
		report("postern_anchor_days", float64(ops.Days(end, r.clock())), anchor)
	}
	for anchor, end := range r.anchors.Lists() {
		report("postern_revocation_list_hours", float64(int(end.Sub(r.clock()).Hours())), anchor)
	}
	return nil
}
