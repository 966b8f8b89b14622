package config_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
)

func TestTheOperationsListenerIsForThisMachine(t *testing.T) {
	dir := folder(t)
	for kind, load := range loaders {
		path := filepath.Join(dir, kind+".yaml")
		edit(t, path, "trust_domain", "operations: 0.0.0.0:9464\ntrust_domain")
		_, err := load(path)
		if got := paths(err); fault.KindOf(err) != fault.Invalid || !slices.Equal(got, []string{"operations"}) {
			t.Errorf("%s: named %v: %v", kind, got, err)
		}
		edit(t, path, "0.0.0.0:9464", "127.0.0.1:0")
		_, err = load(path)
		check(t, err)
	}
}

// Every kind of party says whether it is ready; a hub without a directory is not.
func TestReadiness(t *testing.T) {
	dir := folder(t)
	for kind, want := range map[string]string{
		"hub": "directory: No directory is in force", "desk": "directory: The desk has no directory yet", "inbox": "", "audit": "",
	} {
		p, err := loaders[kind](filepath.Join(dir, kind+".yaml"))
		check(t, err)
		rt := runtime()
		rt.Operations, err = net.Listen("tcp", "127.0.0.1:0")
		check(t, err)
		s, err := p.Build(t.Context(), rt)
		check(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx) }()
		answer, err := http.Get("http://" + rt.Operations.Addr().String() + "/readyz")
		check(t, err)
		body, err := io.ReadAll(answer.Body)
		check(t, err)
		check(t, answer.Body.Close())
		if (answer.StatusCode == 200) != (want == "") || !strings.Contains(string(body), want) {
			t.Errorf("%s: %d %s", kind, answer.StatusCode, body)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s ended with %v", kind, err)
		}
		if _, err := http.Get("http://" + rt.Operations.Addr().String() + "/healthz"); err == nil {
			t.Errorf("%s answers after its end", kind)
		}
	}
}

// slow is a control socket whose one call takes until it is released.
type slow struct {
	localv1.UnimplementedHubServiceServer
	begun, release chan struct{}
	loop           context.Context // of the party's loops
}

func (s *slow) GetStatus(context.Context, *localv1.GetStatusRequest) (*localv1.GetStatusResponse, error) {
	close(s.begun)
	<-s.release
	return &localv1.GetStatusResponse{}, s.loop.Err()
}

// What a server has begun when the end comes is finished, with the loops that it needs still running.
func TestServersFinishBeforeTheLoops(t *testing.T) {
	c, err := config.LoadHub(filepath.Join(folder(t), "hub.yaml"))
	check(t, err)
	s, err := c.Build(t.Context(), runtime())
	check(t, err)
	call := &slow{begun: make(chan struct{}), release: make(chan struct{})}
	running := make(chan struct{})
	s.Run = func(ctx context.Context) error { call.loop = ctx; close(running); <-ctx.Done(); return ctx.Err() }
	s.Local = func(r grpc.ServiceRegistrar) { localv1.RegisterHubServiceServer(r, call) }
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	<-running
	conn, err := rpc.DialLocal(c.Socket())
	check(t, err)
	defer conn.Close()
	answered := make(chan error, 1)
	go func() {
		_, err := localv1.NewHubServiceClient(conn).GetStatus(context.WithoutCancel(ctx), &localv1.GetStatusRequest{})
		answered <- err
	}()
	<-call.begun
	cancel()
	for { // until it takes no more calls
		if _, err := os.Stat(c.Socket()); err != nil {
			break
		}
	}
	close(call.release)
	if err := <-answered; err != nil {
		t.Errorf("the call that had begun got %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
