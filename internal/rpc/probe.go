package rpc

import (
	"context"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"

	"postern/internal/fault"
)

// timeHeader is on the answer to a health check: the server's clock, so that a caller can compare its own. No other
// answer carries it.
const timeHeader = "x-time"

// timedHealth is the health service with the server's clock.
type timedHealth struct {
	*health.Server
	clock func() time.Time
}

// Check answers a health check.
func (h timedHealth) Check(ctx context.Context, req *healthv1.HealthCheckRequest) (*healthv1.HealthCheckResponse, error) {
	// An error means that there is no transport to tell, and so nobody who compares.
	_ = grpc.SetHeader(ctx, metadata.Pairs(timeHeader, h.clock().UTC().Format(time.RFC3339Nano)))
	return h.Server.Check(ctx, req)
}

// Probed is what Probe found: a party that answers and is who it should be.
type Probed struct {
	Serving bool          // it takes calls; false while it stops
	Ahead   time.Duration // how far its clock is ahead of ours, or behind when negative
	Within  time.Duration // how wrong Ahead can be: half of the time the question took
}

// Probe asks another party whether it serves, over a connection of its own, which it closes. Errors are those of Dial's
// calls: UNREACHABLE when nobody answers, PEER_IDENTITY when somebody else does.
func Probe(ctx context.Context, cfg ClientConfig) (p Probed, err error) {
	conn, err := Dial(cfg)
	if err != nil {
		return p, err
	}
	defer conn.Close()
	clock := orClock(cfg.Clock)
	var header metadata.MD
	start := clock()
	answer, err := healthv1.NewHealthClient(conn).Check(ctx, &healthv1.HealthCheckRequest{}, grpc.Header(&header))
	end := clock()
	if err != nil {
		return p, err
	}
	p.Serving, p.Within = answer.GetStatus() == healthv1.HealthCheckResponse_SERVING, end.Sub(start)/2
	if told := header.Get(timeHeader); len(told) == 1 {
		theirs, err := time.Parse(time.RFC3339Nano, told[0])
		if err != nil {
			return p, fault.New(fault.Unverified, "PEER_CLOCK", cfg.Want.URI()+" tells a time that cannot be read.").Because(err)
		}
		p.Ahead = theirs.Sub(start.Add(p.Within))
	}
	return p, nil
}
