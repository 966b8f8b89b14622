package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// Whatever is typed stands where every user of the machine can read it, the number of a person in a longer name too.
func TestNoPrisonNumberIsInTheNameOfACopy(t *testing.T) {
	for _, name := range []string{"A1234BC", "a1234bc", "copy-A1234BC", "copy_a1234bc.d", "A1234BC/copy"} {
		if _, err := newFolder(filepath.Join("..", name)); err == nil || !strings.Contains(err.Error(), "standard input") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := newFolder(filepath.Join(t.TempDir(), "request-2026-117")); err != nil {
		t.Error(err)
	}
}
