package valve

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// line is the way from the hub to a team's inbox, in one world.
type line struct {
	w        *world
	code     string
	badSince int // the tick from which every answer about what never arrives is bad, and after eight of them the hub gives up
	refusing int // the tick at which what never arrives is refused
	reason   posternv1.RefusalReason
}

func newLine(w *world, code string) *line {
	l := &line{w: w, code: code, badSince: lastTick, refusing: lastTick}
	for _, f := range w.families {
		if !f.dead || f.authority != code || w.number == 0 {
			continue
		}
		// Heard in the hour in which its time runs out, a day after it was taken: by then the inbox refuses, answers
		// rubbish once too often, or is silent still.
		over := f.taken + 1 + 24*perHour
		first := (over + 0) / perHour * perHour
		if first >= over-1 {
			continue
		}
		switch at := first + w.rand.IntN(over-1-first); w.rand.IntN(3) {
		case 0:
			l.refusing, l.reason = at, posternv1.RefusalReason(1+w.rand.IntN(len(posternv1.RefusalReason_name)-1))
		case 1:
			l.badSince = at - 7
		}
	}
	w.Inbox(code).Link.Carry(l.carry)
	return l
}

var (
	errDown = fault.New(fault.Unavailable, "NOBODY", "Nobody answers there.")
	errSlow = fault.New(fault.Deadline, "LOST", "No answer came in time.")
	errOdd  = fault.New(fault.Internal, "INTERNAL", "Something went wrong on the other side.")
)

// carry takes one delivery to the inbox, or does not.
func (l *line) carry(_ string, request []byte, deliver func() ([]byte, error)) ([]byte, error) {
	w, team := l.w, l.w.teams[l.code]
	if !team.out(w.now) {
		if w.number > 0 && w.rand.IntN(4) == 0 {
			w.happened["delivered twice"]++
			_, _ = deliver()
		}
		return deliver()
	}
	dead := w.now >= team.dies
	switch {
	case w.number == 0:
		return nil, errDown
	case dead && w.now == l.refusing:
		w.happened["refused"]++
		return l.refuse(request)
	case dead && w.now >= l.badSince:
		w.happened["rubbish until it is given up"]++
		return nil, errOdd
	}
	kinds := 3
	if !dead {
		kinds = 5 // a few of the others would be too many
	}
	switch w.rand.IntN(kinds) {
	case 0:
		w.happened["nobody answers"]++
		return nil, errDown
	case 1:
		w.happened["no answer in time"]++
		return nil, errSlow
	case 2:
		w.happened["its answer is lost"]++
		_, _ = deliver()
		return nil, errDown
	case 3:
		w.happened["an inner error"]++
		return nil, errOdd
	}
	w.happened["an answer of another"]++
	_, _ = deliver()
	return proto.Marshal(&posternv1.DeliverResponse{})
}

// refuse answers as an inbox that refuses.
func (l *line) refuse(request []byte) ([]byte, error) {
	req := &posternv1.DeliverRequest{}
	if err := proto.Unmarshal(request, req); err != nil {
		return nil, err
	}
	digest := sha256.Sum256(req.GetDelivery().GetNotification().GetManifest().GetPayload())
	payload, err := proto.Marshal(&posternv1.Report{DeliveryId: req.GetDelivery().GetDeliveryId(), ManifestSha256: digest[:],
		Report: &posternv1.Report_Refusal{Refusal: &posternv1.Refusal{Reason: l.reason}}})
	if err != nil {
		return nil, err
	}
	signed, err := envelope.SignStatement(l.w.Identity("/authority/"+l.code+"/inbox"), envelope.TypeReport, payload)
	if err != nil {
		return nil, err
	}
	return proto.Marshal(&posternv1.DeliverResponse{Answer: &posternv1.DeliverResponse_Report{Report: signed}})
}

// arrange draws what the teams do and when: first what the plan wants heard, then everything that nobody is to hear.
func (w *world) arrange() {
	w.due = map[int]map[int][]event{}
	for i, f := range w.families {
		for n, r := range f.replies {
			w.arrangeReply(i, r, n+1 == len(f.replies))
		}
	}
	if w.number == 0 {
		return
	}
	for range 4 + w.rand.IntN(24) {
		e := w.anything()
		w.when(w.rand.IntN(lastTick), w.rand.IntN(20), e)
	}
}

func (w *world) when(tick, minute int, e event) {
	if w.due[tick] == nil {
		w.due[tick] = map[int][]event{}
	}
	w.due[tick][minute] = append(w.due[tick][minute], e)
}

// arrangeReply has a team say within the hour, last, something that the prison hears as r; before it in the same hour
// anything it likes; and later again what says the same to the prison, if nothing else is to come.
func (w *world) arrangeReply(i int, r reply, last bool) {
	minute := 59 * w.rand.IntN(2)
	if w.number > 0 {
		minute = w.rand.IntN(60)
		for m := 0; m < minute && w.rand.IntN(2) == 0; m += 1 + w.rand.IntN(30) {
			w.when(r.hour*perHour+m/20, m%20, w.reply(i, w.anyReply()))
		}
		for h := r.hour + 1; last && h < lastTick/perHour && w.rand.IntN(3) > 0; h += 1 + w.rand.IntN(8) {
			m := w.rand.IntN(60)
			w.when(h*perHour+m/20, m%20, w.reply(i, w.heardAs(r)))
		}
	}
	w.when(r.hour*perHour+minute/20, minute%20, w.reply(i, w.heardAs(r)))
}

func (w *world) reply(i int, r *posternv1.Reply) event {
	return event{"reply " + r.GetCode().String(), func() {
		if w.manifests[i] == nil {
			w.t.Fatal("a reply before there is anything")
		}
		report := w.about(i)
		report.Report = &posternv1.Report_Reply{Reply: r}
		w.report(w.families[i].authority, report)
	}}
}

// heardAs is a reply that a prison hears as r.
func (w *world) heardAs(r reply) *posternv1.Reply {
	out := &posternv1.Reply{Code: r.code, Paths: slices.Clone(r.paths)}
	if w.number == 0 {
		return out
	}
	if r.code == posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL {
		out.Paths = append(out.Paths, r.paths[:w.rand.IntN(len(r.paths)+1)]...)
		w.rand.Shuffle(len(out.Paths), func(a, b int) { out.Paths[a], out.Paths[b] = out.Paths[b], out.Paths[a] })
		return out
	}
	out.Code = []posternv1.ReplyCode{posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT, posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA,
		posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE, posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN}[w.rand.IntN(4)]
	return out
}

func (w *world) anyReply() *posternv1.Reply {
	r := reply{code: posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT}
	if w.rand.IntN(2) == 0 {
		r.code, r.paths = posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, someSections(w.rand)
	}
	return w.heardAs(r)
}

// passOn has a team pass on to the other what it has. A team that is never heard of again is left out: what waits for it
// would stand in the way of what the plan wants heard.
func (w *world) passOn(code string, in *testkit.Inbox) {
	for _, to := range authorities {
		if w.teams[to].dies < lastTick {
			return
		}
	}
	for _, item := range in.Items() {
		for _, to := range authorities {
			if to == code {
				continue
			}
			if _, err := in.RedirectItem(w.t.Context(), &localv1.RedirectItemRequest{Id: item.GetId(), Authority: to}); err != nil {
				w.happened["not passed on: "+fault.From(err).Reason]++
				continue
			}
			w.happened["passed on to another team"]++
		}
	}
	w.until(in.StepRedirects)
	w.until(in.StepReports)
}

// anything draws something that a team, its inbox or an auditor does and that no prison is to hear of.
func (w *world) anything() event {
	i := w.rand.IntN(len(w.families))
	code := w.families[i].authority
	in := w.Inbox(code)
	of := func(name string, fill func(*posternv1.Report)) event {
		return event{name, func() {
			if w.manifests[i] == nil {
				return
			}
			r := w.about(i)
			fill(r)
			w.report(code, r)
		}}
	}
	n := w.rand.IntN(1 << 16)
	switch w.rand.IntN(14) {
	case 12, 13:
		return event{"the team looks where else the child may be", func() { w.passOn(code, in) }}
	case 0:
		return of("family outcome", func(r *posternv1.Report) {
			r.Report = &posternv1.Report_FamilyOutcome{FamilyOutcome: &posternv1.FamilyOutcome{Code: posternv1.FamilyOutcomeCode(1 + n%7)}}
		})
	case 1:
		return of("facts mismatch", func(r *posternv1.Report) {
			r.Report = &posternv1.Report_FactsMismatch{FactsMismatch: &posternv1.FactsMismatch{Paths: []string{"child/1/home", "child/1/carer"}[:1+n%2]}}
		})
	case 2:
		return of("stop answer", func(r *posternv1.Report) {
			r.Report = &posternv1.Report_StopAnswer{StopAnswer: &posternv1.StopAnswer{Code: posternv1.StopAnswerCode(1 + n%3)}}
		})
	case 3:
		return of("redirect", func(r *posternv1.Report) { r.Report = &posternv1.Report_Redirect{Redirect: &posternv1.Redirect{}} })
	case 4:
		return of("a reply that nobody may give", func(r *posternv1.Report) {
			r.Report = &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: []posternv1.ReplyCode{1, 4, 5, 6, 99}[n%5]}}
		})
	case 5:
		return of("it asks for what is never asked", func(r *posternv1.Report) {
			r.Report = &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL, Paths: []string{"child/1/home"}}}
		})
	case 6:
		return event{"the inbox starts again", func() {
			in.Restart()
			_, _ = in.StepResume(w.t.Context())
		}}
	case 7:
		return event{"the inbox is copied, or loses its disk", func() {
			name := "inbox-" + code
			old := w.copies[name]
			w.copies[name] = w.disks[name].Copy()
			if old != nil {
				w.disks[name] = old
				w.happened["an inbox lost its disk"]++
				in.Restart()
				_, _ = in.StepResume(w.t.Context())
			}
		}}
	case 8:
		return event{"the team reads", func() {
			for _, item := range in.Items() {
				_, _ = in.GetItem(w.t.Context(), &localv1.GetItemRequest{Id: item.GetId()})
				_, _ = in.AnswerStop(w.t.Context(), &localv1.AnswerStopRequest{Id: item.GetId(), Answer: posternv1.StopAnswerCode(1 + n%3)})
				ctx, seen := rpc.WithPerson(w.t.Context(), rpc.Person{ID: "LEE"}), &localv1.Seen{Id: item.GetId()}
				_, _ = in.AssignItems(ctx, &localv1.AssignItemsRequest{Items: []*localv1.Seen{seen}, To: []string{"LEE", ""}[n%2]})
				_, _ = in.RecordOutcome(ctx, &localv1.RecordOutcomeRequest{Item: seen, Outcome: posternv1.FamilyOutcomeCode(1 + n%7)})
				_, _ = in.RecordTold(ctx, &localv1.RecordToldRequest{Item: seen, Told: &localv1.Told{Whom: 1, How: 1 + localv1.ToldHow(n%3), ToldDate: "2026-01-01"}})
			}
			w.until(in.StepReports)
		}}
	case 9:
		return event{"an auditor looks", func() {
			a := w.Auditor()
			_, _ = a.ListEvents(w.t.Context(), &localv1.ListEventsRequest{})
			if w.ids[i] != "" {
				_, _ = a.GetEvent(w.t.Context(), &localv1.GetEventRequest{Id: w.ids[i]})
			}
		}}
	case 10:
		return event{"the operator looks", func() {
			_, _ = w.Hub.ListDeadLetters(w.t.Context(), &localv1.ListDeadLettersRequest{})
			_, _ = w.Hub.GetStatus(w.t.Context(), &localv1.GetStatusRequest{})
			w.until(w.Hub.StepSelfCheck)
		}}
	}
	return of("another team's report", func(r *posternv1.Report) {
		r.ManifestSha256 = bytes.Repeat([]byte{byte(n)}, 32)
		r.Report = &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE}}
	})
}
