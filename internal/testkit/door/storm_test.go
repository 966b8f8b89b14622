package door_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"maps"
	mathrand "math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"postern/internal/engine"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/hub"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// types are the payload types of all kinds of statement.
var types = []string{envelope.TypeManifest, envelope.TypeRecipientKey, envelope.TypeAcknowledgement, envelope.TypeReport, envelope.TypeRedirect,
	envelope.TypeStopRequest, envelope.TypeStopAnswer, envelope.TypeDirectory, envelope.TypeAgreement, envelope.TypeExport, envelope.TypeExtract, envelope.TypeEvidence, envelope.TypePolicy}

// storm sends what was said before, by others or as something else.
type storm struct {
	*doors
	tape   []message // without claims of what an inbox holds
	claims []message
	links  func(path, to string) grpc.ClientConnInterface

	mu   sync.Mutex                // guards came
	came map[string]map[string]int // by what was sent: what came of it, and how often
}

// like is one more message of the kind of another.
func parse(m message) (proto.Message, protoreflect.MethodDescriptor) {
	d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(strings.ReplaceAll(m.method[1:], "/", ".")))
	if err != nil {
		panic(err)
	}
	md := d.(protoreflect.MethodDescriptor)
	kind, err := protoregistry.GlobalTypes.FindMessageByName(md.Input().FullName())
	if err != nil {
		panic(err)
	}
	req := kind.New().Interface()
	if err := proto.Unmarshal(m.body, req); err != nil {
		panic(err)
	}
	return req, md
}

// tamperings are the ways in which a message is not what it was, by name. Each changes the request or who sends it, and
// says whether it could.
var tamperings = map[string]func(s *storm, r *mathrand.Rand, m *message, req proto.Message) bool{
	"again": func(*storm, *mathrand.Rand, *message, proto.Message) bool { return true },
	"again, as after a loss": func(_ *storm, _ *mathrand.Rand, _ *message, req proto.Message) bool {
		submit, ok := req.(*posternv1.SubmitRequest)
		if ok {
			submit.Resubmitted = true
		}
		return ok
	},
	"by another of its kind": func(s *storm, _ *mathrand.Rand, m *message, req proto.Message) bool {
		if len(signed(req)) == 0 || m.to != "" { // an inbox knows its hub: TestEveryCell
			return false
		}
		m.path = s.another(m.path)
		return true
	},
	"as another kind of statement": func(_ *storm, r *mathrand.Rand, _ *message, req proto.Message) bool {
		for _, st := range signed(req) {
			was := st.PayloadType
			for st.PayloadType == was {
				st.PayloadType = types[r.IntN(len(types))]
			}
		}
		return len(signed(req)) > 0
	},
	"another statement in its place": func(s *storm, r *mathrand.Rand, m *message, req proto.Message) bool {
		other := s.tape[r.IntN(len(s.tape))]
		if other.method == m.method {
			return false
		}
		theirs, _ := parse(other)
		mine, from := signed(req), signed(theirs)
		if len(mine) == 0 || len(from) == 0 {
			return false
		}
		taken, place := from[r.IntN(len(from))], mine[r.IntN(len(mine))]
		if bytes.Equal(taken.GetPayload(), place.GetPayload()) {
			return false // the same statement, as it went on its way
		}
		kind := place.PayloadType
		proto.Reset(place)
		proto.Merge(place, taken)
		if r.IntN(2) == 0 {
			place.PayloadType = kind // and said to be what belongs there
		}
		return true
	},
	"signed again by another": func(s *storm, _ *mathrand.Rand, m *message, req proto.Message) bool {
		all := signed(req)
		if len(all) == 0 || m.to != "" {
			return false
		}
		m.path = s.another(m.path)
		for _, st := range all {
			st.Signatures = nil
			if err := envelope.AddSignature(st, s.Identity(m.path)); err != nil {
				panic(err)
			}
		}
		return true
	},
	"with another delivery's id": func(s *storm, r *mathrand.Rand, _ *message, req proto.Message) bool {
		report, ok := req.(*posternv1.ReportRequest)
		if !ok {
			return false
		}
		report.DeliveryId = newIDOf(r)
		for range 10 {
			theirs, _ := parse(s.tape[r.IntN(len(s.tape))])
			if d, ok := theirs.(*posternv1.DeliverRequest); ok {
				report.DeliveryId = d.GetDelivery().GetDeliveryId()
				break
			}
		}
		return true
	},
	"cut or changed": func(_ *storm, r *mathrand.Rand, _ *message, req proto.Message) bool {
		all := signed(req)
		if len(all) == 0 {
			return false
		}
		st := all[r.IntN(len(all))]
		if len(st.Payload) == 0 {
			return false
		}
		st.Payload = slices.Clone(st.Payload)
		if at := r.IntN(len(st.Payload)); r.IntN(2) == 0 {
			st.Payload = st.Payload[:at]
		} else {
			st.Payload[at] ^= byte(1 + r.IntN(255))
		}
		return true
	},
	"by a guessed id": func(s *storm, r *mathrand.Rand, m *message, _ proto.Message) bool {
		return s.guess(r, m)
	},
}

// another is another party of the same kind.
func (s *storm) another(path string) string {
	switch path {
	case deskBLI:
		return deskPRI
	case deskPRI:
		return deskBLI
	case inboxBristol:
		return inboxLancs
	case hubPath:
		return otherHub
	}
	return inboxBristol
}

// guess makes a message new: about what is another's or is not there, by one of its names.
func (s *storm) guess(r *mathrand.Rand, m *message) bool {
	var req proto.Message
	manifest, id := randomBytes(32), newIDOf(r)
	if known := s.tape[r.IntN(len(s.tape))]; r.IntN(2) == 0 {
		if theirs, _ := parse(known); len(signed(theirs)) > 0 && known.path == deskBLI {
			statement := &posternv1.Manifest{}
			if payload := signed(theirs)[0].GetPayload(); proto.Unmarshal(payload, statement) == nil {
				manifest, id = sum(payload), statement.GetNotificationId()
			}
		}
	}
	switch r.IntN(3) {
	case 0:
		*m = message{method: "/postern.v1.AuditService/GetProof", path: deskPRI}
		req = &posternv1.GetProofRequest{EventId: hex.EncodeToString(manifest[:16])}
	case 1:
		*m = message{method: "/postern.v1.MailboxService/Report", path: inboxLancs}
		req = &posternv1.ReportRequest{Signed: s.report(m.path, accepted(id, manifest))}
	case 2:
		*m = message{method: "/postern.v1.SubmissionService/Submit", path: deskPRI}
		code, err := envelope.NewSlipCode(rand.Reader)
		if err != nil {
			panic(err)
		}
		req = &posternv1.SubmitRequest{Notification: s.withdrawal(m.path, newIDOf(r), func(w *posternv1.Withdrawal) { w.SlipCode = code })}
	}
	var err error
	m.body, err = proto.Marshal(req)
	return err == nil
}

// blow sends n messages over as many lines as there are workers, and counts what came of each.
func (s *storm) blow(ctx context.Context, seed uint64, n, workers int) {
	names := slices.Sorted(maps.Keys(tamperings))
	var next atomic.Int64
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			r := mathrand.New(mathrand.NewPCG(seed, uint64(worker)))
			for next.Add(1) <= int64(n) {
				s.send(ctx, r, names)
			}
		})
	}
	all.Wait()
}

func (s *storm) send(ctx context.Context, r *mathrand.Rand, names []string) {
	for {
		m, how := s.tape[r.IntN(len(s.tape))], names[r.IntN(len(names))]
		req, md := parse(m)
		if !tamperings[how](s, r, &m, req) {
			continue
		}
		if how == "by a guessed id" {
			req, md = parse(m)
		}
		if d, ok := req.(*posternv1.DeliverRequest); ok && slices.Contains(unlike, how) {
			d.Delivery.DeliveryId = newIDOf(r) // by its id it would be known, and answered as it was
		}
		came := s.call(ctx, m, req, md)
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.came[how] == nil {
			s.came[how] = map[string]int{}
		}
		s.came[how][came]++
		return
	}
}

func (s *storm) call(ctx context.Context, m message, req proto.Message, md protoreflect.MethodDescriptor) string {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(md.Output().FullName())
	if err != nil {
		panic(err)
	}
	answer := kind.New().Interface()
	if err := s.links(m.path, m.to).Invoke(ctx, m.method, req, answer); err != nil {
		return fault.From(err).Reason
	}
	if d, ok := answer.(*posternv1.DeliverResponse); ok && d.GetReport() != nil {
		return "refused by a report"
	}
	return "answered"
}

// unlike are the tamperings that must never be answered as the true message was.
var unlike = []string{"by another of its kind", "as another kind of statement", "another statement in its place", "signed again by another", "cut or changed", "by a guessed id"}

// openStorm is a day's history, with a hub that remembers decisions as in operation, and the state after it.
func openStorm(t *testing.T, edits ...func(*testkit.Config)) *storm {
	t.Helper()
	e := must(engine.New(t.Context(), engine.Config{Timeout: 20 * time.Second, Remember: true}))(t)
	d := openDoors(t, rpc.Limits{CallsPerSecond: 1e6, BytesPerSecond: 1 << 30}, append([]func(*testkit.Config){func(c *testkit.Config) {
		scopes := c.Hub
		c.RefusalBudget, c.Register.Collect = 100, []string{testkit.Lancashire}
		c.Hub = func(h *hub.Config) { scopes(h); h.Engine = e }
	}}, edits...)...)
	s := &storm{doors: d, came: map[string]map[string]int{}}
	for _, m := range d.history() {
		switch req, _ := parse(m); req := req.(type) {
		case *posternv1.CollectRequest, *posternv1.ResumeRequest: // what an inbox holds now, and no statement: TestWhatAnInboxHeldComesLate
			s.claims = append(s.claims, m)
			continue
		case *posternv1.ReportRequest:
			if req.Held != nil {
				s.claims = append(s.claims, m)
				req.Held = nil
				m.body = d.marshal(req)
			}
		}
		s.tape = append(s.tape, m)
	}
	s.links = func(path, to string) grpc.ClientConnInterface {
		if to != "" {
			return s.Inbox(to).Link
		}
		return s.ToHub(path)
	}
	return s
}

// judge holds the state after a storm against that before, and what came of each message against what may.
func (s *storm) judge(before state) (findings []string) {
	findings = s.state().differs(before)
	for how, came := range s.came {
		if slices.Contains(unlike, how) && came["answered"] > 0 {
			findings = append(findings, fmt.Sprintf("%d sent %s were answered", came["answered"], how))
		}
		for _, bad := range []string{"INTERNAL", "LEDGER_STOPPED", "DEADLINE", "LEDGER_OUTCOME"} {
			if came[bad] > 0 {
				findings = append(findings, fmt.Sprintf("%d sent %s ended in %s", came[bad], how, bad))
			}
		}
	}
	if refused := len(s.events(logv1.Kind_KIND_REFUSED)); refused > 12*100 {
		findings = append(findings, fmt.Sprintf("%d refusals are on record, beyond every budget", refused))
	}
	return findings
}

func (s *storm) say(t *testing.T) {
	total := 0
	for _, how := range slices.Sorted(maps.Keys(s.came)) {
		n := 0
		for _, c := range s.came[how] {
			n += c
		}
		total += n
		t.Logf("%6d %s: %v", n, how, s.came[how])
	}
	t.Logf("%6d in all, of %d messages of a day", total, len(s.tape))
}

// A hundred thousand messages that were sent before, by others or as something else, in any order and at once, and after
// they have expired, change nothing: not a row at the hub or at an inbox, not an event but refusals within their budget.
func TestAStormChangesNothing(t *testing.T) {
	s := openStorm(t)
	before := s.state()
	n := testkit.N(100_000, 1_000_000)
	if raced { // the check has a stage of its own for this test
		n = 2000
	}
	s.blow(t.Context(), 1, n*9/10, 32)
	s.Clock.Advance(61 * 24 * time.Hour)
	s.blow(t.Context(), 2, n/10, 32)
	s.say(t)
	for _, f := range s.judge(before) {
		t.Error(f)
	}
}

// forgetful is a store whose transactions do not find what was written for knowing a message again.
type forgetful struct {
	store.Store
	of  []store.Keyspace
	now *atomic.Bool
}

func (f forgetful) forgets(ks store.Keyspace, key []byte) bool {
	return f.now.Load() && (slices.Contains(f.of, ks) || ofManifest(ks, key))
}

func (f forgetful) Update(ctx context.Context, fn func(store.Tx) error) error {
	return f.Store.Update(ctx, func(tx store.Tx) error { return fn(forgetfulTx{tx, f}) })
}

func (f forgetful) View(ctx context.Context, fn func(store.Snapshot) error) error {
	return f.Store.View(ctx, func(s store.Snapshot) error { return fn(forgetfulSnapshot{s, f}) })
}

type forgetfulTx struct {
	store.Tx
	f forgetful
}

func (t forgetfulTx) Get(ks store.Keyspace, key []byte) ([]byte, error) {
	if t.f.forgets(ks, key) {
		return nil, nil
	}
	return t.Tx.Get(ks, key)
}

type forgetfulSnapshot struct {
	store.Snapshot
	f forgetful
}

func (s forgetfulSnapshot) Get(ks store.Keyspace, key []byte) ([]byte, error) {
	if s.f.forgets(ks, key) {
		return nil, nil
	}
	return s.Snapshot.Get(ks, key)
}

// The control: without the rows by which a hub, or an inbox, knows a message again, a small storm is found out.
func TestAStormOverAForgetfulPartyIsFoundOut(t *testing.T) {
	for party, of := range map[string][]store.Keyspace{"hub": {schema.HubIdempotency}, "inbox-" + testkit.Bristol: {schema.InboxDelivery, schema.InboxTombstone}} {
		t.Run(party, func(t *testing.T) {
			forgets := &atomic.Bool{}
			dir := t.TempDir()
			s := openStorm(t, func(c *testkit.Config) {
				c.Open = func(name string, d schema.Database) (store.Store, error) {
					st, err := bolt.Open(t.Context(), bolt.Config{Path: dir + "/" + name + ".db", Schema: d})
					if name == party && err == nil {
						return forgetful{st, of, forgets}, nil
					}
					return st, err
				}
			})
			before := s.state()
			forgets.Store(true)
			s.blow(t.Context(), 3, 2000, 16)
			forgets.Store(false)
			if findings := s.judge(before); len(findings) == 0 {
				t.Error("nothing was found")
			} else {
				t.Logf("%d findings, such as: %s", len(findings), findings[0])
			}
		})
	}
}

// What an inbox once said of how far it holds all, said again when it holds more, makes the hub send again what the inbox
// has. That is on record, as it should be; each is shown once all the same, no desk hears of it, and the hub comes to rest.
func TestWhatAnInboxHeldComesLate(t *testing.T) {
	s := openStorm(t)
	before := s.state()
	if len(s.claims) < 2 {
		t.Fatalf("only %d claims were made", len(s.claims))
	}
	r := mathrand.New(mathrand.NewPCG(4, 4))
	for range 20 {
		for _, i := range r.Perm(len(s.claims)) {
			m := s.claims[i]
			req, md := parse(m)
			if md.IsStreamingServer() {
				s.collect(m, req)
			} else {
				s.call(t.Context(), m, req, md)
			}
		}
		s.Settle()
		s.Clock.Advance(testkit.MaxWait)
	}
	s.Settle()
	for _, f := range s.state().differs(before) {
		// That deliveries went again, with their numbers and answers; not what is shown, or what a desk is told.
		if !slices.ContainsFunc([]string{"KIND_DELIVERED", "hub_number", "hub_kept", "hub_outbox", "hub_sequence", "hub_standing releases", "inbox_delivery"}, func(ks string) bool { return strings.Contains(f, ks) }) {
			t.Error(f)
		}
	}
}

// collect opens a stream and takes nothing from it: as a packet that comes late, to an inbox which does not listen.
func (s *storm) collect(m message, req proto.Message) {
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	stream, err := s.links(m.path, m.to).NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, m.method)
	if err == nil {
		_ = stream.SendMsg(req) // a claim, whatever comes of it
		_ = stream.CloseSend()
		_ = stream.RecvMsg(&posternv1.CollectResponse{})
	}
}

// The same storm, smaller, as it would come in from outside: over mTLS, through package rpc, by every kind of party.
func TestAStormOverTLS(t *testing.T) {
	s := openStorm(t)
	before := s.state()
	lines := map[string]grpc.ClientConnInterface{}
	for _, path := range []string{deskBLI, deskPRI, inboxBristol, inboxLancs, hubPath, otherHub} {
		lines[path+" hub"], lines[path+" inbox"] = s.dial(path, s.hub), s.dial(path, s.inbox)
	}
	s.tape = slices.DeleteFunc(s.tape, func(m message) bool { return m.to == testkit.Lancashire }) // has no port
	s.links = func(path, to string) grpc.ClientConnInterface {
		if to != "" {
			return lines[path+" inbox"]
		}
		return lines[path+" hub"]
	}
	s.blow(t.Context(), 5, testkit.N(2000, 50_000), 16)
	s.say(t)
	for _, f := range s.judge(before) {
		t.Error(f)
	}
}
