package config

import (
	"context"
	"slices"
	"time"

	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/inbox"
	inboxsite "postern/internal/inbox/site"
	"postern/internal/ledger/verify"
	"postern/internal/postcode"
	"postern/internal/schema"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Inbox is the configuration of `postern inbox`.
type Inbox struct {
	Common `yaml:",inline"`

	Listen        string `yaml:"listen"`         // host:port for the hub, where the directory says push; nothing with collect
	Collect       bool   `yaml:"collect"`        // true where the directory says collect: no port is open, and all comes over a connection of our own
	Hub           Peer   `yaml:"hub"`            // where reports go, and where deliveries are collected
	Postcodes     string `yaml:"postcodes"`      // a postcode table as the desks have it, or a folder of them: says where to pass a child on to; staff choose when empty
	RecipientKeys string `yaml:"recipient_keys"` // folder with the private recipient keys
	Retry         Retry  `yaml:"retry"`          // how reports are tried again
	Web           *Web   `yaml:"web"`            // the pages for the team; none when empty

	Outlets Outlets `yaml:"outlets"` // where what comes goes on to: alert mails, a folder, a command
}

// LoadInbox reads an inbox's configuration.
func LoadInbox(path string) (*Inbox, error) {
	c := &Inbox{}
	err := load(path, c, &c.Common, func() map[string]string {
		required := map[string]string{"recipient_keys": c.RecipientKeys}
		if !c.Collect {
			required["listen"] = c.Listen
		}
		return c.Hub.required(required)
	})
	wrong := slices.Concat(address("listen", c.Listen, listenFix), c.Hub.check(), c.Retry.check(), c.Web.check(inboxsite.Roles()), c.Outlets.check(c.Web))
	if c.Collect && c.Listen != "" {
		wrong = append(wrong, fault.Field{Path: "collect", Reason: "An inbox is sent to or collects, and this one has both listen and collect.",
			Fix: "Leave one of them out, as the directory says of this authority."})
	}
	return c, checked(path, err, wrong)
}

// KeyDir is the folder with the private recipient keys.
func (c *Inbox) KeyDir() string { return c.resolve(c.RecipientKeys) }

// Build opens the inbox's database and makes the inbox.
func (c *Inbox) Build(ctx context.Context, rt Runtime) (*Service, error) {
	logKeys, err := c.Hub.logKeys()
	if err != nil {
		return nil, err
	}
	allLogs, err := verify.NewKeys(slices.Concat(c.Hub.LogKeys, c.Hub.Received)...)
	if err != nil {
		return nil, err
	}
	keys, err := inbox.LoadKeys(c.KeyDir())
	if err != nil {
		return nil, err
	}
	outlets, err := c.outlets()
	if err != nil {
		return nil, err
	}
	b, err := c.open(ctx, rt, schema.Inbox)
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(c.Hub, b, rt)
	if err != nil {
		return nil, closing(err, b)
	}
	first, err := c.checkpoints(c.Hub)
	if err != nil {
		return nil, closing(err, b)
	}
	hub, err := c.Hub.party(c.TrustDomain)
	if err != nil {
		return nil, closing(err, b)
	}
	var table *postcode.Table
	if c.Postcodes != "" {
		if table, err = postcode.Open(c.resolve(c.Postcodes)); err != nil {
			return nil, closing(err, b)
		}
	}
	in, err := inbox.Open(inbox.Config{
		Postcodes: table,
		Prover:    posternv1.NewAuditServiceClient(conn), First: first, HubPhone: c.Hub.Phone,
		Identity: b.identity, Anchors: b.anchors, Store: b.store, Vault: b.vault, Hub: posternv1.NewMailboxServiceClient(conn), HubParty: hub, Directory: posternv1.NewDirectoryServiceClient(conn),
		Keys: keys, KeyDir: c.KeyDir(), LogKeys: logKeys, AllLogs: allLogs, Backoff: c.Retry.backoff(), Poll: 5 * time.Second, Collect: c.Collect, Clock: rt.Clock, Log: rt.Log, Metrics: b.metrics, Outlets: outlets,
	})
	if err != nil {
		return nil, closing(err, b)
	}
	s := c.service("inbox "+b.identity.Party().ID, b, rt, c.Listen)
	s.pages = pages{&c.Common, c.Web, inboxsite.Roles(), func(shell web.Config) (*web.Site, error) { return inboxsite.New(in, shell) }}
	s.Local = func(r grpc.ServiceRegistrar) {
		localv1.RegisterTeamServiceServer(r, in)
		localv1.RegisterRingServiceServer(r, in)
		localv1.RegisterRedirectServiceServer(r, in)
		localv1.RegisterOutletServiceServer(r, in)
		localv1.RegisterTeamworkServiceServer(r, in)
		localv1.RegisterOperationsServiceServer(r, in)
		localv1.RegisterLogTrustServiceServer(r, in.Log())
	}
	s.Checks = in.Checks()
	if !c.Collect {
		s.Remote = func(r grpc.ServiceRegistrar) { posternv1.RegisterInboxServiceServer(r, in) }
	}
	s.Run, s.Close = in.Run, closeAll(conn, b.store)
	return s, nil
}
