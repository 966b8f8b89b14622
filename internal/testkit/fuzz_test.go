package testkit_test

import (
	"slices"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/emptypb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/form/formtest"
	"postern/internal/rpc"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// FuzzDeliver: any bytes as a delivery are refused with a signed reason, or are one that a hub made: what an inbox
// acknowledges was signed by the desk and recorded by the hub, and it shows nothing that the desk did not seal. The keys
// are those of the committed exchange, and so are the seeds.
func FuzzDeliver(f *testing.F) {
	r := newReplay(f, readTranscript(f))
	files := r.secrets()
	acknowledged, sealed := map[string]bool{}, map[string]string{}
	for _, c := range r.Calls {
		if !strings.HasSuffix(c.Method, "/Deliver") {
			continue
		}
		q, a := &posternv1.DeliverRequest{}, &posternv1.DeliverResponse{}
		r.read(c, q, a)
		f.Add(must(proto.Marshal(q.GetDelivery()))(f))
		acknowledged[string(a.GetAcknowledgement().GetPayload())] = true
		if r.now = c.Time; q.GetDelivery().GetNotification() == nil {
			continue
		}
		r.open(files)
		must(r.inbox.Deliver(f.Context(), q))(f)
		for _, s := range allSections(f, r) {
			sealed[s.GetPath()] = string(s.GetContent())
		}
	}
	r.now = r.Calls[0].Time
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, wire []byte) {
		d := &posternv1.Delivery{}
		if proto.Unmarshal(wire, d) != nil {
			return
		}
		r.t = t
		r.open(files)
		a, err := r.inbox.Deliver(t.Context(), &posternv1.DeliverRequest{Delivery: d})
		if err != nil {
			if k := fault.KindOf(err); k != fault.Unavailable && k != fault.Invalid {
				t.Fatal(err)
			}
			return
		}
		if s := a.GetReport(); s != nil {
			report := &posternv1.Report{}
			_, err := envelope.VerifyStatement(s, envelope.TypeReport, r.anchors, r.now)
			if err != nil || proto.Unmarshal(s.GetPayload(), report) != nil || report.GetRefusal().GetReason() == 0 || len(allSections(t, r)) > 0 {
				t.Fatalf("refused with %v: %v", report, err)
			}
			return
		}
		if !acknowledged[string(a.GetAcknowledgement().GetPayload())] {
			t.Fatal("a delivery is acknowledged that no hub ever made")
		}
		for _, s := range allSections(t, r) {
			if sealed[s.GetPath()] != string(s.GetContent()) {
				t.Fatalf("%s shows what no desk ever sealed", s.GetPath())
			}
		}
	})
}

// allSections is everything that the team can see.
func allSections(t testing.TB, r *replay) (all []*localv1.OpenedSection) {
	t.Helper()
	for _, i := range must(r.inbox.ListItems(t.Context(), &localv1.ListItemsRequest{}))(t).GetItems() {
		all = append(all, must(r.inbox.GetItem(t.Context(), &localv1.GetItemRequest{Id: i.GetId()}))(t).GetSections()...)
	}
	return all
}

// entrance is a method that somebody may call, and the way to it.
type entrance struct {
	name string
	way  grpc.ClientConnInterface
	in   protoreflect.MessageType
}

// FuzzRequests: any message as the request of any method, between parties and on the control sockets of hub, desk and
// inbox, is answered or refused; nothing of our side breaks, which would be an error of the kind internal.
func FuzzRequests(f *testing.F) {
	x := testkit.NewExchange(f)
	desk, in := x.Desk(testkit.HMPBristol), x.Inbox(testkit.Bristol)
	id := desk.Take(formtest.New(testkit.Bristol, testkit.Bristol))[0]
	x.Settle()
	all := slices.Concat(between(f, x), local(f, x, desk, in))
	for i := range all {
		f.Add(uint16(i), []byte{})
		f.Add(uint16(i), append([]byte{0x0a, byte(len(id))}, id...)) // most have a text there, and many the name of a notification
	}
	f.Fuzz(func(t *testing.T, which uint16, wire []byte) {
		e := all[int(which)%len(all)]
		request := e.in.New().Interface()
		if proto.Unmarshal(wire, request) != nil {
			return
		}
		if err := e.way.Invoke(t.Context(), e.name, request, &emptypb.Empty{}); fault.KindOf(err) == fault.Internal && err != nil {
			t.Fatalf("%s: %v\n%v", e.name, err, request)
		}
	})
}

// between are the methods of a hub, each over the link of somebody who may call it.
func between(f *testing.F, x *testkit.Exchange) []entrance {
	paths := map[posternv1.Role]string{posternv1.Role_ROLE_DESK: "/prison/BLI/desk", posternv1.Role_ROLE_INBOX: "/authority/" + testkit.Bristol + "/inbox",
		posternv1.Role_ROLE_AUDITOR: testkit.AuditorPath}
	return methods(f, "postern.v1", func(m protoreflect.MethodDescriptor) grpc.ClientConnInterface {
		callers, _ := proto.GetExtension(m.Options(), posternv1.E_Callers).([]posternv1.Role)
		if path := paths[callers[0]]; path != "" {
			return x.ToHub(path)
		}
		return nil // an inbox's: FuzzDeliver
	})
}

// local are the methods of the control sockets, but for a backup, which writes where it is told.
func local(f *testing.F, x *testkit.Exchange, desk *testkit.Desk, in *testkit.Inbox) []entrance {
	ways := map[string]grpc.ClientConnInterface{}
	for _, register := range []func(grpc.ServiceRegistrar){
		func(r grpc.ServiceRegistrar) {
			localv1.RegisterHubServiceServer(r, x.Hub)
			localv1.RegisterCourierServiceServer(r, x.Hub)
			localv1.RegisterDeadLetterServiceServer(r, x.Hub)
			localv1.RegisterPolicyServiceServer(r, x.Hub)
			localv1.RegisterOperationsServiceServer(r, x.Hub)
		},
		func(r grpc.ServiceRegistrar) {
			localv1.RegisterDeskServiceServer(r, desk.Desk)
			localv1.RegisterPinServiceServer(r, desk.Desk)
			localv1.RegisterCaseworkServiceServer(r, desk.Desk)
			localv1.RegisterCounterServiceServer(r, desk.Desk)
			localv1.RegisterSubjectServiceServer(r, desk.Desk)
			localv1.RegisterLogTrustServiceServer(r, desk.Desk.Log())
		},
		func(r grpc.ServiceRegistrar) {
			localv1.RegisterTeamServiceServer(r, in.Inbox)
			localv1.RegisterRingServiceServer(r, in.Inbox)
		},
	} {
		conn, stop, err := rpc.InProcess(rpc.LocalConfig{Log: x.Log.Logger()}, register)
		if err != nil {
			f.Fatal(err)
		}
		f.Cleanup(stop)
		register(names(func(service string) { ways[service] = conn }))
	}
	return methods(f, "postern.local.v1", func(m protoreflect.MethodDescriptor) grpc.ClientConnInterface {
		if m.Name() == "Backup" {
			return nil
		}
		return ways[string(m.Parent().FullName())]
	})
}

// names hears the names of services that are registered.
type names func(string)

func (n names) RegisterService(d *grpc.ServiceDesc, _ any) { n(d.ServiceName) }

// methods are the methods with one answer of the services of a package, where there is a way to them.
func methods(f *testing.F, pkg protoreflect.FullName, to func(protoreflect.MethodDescriptor) grpc.ClientConnInterface) (all []entrance) {
	f.Helper()
	protoregistry.GlobalFiles.RangeFilesByPackage(pkg, func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			for k := range file.Services().Get(i).Methods().Len() {
				m := file.Services().Get(i).Methods().Get(k)
				way := grpc.ClientConnInterface(nil)
				if !m.IsStreamingServer() {
					way = to(m)
				}
				if way == nil {
					continue
				}
				in, err := protoregistry.GlobalTypes.FindMessageByName(m.Input().FullName())
				if err != nil {
					f.Fatal(err)
				}
				all = append(all, entrance{"/" + string(m.Parent().FullName()) + "/" + string(m.Name()), way, in})
			}
		}
		return true
	})
	slices.SortFunc(all, func(a, b entrance) int { return strings.Compare(a.name, b.name) })
	return all
}
