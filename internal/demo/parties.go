package demo

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
)

// builder is a configuration of any kind of party.
type builder interface {
	Socket() string
	Build(context.Context, config.Runtime) (*config.Service, error)
}

// running is a party that serves, and the connection to its control socket.
type running struct {
	conn *grpc.ClientConn
	stop context.CancelFunc
	done chan error
}

// stage is all parties of the demo, each served as in a process of its own: its own database, certificate, port and
// control socket.
type stage struct {
	*folder
	log     *slog.Logger
	clock   *clock
	hub     *config.Hub
	auditor *config.Auditor
	configs map[string]builder
	webs    map[string]*config.Web // of the parties with a site
	parties map[string]*running
	numbers []string // the prison numbers of the forms that were sent
}

// open reads the configurations of a folder and starts every party.
func open(ctx context.Context, f *folder, log *slog.Logger, c *clock) (*stage, error) {
	s := &stage{folder: f, log: log, clock: c, configs: map[string]builder{}, webs: map[string]*config.Web{}, parties: map[string]*running{}}
	var err error
	if s.hub, err = config.LoadHub(f.file("hub.yaml")); err != nil {
		return nil, err
	}
	if s.auditor, err = config.LoadAuditor(f.file("auditor.yaml")); err != nil {
		return nil, err
	}
	s.configs["hub"], s.configs["auditor"], s.webs["auditor"] = s.hub, s.auditor, s.auditor.Web
	for _, code := range authorities {
		c, err := config.LoadInbox(f.file(inboxParty(code) + ".yaml"))
		if err != nil {
			return nil, err
		}
		s.configs[inboxParty(code)], s.webs[inboxParty(code)] = c, c.Web
	}
	for _, id := range prisons {
		c, err := config.LoadDesk(f.file(deskParty(id) + ".yaml"))
		if err != nil {
			return nil, err
		}
		s.configs[deskParty(id)], s.webs[deskParty(id)] = c, c.Web
	}
	if err := s.start(ctx, "hub"); err != nil {
		return nil, err
	}
	if err := s.loadDirectory(ctx); err != nil {
		return nil, errors.Join(err, s.close())
	}
	for _, party := range slices.Sorted(maps.Keys(s.configs)) {
		if party == "hub" {
			continue
		}
		if err := s.start(ctx, party); err != nil {
			return nil, errors.Join(err, s.close())
		}
	}
	return s, nil
}

// start serves a party and waits until its control socket answers.
func (s *stage) start(ctx context.Context, party string) error {
	rt := config.NewRuntime(s.log.With("party", party))
	rt.Clock, rt.Dress = s.clock.Now, s.toTour
	if lis, ok := s.listeners[party]; ok { // the port that setup held open for it
		rt.Listener = lis
		delete(s.listeners, party)
	}
	if lis, ok := s.listeners[operationsOf(party)]; ok {
		rt.Operations = lis
		delete(s.listeners, operationsOf(party))
	}
	if lis, ok := s.listeners[siteOf(party)]; ok {
		rt.Web = lis
		delete(s.listeners, siteOf(party))
	}
	service, err := s.configs[party].Build(ctx, rt)
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	r := &running{stop: stop, done: make(chan error, 1)}
	go func() { r.done <- service.Serve(ctx) }()
	for {
		if r.conn, err = rpc.DialLocal(s.configs[party].Socket()); err == nil {
			s.parties[party] = r
			return nil
		}
		select {
		case err := <-r.done:
			stop()
			return fault.Newf(fault.Unavailable, "PARTY_ENDED", "The party %s did not start: %v", party, err).Because(err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// end stops a party as SIGTERM would, and waits for it.
func (s *stage) end(party string) error {
	r, ok := s.parties[party]
	if !ok {
		return nil
	}
	delete(s.parties, party)
	r.stop()
	return errors.Join(r.conn.Close(), <-r.done)
}

// close stops everybody, the hub last.
func (s *stage) close() error {
	var err error
	for party := range s.parties {
		if party != "hub" {
			err = errors.Join(err, s.end(party))
		}
	}
	err = errors.Join(err, s.end("hub"))
	for _, lis := range s.listeners {
		err = errors.Join(err, lis.Close())
	}
	return err
}

// loadDirectory signs directory.yaml as the operator and brings it into force, once.
func (s *stage) loadDirectory(ctx context.Context) error {
	hub := localv1.NewHubServiceClient(s.parties["hub"].conn)
	status, err := hub.GetStatus(ctx, &localv1.GetStatusRequest{})
	if err != nil || status.GetDirectoryRevision() > 0 {
		return err
	}
	src, err := directory.ReadYAML(s.file("directory.yaml"))
	if err != nil {
		return err
	}
	operator, err := s.hub.LoadOperator()
	if err != nil {
		return err
	}
	revision, entries, err := directory.Build(src, 1, domain, s.clock.Now())
	if err != nil {
		return err
	}
	signed, err := directory.Sign(operator, revision)
	if err != nil {
		return err
	}
	_, err = hub.LoadDirectory(ctx, &localv1.LoadDirectoryRequest{Revision: signed, Entries: entries})
	return err
}

func (s *stage) desk(id string) localv1.DeskServiceClient {
	return localv1.NewDeskServiceClient(s.parties[deskParty(id)].conn)
}

func (s *stage) cases(id string) localv1.CaseworkServiceClient {
	return localv1.NewCaseworkServiceClient(s.parties[deskParty(id)].conn)
}

func (s *stage) inbox(code string) localv1.TeamServiceClient {
	return localv1.NewTeamServiceClient(s.parties[inboxParty(code)].conn)
}

func (s *stage) redirects(code string) localv1.RedirectServiceClient {
	return localv1.NewRedirectServiceClient(s.parties[inboxParty(code)].conn)
}

func (s *stage) audit() localv1.AuditorServiceClient {
	return localv1.NewAuditorServiceClient(s.parties["auditor"].conn)
}
