package engine

import (
	"context"
	"encoding/json"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"

	"postern/policy"
)

// query is the one thing the engine asks a bundle.
const query = "data.postern.sharing.decision"

// allowed is every built-in a bundle may call: pure functions of their arguments, without network, clock, randomness
// or environment. A list of what is allowed, since a list of what is forbidden grows stale with the next OPA. The
// regular expressions are Go's, which cannot run away.
var allowed = map[string]bool{
	"eq": true, "neq": true, "lt": true, "lte": true, "gt": true, "gte": true, "equal": true, "assign": true,
	"plus": true, "minus": true, "mul": true, "div": true, "rem": true, "abs": true, "round": true, "ceil": true, "floor": true,
	"and": true, "or": true, "intersection": true, "union": true,
	"count": true, "sum": true, "product": true, "max": true, "min": true, "sort": true, "numbers.range": true,
	"array.concat": true, "array.slice": true, "array.reverse": true, "array.flatten": true,
	"internal.member_2": true, "internal.member_3": true, "internal.print": true, "internal.test_case": true,
	"internal.template_string": true,
	"object.get":               true, "object.keys": true, "object.filter": true, "object.remove": true, "object.union": true,
	"object.union_n": true, "object.subset": true, "json.patch": true, "walk": true,
	"concat": true, "contains": true, "endswith": true, "startswith": true, "format_int": true, "indexof": true,
	"lower": true, "upper": true, "replace": true, "split": true, "sprintf": true, "substring": true, "to_number": true,
	"trim": true, "trim_left": true, "trim_prefix": true, "trim_right": true, "trim_space": true, "trim_suffix": true,
	"regex.match": true, "is_array": true, "is_boolean": true, "is_null": true, "is_number": true, "is_object": true,
	"is_set": true, "is_string": true, "type_name": true,
	"time.add_date": true, "time.clock": true, "time.date": true, "time.diff": true, "time.format": true,
	"time.parse_ns": true, "time.parse_rfc3339_ns": true, "time.weekday": true,
	"rego.metadata.rule": true, "rego.metadata.chain": true,
}

// capabilities are what a bundle may use of Rego: the language of this version and the allowed built-ins.
func capabilities() *ast.Capabilities {
	c := ast.CapabilitiesForThisVersion()
	var keep []*ast.Builtin
	for _, b := range c.Builtins {
		if allowed[b.Name] {
			keep = append(keep, b)
		}
	}
	c.Builtins = keep
	c.AllowNet = []string{}
	return c
}

func parserOptions() ast.ParserOptions {
	return ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: capabilities()}
}

// compiler returns a strict compiler that knows the shape of the input: a misspelt input path does not compile.
func compiler() (*ast.Compiler, error) {
	var schema any
	if err := json.Unmarshal([]byte(policy.InputSchema), &schema); err != nil {
		return nil, err
	}
	schemas := ast.NewSchemaSet()
	schemas.Put(ast.SchemaRootRef, schema)
	return ast.NewCompiler().WithStrict(true).WithCapabilities(capabilities()).WithSchemas(schemas), nil
}

// store holds the bundle's data, kept as the evaluator wants it.
func (b *bundle) store() (storage.Store, error) {
	data, err := b.data()
	if err != nil {
		return nil, err
	}
	return inmem.NewFromObjectWithOpts(data, inmem.OptReturnASTValuesOnRead(true)), nil
}

// prepare compiles the bundle and prepares the query. Without partial evaluation, which would lose the annotations.
func (b *bundle) prepare(ctx context.Context) (*rego.PreparedEvalQuery, error) {
	parsed, err := modules(b.files)
	if err != nil {
		return nil, err
	}
	c, err := compiler()
	if err != nil {
		return nil, err
	}
	if c.Compile(parsed); c.Failed() {
		return nil, faulty(c.Errors.Error()).Because(c.Errors)
	}
	store, err := b.store()
	if err != nil {
		return nil, err
	}
	prepared, err := rego.New(
		rego.Query(query), rego.Compiler(c), rego.Store(store), rego.StrictBuiltinErrors(true), rego.Strict(true),
	).PrepareForEval(ctx)
	if err != nil {
		return nil, faulty(err.Error()).Because(err)
	}
	return &prepared, nil
}
