package rpc_test

import (
	"context"
	"slices"
	"testing"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"postern/internal/fault"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// everything registers every service between parties with handlers that answer UNIMPLEMENTED.
func everything(s grpc.ServiceRegistrar) {
	posternv1.RegisterSubmissionServiceServer(s, posternv1.UnimplementedSubmissionServiceServer{})
	posternv1.RegisterMailboxServiceServer(s, posternv1.UnimplementedMailboxServiceServer{})
	posternv1.RegisterDirectoryServiceServer(s, posternv1.UnimplementedDirectoryServiceServer{})
	posternv1.RegisterAuditServiceServer(s, posternv1.UnimplementedAuditServiceServer{})
	posternv1.RegisterInboxServiceServer(s, posternv1.UnimplementedInboxServiceServer{})
}

func services() []protoreflect.ServiceDescriptor {
	return []protoreflect.ServiceDescriptor{
		posternv1.File_postern_v1_submission_service_proto.Services().Get(0),
		posternv1.File_postern_v1_mailbox_service_proto.Services().Get(0),
		posternv1.File_postern_v1_directory_service_proto.Services().Get(0),
		posternv1.File_postern_v1_audit_service_proto.Services().Get(0),
		posternv1.File_postern_v1_inbox_service_proto.Services().Get(0),
	}
}

// call makes a call with an empty message, unary or stream, and returns its first error.
func call(ctx context.Context, conn grpc.ClientConnInterface, m protoreflect.MethodDescriptor) error {
	name := "/" + string(m.Parent().FullName()) + "/" + string(m.Name())
	in, out := dynamicpb.NewMessage(m.Input()), dynamicpb.NewMessage(m.Output())
	if !m.IsStreamingServer() {
		return conn.Invoke(ctx, name, in, out)
	}
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, name)
	if err != nil {
		return err
	}
	if err := s.SendMsg(in); err != nil {
		return err
	}
	if err := s.CloseSend(); err != nil {
		return err
	}
	return s.RecvMsg(out)
}

// Every method of every service, called by every role: exactly what the method option says.
func TestEveryMethodByEveryRole(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, everything)
	methods, allowed := 0, 0
	for role, uri := range map[posternv1.Role]string{
		posternv1.Role_ROLE_DESK: deskURI, posternv1.Role_ROLE_HUB: hubURI, posternv1.Role_ROLE_INBOX: inboxURI,
		posternv1.Role_ROLE_AUDITOR: auditorURI, posternv1.Role_ROLE_OPERATOR: operatorURI,
	} {
		conn := w.dial(t, uri, server.addr)
		for _, s := range services() {
			for i := range s.Methods().Len() {
				m := s.Methods().Get(i)
				callers := proto.GetExtension(m.Options(), posternv1.E_Callers).([]posternv1.Role)
				methods++
				t.Run(role.String()+"/"+string(m.FullName()), func(t *testing.T) {
					err := call(soon(t), conn, m)
					if slices.Contains(callers, role) {
						allowed++
						wantFault(t, err, fault.Unimplemented, "UNIMPLEMENTED")
					} else {
						wantFault(t, err, fault.Denied, "ROLE")
					}
				})
			}
		}
	}
	if methods < 5*12 || allowed < 12 {
		t.Fatalf("only %d calls, %d allowed: the matrix has a hole", methods, allowed)
	}
}

func TestAMethodWithoutCallersStopsTheServer(t *testing.T) {
	if err := rpc.CheckAccess(services()...); err != nil {
		t.Fatal(err)
	}
	local := localv1.File_postern_local_v1_local_proto.Services()
	if err := rpc.CheckAccess(local.Get(0)); fault.KindOf(err) != fault.Precondition {
		t.Fatalf("methods without callers: %v", err)
	}
	w := newWorld(t)
	s, err := rpc.NewServer(rpc.ServerConfig{Identity: w.issue(t, hubURI), Anchors: w.anchors})
	if err != nil {
		t.Fatal(err)
	}
	posternv1.RegisterSubmissionServiceServer(s, submission{})
	localv1.RegisterHubServiceServer(s, localv1.UnimplementedHubServiceServer{})
	lis := listen(t, "127.0.0.1:0")
	if err := s.Serve(t.Context(), lis); fault.KindOf(err) != fault.Precondition {
		t.Fatalf("served: %v", err)
	}
	if _, err := lis.Accept(); err == nil {
		t.Fatal("the listener was left open")
	}
}

func TestAnyPartyMayAskForHealth(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, everything)
	for _, uri := range []string{deskURI, hubURI, inboxURI, auditorURI, operatorURI} {
		resp, err := healthv1.NewHealthClient(w.dial(t, uri, server.addr)).Check(soon(t), &healthv1.HealthCheckRequest{})
		if err != nil || resp.GetStatus() != healthv1.HealthCheckResponse_SERVING {
			t.Errorf("%s: %v, %v", uri, resp.GetStatus(), err)
		}
	}
}

func TestWhatIsNotThereIsNotTold(t *testing.T) {
	w := newWorld(t)
	server := w.serve(t, failing(nil))
	conn := w.dial(t, deskURI, server.addr)
	var first string
	for _, name := range []string{
		"/postern.v1.SubmissionService/Nothing", // a service that is there
		"/postern.v1.Nothing/Submit",            // one that is not
		"/postern.v1.MailboxService/Report",     // one that is described but not served here
		"/postern.v1.SubmissionService/submit",
		"/postern.v1.SubmissionService/Submit/",
		"//postern.v1.SubmissionService/Submit",
		"/postern.v1.SubmissionService%2FSubmit/x",
		"/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
	} {
		err := conn.Invoke(soon(t), name, &posternv1.SubmitRequest{}, &posternv1.SubmitResponse{})
		f := wantFault(t, err, fault.Unimplemented, "UNKNOWN_METHOD")
		if first == "" {
			first = f.Message
		}
		if f.Message != first {
			t.Errorf("%s: %q tells it from %q", name, f.Message, first)
		}
	}
}
