package engine

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"

	"postern/internal/fault"
)

// file is one file of a bundle.
type file struct {
	path string
	data []byte
}

func (f file) rego() bool { return strings.HasSuffix(f.path, ".rego") }
func (f file) test() bool { return strings.HasSuffix(f.path, "_test.rego") }

// decides reports whether the file is data or a rule, and no test or case.
func (f file) decides() bool { return f.path == "data.json" || f.rego() && !f.test() }

// A bundle is what decides, sorted by path, and its tests. Settings and rules decide; tests and cases do not, so they
// are no part of the revision and a new test changes no decision's.
type bundle struct {
	files []file // data.json and every rule
	tests []file // *_test.rego
}

// readBundle reads data.json at the root and every .rego file below it. Other files are left alone.
func readBundle(source fs.FS) (*bundle, error) {
	b := &bundle{}
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		f := file{path: path.Clean(name)}
		if err != nil || entry.IsDir() || (!f.rego() && f.path != "data.json") {
			return err
		}
		if f.data, err = fs.ReadFile(source, name); err != nil {
			return err
		}
		if f.test() {
			b.tests = append(b.tests, f)
		} else {
			b.files = append(b.files, f)
		}
		return nil
	})
	if err != nil {
		return nil, unreadable(err)
	}
	slices.SortFunc(b.files, func(x, y file) int { return strings.Compare(x.path, y.path) })
	return b, nil
}

// revision is the hex SHA-256 over what decides: for each file by path, the path, a zero byte, the length in eight
// bytes and the content. No two bundles that differ in a rule or a setting share one.
func (b *bundle) revision() string {
	h := sha256.New()
	for _, f := range b.files {
		h.Write(append([]byte(f.path), 0))
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(f.data))))
		h.Write(f.data)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// data is the content of data.json.
func (b *bundle) data() (map[string]any, error) {
	i := slices.IndexFunc(b.files, func(f file) bool { return f.path == "data.json" })
	if i < 0 {
		return nil, faulty("data.json is missing.")
	}
	d := json.NewDecoder(bytes.NewReader(b.files[i].data))
	d.UseNumber()
	var out map[string]any
	if err := d.Decode(&out); err != nil {
		return nil, faulty("data.json is not JSON.").Because(err)
	}
	return out, nil
}

// modules parses rules or tests with their annotations, which are the reasons of decisions.
func modules(files []file) (map[string]*ast.Module, error) {
	out := map[string]*ast.Module{}
	for _, f := range files {
		if !f.rego() {
			continue
		}
		m, err := ast.ParseModuleWithOpts(f.path, string(f.data), parserOptions())
		if err != nil {
			return nil, faulty(err.Error()).Because(err)
		}
		out[f.path] = m
	}
	return out, nil
}

// Revision is the revision of the bundle in source: the hex SHA-256 over the files that decide.
func Revision(source fs.FS) (string, error) {
	b, err := readBundle(source)
	if err != nil {
		return "", err
	}
	return b.revision(), nil
}

// tarOf is files as a tar archive, the same bytes for the same files.
func tarOf(files []file) ([]byte, error) {
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, f := range files {
		header := &tar.Header{Name: f.path, Size: int64(len(f.data)), Mode: 0o644, Typeflag: tar.TypeReg, Format: tar.FormatUSTAR}
		if err := w.WriteHeader(header); err != nil {
			return nil, faulty("A file name is too long for an archive.").Because(err)
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// faulty is a bundle that must not decide. A bundle holds rules and no personal value, so its faults may be quoted.
func faulty(what string) *fault.Error {
	return fault.Newf(fault.Invalid, "POLICY_FAULTY", "The sharing policy is not fit for use: %s", what)
}
