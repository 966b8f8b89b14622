package directory_test

import (
	"os"
	"testing"

	"postern/internal/directory"
	"postern/internal/fault"
)

// FuzzParseYAML: any text is a directory without faults, or every fault of it is told with its place and what to do.
func FuzzParseYAML(f *testing.F) {
	whole, err := os.ReadFile("testdata/directory.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add([]byte("authorities:\n  - code: E06000023\n"))
	f.Add([]byte("prisons: [{id: BLI, name: x, jurisdiction: GB-ENG}]\nagreements: [{file: a}]"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, text []byte) {
		_, err := directory.ParseYAML(text)
		if err == nil {
			return
		}
		told := fault.From(err)
		if told.Kind != fault.Invalid {
			t.Fatal(err)
		}
		for _, at := range told.Fields {
			if at.Path == "" || at.Reason == "" {
				t.Fatalf("a fault without its place or reason: %+v", at)
			}
		}
	})
}
