package stranger

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"google.golang.org/grpc"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

// ErrStopped is that a party has stopped: the log was shown to it in two ways.
var ErrStopped = errors.New("stopped: the log does not continue what we know of it")

// Follower is what a party remembers of one log through its generations.
type Follower struct {
	Keys   Keys
	Origin string // of the first generation
	// Ask is GetCheckpoint of the hub.
	Ask func(context.Context, *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error)

	mu      sync.Mutex
	Known   *Checkpoint
	Stopped string
	Named   []string // checkpoints of earlier generations that the later ones named
	Lost    bool     // the hub may have lost what it had answered; who sends again clears it
}

// NewFollower follows the log whose first generation has the first of these verifier keys.
func NewFollower(keys ...string) (*Follower, error) {
	k, err := ReadKeys(keys...)
	if err != nil {
		return nil, err
	}
	origin, _, _ := strings.Cut(keys[0], "+")
	return &Follower{Keys: k, Origin: origin}, nil
}

// asking is GetCheckpoint over a connection to the hub; without one there is nobody to ask.
func asking(conn grpc.ClientConnInterface) func(context.Context, *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error) {
	if conn == nil {
		return nil
	}
	return func(ctx context.Context, q *pb.GetCheckpointRequest) (*pb.GetCheckpointResponse, error) {
		return pb.NewAuditServiceClient(conn).GetCheckpoint(ctx, q)
	}
}

// known is what to say of this log in a request.
func (f *Follower) known() []*pb.KnownLog {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Known == nil || f.Known.Size == 0 {
		return nil
	}
	return []*pb.KnownLog{{Origin: f.Known.Origin, Size: f.Known.Size}}
}

func (f *Follower) check() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.Stopped != "" {
		return fmt.Errorf("%w: %s", ErrStopped, f.Stopped)
	}
	return nil
}

// stop is called with the lock held.
func (f *Follower) stop(format string, args ...any) error {
	f.Stopped = fmt.Sprintf(format, args...)
	return fmt.Errorf("%w: %s", ErrStopped, f.Stopped)
}

// generation is the number of a generation by its origin, 0 for another log.
func (f *Follower) generation(origin string) uint64 {
	if origin == f.Origin {
		return 1
	}
	if tail, ok := strings.CutPrefix(origin, f.Origin+"/"); ok {
		if n, err := decimal(tail); err == nil && n >= 2 {
			return n
		}
	}
	return 0
}

// Accept takes the checkpoint of an answer with its proofs; only after it may the answer be used.
func (f *Follower) Accept(ctx context.Context, c *Checkpoint, proofs []*pb.ConsistencyProof) error {
	if err := f.check(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	generation := f.generation(c.Origin)
	if generation == 0 {
		return fmt.Errorf("%s is not the log %s", c.Origin, f.Origin)
	}
	k := f.Known
	switch {
	case k == nil:
		f.Known = c
		return nil
	case generation < f.generation(k.Origin):
		for _, n := range f.Named {
			if old, err := f.Keys.Checkpoint(n); err == nil && old.Origin == c.Origin && old.Size == c.Size && old.Root == c.Root {
				return nil
			}
		}
		return fmt.Errorf("a checkpoint of an ended generation that the later one does not name")
	case generation > f.generation(k.Origin):
		return f.follow(ctx, c)
	case c.Size == k.Size:
		if c.Root != k.Root {
			return f.stop("two roots of size %d", c.Size)
		}
		return nil
	case c.Size > k.Size:
		p := find(proofs, k, c)
		if p == nil && k.Size > 0 {
			return f.ask(ctx, c)
		}
		if k.Size > 0 {
			if err := continues(p, k, c); err != nil {
				return f.stop("%d does not continue %d: %v", c.Size, k.Size, err)
			}
		}
		f.Known = c
		return nil
	}
	f.Lost = true
	return f.ask(ctx, c)
}

// ask asks the hub for a checkpoint that continues both what is remembered and what came.
func (f *Follower) ask(ctx context.Context, came *Checkpoint) error {
	if f.Ask == nil {
		return errors.New("a checkpoint without a proof, and nobody to ask")
	}
	req := &pb.GetCheckpointRequest{Origin: came.Origin}
	for _, c := range []*Checkpoint{f.Known, came} {
		req.KnownLogs = append(req.KnownLogs, &pb.KnownLog{Origin: c.Origin, Size: c.Size})
	}
	a, err := f.Ask(ctx, req)
	if err != nil {
		if reasonOf(err) == "LOG_AHEAD" {
			return f.stop("the hub holds less than it has shown")
		}
		return err
	}
	c, err := f.Keys.Checkpoint(a.Checkpoint)
	if err != nil || c.Origin != came.Origin {
		return fmt.Errorf("no checkpoint of %s: %v", came.Origin, err)
	}
	if c.Size < f.Known.Size || c.Size < came.Size {
		return f.stop("the hub shows %d, smaller than %d and %d", c.Size, f.Known.Size, came.Size)
	}
	for _, old := range []*Checkpoint{f.Known, came} {
		if old.Size == 0 {
			continue
		}
		p := find(a.Proofs, old, c)
		if p == nil && old.Size == c.Size {
			p = &pb.ConsistencyProof{Origin: c.Origin, OldSize: c.Size, NewSize: c.Size}
		}
		if p == nil {
			return f.stop("the hub does not prove that %d continues %d", c.Size, old.Size)
		}
		if err := continues(p, old, c); err != nil {
			return f.stop("%d does not continue %d: %v", c.Size, old.Size, err)
		}
	}
	f.Known = c
	return nil
}

// follow goes on from an earlier generation to a later one.
func (f *Follower) follow(ctx context.Context, came *Checkpoint) error {
	if f.Ask == nil {
		return errors.New("a new generation, and nobody to ask")
	}
	a, err := f.Ask(ctx, &pb.GetCheckpointRequest{Origin: came.Origin, KnownLogs: []*pb.KnownLog{
		{Origin: f.Known.Origin, Size: f.Known.Size}, {Origin: came.Origin, Size: came.Size},
	}})
	if err != nil {
		return err
	}
	c, err := f.Keys.Checkpoint(a.Checkpoint)
	if err != nil || c.Origin != came.Origin {
		return f.stop("no checkpoint of the generation %s: %v", came.Origin, err)
	}
	e, err := f.Keys.Receipt(a.Opening)
	if err != nil || e.Kind != logpb.Kind_KIND_GENERATION_OPENED || e.Index != 0 || e.Checkpoint.Note != c.Note {
		return f.stop("%s was not opened: %v", came.Origin, err)
	}
	if c.Size < came.Size {
		return f.stop("the hub shows %d, smaller than %d", c.Size, came.Size)
	}
	if c.Size > came.Size {
		if err := continues(find(a.Proofs, came, c), came, c); err != nil {
			return f.stop("%d does not continue %d: %v", c.Size, came.Size, err)
		}
	} else if c.Root != came.Root {
		return f.stop("two roots of size %d", c.Size)
	}
	named := false
	for _, n := range e.Core.FollowsCheckpoints {
		old, err := f.Keys.Checkpoint(n)
		if err != nil || old.Origin != f.Known.Origin {
			continue
		}
		same := old.Size == f.Known.Size && old.Root == f.Known.Root
		if p := find(a.Ended, f.Known, old); same || p != nil && continues(p, f.Known, old) == nil {
			named = true
		}
	}
	if !named {
		return f.stop("%s does not name what we know of %s", came.Origin, f.Known.Origin)
	}
	f.Named = append(f.Named, e.Core.FollowsCheckpoints...)
	f.Lost = true
	f.Known = c
	return nil
}
