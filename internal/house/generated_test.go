package house

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestGeneratedCodeIsFresh generates again, with the committed template and the pinned tools, and compares bytes.
func TestGeneratedCodeIsFresh(t *testing.T) {
	dir := t.TempDir()
	cmd := exec.Command("go", "tool", "-modfile=tools/go.mod", "buf", "generate", "-o", dir)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("buf generate: %v\n%s", err, out)
	}
	committed := map[string]string{}
	for _, f := range repository(t) {
		if f.generated {
			committed[f.path] = f.text
		}
	}
	for _, finding := range stale(committed, readAll(t, dir)) {
		t.Errorf("%s\n\twhy: go build needs no tool, so what is committed must be what the .proto files say; run make proto", finding)
	}
}

func TestStaleGeneratedCodeIsReported(t *testing.T) {
	fresh := map[string]string{"a.pb.go": "1", "b.pb.go": "2"}
	for what, c := range map[string]struct {
		committed map[string]string
		want      string
	}{
		"fresh":        {map[string]string{"a.pb.go": "1", "b.pb.go": "2"}, ""},
		"one byte":     {map[string]string{"a.pb.go": "1", "b.pb.go": "3"}, "b.pb.go differs"},
		"missing":      {map[string]string{"a.pb.go": "1"}, "b.pb.go is missing"},
		"nobody's own": {map[string]string{"a.pb.go": "1", "b.pb.go": "2", "c.pb.go": "3"}, "c.pb.go comes from no .proto file"},
	} {
		t.Run(what, func(t *testing.T) { expect(t, stale(c.committed, fresh), c.want) })
	}
}

// stale compares generated files as committed with the same generated now.
func stale(committed, fresh map[string]string) []string {
	var findings []string
	for _, p := range slices.Sorted(maps.Keys(fresh)) {
		if text, ok := committed[p]; !ok {
			findings = append(findings, p+" is missing")
		} else if text != fresh[p] {
			findings = append(findings, p+" differs")
		}
	}
	for _, p := range slices.Sorted(maps.Keys(committed)) {
		if _, ok := fresh[p]; !ok {
			findings = append(findings, p+" comes from no .proto file")
		}
	}
	return findings
}

// readAll reads every file below dir, by its path from there.
func readAll(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(p)
		files[filepath.ToSlash(strings.TrimPrefix(p, dir+string(filepath.Separator)))] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}
