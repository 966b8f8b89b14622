package site

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	"postern/internal/web/ui"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// eventShown is one event as its page shows it.
type eventShown struct {
	Event    *posternv1.Event
	Summary  ui.SummaryList
	Decision []string // in plain words, a line each
	Sections ui.Table
	Facts    ui.SummaryList // as the policy saw them
	Way      ui.Table       // what else happened with the same notification
	Fault    string         // why the proof does not hold; empty when it does
	Proof    *proof
}

// proof is the way from the leaf to the signed root.
type proof struct {
	Index, Size uint64
	Leaf, Root  string
	Steps       ui.Table
	Checkpoint  string
}

// event shows an event: what was decided, on which facts, why, and the proof that the log holds it, checked as the page
// is made.
func (s *site) event(r *web.Request) (web.Response, error) {
	answer, err := s.audit.GetEvent(r.Context(), &localv1.GetEventRequest{Id: r.PathValue("id")})
	if err != nil {
		return nil, err
	}
	e, details := answer.GetResponse().GetEvent(), &logv1.Details{}
	if err := proto.Unmarshal(answer.GetResponse().GetDetails(), details); err != nil {
		return nil, fault.From(err)
	}
	shown := eventShown{Event: e, Summary: s.summary(r, e, details), Fault: answer.GetFault()}
	if d := e.GetDecision(); d != nil {
		shown.Decision = plain.DecisionIn(r.Language, d)
		shown.Sections = sections(r, e)
	}
	if shown.Facts, err = facts(details.GetInput()); err != nil {
		return nil, err
	}
	if e.GetNotificationId() != "" {
		out, err := s.audit.ListEvents(r.Context(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{
			Filter: &posternv1.EventFilter{Notification: e.GetNotificationId()}, PageSize: 100}})
		if err != nil {
			return nil, err
		}
		events := out.GetResponse().GetEvents()
		slices.SortStableFunc(events, func(a, b *posternv1.Event) int { // as they happened; of one moment, what was sent first
			return cmp.Or(a.GetRecordTime().AsTime().Compare(b.GetRecordTime().AsTime()), strings.Compare(b.GetOrigin(), a.GetOrigin()),
				cmp.Compare(a.GetIndex(), b.GetIndex()))
		})
		shown.Way = s.table(r, events, questions(r))
	}
	if shown.Fault == "" {
		if shown.Proof, err = drawn(r, answer.GetResponse().GetReceipt()); err != nil {
			return nil, err
		}
	}
	subject, found := cmp.Or(e.GetReference(), e.GetEventId()), "/"
	if asked := questions(r); len(asked) > 0 {
		found += "?" + asked.Encode() // the list from which it was opened
	}
	return web.View{Template: "event", Data: shown, Back: found, About: subject, Wide: true}, nil
}

// summary is what stands at the head of an event.
func (s *site) summary(r *web.Request, e *posternv1.Event, d *logv1.Details) ui.SummaryList {
	var list ui.SummaryList
	add := func(id, value string) {
		if value != "" {
			list.Rows = append(list.Rows, ui.SummaryRow{Key: ui.Words{Text: r.T(id)}, Value: ui.Words{Text: value, Classes: "app-answer"}})
		}
	}
	at := e.GetRecordTime().AsTime().In(s.zone)
	add("audit.kind", plain.Kind(r.Language, e.GetKind()))
	add("audit.when", plain.Date(r.Language, at)+" "+at.Format("15:04:05 MST"))
	add("audit.reference", e.GetReference())
	add("audit.prison", e.GetPrisonId())
	add("audit.authority", e.GetAuthority())
	add("audit.caller", d.GetCaller())
	add("audit.policy", e.GetDecision().GetPolicyRevision())
	add("audit.engine", e.GetDecision().GetEngineVersion())
	add("audit.refusal", d.GetRefusal())
	add("audit.asked", d.GetQuestion())
	add("audit.event", e.GetEventId())
	return list
}

// sections says of each section that was offered whether it went, and by which rule and for what reason it went or stayed.
func sections(r *web.Request, e *posternv1.Event) ui.Table {
	t := ui.Table{Stack: true, FirstCellIsHeader: true, Head: []ui.Cell{{Text: r.T("audit.section")}, {Text: r.T("audit.went")}, {Text: r.T("audit.why")}, {Text: r.T("audit.reason")}}}
	d := e.GetDecision()
	for _, path := range e.GetOfferedPaths() {
		went := r.T("audit.stayed")
		if slices.Contains(d.GetPaths(), path) {
			went = r.T("audit.did_go")
		}
		var rules, reasons []string
		for _, reason := range about(d, path) {
			if rule := reason.GetRuleId(); !slices.Contains(rules, rule) {
				text := plain.ReasonIn(r.Language, reason)
				if law := reason.GetLaw(); law != "" {
					text += " (" + law + ")"
				}
				rules, reasons = append(rules, rule), append(reasons, text)
			}
		}
		if len(rules) == 0 {
			reasons = []string{r.T("audit.with_the_child")}
		}
		t.Rows = append(t.Rows, []ui.Cell{{Text: plain.PathWordsIn(r.Language, path)}, {Text: went}, {Text: strings.Join(rules, ", "), Classes: "app-answer"}, {Text: strings.Join(reasons, " ")}})
	}
	return t
}

// about are the reasons that a decision gives for a section: those that name it, or else those for all of its child, or for
// all children where it is the parent's, or for all there is.
func about(d *posternv1.Decision, path string) []*posternv1.Reason {
	var named, whole []*posternv1.Reason
	sort := func(reasons []*posternv1.Reason, counts bool) {
		for _, reason := range reasons {
			switch {
			case slices.Contains(reason.GetPaths(), path):
				named = append(named, reason)
			case counts && len(reason.GetPaths()) == 0:
				whole = append(whole, reason)
			}
		}
	}
	child, ofChild := section.ChildOf(path)
	for _, c := range d.GetChildren() {
		sort(c.GetReasons(), !ofChild || int(c.GetNumber()) == child)
	}
	sort(d.GetReasons(), len(whole) == 0)
	if len(named) > 0 {
		return named
	}
	return whole
}

// facts is the Input of a decision, a row a value, in the order in which the policy was given them and by the names that
// its rules use.
func facts(input []byte) (ui.SummaryList, error) {
	var list ui.SummaryList
	if len(input) == 0 {
		return list, nil
	}
	d := json.NewDecoder(bytes.NewReader(input))
	d.UseNumber()
	err := walk(d, nil, func(path []string, value string) {
		list.Rows = append(list.Rows, ui.SummaryRow{Key: ui.Words{Text: strings.Join(path, " › ")}, Value: ui.Words{Text: value, Classes: "app-answer"}})
	})
	if err != nil {
		return list, fault.From(fmt.Errorf("the input of an event is no JSON: %w", err))
	}
	return list, nil
}

// nothing stands where the policy was given an empty value: that it was given it is a fact too.
const nothing = "–"

// walk visits the values of one JSON value with the way to each; lists of plain values are one.
func walk(d *json.Decoder, path []string, visit func(path []string, value string)) error {
	token, err := d.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		if !d.More() {
			visit(path, nothing)
		}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return err
			}
			if err := walk(d, append(slices.Clone(path), fmt.Sprint(name)), visit); err != nil {
				return err
			}
		}
		_, err = d.Token()
	case json.Delim('['):
		var plainValues []string
		if !d.More() {
			visit(path, nothing)
		}
		for n := 1; d.More(); n++ {
			at := append(slices.Clone(path), strconv.Itoa(n))
			if err := walk(d, at, func(p []string, value string) {
				if len(p) == len(at) {
					plainValues = append(plainValues, value)
				} else {
					visit(p, value)
				}
			}); err != nil {
				return err
			}
		}
		if len(plainValues) > 0 {
			visit(path, strings.Join(plainValues, ", "))
		}
		_, err = d.Token()
	case nil:
		visit(path, nothing)
	default:
		visit(path, fmt.Sprint(token))
	}
	return err
}

// drawn is the proof of a receipt that was verified, for a person to look at and to compute again.
func drawn(r *web.Request, receipt *posternv1.Receipt) (*proof, error) {
	p, err := verify.ParseProof(receipt.GetTlogProof())
	if err != nil {
		return nil, err
	}
	head, err := verify.ReadHead(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	leaf, steps, err := verify.Steps(receipt, head.Size)
	if err != nil {
		return nil, err
	}
	text := func(h [32]byte) string { return base64.StdEncoding.EncodeToString(h[:]) }
	t := ui.Table{Stack: true, Caption: r.T("audit.steps"), CaptionClasses: "govuk-visually-hidden",
		Head: []ui.Cell{{Text: r.T("audit.level")}, {Text: r.T("audit.left")}, {Text: r.T("audit.right")}, {Text: r.T("audit.both")}}}
	under := text(leaf)
	for i, step := range steps {
		left, right := under, text(step.Sibling)
		if step.Left {
			left, right = right, left
		}
		under = text(step.Parent)
		row := []ui.Cell{{Text: strconv.Itoa(i + 1)}}
		for _, hash := range []string{left, right, under} {
			row = append(row, ui.Cell{Text: hash, Classes: "app-answer"})
		}
		t.Rows = append(t.Rows, row)
	}
	return &proof{Index: p.Index, Size: head.Size, Leaf: text(leaf), Root: text(head.Root), Steps: t, Checkpoint: p.Checkpoint}, nil
}

// receipt gives the receipt of an event as a file that anybody can verify without us.
func (s *site) receipt(r *web.Request) (web.Response, error) {
	out, err := s.audit.GetProof(r.Context(), &localv1.GetProofRequest{Id: r.PathValue("id")})
	if err != nil {
		return nil, err
	}
	leaf, err := verify.ParseLeaf(out.GetReceipt().GetLeaf())
	if err != nil {
		return nil, err
	}
	id := hex.EncodeToString(leaf.EventID[:])
	return web.File{Name: id + ".tlog-proof", Kind: "text/plain; charset=utf-8", About: id, Body: verify.MarshalFile(out.GetReceipt())}, nil
}
