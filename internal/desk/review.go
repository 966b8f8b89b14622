package desk

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Review records that the safeguarding lead looked again at what was shared urgently, and what they found. It is kept at the
// desk; nothing is sent by it, and nothing taken back. The same again changes nothing.
func (d *Desk) Review(ctx context.Context, req *localv1.ReviewRequest) (*localv1.ReviewResponse, error) {
	by, err := d.signedInAs(ctx, posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, "review what was shared urgently")
	if err != nil {
		return nil, err
	}
	found := strings.TrimSpace(req.GetFindings())
	if found == "" || len(found) > maxReasons {
		return nil, fault.InvalidFields("BAD_REVIEW", "The review cannot be recorded like this.", []fault.Field{{
			Path: "findings", Reason: "It is not said what was found, or it is too long.", Fix: "Write it in at most 4000 characters; the words stay in the prison."}})
	}
	id, err := d.review(ctx, req.GetId(), &localv1.RecordedReview{StaffId: by.ID, ReviewTime: d.now(), Findings: found})
	if err != nil {
		return nil, err
	}
	all, err := d.show(ctx, []string{id})
	if err != nil {
		return nil, err
	}
	return &localv1.ReviewResponse{Notification: all[0]}, nil
}

func (d *Desk) review(ctx context.Context, name string, r *localv1.RecordedReview) (id string, err error) {
	d.submit.Lock()
	defer d.submit.Unlock()
	n, err := d.named(ctx, name)
	if err != nil {
		return "", err
	}
	if was := proto.CloneOf(n.GetReview()); was != nil {
		if was.ReviewTime = r.GetReviewTime(); proto.Equal(was, r) {
			return n.GetId(), nil
		}
	}
	if !mayReview(n) {
		return "", ended(n, "review")
	}
	return n.GetId(), d.change(ctx, n.GetId(), func(_ store.Tx, n *localv1.Notification) error {
		n.Review = r
		return nil
	})
}

// mayReview reports whether a notification was shared urgently and nobody has looked at it again yet.
func mayReview(n *localv1.Notification) bool {
	return slices.ContainsFunc(n.GetDecision().GetObligations(), func(o *posternv1.Obligation) bool {
		return o.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_REVIEW && !done(n, o)
	})
}
