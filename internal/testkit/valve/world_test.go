package valve

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	mathrand "math/rand/v2"
	"testing"
	"testing/cryptotest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/desk"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/ops"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/mem"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// world is one way in which a plan comes about. Everything in it happens on the test's goroutine.
type world struct {
	*testkit.Exchange
	plan
	t       *testing.T
	number  uint64 // 0 is the quiet one: nothing happens in it but what is needed
	rand    *mathrand.Rand
	disks   map[string]*mem.Disk
	copies  map[string]*mem.Disk // of inboxes
	desk    *testkit.Desk
	metrics *ops.Metrics
	heard   transcript

	ids       []string                // of the families' notifications
	manifests [][]byte                // and the SHA-256 of what was sent
	lines     map[string]*line        // by authority
	due       map[int]map[int][]event // what the teams do, by tick and minute after it
	now       int                     // the tick
	drawn     uint64                  // how often random values began anew within a phase
	happened  map[string]int
}

// event is something that a team or an auditor does.
type event struct {
	name string
	do   func()
}

// play plays a world and returns what its desk heard.
func play(t *testing.T, p plan, number uint64) *world {
	w := &world{plan: p, t: t, number: number, rand: mathrand.New(mathrand.NewPCG(p.seed, 100+number)), disks: map[string]*mem.Disk{},
		copies: map[string]*mem.Disk{}, lines: map[string]*line{}, happened: map[string]int{}, ids: make([]string, len(p.families)), manifests: make([][]byte, len(p.families))}
	cryptotest.SetGlobalRandom(t, 0) // the cast of a process depends on no seed
	testkit.NewExchange(t, func(c *testkit.Config) { w.configure(c); c.NoDirectory = true })
	clear(w.disks)
	w.draw(0, 0)
	w.Exchange = testkit.NewExchange(t, w.configure)
	for _, code := range authorities {
		w.lines[code] = newLine(w, code)
	}
	w.desk = w.Desk(p.prison)
	w.desk.Link.Carry(w.heard.carry(w.Clock.Now, w.drawNext))
	w.arrange()
	for w.now = range lastTick {
		w.step()
	}
	w.aMonthLater()
	return w
}

func (w *world) configure(c *testkit.Config) {
	c.Open = func(name string, d schema.Database) (store.Store, error) {
		if w.disks[name] == nil {
			w.disks[name] = mem.NewDisk()
		}
		return mem.Open(w.t.Context(), mem.Config{Disk: w.disks[name], Schema: d})
	}
	c.Desk = func(c *desk.Config) {
		w.metrics = ops.NewMetrics()
		c.Log, c.Metrics = w.heard.logger(), w.metrics
	}
}

// draw begins the random values of one phase of a tick anew. What a hub draws for a desk must not depend on how much it
// has drawn for others: a real one's random values say nothing, these would say everything.
func (w *world) draw(tick, phase uint64) {
	cryptotest.SetGlobalRandom(w.t, w.seed<<24|tick<<4|phase)
}

// drawNext begins them anew within a phase. How often that is depends on what the desk asks for, and on nothing else.
func (w *world) drawNext() {
	w.drawn++
	w.draw(uint64(lastTick)+w.drawn, 5)
}

// step is one tick: first what the teams do in the minutes before it, then the hub's courier, then the desk.
func (w *world) step() {
	start := testkit.Now.Add(time.Duration(w.now) * tick)
	for minute := range int(tick / time.Minute) {
		for i, e := range w.due[w.now][minute] {
			w.at(start.Add(time.Duration(minute) * time.Minute))
			cryptotest.SetGlobalRandom(w.t, 1<<63|w.rand.Uint64()>>1|uint64(i))
			w.happened[e.name]++
			e.do()
		}
	}
	w.at(start.Add(tick))
	w.draw(uint64(w.now), 1)
	w.until(w.Hub.StepDelivery)
	w.draw(uint64(w.now), 2)
	w.deskActs()
}

func (w *world) at(moment time.Time) { w.Clock.Advance(moment.Sub(w.Clock.Now())) }

// until steps until nothing more happens.
func (w *world) until(step func(context.Context) (bool, error)) {
	for range 50 {
		if worked, err := step(w.t.Context()); err != nil || !worked {
			return
		}
	}
	w.t.Fatal("it does not come to rest")
}

// deskActs is everything that a desk does at a tick, written down.
func (w *world) deskActs() {
	hourly := w.now%perHour == 0
	for i, f := range w.families {
		if f.taken == w.now {
			w.take(i)
		}
		if f.withdrawn == w.now && f.withdrawn > 0 {
			_, err := w.desk.Withdraw(w.t.Context(), &localv1.WithdrawNotificationRequest{Id: w.ids[i], Paths: f.paths, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE}, testkit.Staff)
			w.heard.note("withdraws", nil, err)
		}
	}
	steps := []func(context.Context) (bool, error){w.desk.StepClocks, w.desk.StepSpool, w.desk.StepUpdates, w.desk.StepKeys, w.desk.StepReseal}
	if hourly {
		steps = append(steps, w.desk.StepDirectory, w.desk.StepPolicy)
	}
	for _, step := range steps {
		w.until(step)
	}
	if hourly {
		w.look()
		w.probe()
	}
}

// look writes down what the desk's pages and measures show.
func (w *world) look() {
	list, err := w.desk.Desk.ListNotifications(w.t.Context(), &localv1.ListNotificationsRequest{})
	w.heard.note("list", list, err)
	for i := range w.families {
		if w.ids[i] != "" {
			n, err := w.desk.Desk.GetNotification(w.t.Context(), &localv1.GetNotificationRequest{Id: w.ids[i]})
			w.heard.note("shows", n, err)
		}
	}
	if w.now%(12*perHour) == 0 {
		w.heard.measures(w.t, w.metrics)
	}
}

// probe has a curious desk ask for what it should not get.
func (w *world) probe() {
	ctx, hub := w.t.Context(), w.ToHub("/prison/"+w.prison+"/desk")
	submission, audit := posternv1.NewSubmissionServiceClient(hub), posternv1.NewAuditServiceClient(hub)
	for _, origin := range []string{testkit.Domain + "/received", testkit.Domain + "/sent", "nothing"} {
		_, err := audit.GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: origin})
		w.heard.note("checkpoint", nil, err)
	}
	_, err := audit.GetProof(ctx, &posternv1.GetProofRequest{EventId: "00112233445566778899aabbccddeeff"})
	w.heard.note("proof", nil, err)
	_, err = submission.ListUpdates(ctx, &posternv1.ListUpdatesRequest{PageToken: "AAAA"})
	w.heard.note("updates", nil, err)
	_, err = posternv1.NewMailboxServiceClient(hub).Report(ctx, &posternv1.ReportRequest{})
	w.heard.note("report", nil, err)
	for i, f := range w.families {
		if w.ids[i] == "" || (w.now/perHour)%18 != 7 {
			continue
		}
		again := w.Seal(w.prison, formtest.New(f.authority), func(d *envelope.Draft) { d.Manifest.NotificationId = w.ids[i] })
		answer, err := submission.Submit(ctx, &posternv1.SubmitRequest{Notification: again[0]})
		w.heard.note("submits another under its id", answer, err)
	}
}

func (w *world) take(i int) {
	w.ids[i] = w.desk.Take(formtest.New(w.families[i].authority))[0]
	w.until(w.desk.StepSpool)
	// What a desk sends stands in the transcript; a team reports about its digest.
	m := w.heard.lastManifest(w.t)
	sum := sha256.Sum256(m)
	w.manifests[i] = sum[:]
}

// aMonthLater is past every retention.
func (w *world) aMonthLater() {
	w.at(testkit.Now.AddDate(0, 1, 0))
	w.draw(uint64(lastTick), 3)
	w.until(w.Hub.StepRetention)
	w.draw(uint64(lastTick), 4)
	w.until(w.desk.StepUpdates)
	w.look()
	w.heard.measures(w.t, w.metrics)
}

// report sends a report of a team, as a later inbox will.
func (w *world) report(code string, r *posternv1.Report) {
	payload, err := proto.Marshal(r)
	if err != nil {
		w.t.Fatal(err)
	}
	path := "/authority/" + code + "/inbox"
	signed, err := envelope.SignStatement(w.Identity(path), envelope.TypeReport, payload)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = posternv1.NewMailboxServiceClient(w.ToHub(path)).Report(w.t.Context(), &posternv1.ReportRequest{Signed: signed})
	if err != nil {
		w.happened["refused: "+fault.From(err).Reason]++
	}
}

// about is a report about a family, of this moment.
func (w *world) about(i int) *posternv1.Report {
	id, err := envelope.NewID(rand.Reader)
	if err != nil {
		w.t.Fatal(err)
	}
	return &posternv1.Report{NotificationId: w.ids[i], ManifestSha256: w.manifests[i], DeliveryId: id, ReportTime: timestamppb.New(w.Clock.Now())}
}
