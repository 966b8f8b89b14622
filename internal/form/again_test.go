package form_test

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"postern/internal/form"
	"postern/internal/form/formtest"
)

// Whatever the family: a form sent again, unchanged and with its permission still good, says the same to each authority;
// so a desk that submits again what waited does not tell a second story.
func TestAFormSentAgainSaysTheSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Valid(t)
		checked, err := form.Check(f, formtest.Env())
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range checked.Parts(newIDs()) {
			e := form.Earlier{Authority: p.Authority, Source: p.Source, PostcodeVintage: p.PostcodeVintage, DestinationChecked: p.DestinationChecked}
			for _, c := range p.Children {
				e.Children = append(e.Children, uint32(c.FormNumber))
			}
			again := form.Again(checked.Form(), formtest.Now).PartOf(e, p.Consent.GetId())
			children, hub := form.Facts(p, config())
			childrenAgain, hubAgain := form.Facts(again, config())
			if !proto.Equal(hub, hubAgain) || len(children) != len(childrenAgain) || len(p.Sections) != len(again.Sections) {
				t.Fatalf("%v\nbecame\n%v", hub, hubAgain)
			}
			for i := range children {
				if !proto.Equal(children[i], childrenAgain[i]) {
					t.Errorf("%v\nbecame\n%v", children[i], childrenAgain[i])
				}
			}
			for i := range p.Sections {
				if p.Sections[i].Path != again.Sections[i].Path || !proto.Equal(p.Sections[i].Message, again.Sections[i].Message) {
					t.Errorf("%s became another", p.Sections[i].Path)
				}
			}
		}
	})
}
