// Package fault says what kind of failure an error is, in words fit for the person who sees it.
//
// An Error has a kind, a machine-readable reason, a public message and, for a bad input, every faulty field with its
// fix. The cause is kept for errors.Is and is never part of the public words: package rpc sends Message and Fields to
// a caller, and nothing else. Package fault guarantees that Error() is safe to show and to log; whoever puts a
// personal value into Message or a Field breaks that promise, and the canary test finds it.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind is the kind of a failure. Package rpc maps each kind to one gRPC code and package cmd to one exit code.
type Kind uint8

// The kinds.
const (
	Internal        Kind = iota // ours to mend; the public sees a reference number only
	Invalid                     // the input is wrong and says which field and how to mend it
	Unauthenticated             // we do not know the caller
	Denied                      // the caller may not do this
	NotFound                    // it is not there, or not the caller's: the two answer alike
	Exists                      // it is there already and differs
	Precondition                // the system is not in a state for this
	Exhausted                   // too much at once; RetryAfter says when to try again
	Unavailable                 // a part that is needed does not answer now
	Deadline                    // the time ran out
	Unverified                  // a signature, proof or digest does not hold
	Unimplemented               // a later version will do this
)

var kindNames = [...]string{"internal", "invalid", "unauthenticated", "denied", "not found", "exists", "precondition",
	"exhausted", "unavailable", "deadline", "unverified", "unimplemented"}

// String names the kind.
func (k Kind) String() string { return kindNames[k] }

// Field is one faulty field of an input.
type Field struct {
	Path   string `json:"path"`   // the field, such as children[1].home.postcode
	Reason string `json:"reason"` // what is wrong, without the value
	Fix    string `json:"fix"`    // what to do about it
}

// Error is a failure with public words.
type Error struct {
	Kind       Kind
	Reason     string        // machine-readable, UPPER_SNAKE_CASE, stable
	Message    string        // one sentence for the person who sees it
	Fields     []Field       // every faulty field, for Invalid
	RetryAfter time.Duration // for Exhausted and Unavailable; zero when unknown
	cause      error
}

// New makes an Error.
func New(kind Kind, reason, message string) *Error {
	return &Error{Kind: kind, Reason: reason, Message: message}
}

// Newf makes an Error with a formatted message. No argument may be a personal value.
func Newf(kind Kind, reason, format string, args ...any) *Error {
	return New(kind, reason, fmt.Sprintf(format, args...))
}

// InvalidFields makes an Invalid Error of the faulty fields, or nil when there are none.
func InvalidFields(reason, message string, fields []Field) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Reason: reason, Message: message, Fields: fields}
}

// Because returns a copy of e with a cause, which stays private.
func (e *Error) Because(cause error) *Error {
	c := *e
	c.cause = cause
	return &c
}

// Error is the public message with the faulty fields.
func (e *Error) Error() string {
	if len(e.Fields) == 0 {
		return e.Message
	}
	var b strings.Builder
	b.WriteString(e.Message)
	for _, f := range e.Fields {
		fmt.Fprintf(&b, "\n  %s: %s", f.Path, f.Reason)
		if f.Fix != "" {
			fmt.Fprintf(&b, " %s", f.Fix)
		}
	}
	return b.String()
}

// Unwrap returns the private cause.
func (e *Error) Unwrap() error { return e.cause }

// Is makes two Errors of one kind and reason equal to errors.Is.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Kind == e.Kind && t.Reason == e.Reason
}

// From returns the Error in err's chain; an error without one is Internal.
func From(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return New(Internal, "INTERNAL", "Something went wrong on our side.").Because(err)
}

// KindOf returns the kind of err.
func KindOf(err error) Kind { return From(err).Kind }
