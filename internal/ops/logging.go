package ops

import (
	"context"
	"fmt"
	"log/slog"
	"time"
)

// Guarded is a handler through which only references pass: words, numbers, moments, and errors in their own words. Of
// anything else that somebody gives to a logger, such as a message, a record or bytes, it writes the kind and not what is
// in it: a message of ours prints every name in it. A type that is to be read in a log line says how (slog.LogValuer), and
// says no more than which one it is.
//
// Times pass to the millisecond and durations as people read them, to the microsecond. Digits that mean nothing would now
// and then look like somebody's birth date.
func Guarded(h slog.Handler) slog.Handler { return guard{h} }

type guard struct{ slog.Handler }

// Handle implements slog.Handler.
func (g guard) Handle(ctx context.Context, r slog.Record) error {
	clean := slog.NewRecord(r.Time.Truncate(time.Millisecond), r.Level, r.Message, r.PC)
	attrs := make([]slog.Attr, 0, 8) // most lines have fewer
	r.Attrs(func(a slog.Attr) bool {
		attrs = append(attrs, reference(a))
		return true
	})
	clean.AddAttrs(attrs...)
	return g.Handler.Handle(ctx, clean)
}

// WithAttrs implements slog.Handler.
func (g guard) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = reference(a)
	}
	return guard{g.Handler.WithAttrs(clean)}
}

// WithGroup implements slog.Handler.
func (g guard) WithGroup(name string) slog.Handler { return guard{g.Handler.WithGroup(name)} }

func reference(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	switch v.Kind() {
	case slog.KindTime:
		v = slog.TimeValue(v.Time().Truncate(time.Millisecond))
	case slog.KindDuration:
		v = slog.StringValue(v.Duration().Round(time.Microsecond).String())
	case slog.KindGroup:
		var inner []slog.Attr
		for _, of := range v.Group() {
			inner = append(inner, reference(of))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(inner...)}
	case slog.KindAny:
		switch any := v.Any().(type) {
		case nil, error:
		default:
			v = slog.StringValue(fmt.Sprintf("(%T)", any))
		}
	}
	return slog.Attr{Key: a.Key, Value: v}
}
