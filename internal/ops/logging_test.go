package ops_test

import (
	"bytes"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"postern/internal/ops"
	posternv1 "postern/proto/postern/v1"
)

// named is a type that says in a log line which one it is.
type named struct{ secret string }

// LogValue implements slog.LogValuer.
func (named) LogValue() slog.Value { return slog.StringValue("named-7") }

// Whatever is given to a logger, and however: nothing that is in a message, a record or bytes is written, at any level.
func TestOnlyReferencesAreLogged(t *testing.T) {
	const canary = "Quivermoth"
	form := &posternv1.Form{FormId: canary, PrisonNumber: canary, Parent: &posternv1.Parent{Name: &posternv1.ParentName{GivenName: canary}}}
	values := map[string]any{
		"form": form, "section": form.GetParent().GetName(), "facts": &posternv1.FactsBlock{Salt: []byte(canary)}, "by value": struct{ Name string }{canary},
		"map": map[string]string{canary: canary}, "list": []string{canary}, "bytes": []byte(canary), "pointer": &struct{ Name string }{canary},
		"function": func() string { return canary }, "stringer": stringer(canary), "nested": []any{form},
	}
	for name, json := range map[string]bool{"text": false, "json": true} {
		var out bytes.Buffer
		var h slog.Handler = slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
		if json {
			h = slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug})
		}
		log := slog.New(ops.Guarded(h))
		for what, v := range values {
			log.Debug("line", what, v)
			log.Error("line", slog.Group("g", slog.Any(what, v)))
			log.With(what, v).Info("line")
			log.WithGroup("w").With(slog.Group("g", slog.Any(what, v))).Warn("line", what, v)
		}
		if strings.Contains(out.String(), canary) || strings.Contains(out.String(), "Quiverm") {
			t.Errorf("%s: a value is written:\n%s", name, out.String())
		}
		if n := strings.Count(out.String(), "\n"); n != 4*len(values) {
			t.Errorf("%s: %d lines", name, n)
		}
		out.Reset()
		log.Info("line", "number", 7, "word", "BUSY", "error", errors.New("disk full"), "party", named{canary})
		for _, want := range []string{"7", "BUSY", "disk full", "named-7"} {
			if !strings.Contains(out.String(), want) {
				t.Errorf("%s: %q is not in %s", name, want, out.String())
			}
		}
	}
	// The control: without the guard the same line holds it.
	var out bytes.Buffer
	slog.New(slog.NewTextHandler(&out, nil)).Info("line", "form", form)
	if !strings.Contains(out.String(), canary) {
		t.Error("an ordinary handler writes no message, so this proves nothing")
	}
}

type stringer string

func (s stringer) String() string { return string(s) }
