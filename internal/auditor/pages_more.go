package auditor

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

func (g *gathering) retention() page {
	erased := g.after(logv1.Kind_KIND_ERASED)
	withdrawn := map[string]bool{} // of these it was deleted at once
	for _, h := range g.all {
		if h.kind == kindName(logv1.Kind_KIND_WITHDRAWN) {
			withdrawn[h.reference] = true
		}
	}
	over, longest := uint64(0), time.Duration(0)
	var rows [][]string
	for _, h := range g.of(logv1.Kind_KIND_DELIVERED) {
		end, gone := erased[h.id]
		if gone {
			longest = max(longest, end.at.Sub(h.at))
			rows = append(rows, []string{end.id, h.reference, h.authority, utc(h.at), utc(end.at), took(end.at.Sub(h.at))})
		}
		if !gone && !withdrawn[h.reference] && g.newest.Sub(h.at) > mostKept || gone && end.at.Sub(h.at) > mostKept+24*time.Hour { // a run may be a day late
			over++
		}
	}
	p := page{ID: "retention", NotEvidenced: []string{"evidence.no_desk", "evidence.no_years"}, Figures: []figure{g.kind("evidence.erased", logv1.Kind_KIND_ERASED),
		{ID: "evidence.over", Value: over, Never: true}, g.kind("evidence.epochs", logv1.Kind_KIND_KEY_EPOCH_CLOSED)}}
	if len(rows) > 0 {
		p.Figures = append(p.Figures, figure{ID: "evidence.longest", Value: took(longest)})
	}
	p.Tables = []grid{table("evidence.erasures", []string{"evidence.event", "evidence.reference", "evidence.authority", "evidence.delivered_at", "evidence.erased_at", "evidence.took"}, rows)}
	return p
}

func (g *gathering) withdrawals() page {
	delivered, answered := g.after(logv1.Kind_KIND_DELIVERED), g.after(logv1.Kind_KIND_STOP_ANSWERED)
	asked := map[string][]happening{} // by the withdrawal
	for _, h := range g.all {
		if h.kind == kindName(logv1.Kind_KIND_STOP_ASKED) {
			asked[h.follows] = append(asked[h.follows], h)
		}
	}
	since := func(w happening, ends map[string]happening, stop string) string {
		if end, ok := ends[stop]; ok {
			return took(end.at.Sub(w.at))
		}
		return ""
	}
	unheard, unanswered := uint64(0), uint64(0)
	var rows [][]string
	for _, w := range g.of(logv1.Kind_KIND_WITHDRAWN) {
		if len(asked[w.id]) == 0 {
			rows = append(rows, []string{w.reference, w.prison, utc(w.at), "", "", ""})
		}
		for _, s := range asked[w.id] {
			heard, said := since(w, delivered, s.id), since(w, answered, s.id)
			if heard == "" {
				unheard++
			}
			if said == "" {
				unanswered++
			}
			rows = append(rows, []string{w.reference, w.prison, utc(w.at), s.authority, heard, said})
		}
	}
	return page{ID: "withdrawals", Figures: []figure{g.kind("evidence.withdrawn", logv1.Kind_KIND_WITHDRAWN), g.kind("evidence.asked", logv1.Kind_KIND_STOP_ASKED),
		{ID: "evidence.unheard", Value: unheard}, {ID: "evidence.unanswered", Value: unanswered}, g.kind("evidence.stop_answers", logv1.Kind_KIND_STOP_ANSWERED)},
		Tables: []grid{table("evidence.recalls", []string{"evidence.reference", "evidence.prison", "evidence.withdrawn_at", "evidence.asked_team", "evidence.heard_after", "evidence.answered_after"}, rows)}}
}

func (g *gathering) acknowledged() page {
	type to struct{ reference, authority string }
	sent, got, stopped := map[to]time.Time{}, map[to]time.Time{}, map[string]bool{}
	early := func(all map[to]time.Time, h happening) {
		at := to{h.reference, h.authority}
		if was, ok := all[at]; !ok || h.at.Before(was) {
			all[at] = h.at
		}
	}
	decides := []string{kindName(logv1.Kind_KIND_DECIDED), kindName(logv1.Kind_KIND_REDIRECTED)}
	for _, h := range g.all {
		switch {
		case h.fits && h.outcome == "SHARE" && slices.Contains(decides, h.kind):
			early(sent, h)
		case h.arrived:
			early(got, h)
		case h.kind == kindName(logv1.Kind_KIND_WITHDRAWN):
			stopped[h.reference] = true
		}
	}
	heard, late, never := uint64(0), uint64(0), uint64(0)
	var rows [][]string
	for _, at := range slices.SortedFunc(maps.Keys(sent), func(a, b to) int {
		return cmp.Or(sent[b].Compare(sent[a]), cmp.Compare(a.reference, b.reference), cmp.Compare(a.authority, b.authority))
	}) {
		end, ok := got[at]
		switch {
		case ok:
			if heard++; end.Sub(sent[at]) <= lateAfter {
				continue
			}
			late++
			rows = append(rows, []string{at.reference, at.authority, utc(sent[at]), took(end.Sub(sent[at]))})
		case !stopped[at.reference]:
			never++
			rows = append(rows, []string{at.reference, at.authority, utc(sent[at]), ""})
		}
	}
	p := page{ID: "acknowledgements", Figures: []figure{{ID: "evidence.sent", Value: uint64(len(sent))}, {ID: "evidence.heard", Value: heard}, {ID: "evidence.late", Value: late},
		{ID: "evidence.never", Value: never}, g.kind("evidence.undelivered", logv1.Kind_KIND_UNDELIVERED), g.kind("evidence.delivery_refused", logv1.Kind_KIND_DELIVERY_REFUSED)}}
	for i, d := range g.tally.durations() {
		ids := [][2]string{{"evidence.median_delivered", "evidence.p90_delivered"}, {"evidence.median_answered", "evidence.p90_answered"}}[i]
		for j, n := range []uint64{d.GetMedianSeconds(), d.GetP90Seconds()} {
			if d.GetMeasured() > 0 {
				p.Figures = append(p.Figures, figure{ID: ids[j], Value: took(time.Duration(n) * time.Second)})
			}
		}
	}
	p.Tables = []grid{table("evidence.latecomers", []string{"evidence.reference", "evidence.authority", "evidence.sent_at", "evidence.heard_after"}, rows)}
	return p
}

func (g *gathering) refusals() page {
	type why struct{ kind, reason, caller string }
	count := map[why]uint64{}
	for _, h := range g.of(logv1.Kind_KIND_REFUSED, logv1.Kind_KIND_DELIVERY_REFUSED) {
		count[why{h.kind, h.why, h.caller}]++
	}
	var rows [][]string
	for _, w := range slices.SortedFunc(maps.Keys(count), func(a, b why) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.reason, b.reason), cmp.Compare(a.caller, b.caller))
	}) {
		rows = append(rows, []string{w.kind, w.reason, w.caller, fmt.Sprint(count[w])})
	}
	return page{ID: "refusals", NotEvidenced: []string{"evidence.no_strangers"},
		Figures: []figure{g.kind("evidence.refused", logv1.Kind_KIND_REFUSED), g.kind("evidence.delivery_refused", logv1.Kind_KIND_DELIVERY_REFUSED)},
		Tables:  []grid{table("evidence.by_reason", []string{"evidence.kind", "evidence.reason", "evidence.by", "evidence.number"}, rows)}}
}

func (g *gathering) access() page {
	total := uint64(0)
	var rows [][]string
	for _, who := range slices.Sorted(maps.Keys(g.looks)) {
		u := g.looks[who]
		total += u.times
		rows = append(rows, []string{who, fmt.Sprint(u.times), utc(u.first), utc(u.last)})
	}
	f := &posternv1.EventFilter{}
	if g.filter != nil {
		f = proto.CloneOf(g.filter)
	}
	f.Kind = looks
	return page{ID: "access", NotEvidenced: []string{"evidence.no_views", "evidence.no_outside"},
		Figures: []figure{{ID: "evidence.looks", Value: total, List: Flags(f)}, {ID: "evidence.auditors", Value: uint64(len(g.looks))}},
		Tables:  []grid{table("evidence.by_auditor", []string{"evidence.by", "evidence.looks", "evidence.first", "evidence.last"}, rows)}}
}

// took is how long something took, in whole seconds.
func took(d time.Duration) string { return max(0, d).Truncate(time.Second).String() }
