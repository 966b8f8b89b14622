package world

import (
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/hub"
	"postern/internal/identity"
	hubledger "postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/mem"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// setClock sets the clock of one party wrong, or right again.
func (w *World) setClock() {
	p := w.parties[pick(w, w.names())]
	wrong := pick(w, []time.Duration{time.Minute, -time.Minute, time.Hour, -time.Hour, 26 * time.Hour, -26 * time.Hour})
	before := p.skew
	if p.skew != 0 {
		p.skew = 0
	} else if w.chance(w.swarm.skew) {
		p.skew = wrong
		w.count("clock of a " + kindOf(p) + " set wrong")
	} else {
		return
	}
	p.back = p.back || p.skew < before
	w.say("the clock of %s is off by %v", p.name, p.skew)
}

// revision is one directory that was loaded, or may have been.
type revision struct {
	at        int64    // when
	sure      bool     // whether it is known to be in force
	without   []string // authorities that have no agreement in it
	addresses map[string]string
	collect   []string // authorities whose inbox collects
}

// changeDirectory brings another directory into force: an agreement ends, or is there again, or an endpoint moves.
func (w *World) changeDirectory() {
	r := revision{addresses: map[string]string{}}
	for _, code := range authorities {
		if w.rand.IntN(4) == 0 && len(r.without) == 0 {
			r.without = append(r.without, code)
		}
		if w.rand.IntN(3) == 0 {
			r.addresses[code] = "moved-" + code + ".example:8443"
		}
		if w.rand.IntN(3) == 0 {
			r.collect = append(r.collect, code)
		}
	}
	if !w.chance(w.swarm.directories) || !w.runs("hub") {
		return
	}
	w.load(r)
}

// load brings a directory into force, with the next number.
func (w *World) load(r revision) {
	w.loads++
	load := w.Revision(w.loads, testkit.Register{Without: r.without, Address: r.addresses, Collect: r.collect})
	r.at = w.tick()
	at := len(w.revisions)
	w.revisions = append(w.revisions, r) // while it is loaded it may be in force: what else happens meanwhile is judged by both
	_, err := w.Hub.LoadDirectory(w.ctx(), load)
	w.say("directory %d without %v, moved %v, %v collect: %s", w.loads, r.without, r.addresses, r.collect, reason(err))
	switch {
	case err == nil:
		w.revisions[at].sure = true
		w.count("directory changed")
	case uncertain(err):
		w.count("directory changed")
	default:
		w.revisions = slices.Delete(w.revisions, at, at+1)
	}
}

// directories are those that may have been in force at some time since a tick.
func (w *World) directories(since int64) []revision {
	var all []revision
	for _, r := range w.revisions {
		if r.sure && r.at <= since {
			all = nil // what was before is over
		}
		all = append(all, r)
	}
	return all
}

// agreed reports whether an agreement between a prison and an authority was in force in every directory since a tick,
// and in any of them.
func (w *World) agreed(prison, authority string, since int64) (always, ever bool) {
	always = true
	for _, r := range w.directories(since) {
		in := agreed(prison, authority) && !slices.Contains(r.without, authority)
		always, ever = always && in, ever || in
	}
	return always, ever
}

// collects reports whether the inbox of an authority is set up to collect: where every directory that may be in force says so.
func (w *World) collects(code string) bool {
	return !slices.ContainsFunc(w.directories(w.ticks), func(r revision) bool { return !slices.Contains(r.collect, code) })
}

// sendsTo hears where the hub sends: only where a directory of now says.
func (w *World) sendsTo(authority, address string) {
	usual := map[string]string{testkit.Bristol: "bristol.example:8443", testkit.Lancashire: "lancashire.example:8443"}
	for _, r := range w.directories(w.ticks) {
		if slices.Contains(r.collect, authority) {
			continue
		}
		if moved := r.addresses[authority]; moved == address || moved == "" && usual[authority] == address {
			return
		}
	}
	w.fails("the hub sends to %s at %s, where no directory says it is", authority, address)
}

// backUp keeps a copy of the hub's database, which somebody may put back later.
func (w *World) backUp() {
	w.backup = w.parties["hub"].disk.Copy()
	w.say("a copy of the hub's database is kept")
}

// putBack puts an old copy of the hub's database in the place of the real one. It must refuse to sign anything, once
// anybody has been shown more; then the real one is put back again.
func (w *World) putBack() {
	if w.backup == nil || !w.parties["hub"].down {
		return
	}
	defer func(calm bool) { w.calm = calm }(w.calm)
	w.calm = true
	old, err := mem.Open(w.ctx(), mem.Config{Disk: w.backup.Copy(), Schema: schema.Hub})
	if err != nil {
		w.fails("an old copy does not open: %v", err)
		return
	}
	var size uint64
	err = old.View(w.ctx(), func(s store.Snapshot) error {
		return s.Scan(schema.HubLeaf, nil, nil, func(_, _ []byte) (bool, error) { size++; return true, nil })
	})
	shown := w.ledger.shown()
	config := w.ledgerConfig
	config.Store = old
	_, openErr := hubledger.Open(w.ctx(), config)
	w.say("an old copy with %d of %d leaves is put back: %s", size, shown, reason(openErr))
	if err == nil && openErr == nil && size < shown {
		w.fails("the hub signs on an old copy of its log: it has %d leaves, and %d were shown", size, shown)
	}
	w.count("an old copy of the hub's database put back")
}

// shown is how many leaves of both logs anybody was shown.
func (l *ledger) shown() (n uint64) {
	largest := map[string]uint64{}
	for _, h := range l.checkpoints {
		largest[h.Origin] = max(largest[h.Origin], h.Size)
	}
	for _, size := range largest {
		n += size
	}
	return n
}

// loseHub destroys the hub's disk with all that it had shown, and has the operator open the next generation of the logs.
// It happens once in a history, and while nothing else does: the connections to the machine end with it.
func (w *World) loseHub() {
	if w.lost || w.depth > 0 || !w.chance(w.swarm.lose) {
		return
	}
	defer func(calm bool) { w.calm = calm }(w.calm)
	w.calm, w.lost, w.lostAt = true, true, w.Clock.Now()
	w.say("the hub's disk is lost")
	w.count("hub's disk lost")
	p := w.parties["hub"]
	w.crash(p)
	for _, name := range w.names() { // each is asked what it knows of the logs, so it must run and have its database
		if other := w.parties[name]; name != "hub" && (other.down || other.sick) {
			w.crash(other)
			w.restart(other)
		}
	}
	p.down, p.sick, p.skew, w.backup = false, false, 0, nil
	w.ledger.hubLost()
	for name := range w.copies {
		w.copies[name] = oldCopy{w.copies[name].disk, true}
	}
	w.LoseHubDisk()
	w.idle("hub")
	w.late = slices.DeleteFunc(w.late, func(l late) bool { return l.to == "hub" || strings.HasPrefix(l.what, "hub ") })
	last := w.revisions[len(w.revisions)-1]
	rules := w.policies[len(w.policies)-1].rules
	w.policies = append(w.policies, &inForce{rules: w.theRules()[0], at: w.tick(), sure: true}) // a new hub begins with that
	w.load(revision{without: last.without, addresses: last.addresses, collect: last.collect})
	if rules != w.theRules()[0] {
		w.activate(rules)
	}
}

// waitsForPrisons reports whether a hub that replaces a lost one still keeps back what it had: by its clock, which must
// never have been wrong.
func (w *World) waitsForPrisons() bool {
	return w.lost && w.swarm.skew == 0 && w.hubNow().Before(w.lostAt.Add(hub.HeldAfterLoss))
}

// loses is the loss itself, when the process has ended.
func (w *World) loses(name string) {
	w.party(name).disk = mem.NewDisk()
	if err := os.Remove(w.checkpoints); err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
}

// reply is a team's word about a notification that it has.
func (w *World) reply() {
	code := pick(w, authorities)
	answer := pick(w, []posternv1.ReplyCode{posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT, posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA,
		posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE, posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN})
	which := w.rand.IntN(1 << 20)
	var known [][32]byte
	for sum, n := range w.ledger.manifests {
		if n.authority == code && n.delivered[sum] || n.copyAt(code).delivered[sum] {
			known = append(known, sum)
		}
	}
	if len(known) == 0 || !w.runs("inbox-"+code) {
		return
	}
	slices.SortFunc(known, func(a, b [32]byte) int { return slices.Compare(a[:], b[:]) })
	sum := known[which%len(known)]
	n := w.ledger.manifests[sum]
	n.replied = n.replied || n.authority == code
	payload, err := proto.Marshal(&posternv1.Report{DeliveryId: w.uuid(), NotificationId: n.id, ManifestSha256: sum[:],
		Report: &posternv1.Report_Reply{Reply: &posternv1.Reply{Code: answer}}})
	if err != nil {
		w.t.Fatal(err)
	}
	signed, err := envelope.SignStatement(w.Identity("/authority/"+code+"/inbox"), envelope.TypeReport, payload)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = posternv1.NewMailboxServiceClient(w.Inbox(code).ToHub).Report(w.ctx(), &posternv1.ReportRequest{Signed: signed})
	w.count("reply of a team")
	w.say("inbox-%s replies %v: %s", code, answer, reason(err))
	// Its desk has not told the next hub of it yet; or it was passed on once more, and that was not to be shared.
	fromNow := slices.ContainsFunc(w.ledger.words[code], func(o *word) bool { return !o.stop && o.sum == sum && !o.lost })
	unknown := (!fromNow || n.authority != code) && fault.KindOf(err) == fault.NotFound
	if err != nil && !uncertain(err) && fault.KindOf(err) != fault.Exhausted && !unknown {
		w.fails("inbox-%s may not reply about what it has: %v", code, err)
	}
}

// audit is an auditor's look at what the hub did.
func (w *World) audit() {
	if !w.runs("hub") {
		return
	}
	auditor := w.Auditor()
	out, err := auditor.ListEvents(w.ctx(), &localv1.ListEventsRequest{Request: &posternv1.ListEventsRequest{PageSize: 10}})
	events := out.GetResponse().GetEvents()
	w.say("the auditor lists %d events: %s", len(events), reason(err))
	if err != nil || len(events) == 0 {
		return
	}
	e := events[w.rand.IntN(len(events))]
	opened, err := auditor.GetEvent(w.ctx(), &localv1.GetEventRequest{Id: e.GetEventId()})
	w.count("event opened by an auditor")
	if err == nil && opened.GetFault() != "" {
		w.fails("the auditor finds event %s wrong: %s", e.GetEventId(), opened.GetFault())
	}
}

// identity is that of a desk or an inbox; its first certificate ends within the history when time leaps.
func (w *World) identity(path string) *identity.Identity {
	if w.Exchange == nil {
		return nil // the hub's, which signs nothing here
	}
	if w.identities[path] == nil {
		w.identities[path] = w.Issue(path, testkit.Now.AddDate(0, 0, -20), 32)
	}
	return w.identities[path]
}

// renewOne gives a party a new certificate while it runs, in time or late.
func (w *World) renewOne() {
	path := pick(w, slices.Sorted(maps.Keys(w.identities)))
	w.count("certificate renewed")
	w.renew(path)
}

func (w *World) renew(path string) {
	w.say("%s gets a new certificate", path)
	if w.Clock.Now().After(w.identities[path].Leaf().NotAfter) {
		w.count("certificate renewed after it had ended")
	}
	if err := w.identities[path].Replace(w.Issue(path, w.Clock.Now().AddDate(0, 0, -3), 12)); err != nil {
		w.fails("a renewed certificate is not taken: %v", err)
	}
}
