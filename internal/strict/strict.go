// Package strict reads YAML and JSON into Go values and accepts nothing that it does not understand.
//
// It guarantees: an unknown field, a field given twice, a value of another kind and every other problem is an error,
// all of one document are reported at once, each with its path, its line and column and what to do, and never with the
// value itself. What is accepted means one thing only: anchors, aliases, merge keys, tags and a second document are
// refused in YAML; a string takes the text as it is written, so that no, 1.10 and 01632 stay what they are.
//
// It does not say what is missing: that, and whether a value makes sense, is for whoever knows the meaning.
//
// # Values
//
// A struct takes an object; its fields are named by a yaml tag, else a json tag, else their lower-case name, and an
// embedded struct without a name lends its fields. Further: pointers, slices, maps with string keys, strings, bools,
// numbers, []byte (base64), time.Duration ("250ms"), encoding.TextUnmarshaler, and any. A field that is absent or null
// keeps what it had, so defaults go in before. Any other Go type is a mistake in the program and panics.
package strict

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"

	"postern/internal/fault"
)

const (
	maxSize   = 4 << 20 // bytes of a document
	maxDepth  = 64      // levels of nesting
	maxFaults = 100     // reported at once
	whole     = "document"
)

// YAML reads one YAML document into the value that v points to. An empty document changes nothing.
//
// Error: fault.Invalid BAD_DOCUMENT with every problem; v is then not to be used.
func YAML(data []byte, v any) error { return read("document", data, v, parseYAML, true) }

// JSON is YAML for JSON.
func JSON(data []byte, v any) error { return read("document", data, v, parseJSON, false) }

// YAMLFile is YAML for a file, whose name goes into the message.
//
// Further errors: fault.NotFound NO_FILE and fault.Precondition FILE_UNREADABLE.
func YAMLFile(path string, v any) error {
	data, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fault.Newf(fault.NotFound, "NO_FILE", "There is no file %s. Check the path.", path).Because(err)
	case err != nil:
		return fault.Newf(fault.Precondition, "FILE_UNREADABLE", "The file %s cannot be read. Check its owner and mode.", path).Because(err)
	}
	return read("file "+filepath.Base(path), data, v, parseYAML, true)
}

// read parses a document into a tree and the tree into v.
func read(name string, data []byte, v any, parse func([]byte, *problems) *node, plainIsText bool) error {
	target := reflect.ValueOf(v)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		panic(fmt.Sprintf("strict: reading into a %T, which is not a pointer to a value", v))
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // the byte order mark that some editors begin a file with
	found := &problems{}
	if root := parse(data, found); root != nil {
		d := decoder{problems: found, plainIsText: plainIsText}
		d.value(root, target.Elem(), "")
	}
	count := "1 problem"
	if n := len(found.fields); n != 1 {
		count = fmt.Sprintf("%d problems", n)
	}
	if found.more {
		count = "more than " + count
	}
	return fault.InvalidFields("BAD_DOCUMENT", fmt.Sprintf("The %s has %s.", name, count), found.fields)
}

// problems collects what is wrong with a document.
type problems struct {
	fields []fault.Field
	more   bool // than are in fields
}

// add notes a problem at a place. A path is made of names from the document; reason and fix never hold a value.
func (p *problems) add(at position, path, reason, fix string) {
	if len(p.fields) == maxFaults {
		p.more = true
		return
	}
	if path == "" {
		path = whole
	}
	if at.line > 0 {
		reason = fmt.Sprintf("%s (line %d, column %d).", reason, at.line, at.column)
	} else {
		reason += "."
	}
	p.fields = append(p.fields, fault.Field{Path: path, Reason: reason, Fix: fix})
}

// position is a place in a document, both from 1; line 0 is no place.
type position struct{ line, column int }

// node is a value of a document, the same for YAML and JSON.
type node struct {
	kind    kind
	at      position
	text    string  // of a scalar
	entries []entry // of an object, in the document's order
	items   []*node // of a list
}

type entry struct {
	key string
	at  position
	*node
}

type kind uint8

const (
	null   kind = iota
	plain       // a scalar without quotes: true, 12, and in YAML text
	quoted      // a scalar that can only be text
	object
	list
	refused // already reported
)

// join is the path of a field of the value at path.
func join(path, key string) string {
	const longest = 64
	if len(key) > longest {
		key = key[:longest] + "…"
	}
	for _, c := range key {
		if c < '!' || c == '.' || c > '~' {
			key = fmt.Sprintf("%+q", key) // one readable word, whatever the document holds
			break
		}
	}
	if path == "" {
		return key
	}
	return path + "." + key
}
