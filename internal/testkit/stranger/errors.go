package stranger

import (
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// reasonOf is the stable reason of an error of the other side.
func reasonOf(err error) string {
	if i := infoOf(err); i != nil {
		return i.Reason
	}
	return ""
}

func infoOf(err error) *errdetails.ErrorInfo {
	s, ok := status.FromError(err)
	if !ok {
		return nil
	}
	for _, d := range s.Details() {
		if i, ok := d.(*errdetails.ErrorInfo); ok {
			return i
		}
	}
	return nil
}

// final says whether the same bytes need not be tried again.
func final(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument:
		return infoOf(err).GetMetadata()["kind"] != "unverified"
	case codes.PermissionDenied, codes.NotFound, codes.AlreadyExists, codes.FailedPrecondition, codes.Unimplemented:
		return true
	}
	return false
}

// heard looks whether an error stops us: a hub that holds less than we know.
func (f *Follower) heard(err error) error {
	if reasonOf(err) != "LOG_AHEAD" {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stop("the hub holds less than it has shown")
}

// fault is an error of ours, with its details.
func fault(code codes.Code, kind, reason, text string) error {
	s, err := status.New(code, text).WithDetails(&errdetails.ErrorInfo{
		Domain: "postern", Reason: reason, Metadata: map[string]string{"kind": kind},
	})
	if err != nil {
		return status.Error(code, text)
	}
	return s.Err()
}
