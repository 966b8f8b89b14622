package schema_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"testing"

	"postern/internal/schema"
	"postern/internal/store"
)

func TestEachKeyspaceIsInItsDatabaseOnce(t *testing.T) {
	owner := map[store.Keyspace]string{}
	for _, db := range []schema.Database{schema.Hub, schema.Desk, schema.Inbox} {
		if db.Version == 0 {
			t.Errorf("%s: versions start at 1", db.Name)
		}
		if db.Oldest > db.Version {
			t.Errorf("%s: no version is as new as the oldest it reads", db.Name)
		}
		for _, ks := range db.Keyspaces {
			if other, taken := owner[ks]; taken {
				t.Errorf("%s is in %s and in %s", ks, other, db.Name)
			}
			owner[ks] = db.Name
			if !strings.HasPrefix(string(ks), db.Name+"_") {
				t.Errorf("%s is in database %s, whose name it does not start with", ks, db.Name)
			}
		}
		for _, ks := range db.Appended {
			if !slices.Contains(db.Keyspaces, ks) {
				t.Errorf("%s: appended keyspace %s is not one of its keyspaces", db.Name, ks)
			}
		}
	}
	for name, value := range declared(t) {
		if _, ok := owner[value]; !ok {
			t.Errorf("constant %s is in no database", name)
		}
	}
}

// declared reads the constants from the source, so that a keyspace cannot be named and then forgotten; each must have
// a comment that says its key and value.
func declared(t *testing.T) map[string]store.Keyspace {
	t.Helper()
	keyspaces := map[string]store.Keyspace{}
	set := token.NewFileSet()
	for _, file := range []string{"hub.go", "desk.go", "inbox.go"} {
		parsed, err := parser.ParseFile(set, file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(parsed, func(n ast.Node) bool {
			spec, ok := n.(*ast.ValueSpec)
			if !ok || len(spec.Values) != 1 {
				return true
			}
			literal, ok := spec.Values[0].(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			value, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			keyspaces[spec.Names[0].Name] = store.Keyspace(value)
			if !strings.Contains(spec.Comment.Text(), "→") {
				t.Errorf("%s does not say key → value", spec.Names[0].Name)
			}
			return true
		})
	}
	if len(keyspaces) == 0 {
		t.Fatal(fs.ErrNotExist)
	}
	return keyspaces
}
