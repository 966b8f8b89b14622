package strict

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// parseJSON returns the tree of a JSON document, or nil when it cannot be read at all.
func parseJSON(data []byte, found *problems) *node {
	if !readable(data, found) {
		return nil
	}
	// The token reader below is lenient in places, so the grammar is checked first.
	var grammar json.RawMessage
	if err := json.Unmarshal(data, &grammar); err != nil {
		at := position{}
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			at = lineOf(data, int(syntax.Offset)-1)
		}
		found.add(at, "", "cannot be read as JSON here", "Check the commas, quotes and brackets.")
		return nil
	}
	t := jsonTree{problems: found, data: data, tokens: json.NewDecoder(bytes.NewReader(data))}
	t.tokens.UseNumber()
	return t.node(t.next(), "", 0)
}

// lineOf returns the place of a byte. A column is a character, as in an editor.
func lineOf(data []byte, offset int) position {
	before := data[:max(0, min(offset, len(data)))]
	return position{bytes.Count(before, []byte("\n")) + 1, utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1}
}

// jsonTree makes nodes of the tokens of a document whose grammar is right.
type jsonTree struct {
	*problems
	data   []byte
	tokens *json.Decoder
}

// jsonToken is a token and where it begins.
type jsonToken struct {
	json.Token
	at position
}

func (t jsonTree) next() jsonToken {
	offset := int(t.tokens.InputOffset())
	for offset < len(t.data) && bytes.IndexByte([]byte(" \t\r\n:,"), t.data[offset]) >= 0 {
		offset++
	}
	token, err := t.tokens.Token()
	if err != nil {
		panic("strict: the JSON was valid and is not: " + err.Error())
	}
	return jsonToken{token, lineOf(t.data, offset)}
}

func (t jsonTree) node(token jsonToken, path string, depth int) *node {
	out := &node{kind: plain, at: token.at}
	tooDeep := depth > maxDepth
	if tooDeep {
		t.add(out.at, path, fmt.Sprintf("is nested deeper than %d levels", maxDepth), "Make it flatter.")
	}
	switch value := token.Token.(type) {
	case nil:
		out.kind = null
	case bool:
		out.text = fmt.Sprint(value)
	case json.Number:
		out.text = value.String()
	case string:
		out.kind, out.text = quoted, value
	case json.Delim:
		out.kind = list
		if value == '{' {
			out.kind = object
		}
		for t.tokens.More() {
			t.element(out, path, depth)
		}
		t.next() // the closing bracket
	}
	if tooDeep {
		out.kind = refused
	}
	return out
}

func (t jsonTree) element(parent *node, path string, depth int) {
	if parent.kind == list {
		parent.items = append(parent.items, t.node(t.next(), fmt.Sprintf("%s[%d]", path, len(parent.items)), depth+1))
		return
	}
	key := t.next()
	name := key.Token.(string)
	parent.entries = append(parent.entries, entry{key: name, at: key.at, node: t.node(t.next(), join(path, name), depth+1)})
}
