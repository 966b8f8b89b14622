package testkit

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"postern/internal/auditor"
	"postern/internal/desk"
	"postern/internal/follow"
	"postern/internal/identity"
	"postern/internal/inbox"
	"postern/internal/postcode"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Staff is who uses every desk: this process's user.
var Staff = desk.Staff{ID: "TEST01", Role: posternv1.StaffRole_STAFF_ROLE_RECEPTION_OFFICER,
	Also: []posternv1.StaffRole{posternv1.StaffRole_STAFF_ROLE_PUBLIC_PROTECTION, posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD}}

// HubPhone is the telephone number of the hub's operator.
const HubPhone = "01632 960109"

// refKey is every desk's key for references.
var refKey = [32]byte{'r', 'e', 'f'}

// Desk is a prison's desk with its database, its link to the hub and its control socket's client.
type Desk struct {
	*desk.Desk
	Store store.Store
	Link  *Link
	Local localv1.DeskServiceClient
	Pins  localv1.PinServiceClient
	Cases localv1.CaseworkServiceClient
	// Counter is the part of the same socket for whoever sits with the person.
	Counter localv1.CounterServiceClient
	// Subject is the part of the same socket for whoever answers what a person asks about themselves.
	Subject localv1.SubjectServiceClient

	x      *Exchange
	prison string
	stop   func()
}

// Desk is the desk of a prison, opened at first use with the directory synced.
func (x *Exchange) Desk(prison string) *Desk {
	x.t.Helper()
	x.mu.Lock()
	d := x.desks[prison]
	x.mu.Unlock()
	if d != nil {
		return d
	}
	d = &Desk{x: x, prison: prison, Link: x.ToHub(deskPath(prison))}
	d.open()
	if !x.cfg.NoDirectory {
		value(d.StepDirectory(x.t.Context()))(x.t)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.desks[prison] = d
	return d
}

func (d *Desk) open(edits ...func(*desk.Config)) {
	x := d.x
	x.t.Helper()
	name := "desk-" + d.prison
	d.Store = x.open(name, schema.Desk)
	cfg := desk.Config{
		Identity: x.speaksAs(deskPath(d.prison)), Anchors: x.cast.anchors, Store: d.Store, Vault: x.vault(name),
		Hub: posternv1.NewSubmissionServiceClient(d.Link), Directory: posternv1.NewDirectoryServiceClient(d.Link),
		Prover: posternv1.NewAuditServiceClient(d.Link), First: x.first, HubPhone: HubPhone,
		LogKeys: x.sentKeys(), RefKey: refKey[:], Unit: "Reception",
		ReplyTo: &posternv1.ReplyTo{Role: "Resettlement team", Phone: "01632 960100"},
		Basis:   &posternv1.LawfulBasis{Article6: posternv1.Article6Basis_ARTICLE6_BASIS_PUBLIC_TASK, Article9Condition: "art9.2.g", Gateway: "ca2004.s11"},
		Staff:   map[uint32]desk.Staff{uint32(os.Getuid()): Staff}, Poll: time.Minute, Backoff: backoff,
		Clock: x.clockOf(name), Rand: random{}, Log: x.Log.Logger(),
	}
	if x.cfg.Desk != nil {
		x.cfg.Desk(&cfg)
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	d.Desk = value(desk.Open(x.t.Context(), cfg))(x.t)
	conn, stop, err := rpc.InProcess(rpc.LocalConfig{Log: x.Log.Logger()}, func(r grpc.ServiceRegistrar) {
		localv1.RegisterDeskServiceServer(r, d.Desk)
		localv1.RegisterPinServiceServer(r, d.Desk)
		localv1.RegisterCaseworkServiceServer(r, d.Desk)
		localv1.RegisterCounterServiceServer(r, d.Desk)
		localv1.RegisterSubjectServiceServer(r, d.Desk)
	})
	must(x.t, err)
	d.Local, d.Pins, d.Cases, d.stop = localv1.NewDeskServiceClient(conn), localv1.NewPinServiceClient(conn), localv1.NewCaseworkServiceClient(conn), stop
	d.Counter, d.Subject = localv1.NewCounterServiceClient(conn), localv1.NewSubjectServiceClient(conn)
}

func (d *Desk) close() {
	d.stop()
	if err := d.Store.Close(); err != nil {
		d.x.t.Error(err)
	}
}

// Restart closes the desk's database and opens the desk again, as after a crash; edits change what it is made of.
func (d *Desk) Restart(edits ...func(*desk.Config)) {
	d.x.t.Helper()
	d.close()
	d.open(edits...)
}

// Take hands a form in and returns the ids of its notifications. Nothing is sent yet.
func (d *Desk) Take(f *posternv1.Form) []string {
	d.x.t.Helper()
	_, ids, err := d.Desk.Take(d.x.t.Context(), FormJSON(d.x.t, f), Staff)
	must(d.x.t, err)
	return ids
}

// Get is a notification as the desk shows it, by id or reference.
func (d *Desk) Get(name string) *localv1.GetNotificationResponse {
	d.x.t.Helper()
	return value(d.Local.GetNotification(d.x.t.Context(), &localv1.GetNotificationRequest{Id: name}))(d.x.t)
}

// State is the state of a notification as the desk shows it.
func (d *Desk) State(name string) localv1.State {
	d.x.t.Helper()
	return d.Get(name).GetNotification().GetState()
}

// FormJSON is a form as a file has it.
func FormJSON(t testing.TB, f *posternv1.Form) []byte {
	t.Helper()
	return value(protojson.MarshalOptions{UseProtoNames: true}.Marshal(f))(t)
}

// Inbox is a team's inbox with its database and the links both ways.
type Inbox struct {
	*inbox.Inbox
	Store store.Store
	Link  *Link // from the hub
	ToHub *Link

	x         *Exchange
	authority string
	serves    server
}

// Inbox is the inbox of an authority, opened at first use.
func (x *Exchange) Inbox(authority string) *Inbox {
	x.t.Helper()
	toHub := x.ToHub(inboxPath(authority))
	x.mu.Lock()
	defer x.mu.Unlock()
	if in := x.inboxes[authority]; in != nil {
		return in
	}
	in := &Inbox{x: x, authority: authority, ToHub: toHub}
	in.Link = &Link{caller: x.Identity(hubPath).Party(), server: func() server { return in.serves }}
	in.open()
	x.inboxes[authority] = in
	return in
}

func (in *Inbox) open(edits ...func(*inbox.Config)) {
	x := in.x
	x.t.Helper()
	name := "inbox-" + in.authority
	in.Store = x.open(name, schema.Inbox)
	keys := x.recipientKeys(in.authority)
	cfg := inbox.Config{
		Identity: x.speaksAs(inboxPath(in.authority)), Anchors: x.cast.anchors, Store: in.Store, Vault: x.vault(name),
		Hub: posternv1.NewMailboxServiceClient(in.ToHub), HubParty: x.Identity(hubPath).Party(), Directory: posternv1.NewDirectoryServiceClient(in.ToHub), Prover: posternv1.NewAuditServiceClient(in.ToHub), First: x.first, HubPhone: HubPhone, Keys: value(inbox.LoadKeys(keys))(x.t), KeyDir: keys,
		Postcodes: value(postcode.Sample())(x.t), LogKeys: x.sentKeys(), AllLogs: x.LogKeys(), Backoff: backoff, Poll: time.Minute, Clock: x.clockOf(name), Rand: random{}, Log: x.Log.Logger(),
	}
	for _, edit := range edits {
		edit(&cfg)
	}
	in.Inbox = value(inbox.Open(cfg))(x.t)
	in.serves = newServer()
	posternv1.RegisterInboxServiceServer(in.serves, in.Inbox)
}

// recipientKeys is the folder with the recipient keys of an authority; at first it holds the one of the cast.
func (x *Exchange) recipientKeys(authority string) string {
	x.t.Helper()
	dir := x.Path("inbox-"+authority, "recipient")
	if _, err := os.Stat(dir); err == nil {
		return dir
	}
	key := x.cast.recipients[authority]
	must(x.t, os.MkdirAll(dir, 0o700))
	must(x.t, os.WriteFile(filepath.Join(dir, key.KeyID()+".key"), value(key.MarshalPEM())(x.t), 0o600))
	signed := value(key.Publish(x.Identity(inboxPath(authority)), 1, enrolled(), x.keyEnd(authority)))(x.t)
	must(x.t, os.WriteFile(filepath.Join(dir, key.KeyID()+".signed"), value(proto.Marshal(signed))(x.t), 0o600))
	return dir
}

// keyEnd is when the recipient key of an authority ends.
func (x *Exchange) keyEnd(authority string) time.Time {
	if end, ok := x.cfg.Register.KeyEnds[authority]; ok {
		return end
	}
	return enrolled().AddDate(1, 0, 0)
}

func (in *Inbox) close() {
	if err := in.Store.Close(); err != nil {
		in.x.t.Error(err)
	}
}

// Restart closes the inbox's database and opens the inbox again, as after a crash; edits change what it is made of.
func (in *Inbox) Restart(edits ...func(*inbox.Config)) {
	in.x.t.Helper()
	in.close()
	in.open(edits...)
}

// Trust is Restart with other trust anchors.
func (in *Inbox) Trust(a *identity.Anchors) {
	in.x.t.Helper()
	in.Restart(func(c *inbox.Config) { c.Anchors = a })
}

// Client delivers to the inbox as the hub.
func (in *Inbox) Client() posternv1.InboxServiceClient {
	return posternv1.NewInboxServiceClient(in.Link)
}

// Items are the items in the team's list.
func (in *Inbox) Items() []*localv1.Item {
	in.x.t.Helper()
	return value(in.ListItems(in.x.t.Context(), &localv1.ListItemsRequest{}))(in.x.t).GetItems()
}

// Auditor is an auditor of the hub. What one remembers the next one does too.
func (x *Exchange) Auditor() *auditor.Auditor {
	x.t.Helper()
	return value(auditor.Open(x.t.Context(), auditor.Config{Hub: x.Audit(AuditorPath), Coverage: posternv1.NewCoverageServiceClient(x.ToHub(AuditorPath)),
		Directory: posternv1.NewDirectoryServiceClient(x.ToHub(AuditorPath)), LogKeys: x.LogKeys(), Clock: x.Clock.Now, Memory: follow.InFile(x.Path("auditor.json")), HubPhone: HubPhone, Log: x.Log.Logger(),
		Identity: x.Identity(AuditorPath), Anchors: x.Anchors(), Notes: x.Path("notes.json"), AccessLogs: x.AccessLogs}))(x.t)
}

// Backup copies the inbox's database as it is now, and returns where the copy is.
func (in *Inbox) Backup() string {
	in.x.t.Helper()
	path := filepath.Join(in.x.t.TempDir(), "copy.db")
	_, err := in.Store.(interface {
		Backup(context.Context, string) (store.Report, error)
	}).Backup(in.x.t.Context(), path)
	must(in.x.t, err)
	return path
}

// Restore puts a copy in the place of the inbox's database and opens the inbox again.
func (in *Inbox) Restore(copied string) {
	in.x.t.Helper()
	in.close()
	b := value(os.ReadFile(copied))(in.x.t)
	must(in.x.t, os.WriteFile(in.x.Path("inbox-"+in.authority, schema.Inbox.Name+".db"), b, 0o600))
	in.open()
}
