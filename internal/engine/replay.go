package engine

import (
	"context"
	"log/slog"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// ForReplay compiles a bundle as a hub serves it, or as Pack makes it, to decide again what was decided: with patience,
// and from no memory.
func ForReplay(ctx context.Context, archive []byte) (*Engine, error) {
	source, err := Unpack(archive)
	if err != nil {
		return nil, err
	}
	return New(ctx, Config{Bundle: source, Timeout: sampleTimeout, Log: slog.New(slog.DiscardHandler)})
}

// Replay decides a stored Input again, and says in which lines that is another decision than was; none when it is the same
// to the word. By which rules and which program it was made is no difference.
func (e *Engine) Replay(ctx context.Context, input []byte, was *posternv1.Decision) ([]string, error) {
	in, same, err := readInput(input)
	if err != nil {
		return nil, fault.New(fault.Unverified, "BAD_INPUT", "What a decision rests on cannot be read, so that it cannot be made again.").Because(err)
	}
	var leaves places
	if !same || e.memory != nil {
		input, leaves = in.written()
	}
	is := e.decide(ctx, in, input, leaves)
	is.PolicyRevision, is.EngineVersion = was.GetPolicyRevision(), was.GetEngineVersion()
	if proto.Equal(was, is) {
		return nil, nil
	}
	lines := changes(was, is)
	if len(lines) == 0 {
		lines = []string{"what is said of a reason, or a moment within its minute"}
	}
	return lines, nil
}

// Undecided reports whether a decision says that the policy could not decide, and a person must.
func Undecided(d *posternv1.Decision) bool {
	for _, r := range d.GetReasons() {
		if r.GetRuleId() == policyErrorRule {
			return true
		}
	}
	return false
}
