package auditor

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// entry is an event of a log with all that its leaf commits to.
type entry struct {
	*posternv1.Event // as a list shows it
	core             *logv1.Core
	details          *logv1.Details
}

// entries makes what an archive hands over one entry at a time for take; what has no body is passed over. Nothing of it
// may be believed before the archive has ended.
func entries(take func(entry) error) func(archive.Entry) error {
	return func(at archive.Entry) error {
		if at.Body == nil {
			return nil
		}
		e := entry{core: &logv1.Core{}, details: &logv1.Details{}}
		if err := proto.Unmarshal(at.Body.Core, e.core); err != nil {
			return fault.From(err)
		}
		if err := proto.Unmarshal(at.Body.Details, e.details); err != nil {
			return fault.From(err)
		}
		e.Event = describe(&verify.Event{Head: verify.Head{Origin: at.Origin}, EventID: at.Leaf.EventID, Kind: at.Leaf.Kind, Index: at.Index, Core: e.core}, e.details)
		return take(e)
	}
}

// whole reads every log that the auditor has a key for, from its first entry to the newest checkpoint, and hands take what is
// within the auditor's scope. Unlike a list it can leave nothing out: what came is the tree that the log has signed.
func (a *Auditor) whole(ctx context.Context, take func(entry) error) ([]*localv1.CountedLog, error) {
	w := archive.Reader(archive.Config{Keys: a.cfg.LogKeys, Each: entries(take)})
	progress := &localv1.ExportResponse{}
	if err := a.fetch(ctx, w, progress, func() error { return nil }); err != nil {
		return nil, err
	}
	report, err := w.End()
	if err != nil {
		return nil, err
	}
	return counted(report, progress), nil
}

// counted are the logs of an export as the numbers taken from it name them, in the order of their origins.
func counted(report *archive.Report, progress *localv1.ExportResponse) (all []*localv1.CountedLog) {
	for _, l := range report.Logs {
		all = append(all, &localv1.CountedLog{Origin: l.Origin, Size: l.Size, Root: base64.StdEncoding.EncodeToString(l.Root[:]),
			Absent: l.Absent, Checkpoint: l.Signed})
	}
	for _, l := range progress.GetLogs() {
		if l.GetLost() {
			all = append(all, &localv1.CountedLog{Origin: l.GetOrigin(), Lost: true})
		}
	}
	slices.SortFunc(all, func(a, b *localv1.CountedLog) int { return strings.Compare(a.GetOrigin(), b.GetOrigin()) })
	return all
}

// fits reports whether a list with a filter would show an event: it is what the hub does to make one.
func (e entry) fits(f *posternv1.EventFilter) bool {
	at := e.GetRecordTime().AsTime()
	return (f.GetStartTime() == nil || !at.Before(f.GetStartTime().AsTime())) &&
		(f.GetEndTime() == nil || at.Before(f.GetEndTime().AsTime())) &&
		(f.GetPrisonId() == "" || f.GetPrisonId() == e.GetPrisonId()) &&
		(f.GetAuthority() == "" || f.GetAuthority() == e.GetAuthority()) &&
		(f.GetOutcome() == 0 || f.GetOutcome() == e.GetDecision().GetOutcome()) &&
		(f.GetKind() == "" || f.GetKind() == e.GetKind()) &&
		(f.GetRuleId() == "" || slices.Contains(e.rules(), f.GetRuleId())) &&
		(f.GetRoute() == 0 || plain.Enum(f.GetRoute()) == e.route()) &&
		(f.GetNotification() == "" || e.GetNotificationId() != "" && e.about(f.GetNotification()))
}

// about reports whether an event is about a notification, by its id or reference.
func (e entry) about(name string) bool {
	reference, err := envelope.ParseReference(name)
	return err == nil && reference == e.GetReference() || strings.EqualFold(name, e.GetNotificationId())
}

// rules are the rules that fired, each once.
func (e entry) rules() []string {
	var all []string
	add := func(reasons []*posternv1.Reason) {
		for _, r := range reasons {
			if !slices.Contains(all, r.GetRuleId()) {
				all = append(all, r.GetRuleId())
			}
		}
	}
	add(e.GetDecision().GetReasons())
	for _, c := range e.GetDecision().GetChildren() {
		add(c.GetReasons())
	}
	return all
}

// route is the route of a decision; "" where there is none.
func (e entry) route() string {
	if len(e.details.GetInput()) == 0 {
		return ""
	}
	return engine.RouteOf(e.details.GetInput())
}
