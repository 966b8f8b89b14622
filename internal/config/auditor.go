package config

import (
	"context"
	"errors"
	"path/filepath"

	"google.golang.org/grpc"

	"postern/internal/auditor"
	auditsite "postern/internal/auditor/site"
	"postern/internal/follow"
	"postern/internal/ledger/verify"
	"postern/internal/schema"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Auditor is the configuration of `postern audit`.
type Auditor struct {
	Common `yaml:",inline"`

	Hub Peer `yaml:"hub"` // with the verifier keys of both logs
	Web *Web `yaml:"web"` // the pages for auditors; none when empty

	AccessLogs []string `yaml:"access_logs"` // folders with access logs that other sites handed over, read and never changed
}

// LoadAuditor reads an auditor's configuration.
func LoadAuditor(path string) (*Auditor, error) {
	c := &Auditor{}
	err := load(path, c, &c.Common, func() map[string]string { return c.Hub.required(map[string]string{}) })
	return c, checked(path, err, append(c.Hub.check(), c.Web.check(auditsite.Roles())...))
}

// LogKeys are the verifier keys of the hub's logs: all that is needed to verify a receipt offline.
func (c *Auditor) LogKeys() (verify.Keys, error) { return c.Hub.logKeys() }

// Build makes the auditor; it has no database.
func (c *Auditor) Build(ctx context.Context, rt Runtime) (*Service, error) {
	keys, err := c.LogKeys()
	if err != nil {
		return nil, err
	}
	b, err := c.open(ctx, rt, schema.Database{})
	if err != nil {
		return nil, err
	}
	conn, err := c.dial(c.Hub, b, rt)
	if err != nil {
		return nil, err
	}
	first, err := c.checkpoints(c.Hub)
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	seen := []string{filepath.Join(c.DataDir(), "access")}
	for _, dir := range c.AccessLogs {
		seen = append(seen, c.resolve(dir))
	}
	a, err := auditor.Open(ctx, auditor.Config{Hub: posternv1.NewAuditServiceClient(conn), Coverage: posternv1.NewCoverageServiceClient(conn),
		Directory: posternv1.NewDirectoryServiceClient(conn), LogKeys: keys,
		Identity: b.identity, Anchors: b.anchors, Clock: rt.Clock, Memory: follow.InFile(filepath.Join(c.DataDir(), "known-logs.json")),
		Notes: filepath.Join(c.DataDir(), "notes.json"), AccessLogs: seen, First: first, HubPhone: c.Hub.Phone, Log: rt.Log, Metrics: b.metrics})
	if err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	s := c.service("auditor "+b.identity.Party().ID, b, rt, "")
	s.pages = pages{&c.Common, c.Web, auditsite.Roles(), func(shell web.Config) (*web.Site, error) { return auditsite.New(a, shell) }}
	s.Local = func(r grpc.ServiceRegistrar) {
		localv1.RegisterAuditorServiceServer(r, a)
		localv1.RegisterCoverageServiceServer(r, a)
		localv1.RegisterEvidenceServiceServer(r, a)
		localv1.RegisterOperationsServiceServer(r, a)
		localv1.RegisterReplayServiceServer(r, a)
		localv1.RegisterLogTrustServiceServer(r, a.Log())
	}
	s.Close = closeAll(conn)
	return s, nil
}
