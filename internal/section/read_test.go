package section_test

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// FuzzRead: what is read is written the same, and what is wrong with it is told without a word of it.
func FuzzRead(f *testing.F) {
	home, err := proto.Marshal(&posternv1.ChildHome{AddressLines: []string{"1 Quillfeather Row"}, Postcode: "ZZ99 1AB"})
	if err != nil {
		f.Fatal(err)
	}
	f.Add("child/1/home", home)
	f.Add("parent/name", []byte{0xff})
	f.Add("child/1/unheard-of", home)
	f.Fuzz(func(t *testing.T, path string, content []byte) {
		m, err := section.Read(path, content)
		if err != nil {
			if len(content) > 8 && strings.Contains(err.Error(), string(content)) || len(path) > 12 && strings.Contains(err.Error(), path) {
				t.Errorf("the error says what was in it: %v", err)
			}
			return
		}
		written, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := section.Read(path, written); err != nil || !proto.Equal(again, m) {
			t.Errorf("%v reads as %v, %v", m, again, err)
		}
	})
}
