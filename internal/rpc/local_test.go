package rpc_test

import (
	"bytes"
	"context"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"

	"postern/internal/fault"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
)

// counter is a desk that answers with the uid of its caller, or fails.
type counter struct {
	localv1.UnimplementedDeskServiceServer
	fail error
}

func (c counter) SubmitForm(ctx context.Context, req *localv1.SubmitFormRequest) (*localv1.SubmitFormResponse, error) {
	uid, ok := rpc.LocalUID(ctx)
	if !ok || int(uid) != os.Getuid() {
		return nil, fault.New(fault.Denied, "WHO", "Who?")
	}
	return &localv1.SubmitFormResponse{FormId: string(req.GetFormJson()[:2]) + rpc.RequestID(ctx)[:2]}, c.fail
}

func (c counter) register(s grpc.ServiceRegistrar) { localv1.RegisterDeskServiceServer(s, c) }

func submitForm(ctx context.Context, conn grpc.ClientConnInterface, form []byte) (*localv1.SubmitFormResponse, error) {
	return localv1.NewDeskServiceClient(conn).SubmitForm(ctx, &localv1.SubmitFormRequest{FormJson: form})
}

// serveLocal serves a counter at path until the test ends or stop is called.
func serveLocal(t *testing.T, path string, log *logBuffer) (stop func() error) {
	t.Helper()
	lis, err := rpc.ListenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	s := rpc.NewLocalServer(rpc.LocalConfig{Log: slog.New(slog.NewJSONHandler(log, nil)), Rand: bytes.NewReader(bytes.Repeat([]byte{0xab}, 800))})
	counter{}.register(s)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, lis) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { stop() })
	return stop
}

func dialLocal(t *testing.T, path string) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.DialLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func TestACommandReachesItsServer(t *testing.T) {
	for name, folder := range map[string]string{"as usual": "", "in a deep folder": strings.Repeat("deep/", 40)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), folder, "control.sock")
			if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
				t.Fatal(err)
			}
			log := &logBuffer{}
			stop := serveLocal(t, path, log)
			info, err := os.Stat(path)
			if err != nil || info.Mode().Perm() != 0o600 || info.Mode().Type() != fs.ModeSocket {
				t.Fatalf("%v, %v", info.Mode(), err)
			}
			conn := dialLocal(t, path)
			resp, err := submitForm(t.Context(), conn, bytes.Repeat([]byte("f"), 1<<20)) // more than a party may send
			if err != nil || resp.GetFormId() != "ffab" {
				t.Fatalf("%v, %v", resp, err)
			}
			line := log.lines(t)[0]
			if line["uid"] != float64(os.Getuid()) || line["code"] != "OK" || strings.Contains(log.String(), "fff") {
				t.Fatalf("%v", line)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 0 {
				t.Fatalf("left behind: %v, %v", left, err)
			}
			_, err = rpc.DialLocal(path)
			wantFault(t, err, fault.Unavailable, "NOT_RUNNING")
			_, err = submitForm(soon(t), conn, []byte("ff"))
			wantFault(t, err, fault.Unavailable, "UNREACHABLE")
		})
	}
}

func TestOneServerAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	stop := serveLocal(t, path, &logBuffer{})
	_, err := rpc.ListenLocal(path)
	wantFault(t, err, fault.Exists, "ALREADY_RUNNING")
	if _, err := submitForm(t.Context(), dialLocal(t, path), []byte("ff")); err != nil {
		t.Fatalf("the first server is gone: %v", err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	serveLocal(t, path, &logBuffer{})
}

// Of many that start at once exactly one listens, and nobody's socket is lost.
func TestManyServersStartAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	stale(t, path)
	listeners := make(chan net.Listener, 8)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if lis, err := rpc.ListenLocal(path); err == nil {
				listeners <- lis
			} else if fault.From(err).Reason != "ALREADY_RUNNING" {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(listeners) != 1 {
		t.Fatalf("%d listen", len(listeners))
	}
	if conn, err := rpc.DialLocal(path); err != nil {
		t.Fatal(err)
	} else {
		conn.Close()
	}
	(<-listeners).Close()
}

// stale leaves the socket of a server that died.
func stale(t *testing.T, path string) {
	t.Helper()
	lis, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	lis.(*net.UnixListener).SetUnlinkOnClose(false)
	lis.Close()
}

func TestTheSocketOfADeadServerIsReplaced(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	stale(t, path)
	_, err := rpc.DialLocal(path)
	wantFault(t, err, fault.Unavailable, "NOT_RUNNING")
	serveLocal(t, path, &logBuffer{})
	if _, err := submitForm(t.Context(), dialLocal(t, path), []byte("ff")); err != nil {
		t.Fatal(err)
	}
}

func TestAListenerRemovesItsOwnSocketOnly(t *testing.T) {
	path := filepath.Join(t.TempDir(), "control.sock")
	first, err := rpc.ListenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil { // somebody tidied up
		t.Fatal(err)
	}
	second, err := rpc.ListenLocal(path)
	if err != nil {
		t.Fatal(err)
	}
	first.Close()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("the second's socket is gone: %v", err)
	}
	second.Close()
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Fatalf("the socket stayed: %v", err)
	}
}

func TestASocketThatCannotBeMadeIsAFault(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "control.sock")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := rpc.ListenLocal(file)
	wantFault(t, err, fault.Precondition, "SOCKET")
	if b, err := os.ReadFile(file); err != nil || string(b) != "precious" {
		t.Fatal("the file was overwritten")
	}
	_, err = rpc.ListenLocal(filepath.Join(dir, "nowhere", "control.sock"))
	wantFault(t, err, fault.Unavailable, "SOCKET")
	_, err = rpc.DialLocal(filepath.Join(dir, "nowhere", "control.sock"))
	wantFault(t, err, fault.Unavailable, "NOT_RUNNING")
}

func TestTheSameCodeAnswersInProcess(t *testing.T) {
	form := fault.InvalidFields("FORM", "The form has faults.", []fault.Field{{Path: "children[1].home.postcode", Reason: "It is missing.", Fix: "Ask for it."}})
	for name, fail := range map[string]error{"well": nil, "badly": form} {
		t.Run(name, func(t *testing.T) {
			conn, stop, err := rpc.InProcess(rpc.LocalConfig{}, counter{fail: fail}.register)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			resp, err := submitForm(t.Context(), conn, []byte("ff"))
			if fail == nil {
				if err != nil || !strings.HasPrefix(resp.GetFormId(), "ff") {
					t.Fatalf("%v, %v", resp, err)
				}
				return
			}
			if f := wantFault(t, err, fault.Invalid, "FORM"); f.Error() != form.Error() {
				t.Fatalf("%v", f)
			}
		})
	}
	if _, ok := rpc.LocalUID(context.Background()); ok {
		t.Fatal("there is a user outside a call")
	}
}

func TestAPartyHasNoUserAndAUserIsNoParty(t *testing.T) {
	w := newWorld(t)
	both := make(chan [2]bool, 1)
	look := func(ctx context.Context) {
		_, uid := rpc.LocalUID(ctx)
		_, party := rpc.Party(ctx)
		both <- [2]bool{uid, party}
	}
	server := w.serve(t, submitting(lookSubmit(look)))
	if err := submit(soon(t), w.dial(t, deskURI, server.addr)); err != nil {
		t.Fatal(err)
	}
	if got := <-both; got != [2]bool{false, true} {
		t.Fatalf("over mTLS: %v", got)
	}
	conn, stop, err := rpc.InProcess(rpc.LocalConfig{}, submitting(lookSubmit(look)))
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	if err := submit(soon(t), conn); err != nil {
		t.Fatal(err)
	}
	if got := <-both; got != [2]bool{true, false} {
		t.Fatalf("in process: %v", got)
	}
}
