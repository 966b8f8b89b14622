package auditor

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	"postern/internal/sheet"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// MaxExtract is the most events of one extract: each is opened and verified by itself while somebody waits.
const MaxExtract = 500

// Extract takes the events that fit a filter out of the logs, as one ZIP file that `audit verify` checks: a table, JSON
// lines, the receipt of each event, and a manifest that the auditor signs. Each event was verified before it was written;
// when one does not hold, there is no extract.
func (a *Auditor) Extract(ctx context.Context, filter *posternv1.EventFilter) ([]byte, error) {
	if a.cfg.Identity == nil {
		return nil, fault.New(fault.Precondition, "NO_IDENTITY", "This auditor has no certificate to sign an export with.")
	}
	events, err := a.fitting(ctx, filter)
	if err != nil {
		return nil, err
	}
	question, err := json.Marshal(plain.Map(filter))
	if err != nil {
		return nil, fault.From(err)
	}
	x := archive.Extract{Question: question, Receipts: map[string][]byte{}}
	var lines bytes.Buffer
	var rows [][]string
	for _, e := range events {
		held, err := a.verified(ctx, e)
		if err != nil {
			return nil, err
		}
		x.Receipts[e.GetEventId()] = verify.MarshalFile(held.GetReceipt())
		rows = append(rows, row(e))
		line, err := json.Marshal(plain.Map(e))
		if err != nil {
			return nil, fault.From(err)
		}
		lines.Write(append(line, '\n'))
	}
	x.Table, x.Lines = sheet.CSV(columns, rows), lines.Bytes()
	return x.Seal(a.cfg.Identity, a.cfg.Clock())
}

// fitting lists every event that fits.
func (a *Auditor) fitting(ctx context.Context, filter *posternv1.EventFilter) (all []*posternv1.Event, err error) {
	return all, a.each(ctx, filter, func(e *posternv1.Event) error {
		if all = append(all, e); len(all) > MaxExtract {
			return fault.Newf(fault.Precondition, "EXTRACT_TOO_LARGE",
				"More than %d events fit. Ask for fewer, such as for one prison or one month; “postern audit export” takes all of both logs.", MaxExtract)
		}
		return nil
	})
}

// each hands over every event that fits, as listed, the newest first.
func (a *Auditor) each(ctx context.Context, filter *posternv1.EventFilter, take func(*posternv1.Event) error) error {
	req := &posternv1.ListEventsRequest{Filter: filter, PageSize: 100}
	for {
		out, err := a.ListEvents(ctx, &localv1.ListEventsRequest{Request: req})
		if err != nil {
			return err
		}
		for _, e := range out.GetResponse().GetEvents() {
			if err := take(e); err != nil {
				return err
			}
		}
		if req.PageToken = out.GetResponse().GetNextPageToken(); req.PageToken == "" {
			return nil
		}
	}
}

// verified opens an event that was listed, and verifies that the log holds it as it was listed.
func (a *Auditor) verified(ctx context.Context, e *posternv1.Event) (*posternv1.GetEventResponse, error) {
	held, err := a.getEvent(ctx, e.GetEventId())
	if err == nil {
		err = a.check(e.GetEventId(), held)
	}
	if err == nil && !proto.Equal(e, held.GetEvent()) {
		err = fault.New(fault.Unverified, "EVENT_DIFFERS", "The event as listed is not the one that the log holds.")
	}
	return held, err
}

var columns = []string{"event_id", "time", "kind", "reference", "prison", "authority", "outcome", "rules", "sections_offered", "sections_released", "policy_revision", "log", "index"}

func row(e *posternv1.Event) []string {
	d := e.GetDecision()
	var rules []string
	for _, r := range d.GetReasons() {
		rules = append(rules, r.GetRuleId())
	}
	for _, c := range d.GetChildren() {
		for _, r := range c.GetReasons() {
			rules = append(rules, strconv.FormatUint(uint64(c.GetNumber()), 10)+":"+r.GetRuleId())
		}
	}
	return []string{e.GetEventId(), e.GetRecordTime().AsTime().UTC().Format(time.RFC3339), e.GetKind(), e.GetReference(), e.GetPrisonId(), e.GetAuthority(),
		plain.Enum(d.GetOutcome()), strings.Join(rules, " "), strings.Join(e.GetOfferedPaths(), " "), strings.Join(d.GetPaths(), " "), d.GetPolicyRevision(),
		e.GetOrigin(), strconv.FormatUint(e.GetIndex(), 10)}
}
