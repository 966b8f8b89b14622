// Package policy holds the sharing policy that is built into the program: Rego rules, their settings, the schema of
// the input they read, their tests and their cases.
//
// It guarantees nothing but the bytes: package engine compiles, checks and runs them. A bundle on disk has the same
// layout and replaces this one whole:
//
//	data.json               settings, law dates, bank holidays
//	postern/sharing/*.rego  the rules, one file a subject, each with its *_test.rego beside it
//	cases/*.yaml            one story a file: what differs from an input in cases/start, and what must be decided
//
// schema/input.json describes the input that this program makes, so it belongs to the program and not to a bundle:
// every bundle is compiled against the schema built in here, and a misspelt input path compiles nowhere.
package policy

import "embed"

// Bundle is the built-in bundle, with data.json at its root.
//
//go:embed data.json postern cases
var Bundle embed.FS

// InputSchema is the JSON schema of the input.
//
//go:embed schema/input.json
var InputSchema string
