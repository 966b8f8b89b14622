// Package engine asks the sharing policy for a decision, and is the only package that knows OPA.
//
// Decide is a pure function of an Input and a bundle: no clock, no network, no randomness reaches a rule, and the same
// Input is decided the same for ever. It never errs. Whatever the policy cannot decide, in time and in the one shape
// that is asked for, is REFER_TO_PERSON with the rule id `policy_error` for every child. Two locks written in Go stand
// behind the policy: no section goes beyond the authority to share, nor by permission beyond the data-sharing agreement,
// whatever a bundle says. And no failure loses sight of a child who may be alone: the telephone call stays an obligation.
//
// A bundle is compiled strictly, against the schema of the input, with an allow-list of built-ins, and must decide
// sample inputs before it is used. The engine does not verify who signed a bundle: that is done before it gets here.
package engine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/topdown"
	"github.com/open-policy-agent/opa/v1/version"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/policy"
	posternv1 "postern/proto/postern/v1"
)

// Config says which policy decides and how.
type Config struct {
	Bundle  fs.FS         // the bundle, with data.json at its root; the built-in one when nil
	Timeout time.Duration // for a decision; one that takes longer is tried once more with ten times as much; 50 ms when zero
	Log     *slog.Logger  // where policy errors are told; slog.Default() when nil
	// Remember lets Decide answer from memory what it was asked before, where the bundle allows that (moments.go). It is
	// for a hub under load; whoever replays decisions leaves it out.
	Remember bool
}

// Engine decides with one bundle. It is safe for concurrent use.
type Engine struct {
	query    *rego.PreparedEvalQuery
	revision string
	archive  []byte // the files that decide
	version  string
	timeout  time.Duration
	log      *slog.Logger
	remember bool
	memory   *memory // nil when nothing is remembered
}

// New compiles a bundle and tries it on sample inputs; a bundle that errs on any is refused (fault.Invalid,
// POLICY_FAULTY). It does not run the bundle's tests: Test does.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	e, err := load(ctx, cfg)
	if err != nil {
		return nil, err
	}
	if err := e.try(); err != nil {
		return nil, err
	}
	return e, nil
}

// load compiles a bundle without trying it.
func load(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Bundle == nil {
		cfg.Bundle = policy.Bundle
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 50 * time.Millisecond
	}
	if cfg.Log == nil {
		cfg.Log = slog.Default()
	}
	b, err := readBundle(cfg.Bundle)
	if err != nil {
		return nil, err
	}
	prepared, err := b.prepare(ctx)
	if err != nil {
		return nil, err
	}
	archive, err := tarOf(b.files)
	if err != nil {
		return nil, err
	}
	e := &Engine{query: prepared, revision: b.revision(), archive: archive, version: engineVersion(), timeout: cfg.Timeout, log: cfg.Log, remember: cfg.Remember}
	if cfg.Remember {
		e.memory = newMemory(b)
	}
	return e, nil
}

// try decides the sample inputs.
func (e *Engine) try() error {
	for name, in := range samples() {
		if _, err := e.evaluate(in, in.value(), sampleTimeout); err != nil {
			return faulty(fmt.Sprintf("it cannot decide the sample input %q: %v", name, err)).Because(err)
		}
	}
	return nil
}

// Revision is the revision of the bundle: the hex SHA-256 of the files that decide.
func (e *Engine) Revision() string { return e.revision }

// Archive is the files that decide as a tar, the same bytes for the same revision: what is kept so that a decision can
// be replayed with the rules it was made by.
func (e *Engine) Archive() []byte { return e.archive }

// For is an engine for another bundle, and otherwise like this one.
func (e *Engine) For(ctx context.Context, source fs.FS) (*Engine, error) {
	return New(ctx, Config{Bundle: source, Timeout: e.timeout, Log: e.log, Remember: e.remember})
}

// Refusing stands in for a bundle that cannot be used any more: it refers everything to a person, in its name.
func (e *Engine) Refusing(revision string) *Engine {
	return &Engine{revision: revision, version: e.version, timeout: e.timeout, log: e.log}
}

// Refuses reports whether the engine refers everything to a person for want of a policy.
func (e *Engine) Refuses() bool { return e.query == nil }

// Version names the evaluator and this program, such as "opa/1.22.2 postern/devel": what must be the same for a
// replay to mean something.
func (e *Engine) Version() string { return e.version }

func engineVersion() string {
	program := "devel"
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		program = info.Main.Version
	}
	return "opa/" + version.Version + " postern/" + program
}

// Decide returns the decision and the Input as JSON, exactly as it was evaluated. It always returns a decision, and
// never takes long: but the end of ctx does not cut it short, since a caller who hangs up must not turn a decision into
// a refusal.
func (e *Engine) Decide(ctx context.Context, in *Input) (*posternv1.Decision, []byte) {
	verbatim, leaves := in.written()
	return e.decide(ctx, in, verbatim, leaves), verbatim
}

// decide decides an Input that is written down as verbatim.
func (e *Engine) decide(ctx context.Context, in *Input, verbatim []byte, leaves places) *posternv1.Decision {
	d, err := e.answer(ctx, in, verbatim, leaves)
	if err != nil {
		// Rules read facts only, so what went wrong holds no name; it may hold pseudonymous facts and stays in the log.
		e.log.ErrorContext(ctx, "policy error: referred to a person", "policy_revision", e.revision, "error", err)
		d = undecided(in, undecidedText)
	}
	if cut := lock(in, d); len(cut) > 0 {
		e.log.ErrorContext(ctx, "policy error: the policy released more than it may", "policy_revision", e.revision, "paths", len(cut))
	}
	phone(in, d)
	if d.GetOutcome() == posternv1.Outcome_OUTCOME_WITHHOLD {
		d.FirstNotificationId = in.FirstNotification
	}
	d.PolicyRevision, d.EngineVersion = e.revision, e.version
	if now, err := time.Parse(time.RFC3339, in.Now); err == nil {
		d.DecideTime = timestamppb.New(now)
	}
	return d
}

// answer is what the policy says, from memory or afresh.
func (e *Engine) answer(ctx context.Context, in *Input, verbatim []byte, leaves places) (*posternv1.Decision, error) {
	var known *posternv1.Decision
	if q, at, ok := e.memory.question(in, verbatim, leaves); ok {
		if known = e.memory.recall(q, at); known == nil {
			if known = e.timeless(in, verbatim, leaves); known != nil {
				e.memory.learn(q, at, known)
			}
		}
		if known != nil && !e.memory.sampled() {
			return known, nil
		}
	}
	d, err := e.evaluateWritten(in, verbatim, e.timeout)
	if errors.Is(err, errTimeout) { // a machine that stalls looks like a rule that loops: once more, with patience
		d, err = e.evaluateWritten(in, verbatim, 10*e.timeout)
	}
	if known != nil && !errors.Is(err, errTimeout) && (err != nil || !proto.Equal(d, known)) {
		e.memory.forget()
		e.log.ErrorContext(ctx, "policy error: a decision that was remembered is not what the policy decides; nothing is remembered any more",
			"policy_revision", e.revision)
	}
	return d, err
}

// evaluateWritten evaluates an input that is written down as verbatim: what is stored and replayed must be what was
// evaluated.
func (e *Engine) evaluateWritten(in *Input, verbatim []byte, timeout time.Duration) (*posternv1.Decision, error) {
	value := in.value()
	if !bytes.Equal(marshal(value), verbatim) {
		return nil, errors.New("engine: the input as it is written down is not the input as it is evaluated")
	}
	return e.evaluate(in, value, timeout)
}

// sampleTimeout is for the samples and the tests of a bundle, which are about sense and not speed.
const sampleTimeout = 5 * time.Second

var errTimeout = errors.New("engine: no decision in time")

// evaluate runs the policy. Every way in which it can fail to answer is an error.
func (e *Engine) evaluate(in *Input, value ast.Value, timeout time.Duration) (d *posternv1.Decision, err error) {
	defer func() {
		if r := recover(); r != nil {
			d, err = nil, fmt.Errorf("engine: the evaluator panicked: %v", r)
		}
	}()
	cancel := topdown.NewCancel()
	timer := time.AfterFunc(timeout, cancel.Cancel)
	defer timer.Stop()
	if e.query == nil {
		return nil, errors.New("engine: there is no policy that can decide")
	}
	results, err := e.query.Eval(context.Background(),
		rego.EvalParsedInput(value), rego.EvalSortSets(true), rego.EvalExternalCancel(cancel),
		rego.EvalGenerateJSON(func(t *ast.Term, _ *rego.EvalContext) (any, error) { return t.Value, nil }))
	switch {
	case topdown.IsCancel(err):
		return nil, errTimeout
	case err != nil:
		return nil, err
	case len(results) != 1 || len(results[0].Expressions) != 1:
		return nil, errors.New("engine: the decision is undefined")
	}
	answer, ok := results[0].Expressions[0].Value.(ast.Value)
	if !ok {
		return nil, errors.New("engine: the decision has no value")
	}
	return decode(in, answer)
}

// What is said when the policy itself cannot speak; the built-in bundle's rule policy_error says the same.
const (
	undecidedText = "The sharing rules could not decide this, so nothing was sent. It needs a decision by the safeguarding lead."
	undecidedLaw  = "UK GDPR Article 25, data protection by default"
	lockedText    = "The sharing rules let go more than the authority to share and the data-sharing agreement allow. The system held it back."
)

// undecided refers every child to a person.
func undecided(in *Input, text string) *posternv1.Decision {
	d := &posternv1.Decision{
		Outcome: posternv1.Outcome_OUTCOME_REFER_TO_PERSON,
		Reasons: []*posternv1.Reason{policyError(text)},
	}
	for _, c := range in.Children {
		d.Children = append(d.Children, &posternv1.ChildDecision{
			Number: uint32(c.Number), Outcome: posternv1.Outcome_OUTCOME_REFER_TO_PERSON, Reasons: []*posternv1.Reason{policyError(text)},
			DueTime: tomorrow(in)})
	}
	d.DueTime = tomorrow(in)
	return d
}

// tomorrow is when a policy error is due: a day on, since working days are the policy's to know. nil without a now.
func tomorrow(in *Input) *timestamppb.Timestamp {
	now, err := time.Parse(time.RFC3339, in.Now)
	if err != nil {
		return nil
	}
	return timestamppb.New(now.Add(24 * time.Hour))
}

// policyErrorRule is the rule of a decision that no policy made.
const policyErrorRule = "policy_error"

func policyError(text string, paths ...string) *posternv1.Reason {
	return &posternv1.Reason{RuleId: policyErrorRule, Text: text, Law: undecidedLaw, Paths: paths}
}
