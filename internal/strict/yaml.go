package strict

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML returns the tree of a YAML document, or nil when it is empty or cannot be read at all.
func parseYAML(data []byte, found *problems) (root *node) {
	if !readable(data, found) {
		return nil
	}
	defer func() {
		// The document is a stranger's and the parser large: what makes it panic is one more problem of the document.
		if r := recover(); r != nil {
			found.add(position{}, "", "cannot be read as YAML", "Look for unusual syntax and write it more simply.")
			root = nil
		}
	}()
	// Keys given twice are for the decoder, which reports them all.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) {
			found.add(place(syntax.GetToken()), "", "cannot be read as YAML here: "+syntax.GetMessage(), "Check the indentation, quotes and brackets.")
		} else {
			found.add(position{}, "", "cannot be read as YAML", "Check the indentation, quotes and brackets.")
		}
		return nil
	}
	t := yamlTree{problems: found}
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if root != nil {
			found.add(place(doc.Body.GetToken()), "", "is followed by a second one", "Keep one document in a file.")
			break
		}
		if root = t.node(doc.Body, "", 0); root.kind == refused {
			break // such as a directive, which the parser counts as a document
		}
	}
	return root
}

// readable makes the checks that are the same for both formats.
func readable(data []byte, found *problems) bool {
	if len(data) > maxSize {
		found.add(position{}, "", fmt.Sprintf("is longer than %d bytes", maxSize), "Divide it or make it smaller.")
		return false
	}
	if !utf8.Valid(data) {
		found.add(position{}, "", "is not text in UTF-8", "Save it as UTF-8.")
		return false
	}
	return true
}

func place(t *token.Token) position {
	if t == nil || t.Position == nil {
		return position{}
	}
	return position{t.Position.Line, t.Position.Column}
}

// yamlTree makes nodes of the parser's.
type yamlTree struct{ *problems }

func (t yamlTree) node(n ast.Node, path string, depth int) *node {
	out := &node{kind: refused, at: place(n.GetToken())}
	if depth > maxDepth {
		t.add(out.at, path, fmt.Sprintf("is nested deeper than %d levels", maxDepth), "Make it flatter.")
		return out
	}
	if kind, text, ok := yamlScalar(n); ok {
		out.kind, out.text = kind, text
		return out
	}
	switch n := n.(type) {
	case *ast.MappingNode:
		out.kind = object
		for _, v := range n.Values {
			t.entry(out, v, path, depth)
		}
		if len(out.entries) > 0 && !n.IsFlowStyle {
			out.at = out.entries[0].at // the parser's own is the first colon
		}
	case *ast.MappingValueNode:
		out.kind = object
		t.entry(out, n, path, depth)
	case *ast.SequenceNode:
		out.kind = list
		for i, v := range n.Values {
			out.items = append(out.items, t.node(v, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
	case *ast.AnchorNode, *ast.AliasNode:
		t.add(out.at, path, "is an anchor or an alias", "Write the value out.")
	case *ast.TagNode:
		t.add(out.at, path, "has a tag", "Write the value without the tag.")
	case *ast.DirectiveNode:
		t.add(out.at, path, "starts with a directive", "Leave the line that starts with % out.")
	default:
		t.add(out.at, path, "uses YAML that is not accepted", "Write it as plain keys and values.")
	}
	return out
}

func (t yamlTree) entry(object *node, v *ast.MappingValueNode, path string, depth int) {
	at := place(v.Key.GetToken())
	if v.Key.IsMergeKey() {
		t.add(at, path, "has a merge key (<<)", "Write the fields out.")
		return
	}
	kind, key, ok := yamlScalar(v.Key)
	if !ok || kind == null {
		t.add(at, path, "has a key that is not a word", "Use a plain word as the key.")
		return
	}
	object.entries = append(object.entries, entry{key: key, at: at, node: t.node(v.Value, join(path, key), depth+1)})
}

// yamlScalar returns a scalar as it is written, or false for anything else.
func yamlScalar(n ast.Node) (kind, string, bool) {
	switch n := n.(type) {
	case *ast.NullNode:
		return null, "", true
	case *ast.StringNode:
		if n.Token.Type == token.SingleQuoteType || n.Token.Type == token.DoubleQuoteType {
			return quoted, n.Value, true
		}
		return plain, n.Value, true
	case *ast.LiteralNode:
		return quoted, n.Value.Value, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return plain, n.GetToken().Value, true
	}
	return 0, "", false
}
