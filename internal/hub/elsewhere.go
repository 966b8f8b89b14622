package hub

import (
	"context"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/delivery"
	"postern/internal/fault"
	"postern/internal/ledger"
	posternv1 "postern/proto/postern/v1"
)

// stopElsewhere takes out of the way to other teams what was withdrawn, in the transaction of the withdrawal, and asks
// those to stop that may have it. The desk hears nothing of it: that it was withdrawn, and that its team was asked, is
// all that it may know. So the event is in the received log.
func (h *Hub) stopElsewhere(tx *ledger.Tx, w *withdrawal, withdrawn [16]byte, now time.Time) error {
	if len(w.elsewhere) == 0 {
		return nil
	}
	all := slices.Clone(w.elsewhere)
	for i, p := range all {
		rel, ok, err := h.delivery.Release(tx, delivery.PassedOnName(w.id, p.Authority))
		if err != nil {
			return err
		}
		if !ok || !p.Before && !w.touches(p.Paths) {
			continue
		}
		if _, err := h.delivery.Cancel(tx, rel); err != nil {
			return err
		}
		// Also where a part is left: an inbox that has lost it does not get that again (decision 0052).
		if err := h.delivery.Forget(tx, rel); err != nil {
			return err
		}
		if !rel.Begun {
			continue // it was on its way, and goes nowhere now; the team that passed it on sees so
		}
		stop, err := h.askElsewhere(tx, rel, w.id, early{withdrawn, w.paths, nil}, w.v.StopRequest(), w.v.Sender().URI(), w.owner, now)
		if err != nil {
			return err
		}
		if stop != nil {
			all[i].Stop = stop
		}
	}
	return writePassedOn(tx, w.id, all)
}

// askElsewhere asks a team to stop that something was passed on to, of each manifest under which it may have it and that
// the request names. It returns the event of the first; nil when the request names none of them.
func (h *Hub) askElsewhere(tx *ledger.Tx, rel delivery.Release, id string, w early, request *posternv1.Signed, caller, sender string, now time.Time) (first []byte, err error) {
	for _, manifest := range rel.Manifests() {
		if !names(request, manifest) {
			continue
		}
		asked, err := h.askToStop(tx, ledger.Received, delivery.Stop{Authority: rel.Authority, NotificationID: id, ManifestSHA256: manifest, Sender: sender, Request: request}, caller, w.Event, now)
		if err != nil {
			return nil, err
		}
		if first == nil {
			first = asked[:]
		}
	}
	return first, nil
}

// A hub that lost its disk does not know what was passed on, and no desk can tell the next one: it never knew. So the team
// that passed it on does, once it gets the notification or a stop request about it by the new log (decision 0045).

// rulePassedOnBefore is why nothing goes of what a team only tells of.
const rulePassedOnBefore = "passed_on_before"

// toldOfRedirect plans to record a redirect of which the team has nothing to send any more.
func (h *Hub) toldOfRedirect(ctx context.Context, p *redirect, now time.Time) error {
	if _, known := h.directory.Load().At(now).Authority(p.to); !known {
		return fault.New(fault.NotFound, "NO_AUTHORITY", "The directory knows no such authority. Telephone the team that it was passed on to.")
	}
	basis := delivery.Basis{Policy: h.policy.Load().Revision(), Directory: h.directory.Load().Number()}
	out := &posternv1.Decision{
		Outcome: posternv1.Outcome_OUTCOME_WITHHOLD, PolicyRevision: basis.Policy, EngineVersion: h.policy.Load().Version(), DecideTime: timestamppb.New(now),
		Reasons: []*posternv1.Reason{{RuleId: rulePassedOnBefore, Law: lawPermission,
			Text: "A hub before this one was told that this was passed on, and may have sent it. Nothing goes now; a withdrawal reaches that team too."}},
	}
	p.decided = decision{Decision: out, basis: basis}
	return h.readRedirect(ctx, p)
}

// offered are the sections that came with a redirect.
func (p *redirect) offered() []string {
	if p.v == nil {
		return nil
	}
	return p.v.Paths()
}

// maybePassedOn takes a team's word that a hub before this one was told of a redirect and may have sent it: it counts as
// begun, and of what was withdrawn the other team is asked to stop. The events are in the received log, and no desk hears
// of them.
func (h *Hub) maybePassedOn(tx *ledger.Tx, p *redirect, all []passedOn, i int) error {
	if !p.told || all[i].Before {
		return nil
	}
	id := p.about.GetNotificationId()
	rel, err := h.delivery.MaybeSent(tx, delivery.PassedOnName(id, p.to), delivery.Release{Authority: p.to, EventID: all[i].Event, Manifest: p.report.GetManifestSha256()})
	if err != nil {
		return err
	}
	all[i].Before = true
	for _, e := range p.tomb.all() {
		request := &posternv1.Signed{}
		if err := proto.Unmarshal(e.Request, request); err != nil {
			return fault.New(fault.Internal, "TOMBSTONE", "A tombstone cannot be read.").Because(err)
		}
		stop, err := h.askElsewhere(tx, rel, id, e, request, p.about.desk, p.about.desk, h.cfg.Clock())
		if err != nil {
			return err
		}
		if stop != nil {
			all[i].Stop = stop
		}
	}
	return writePassedOn(tx, id, all)
}
