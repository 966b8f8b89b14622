package rpc

import (
	"context"
	"errors"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	"postern/internal/fault"
)

// The one table between faults and gRPC statuses. A status carries google.rpc details:
//
//	ErrorInfo    domain "postern", the reason, and the kind in its metadata: two kinds share one code
//	BadRequest   every faulty field: path, "reason fix", and the fix once more by itself as the localized message
//	RetryInfo    when to try again
//	RequestInfo  the request id
//
// A strange client needs the code only; ours gets the same fault.Error back.
var kindCodes = [...]codes.Code{
	fault.Internal:        codes.Internal,
	fault.Invalid:         codes.InvalidArgument,
	fault.Unauthenticated: codes.Unauthenticated,
	fault.Denied:          codes.PermissionDenied,
	fault.NotFound:        codes.NotFound,
	fault.Exists:          codes.AlreadyExists,
	fault.Precondition:    codes.FailedPrecondition,
	fault.Exhausted:       codes.ResourceExhausted,
	fault.Unavailable:     codes.Unavailable,
	fault.Deadline:        codes.DeadlineExceeded,
	fault.Unverified:      codes.InvalidArgument, // what was sent is wrong, and sending it again will not help
	fault.Unimplemented:   codes.Unimplemented,
}

const (
	errorDomain = "postern"
	kindKey     = "kind"
	// Error details travel in HTTP/2 trailers, which a client bounds with maxAnswerHeaders.
	maxDetails       = 32 << 10
	maxMessage       = 2 << 10
	maxAnswerHeaders = 128 << 10
)

func codeOf(k fault.Kind) codes.Code {
	if int(k) < len(kindCodes) {
		return kindCodes[k]
	}
	return codes.Internal
}

// known returns err as a fault: its own, or what gRPC and context mean, or Internal with err as the cause.
func known(err error) *fault.Error {
	var f *fault.Error
	code := status.Code(err)
	switch {
	case errors.As(err, &f):
		return f
	case errors.Is(err, context.Canceled), code == codes.Canceled:
		return errCancelled().Because(err)
	case errors.Is(err, context.DeadlineExceeded), code == codes.DeadlineExceeded:
		return errDeadline().Because(err)
	case code == codes.Unimplemented: // a generated Unimplemented…Server
		return fault.New(fault.Unimplemented, "UNIMPLEMENTED", "This version of Postern cannot do this yet.").Because(err)
	}
	return fault.From(err)
}

// toStatus writes a fault for its caller. Of an Internal one only the request id goes, as a reference number.
func toStatus(f *fault.Error, requestID string) *status.Status {
	if codeOf(f.Kind) == codes.Internal {
		f = fault.New(fault.Internal, "INTERNAL", "Something went wrong on our side. The reference number is "+requestID+".")
	}
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: clip(f.Reason), Domain: errorDomain, Metadata: map[string]string{kindKey: f.Kind.String()}},
		&errdetails.RequestInfo{RequestId: requestID},
	}
	if len(f.Fields) > 0 {
		details = append(details, badRequest(f.Fields))
	}
	if f.RetryAfter > 0 {
		details = append(details, &errdetails.RetryInfo{RetryDelay: durationpb.New(f.RetryAfter)})
	}
	plain := status.New(codeOf(f.Kind), clip(f.Message))
	st, err := plain.WithDetails(details...)
	if err != nil { // only for texts that are not UTF-8, which clip mends
		return plain
	}
	return st
}

func badRequest(fields []fault.Field) *errdetails.BadRequest {
	out := &errdetails.BadRequest{}
	size := 0
	for _, f := range fields {
		v := violation(f)
		if size += proto.Size(v); size > maxDetails {
			out.FieldViolations = append(out.FieldViolations, violation(fault.Field{
				Path: "…", Reason: "There are more faults than fit.", Fix: "Mend these first."}))
			break
		}
		out.FieldViolations = append(out.FieldViolations, v)
	}
	return out
}

func violation(f fault.Field) *errdetails.BadRequest_FieldViolation {
	v := &errdetails.BadRequest_FieldViolation{Field: clip(f.Path), Description: clip(f.Reason)}
	if f.Fix != "" {
		fix := clip(f.Fix)
		v.Description += " " + fix
		v.LocalizedMessage = &errdetails.LocalizedMessage{Locale: "en-GB", Message: fix}
	}
	return v
}

func field(v *errdetails.BadRequest_FieldViolation) fault.Field {
	fix, reason := v.GetLocalizedMessage().GetMessage(), v.GetDescription()
	if fix != "" {
		reason = strings.TrimSuffix(reason, " "+fix)
	}
	return fault.Field{Path: clip(v.GetField()), Reason: clip(reason), Fix: clip(fix)}
}

var reasons = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)

// fromStatus reads what a call to peer returned, as a *fault.Error. peer is how to name the other side in words.
func fromStatus(err error, peer string) error {
	if err == nil {
		return nil
	}
	var own *fault.Error
	if errors.As(err, &own) { // of an interceptor on our side
		return own
	}
	st := status.Convert(err)
	f := fromCode(st.Code(), peer)
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok && info.GetDomain() == errorDomain {
			f = fromInfo(st, info)
		}
	}
	for _, d := range st.Details() {
		switch d := d.(type) {
		case *errdetails.BadRequest:
			for _, v := range d.GetFieldViolations() {
				f.Fields = append(f.Fields, field(v))
			}
		case *errdetails.RetryInfo:
			f.RetryAfter = max(0, d.GetRetryDelay().AsDuration())
		}
	}
	return f.Because(causeOf(st.Code(), err))
}

// fromInfo believes the kind in the metadata only where it fits the code: the code is what everybody else acts on.
func fromInfo(st *status.Status, info *errdetails.ErrorInfo) *fault.Error {
	f := fault.New(fault.Internal, "UNKNOWN", clip(st.Message()))
	for k := range kindCodes {
		kind := fault.Kind(k)
		if kindCodes[k] == st.Code() && (f.Kind == fault.Internal || kind.String() == info.GetMetadata()[kindKey]) {
			f.Kind = kind
		}
	}
	if reasons.MatchString(info.GetReason()) {
		f.Reason = info.GetReason()
	}
	return f
}

// fromCode names what gRPC itself reports: nobody of Postern wrote these statuses, and their words are not for people.
func fromCode(code codes.Code, peer string) *fault.Error {
	switch code {
	case codes.Unavailable:
		return fault.New(fault.Unavailable, "UNREACHABLE", peer+" does not answer, or refuses the connection. It may be down, or one of the two certificates may not hold.")
	case codes.DeadlineExceeded:
		return errDeadline()
	case codes.Canceled:
		return errCancelled()
	case codes.Unimplemented:
		return fault.New(fault.Unimplemented, "UNIMPLEMENTED", peer+" cannot do this. It may run another version.")
	case codes.ResourceExhausted:
		return fault.New(fault.Exhausted, "TOO_MUCH", "The message or its answer is too large, or "+peer+" has too much to do.")
	case codes.Unauthenticated:
		return fault.New(fault.Unauthenticated, "IDENTITY", peer+" does not know us.")
	case codes.PermissionDenied:
		return fault.New(fault.Denied, "ROLE", peer+" does not allow this.")
	}
	return fault.New(fault.Internal, "PEER", peer+" answered with something that cannot be understood.")
}

// causeOf keeps errors.Is true for the two errors of package context. A cause is for our log, and the other side must
// not be able to write there: its text is kept only with Unavailable, where gRPC on our own side says what failed.
func causeOf(code codes.Code, err error) error {
	switch code {
	case codes.Canceled:
		return context.Canceled
	case codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case codes.Unavailable:
		return errors.New(clip(err.Error()))
	}
	return errors.New("gRPC status " + code.String())
}

func errCancelled() *fault.Error {
	return fault.New(fault.Unavailable, "CANCELLED", "The call was given up before it was done.")
}

func errDeadline() *fault.Error {
	return fault.New(fault.Deadline, "DEADLINE", "The time for this ran out. Try again.")
}

// clip makes a text at most maxMessage bytes of UTF-8 without control characters but the line feed: it may come from
// another party, and it may go to a terminal. A text that was clipped is not changed again.
func clip(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) && r != '\n' {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= maxMessage {
		return s
	}
	cut := maxMessage - len("…")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "…"
}
