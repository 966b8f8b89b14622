package rpc

import (
	"context"
	"crypto/rand"
	"log/slog"
	mathrand "math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// everybody admits one desk to everything.
type everybody struct{ localGate }

func (everybody) admit(ctx context.Context, _ method) (context.Context, who, error) {
	return ctx, who{party: identity.Party{Domain: "postern.example", Role: posternv1.Role_ROLE_DESK, ID: "BLI"}, attr: slog.String("party", "x")}, nil
}

// "Not there" and "not yours" leave at the same moments: however long it took to find out, and to record, the answer
// leaves at a whole bucket after the call began. Other answers do not wait.
func TestNotThereLeavesAtAWholeBucket(t *testing.T) {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	for range 200 {
		work, recording := time.Duration(random.Int64N(int64(3*absentBucket))), time.Duration(random.Int64N(int64(absentBucket)))
		for kind, waits := range map[fault.Kind]bool{fault.NotFound: true, fault.Denied: false, fault.Invalid: false} {
			synctest.Test(t, func(t *testing.T) {
				s := &Server{front: &front{}, gate: everybody{}, longest: time.Minute, log: orLog(nil), clock: time.Now, rand: rand.Reader,
					refused: func(context.Context, identity.Party, string, error) { <-time.After(recording) }}
				handle := s.guardUnary(method{name: "/x/y"}, func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
					<-time.After(work)
					return nil, fault.New(kind, "X", "No.")
				})
				began := time.Now()
				if _, err := handle(nil, t.Context(), nil, nil); err == nil {
					t.Fatal("no refusal")
				}
				took := time.Since(began)
				if waits && (took%absentBucket != 0 || took < work+recording || took > work+recording+absentBucket) {
					t.Errorf("work of %v and %v left after %v", work, recording, took)
				}
				if !waits && took != work+recording {
					t.Errorf("a refusal of another kind took %v of %v", took, work+recording)
				}
			})
		}
	}
}
