package door_test

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"slices"

	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/ledger"
	"postern/internal/testkit"
	posternv1 "postern/proto/postern/v1"
)

// ownership is whose the thing is that is asked for.
type ownership int

const (
	own    ownership = iota // the caller's own, if it has any
	other                   // another organisation's
	absent                  // nobody's: it is not there
)

var ownerships = []ownership{own, other, absent}

func (o ownership) String() string { return [...]string{"own", "other's", "absent"}[o] }

// thing is what can be asked for, by all of its names.
type thing struct {
	shared
	origin   string // of a log
	token    string // of a list of updates
	key      *posternv1.Signed
	delivery *posternv1.Delivery
}

// things are those of an owner and of nobody.
type things struct {
	bristol, lancashire, nobody thing
}

// of is the thing that a question of a caller is about.
func (s *things) of(path string, o ownership) *thing {
	switch mine := slices.Contains([]string{deskBLI, inboxBristol, "/auditor/ig", hubPath}, path); {
	case o == absent, o == own && !mine && !slices.Contains([]string{deskPRI, inboxLancs, scopedPath}, path):
		return &s.nobody
	case mine == (o == own):
		return &s.bristol
	}
	return &s.lancashire
}

// things makes two notifications that went their way, and names for nothing.
func (d *doors) things() *things {
	d.t.Helper()
	deliveries := map[string]*posternv1.Delivery{}
	for _, authority := range []string{testkit.Bristol, testkit.Lancashire} {
		d.Inbox(authority).Link.Requests(func(_ string, b []byte) []byte {
			req := &posternv1.DeliverRequest{}
			if err := proto.Unmarshal(b, req); err != nil {
				d.t.Error(err)
			}
			deliveries[authority] = req.GetDelivery()
			return b
		})
	}
	make := func(prison, authority, log string) thing {
		s := d.share(prison, authority)
		d.Settle()
		list := must(d.Submission(prison).ListUpdates(d.t.Context(), &posternv1.ListUpdatesRequest{}))(d.t)
		key := &posternv1.Signed{}
		files := must(filepath.Glob(d.Path("inbox-"+authority, "recipient", "*.signed")))(d.t)
		if err := proto.Unmarshal(must(os.ReadFile(files[0]))(d.t), key); err != nil || deliveries[authority] == nil {
			d.t.Fatal("no key or no delivery", err)
		}
		return thing{shared: s, origin: log, token: list.GetNextPageToken(), key: key, delivery: deliveries[authority]}
	}
	out := &things{}
	out.bristol = make(testkit.HMPBristol, testkit.Bristol, d.Ledger.Origin(ledger.Sent))
	out.lancashire = make(testkit.HMPParc, testkit.Lancashire, d.Ledger.Origin(ledger.Received))
	stranger := d.Issue("/authority/E08000001/inbox", testkit.Now.AddDate(0, -1, 0), 400)
	recipient := must(envelope.GenerateRecipient())(d.t)
	out.nobody = thing{
		shared: shared{prison: "ZZZ", id: newID(d.t), manifest: randomBytes(32), event: hexOf(randomBytes(16))},
		origin: "nowhere.test/sent", token: base64.RawURLEncoding.EncodeToString(randomBytes(16)),
		key:      must(recipient.Publish(stranger, 1, testkit.Now.AddDate(0, -1, 0), testkit.Now.AddDate(1, 0, 0)))(d.t),
		delivery: &posternv1.Delivery{DeliveryId: newID(d.t)},
	}
	return out
}

// question is one way to call a method.
type question struct {
	how   string // where a method is asked in several ways
	ask   func(d *doors, path string, x *thing) proto.Message
	deny  func(path string, o ownership) string // the reason of the refusal of a caller whose role may call; "" for an answer
	alike func(answer proto.Message)            // takes out of an answer what may differ: the time, and how the logs grew meanwhile
	parts int                                   // of a stream that does not end
}

func asking(make func(x *thing) proto.Message) func(*doors, string, *thing) proto.Message {
	return func(_ *doors, _ string, x *thing) proto.Message { return make(x) }
}

func always(string, ownership) string { return "" }

// ownOnly is for what only its owner finds.
func ownOnly(path string, o ownership) string {
	if o == own && path != deskBWI && path != inboxWrexham {
		return ""
	}
	return "NOT_FOUND"
}

// inScope is for what an auditor finds whose scope it is in.
func inScope(path string, o ownership) string {
	switch path {
	case unnamedPath:
		return "AUDITOR_UNKNOWN"
	case testkit.AuditorPath:
		if o == absent {
			return "NOT_FOUND"
		}
		return ""
	}
	return ownOnly(path, o)
}

// named is for what every auditor may ask whom the hub's configuration names.
func named(path string, _ ownership) string {
	if path == unnamedPath {
		return "AUDITOR_UNKNOWN"
	}
	return ""
}

// questions are how each method is asked, by its full name. A method that is not here fails the test.
func questions() map[string][]question {
	health := func() proto.Message { return &healthv1.HealthCheckRequest{} }
	return map[string][]question{
		"postern.v1.SubmissionService/Submit": {
			{how: "withdrawal", ask: func(d *doors, path string, x *thing) proto.Message {
				if x.prison == d.as(path).Party().ID { // not the own one: others still ask for it
					x = &thing{shared: shared{id: newID(d.t)}}
				}
				return &posternv1.SubmitRequest{Notification: d.withdrawal(path, x.id)}
			}, deny: always, alike: submitted},
			{how: "withdrawal with a code", ask: func(d *doors, path string, x *thing) proto.Message {
				if x.prison == d.as(path).Party().ID {
					x = &thing{shared: shared{id: newID(d.t)}}
				}
				return &posternv1.SubmitRequest{Notification: d.withdrawal(path, x.id, func(w *posternv1.Withdrawal) { w.SlipCode = must(envelope.NewSlipCode(rand.Reader))(d.t) })}
			}, deny: func(string, ownership) string { return "NOT_FOUND" }},
			{how: "consideration", ask: func(d *doors, path string, x *thing) proto.Message {
				return &posternv1.SubmitRequest{Notification: d.considered(path, x.id)}
			}, deny: always, alike: submitted},
			{how: "another's statement", ask: func(d *doors, path string, x *thing) proto.Message {
				return &posternv1.SubmitRequest{Notification: d.considered(deskBWI, x.id)}
			}, deny: func(path string, _ ownership) string {
				if path == deskBWI {
					return ""
				}
				return "SENDER_IS_NOT_CALLER"
			}, alike: submitted},
		},
		"postern.v1.SubmissionService/ListUpdates": {{ask: asking(func(x *thing) proto.Message { return &posternv1.ListUpdatesRequest{PageToken: x.token} }), deny: always,
			alike: func(m proto.Message) { m.(*posternv1.ListUpdatesResponse).Checkpoint = "" }}},
		"postern.v1.MailboxService/Collect": {{ask: asking(func(*thing) proto.Message { return &posternv1.CollectRequest{UntilIdle: true} }), deny: func(path string, _ ownership) string {
			if path == inboxWrexham {
				return "NO_ENDPOINT"
			}
			return "NOT_COLLECTING" // both have an open port; testkit's own tests collect
		}}},
		"postern.v1.MailboxService/Report": {
			{ask: func(d *doors, path string, x *thing) proto.Message {
				return &posternv1.ReportRequest{Signed: d.report(path, accepted(x.id, x.manifest))}
			}, deny: ownOnly},
			{how: "acknowledgement", ask: func(d *doors, path string, x *thing) proto.Message {
				return &posternv1.ReportRequest{Signed: must(envelope.SignStatement(d.as(path), envelope.TypeAcknowledgement,
					must(proto.Marshal(&posternv1.Acknowledgement{ManifestSha256: x.manifest}))(d.t)))(d.t), DeliveryId: x.delivery.GetDeliveryId()}
			}, deny: ownOnly},
			{how: "stop answer", ask: func(d *doors, path string, x *thing) proto.Message {
				return &posternv1.ReportRequest{Signed: d.report(path, &posternv1.Report{NotificationId: x.id, ManifestSha256: x.manifest,
					Report: &posternv1.Report_StopAnswer{StopAnswer: &posternv1.StopAnswer{Code: posternv1.StopAnswerCode(1)}}})}
			}, deny: func(string, ownership) string { return "NOT_FOUND" }}, // nobody was asked to stop
		},
		"postern.v1.MailboxService/Resume": {{ask: asking(func(*thing) proto.Message { return &posternv1.ResumeRequest{} }), deny: always}},
		"postern.v1.MailboxService/GetRedirect": {{ask: asking(func(x *thing) proto.Message {
			return &posternv1.GetRedirectRequest{NotificationId: x.id, ManifestSha256: x.manifest, Authority: testkit.Lancashire}
		}), deny: func(string, ownership) string { return "NOT_FOUND" }}}, // nobody passed anything on
		"postern.v1.MailboxService/PublishKey": {{ask: asking(func(x *thing) proto.Message { return &posternv1.PublishKeyRequest{RecipientKey: x.key} }), deny: func(path string, o ownership) string {
			if o == own && path != inboxWrexham {
				return ""
			}
			return "SENDER_IS_NOT_CALLER"
		}}},
		"postern.v1.DirectoryService/ListAuthorities": {{ask: asking(func(*thing) proto.Message { return &posternv1.ListAuthoritiesRequest{} }), deny: always,
			alike: func(m proto.Message) { m.(*posternv1.ListAuthoritiesResponse).Checkpoint = "" }}},
		"postern.v1.DirectoryService/ListKeys":  {{ask: asking(func(*thing) proto.Message { return &posternv1.ListKeysRequest{} }), deny: always}},
		"postern.v1.DirectoryService/GetPolicy": {{ask: asking(func(*thing) proto.Message { return &posternv1.GetPolicyRequest{} }), deny: always}},
		"postern.v1.AuditService/ListEvents": {{ask: asking(func(x *thing) proto.Message {
			return &posternv1.ListEventsRequest{Filter: &posternv1.EventFilter{Notification: x.id}}
		}), deny: named, alike: func(m proto.Message) { m.(*posternv1.ListEventsResponse).Checkpoints = nil }}},
		"postern.v1.AuditService/GetEvent": {
			{how: "event", ask: asking(func(x *thing) proto.Message { return &posternv1.GetEventRequest{Id: x.event} }), deny: inScope},
			{how: "notification", ask: asking(func(x *thing) proto.Message { return &posternv1.GetEventRequest{Id: x.id} }), deny: inScope},
			{how: "reference", ask: asking(func(x *thing) proto.Message { return &posternv1.GetEventRequest{Id: envelope.Reference(x.id)} }), deny: inScope},
		},
		"postern.v1.AuditService/GetCheckpoint": {{ask: asking(func(x *thing) proto.Message { return &posternv1.GetCheckpointRequest{Origin: x.origin} }), deny: checkpoint,
			alike: proto.Reset}},
		"postern.v1.AuditService/GetProof": {{ask: asking(func(x *thing) proto.Message { return &posternv1.GetProofRequest{EventId: x.event} }), deny: inScope}},
		"postern.v1.AuditService/ExportLog": {{ask: asking(func(x *thing) proto.Message { return &posternv1.ExportLogRequest{Origin: x.origin} }), deny: func(path string, o ownership) string {
			if path == unnamedPath {
				return "AUDITOR_UNKNOWN"
			}
			return checkpoint(path, o)
		}, parts: 1}},
		"postern.v1.CoverageService/GetCoverage": {{ask: asking(func(x *thing) proto.Message { return &posternv1.GetCoverageRequest{PrisonId: x.prison} }), deny: named}},
		"postern.v1.InboxService/Deliver": {{ask: asking(func(x *thing) proto.Message { return &posternv1.DeliverRequest{Delivery: x.delivery} }), deny: func(path string, _ ownership) string {
			if path == otherHub {
				return "NOT_OUR_HUB"
			}
			return ""
		}}},
		"grpc.health.v1.Health/Check": {{ask: asking(func(*thing) proto.Message { return health() }), deny: always}},
		"grpc.health.v1.Health/List":  {{ask: asking(func(*thing) proto.Message { return &healthv1.HealthListRequest{} }), deny: always}},
		"grpc.health.v1.Health/Watch": {{ask: asking(func(*thing) proto.Message { return health() }), deny: always, parts: 1}},
	}
}

// checkpoint is for logs: the sent one is everybody's, the received one is there for no desk.
func checkpoint(path string, o ownership) string {
	origin := map[ownership]string{own: "sent", other: "received"}[o]
	switch path { // whose thing is the second one, or none
	case deskPRI, inboxLancs, scopedPath:
		origin = map[ownership]string{own: "received", other: "sent"}[o]
	case deskBWI, inboxWrexham, unnamedPath:
		origin = map[ownership]string{other: "sent"}[o]
	}
	if origin == "sent" || origin == "received" && !slices.Contains([]string{deskBLI, deskPRI, deskBWI}, path) {
		return ""
	}
	return "NOT_FOUND"
}

// submitted leaves of an answer to a statement what it says.
func submitted(m proto.Message) {
	a := m.(*posternv1.SubmitResponse)
	a.Receipt = nil
	if a.Decision != nil {
		a.Decision.DecideTime = nil
	}
}

func hexOf(b []byte) string { return hex.EncodeToString(b) }
