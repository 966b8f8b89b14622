package rpc

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// formats is docs/formats.md, from which strangers write desks and inboxes.
func formats(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../../docs/formats.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestThePageListsTheMethods: every method that parties call, and who may call it.
func TestThePageListsTheMethods(t *testing.T) {
	listed := map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `([A-Za-z]+Service\\.[A-Za-z]+)` \\| ([a-z, ]+) \\|").FindAllStringSubmatch(formats(t), -1) {
		listed[row[1]] = row[2]
	}
	found := 0
	protoregistry.GlobalFiles.RangeFilesByPackage(posternv1.File_postern_v1_access_proto.Package(), func(file protoreflect.FileDescriptor) bool {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for k := range service.Methods().Len() {
				m := service.Methods().Get(k)
				set, err := callersOf(m)
				if err != nil {
					t.Fatal(err)
				}
				var who []string
				for _, r := range []posternv1.Role{posternv1.Role_ROLE_DESK, posternv1.Role_ROLE_HUB, posternv1.Role_ROLE_INBOX, posternv1.Role_ROLE_AUDITOR} {
					if set.has(r) {
						who = append(who, strings.ToLower(strings.TrimPrefix(r.String(), "ROLE_")))
					}
				}
				name := string(service.Name()) + "." + string(m.Name())
				if want := strings.Join(who, ", "); listed[name] != want {
					t.Errorf("docs/formats.md says that %s is called by %q; it is by %q", name, listed[name], want)
				}
				found++
			}
		}
		return true
	})
	if found != len(listed) || found < 15 {
		t.Errorf("docs/formats.md lists %d methods, there are %d", len(listed), found)
	}
}

// TestThePageListsTheErrors: which kind of failure comes as which code.
func TestThePageListsTheErrors(t *testing.T) {
	names := map[codes.Code]string{codes.InvalidArgument: "INVALID_ARGUMENT", codes.Unauthenticated: "UNAUTHENTICATED", codes.PermissionDenied: "PERMISSION_DENIED",
		codes.NotFound: "NOT_FOUND", codes.AlreadyExists: "ALREADY_EXISTS", codes.FailedPrecondition: "FAILED_PRECONDITION", codes.ResourceExhausted: "RESOURCE_EXHAUSTED",
		codes.Unavailable: "UNAVAILABLE", codes.DeadlineExceeded: "DEADLINE_EXCEEDED", codes.Unimplemented: "UNIMPLEMENTED", codes.Internal: "INTERNAL"}
	text := formats(t)
	for kind := range kindCodes {
		if want := fmt.Sprintf("| `%s` | `%s` |", fault.Kind(kind), names[kindCodes[kind]]); !strings.Contains(text, want) {
			t.Errorf("docs/formats.md does not say %s", want)
		}
	}
}

// TestThePageGivesTheLimits of a connection between parties.
func TestThePageGivesTheLimits(t *testing.T) {
	text, l := formats(t), Limits{}.orDefaults()
	for _, row := range [][2]string{
		{"a request; a Delivery", fmt.Sprintf("%d KiB", maxRequest>>10)},
		{"an answer of a hub", fmt.Sprintf("%d MiB", maxResponse>>20)},
		{"headers", fmt.Sprintf("%d KiB", maxHeaders>>10)},
		{"deadline of a call", fmt.Sprintf("required; what is longer than %.0f s is cut to that", maxCall.Seconds())},
		{"life of a connection", fmt.Sprintf("%.0f min, then %.0f s for running calls", connectionAge.Minutes(), connectionEnd.Seconds())},
		{"fields of a message, those of the messages in it included; how deep they stand in one another; groups", fmt.Sprintf("%d; %d; none", maxFields, maxDepth)},
		{"calls at once over a connection", fmt.Sprint(maxStreams)},
		{"of one certificate: connections; new ones a second; calls at once", fmt.Sprintf("%d; %d, after a rest %d; %d", maxPartyConnections, newPerSecond, newBurst, l.CallsAtOnce)},
		{"of one certificate: calls a second; bytes read a second", fmt.Sprintf("%.0f, after a rest %d; %d MiB, after a rest %d MiB", l.CallsPerSecond, l.CallsBurst, l.BytesPerSecond>>20, l.BytesBurst>>20)},
		{"keepalive pings of a client", fmt.Sprintf("while a call runs, at most one in %.0f s", pingFloor.Seconds())},
	} {
		if want := "| " + row[0] + " | " + row[1] + " |\n"; !strings.Contains(text, want) {
			t.Errorf("docs/formats.md does not say %q", want)
		}
	}
}
