package testkit

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Edit is one place where a build differs from the program: lines that stand once in a file, and what stands there
// instead. A file that the program does not have has no lines to begin with, and is what stands there whole.
type Edit struct{ File, Right, Wrong string }

// Overlay writes the files that the edits make into dir, and returns the path of an overlay for the go command that names
// them. The files of the edits are relative to root, the folder of the module. what is called in a failure what the edits
// make, such as the page they stand on.
func Overlay(t testing.TB, root, dir, what string, edits []Edit) string {
	t.Helper()
	files := map[string]string{}
	for _, e := range edits {
		path := value(filepath.Abs(filepath.Join(root, e.File)))(t)
		if e.Right == "" {
			files[path] = e.Wrong
			continue
		}
		if _, ok := files[path]; !ok {
			files[path] = string(value(os.ReadFile(path))(t))
		}
		if n := strings.Count(files[path], e.Right); n != 1 {
			t.Fatalf("%s: its right lines stand %d times in %s. Whoever changed them makes it again with the new ones:\n%s", what, n, e.File, e.Right)
		}
		files[path] = strings.Replace(files[path], e.Right, e.Wrong, 1)
	}
	replace := map[string]string{}
	for path, content := range files {
		replace[path] = filepath.Join(dir, fmt.Sprintf("%d.go", len(replace)))
		must(t, os.WriteFile(replace[path], []byte(content), 0o600))
	}
	overlay := filepath.Join(dir, "overlay.json")
	must(t, os.WriteFile(overlay, value(json.Marshal(map[string]any{"Replace": replace}))(t), 0o600))
	return overlay
}
