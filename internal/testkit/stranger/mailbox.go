package stranger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

// Server makes the server of an inbox with an open port; only the hub gets in.
func (x *Inbox) Server() *grpc.Server {
	isHub := func(p Party) bool { return p.URI == x.Hub }
	s := grpc.NewServer(
		grpc.Creds(credentials.NewTLS(x.Trust.tlsConfig(x.Me, x.Now, isHub))),
		grpc.MaxRecvMsgSize(256<<10), grpc.MaxConcurrentStreams(100), grpc.MaxHeaderListSize(16<<10),
		grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: 3 * time.Minute, MaxConnectionAgeGrace: 30 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 30 * time.Second}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			id := newUUID()
			if v := metadata.ValueFromIncomingContext(ctx, "x-request-id"); len(v) == 1 && requestID.MatchString(v[0]) {
				id = v[0]
			}
			_ = grpc.SetHeader(ctx, metadata.Pairs("x-request-id", id))
			if p, err := x.Trust.callerOf(ctx, x.Now()); err != nil || !isHub(p) {
				return nil, fault(codes.PermissionDenied, "denied", "NOT_THE_HUB", "only the hub delivers")
			}
			if _, ok := ctx.Deadline(); !ok {
				return nil, fault(codes.InvalidArgument, "invalid", "NO_DEADLINE", "a deadline is required")
			}
			ctx, cancel := context.WithTimeout(ctx, callDeadline)
			defer cancel()
			return handle(ctx, req)
		}))
	pb.RegisterInboxServiceServer(s, x)
	return s
}

var requestID = regexp.MustCompile(`^[0-9a-fA-F-]{16,64}$`)

// signReport signs a report as of now.
func (x *Inbox) signReport(r *pb.Report) (*pb.Signed, error) {
	r.ReportTime = timestamppb.New(x.Now())
	return x.Me.Sign(TypeReport, mustMarshal(r))
}

// pend stores a report until the hub has it.
func (x *Inbox) pend(r *pb.Report) error {
	s, err := x.signReport(r)
	if err == nil {
		x.pending = append(x.pending, &pb.ReportRequest{Signed: s})
	}
	return err
}

// say stores a report and sends all that wait.
func (x *Inbox) say(ctx context.Context, r *pb.Report) error {
	x.mu.Lock()
	err := x.pend(r)
	x.mu.Unlock()
	if err != nil {
		return err
	}
	return x.Flush(ctx)
}

// Reply sends a reply about an item.
func (x *Inbox) Reply(ctx context.Context, it *Item, code pb.ReplyCode, paths ...string) error {
	return x.say(ctx, &pb.Report{DeliveryId: it.DeliveryID, NotificationId: it.ID, ManifestSha256: it.SHA256,
		Report: &pb.Report_Reply{Reply: &pb.Reply{Code: code, Paths: paths}}})
}

// AnswerStop answers a stop request.
func (x *Inbox) AnswerStop(ctx context.Context, s *Stop, code pb.StopAnswerCode) error {
	return x.say(ctx, &pb.Report{DeliveryId: s.DeliveryID, NotificationId: s.Notification, ManifestSha256: s.Manifest,
		Report: &pb.Report_StopAnswer{StopAnswer: &pb.StopAnswer{Code: code}}})
}

// Flush sends every report that waits, in order; the same bytes until they are taken or finally refused.
func (x *Inbox) Flush(ctx context.Context) error {
	for {
		x.mu.Lock()
		if len(x.pending) == 0 {
			x.mu.Unlock()
			return nil
		}
		r := x.pending[0]
		x.mu.Unlock()
		_, err := x.report(ctx, r)
		if err != nil && !final(err) {
			return err
		}
		x.mu.Lock()
		x.pending = x.pending[1:]
		x.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// report sends one report and believes the answer only with its receipt.
func (x *Inbox) report(ctx context.Context, r *pb.ReportRequest) (*pb.ReportResponse, error) {
	if err := errors.Join(x.Sent.check(), x.Received.check()); err != nil {
		return nil, err
	}
	if r.KnownLogs = x.known(); r.DeliveryId != "" {
		r.Held = x.held()
	}
	a, err := x.Mailbox.Report(ctx, r)
	if err != nil {
		return nil, x.Received.heard(err)
	}
	e, err := x.Received.Keys.Receipt(a.Receipt)
	if err != nil {
		return nil, err
	}
	if err := x.Received.Accept(ctx, e.Checkpoint, a.Consistency); err != nil {
		return nil, err
	}
	if r.DeliveryId == "" && !bytes.Equal(e.Core.SubjectSha256, digest(r.Signed.Payload)) {
		return nil, errors.New("the receipt is of another report")
	}
	if r.Redirected != nil && (e.Kind != logpb.Kind_KIND_REDIRECTED || e.Core.Outcome != a.Decision.GetOutcome()) {
		return nil, errors.New("the receipt is of another decision")
	}
	return a, nil
}

// Resume says, at each start of an inbox that is sent to, how far it holds all.
func (x *Inbox) Resume(ctx context.Context) error {
	_, err := x.Mailbox.Resume(ctx, &pb.ResumeRequest{Held: x.held()})
	return x.Received.heard(err)
}

// Publish publishes the newest key, and returns its id.
func (x *Inbox) Publish(ctx context.Context) (string, error) {
	x.mu.Lock()
	s, id := x.signedKey, x.current.GetKeyId()
	x.mu.Unlock()
	a, err := x.Mailbox.PublishKey(ctx, &pb.PublishKeyRequest{RecipientKey: s})
	if err == nil && a.KeyId != id {
		err = fmt.Errorf("the hub took the key %s, not %s", a.KeyId, id)
	}
	return id, err
}

// Collect takes what one stream brings; with untilIdle it ends as soon as there is nothing.
func (x *Inbox) Collect(ctx context.Context, untilIdle bool) (int, error) {
	if err := errors.Join(x.Sent.check(), x.Received.check()); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	s, err := x.Mailbox.Collect(ctx, &pb.CollectRequest{KnownLogs: x.known(), Held: x.held(), UntilIdle: untilIdle})
	if err != nil {
		return 0, x.Received.heard(err)
	}
	for n := 0; ; n++ {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, x.Received.heard(err)
		}
		if p, ok := peer.FromContext(s.Context()); ok && p.AuthInfo != nil {
			if info, ok := p.AuthInfo.(credentials.TLSInfo); ok {
				if _, err := x.Trust.judgePeer(info.State, x.Now()); err != nil {
					return n, err
				}
			}
		}
		answer, err := x.Answer(ctx, m.Delivery)
		if err != nil {
			return n, err
		}
		if _, err := x.report(ctx, &pb.ReportRequest{Signed: answer, DeliveryId: m.Delivery.DeliveryId}); err != nil {
			return n, err
		}
	}
}

// PassOn hands an item, or the children of it who are elsewhere, to another authority under its recipient key.
func (x *Inbox) PassOn(ctx context.Context, it *Item, to *pb.RecipientKey, children ...int) (*pb.Decision, error) {
	x.mu.Lock()
	r, err := x.passOn(it, to, children)
	x.mu.Unlock()
	if err != nil {
		return nil, err
	}
	a, err := x.report(ctx, r)
	return a.GetDecision(), err
}

func (x *Inbox) passOn(it *Item, to *pb.RecipientKey, children []int) (*pb.ReportRequest, error) {
	if it.PassedOnBy != "" {
		return nil, errors.New("passed on once already")
	}
	goes := func(n int) bool { return n == 0 || len(children) == 0 || slices.Contains(children, n) }
	red := &pb.Redirect{ManifestSha256: it.SHA256, Authority: to.Authority, RecipientKeyId: to.KeyId}
	signed, err := x.Me.Sign(TypeRedirect, mustMarshal(red))
	if err != nil {
		return nil, err
	}
	ctx, enc, err := NewSealing(to.PublicKey, it.ID, x.Me.URI)
	if err != nil {
		return nil, err
	}
	n := &pb.SealedNotification{Manifest: it.raw.Manifest}
	out := &pb.Redirection{Redirect: signed, EncapsulatedKey: enc}
	there := map[int]bool{}
	for _, s := range it.raw.Sections {
		if _, child := rowOf(s.Path); goes(child) {
			k, err := ctx.SealPlaintext(s.Path, it.keys[s.Path])
			if err != nil {
				return nil, err
			}
			out.SectionKeys, n.Sections, there[child] = append(out.SectionKeys, k), append(n.Sections, s), true
		}
	}
	for _, b := range it.raw.Facts {
		f := &pb.FactsBlock{}
		if err := proto.Unmarshal(b, f); err != nil {
			return nil, err
		}
		if there[int(f.GetChild().GetNumber())] {
			n.Facts = append(n.Facts, b)
		}
	}
	n.Redirections = []*pb.Redirection{out}
	s, err := x.signReport(&pb.Report{DeliveryId: it.DeliveryID, NotificationId: it.ID, ManifestSha256: it.SHA256, Report: &pb.Report_Redirect{Redirect: red}})
	return &pb.ReportRequest{Signed: s, Redirected: n}, err
}

// redirection checks the one redirection of a notification that another team passed on.
func (x *Inbox) redirection(n *pb.SealedNotification, c *Checked, at time.Time) (*pb.Redirect, error) {
	if len(n.Redirections) != 1 {
		return nil, fmt.Errorf("%d redirections", len(n.Redirections))
	}
	r, red := n.Redirections[0], &pb.Redirect{}
	if err := x.Trust.verifyBy(r.Redirect, TypeRedirect, x.Trust.inboxURI(c.Manifest.GetOffer().GetAuthority()), at); err != nil {
		return nil, err
	}
	if err := parseKnown(r.Redirect.Payload, red); err != nil {
		return nil, err
	}
	var here, keys []string
	for _, s := range n.Sections {
		here = append(here, s.Path)
	}
	for _, s := range r.SectionKeys {
		keys = append(keys, s.Path)
	}
	slices.Sort(here)
	slices.Sort(keys)
	if !bytes.Equal(red.ManifestSha256, c.SHA256) || !slices.Equal(here, keys) {
		return nil, errors.New("the redirection is of something else")
	}
	return red, nil
}
