package rpc

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/fault"
)

const lastKind = fault.Unimplemented

func anyFault() *rapid.Generator[*fault.Error] {
	text := rapid.StringMatching(`[A-Za-z .,é–]{1,40}`)
	return rapid.Custom(func(t *rapid.T) *fault.Error {
		f := fault.New(
			fault.Kind(rapid.IntRange(1, int(lastKind)).Draw(t, "kind")),
			rapid.StringMatching(`[A-Z][A-Z_]{0,20}`).Draw(t, "reason"),
			text.Draw(t, "message"))
		f.RetryAfter = time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "retry"))
		f.Fields = rapid.SliceOfN(rapid.Custom(func(t *rapid.T) fault.Field {
			return fault.Field{
				Path:   rapid.StringMatching(`[a-z]{1,8}(\[[0-9]\])?(\.[a-z_]{1,8}){0,2}`).Draw(t, "path"),
				Reason: text.Draw(t, "reason"),
				Fix:    rapid.OneOf(text, rapid.Just("")).Draw(t, "fix"),
			}
		}), 0, 5).Draw(t, "fields")
		if len(f.Fields) == 0 {
			f.Fields = nil
		}
		return f
	})
}

// over sends a fault as the wire does.
func over(t interface{ Fatal(...any) }, f *fault.Error) *fault.Error {
	b, err := proto.Marshal(toStatus(f, "0123456789abcdef").Proto())
	if err != nil {
		t.Fatal(err)
	}
	p := status.New(codes.OK, "").Proto()
	if err := proto.Unmarshal(b, p); err != nil {
		t.Fatal(err)
	}
	return fault.From(fromStatus(status.FromProto(p).Err(), "peer"))
}

func TestAFaultSurvivesTheWire(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sent := anyFault().Draw(t, "fault")
		got := over(t, sent)
		if got.Kind != sent.Kind || got.Reason != sent.Reason || got.Message != sent.Message || got.RetryAfter != sent.RetryAfter ||
			!reflect.DeepEqual(got.Fields, sent.Fields) || got.Error() != sent.Error() {
			t.Fatalf("sent %+v\ngot  %+v", sent, got)
		}
	})
}

func TestEveryKindHasACodeAndComesBack(t *testing.T) {
	if len(kindCodes) != int(lastKind)+1 {
		t.Fatalf("%d codes for %d kinds", len(kindCodes), lastKind+1)
	}
	for k := range lastKind + 1 {
		if code := codeOf(k); code == codes.OK || code == codes.Unknown {
			t.Errorf("%v has code %v", k, code)
		}
		if got := over(t, fault.New(k, "REASON", "Words.")); got.Kind != k {
			t.Errorf("%v came back as %v", k, got.Kind)
		}
	}
	if codeOf(lastKind+1) != codes.Internal {
		t.Error("a kind of a later version must be Internal")
	}
}

// Nothing of an Internal fault goes out but the reference: no message, reason, field or cause.
func TestAnInternalFaultIsAReferenceNumber(t *testing.T) {
	f := fault.New(fault.Internal, "CANARY_REASON", "canary message").Because(errors.New("canary cause"))
	f.Fields = []fault.Field{{Path: "canary", Reason: "canary", Fix: "canary"}}
	f.RetryAfter = time.Second
	st := toStatus(f, "0123456789abcdef")
	if strings.Contains(strings.ToLower(st.Proto().String()), "canary") {
		t.Fatalf("it says %v", st.Proto())
	}
	if got := over(t, f); got.Kind != fault.Internal || !strings.Contains(got.Message, "0123456789abcdef") {
		t.Fatalf("it came back as %+v", got)
	}
	if st := toStatus(fault.New(lastKind+1, "X", "canary"), "id"); st.Code() != codes.Internal || strings.Contains(st.Message(), "canary") {
		t.Fatalf("an unknown kind says %v", st)
	}
}

func TestTheStatusOfAFaultIsReadableByStrangers(t *testing.T) {
	f := fault.New(fault.Unverified, "SIGNATURE", "The signature does not hold.")
	f.Fields = []fault.Field{{Path: "manifest", Reason: "It is signed by another key.", Fix: "Sign it again."}}
	st := toStatus(f, "0123456789abcdef")
	var info *errdetails.ErrorInfo
	var bad *errdetails.BadRequest
	var req *errdetails.RequestInfo
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.ErrorInfo:
			info = d
		case *errdetails.BadRequest:
			bad = d
		case *errdetails.RequestInfo:
			req = d
		}
	}
	if st.Code() != codes.InvalidArgument || info.GetDomain() != "postern" || info.GetReason() != "SIGNATURE" || req.GetRequestId() != "0123456789abcdef" {
		t.Fatalf("%v", st.Proto())
	}
	v := bad.GetFieldViolations()[0]
	if v.GetField() != "manifest" || v.GetDescription() != "It is signed by another key. Sign it again." {
		t.Fatalf("%v", v)
	}
}

func TestManyFaultsFitTheTrailers(t *testing.T) {
	f := fault.New(fault.Invalid, "FORM", strings.Repeat("é", maxMessage))
	for n := range 2000 {
		f.Fields = append(f.Fields, fault.Field{Path: fmt.Sprintf("children[%d].home.postcode", n), Reason: "It is missing.", Fix: "Fill it in."})
	}
	f.Fields[3].Reason = strings.Repeat("x", 10*maxDetails)
	if size := proto.Size(toStatus(f, "id").Proto()); size*4/3 > maxAnswerHeaders/2 {
		t.Fatalf("the status has %d bytes", size)
	}
	got := over(t, f)
	if n := len(got.Fields); n < 100 || got.Fields[n-1].Path != "…" || got.Fields[2] != f.Fields[2] {
		t.Fatalf("%d fields, the last %+v", n, got.Fields[n-1])
	}
	if len(got.Message) > maxMessage || !strings.HasSuffix(got.Message, "é…") {
		t.Fatalf("the message ends %q", got.Message[len(got.Message)-8:])
	}
}

func TestClipIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := string(rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "bytes"))
		s = strings.Repeat(s, rapid.IntRange(1, 100).Draw(t, "times"))
		once := clip(s)
		if len(once) > maxMessage || clip(once) != once || strings.ContainsAny(once, "\x00\x1b\r\t") {
			t.Fatalf("%q", once)
		}
	})
}

// Statuses that no Postern server wrote: kinds by code, none of their words, and the two context errors to be found.
func TestAStrangersStatusIsJudgedByItsCode(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		got := fault.From(fromStatus(status.Error(code, "canary"), "peer"))
		if strings.Contains(got.Message, "canary") || got.Message == "" || got.Reason == "" ||
			(code != codes.Unavailable && strings.Contains(got.Unwrap().Error(), "canary")) {
			t.Errorf("%v: %+v", code, got)
		}
	}
	for code, kind := range map[codes.Code]fault.Kind{
		codes.Unavailable: fault.Unavailable, codes.DeadlineExceeded: fault.Deadline, codes.Canceled: fault.Unavailable,
		codes.Unimplemented: fault.Unimplemented, codes.ResourceExhausted: fault.Exhausted, codes.Unknown: fault.Internal,
		codes.Unauthenticated: fault.Unauthenticated, codes.PermissionDenied: fault.Denied, codes.Internal: fault.Internal,
	} {
		if got := fault.KindOf(fromStatus(status.Error(code, ""), "peer")); got != kind {
			t.Errorf("%v is %v, want %v", code, got, kind)
		}
	}
	if !errors.Is(fromStatus(status.Error(codes.Canceled, ""), "peer"), context.Canceled) ||
		!errors.Is(fromStatus(status.Error(codes.DeadlineExceeded, ""), "peer"), context.DeadlineExceeded) {
		t.Error("a context error cannot be found")
	}
	if fromStatus(nil, "peer") != nil {
		t.Error("no error became one")
	}
}

// A status may claim a kind; it must fit the code, and a reason must look like one.
func TestAFalseClaimIsNotBelieved(t *testing.T) {
	claim := func(code codes.Code, domain, reason, kind string) *fault.Error {
		st, err := status.New(code, "words\x1b[31m").WithDetails(&errdetails.ErrorInfo{Domain: domain, Reason: reason, Metadata: map[string]string{"kind": kind}},
			&errdetails.RetryInfo{RetryDelay: nil})
		if err != nil {
			t.Fatal(err)
		}
		return fault.From(fromStatus(st.Err(), "peer"))
	}
	if f := claim(codes.PermissionDenied, "postern", "ROLE", "unverified"); f.Kind != fault.Denied || f.Reason != "ROLE" || f.Message != "words [31m" {
		t.Errorf("%+v", f)
	}
	if f := claim(codes.InvalidArgument, "postern", "not a reason", "no kind"); f.Kind != fault.Invalid || f.Reason != "UNKNOWN" {
		t.Errorf("%+v", f)
	}
	if f := claim(codes.InvalidArgument, "elsewhere.example", "X", "unverified"); f.Kind != fault.Internal || f.Reason != "PEER" {
		t.Errorf("%+v", f)
	}
	if f := claim(codes.DataLoss, "postern", "X", "invalid"); f.Kind != fault.Internal {
		t.Errorf("%+v", f)
	}
}

func TestNoCompressorIsLinkedIn(t *testing.T) {
	if encoding.GetCompressor("gzip") != nil {
		t.Fatal("gzip is registered")
	}
}
