package site

import (
	"slices"

	"postern/internal/fault"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// invented is a family to practise with: who plays the person reads what they are to say.
type invented struct{ Number, Given, Family, Say string }

// families are the families of practice mode: nobody has these numbers, and the postcodes in what they say are of no place.
var families = [...]invented{
	{"A0001ZZ", "Rowan", "Example-Thistlewick", "desk.practice_one"},
	{"A0002ZZ", "Corwen", "Example-Hawthornby", "desk.practice_two"},
	{"A0003ZZ", "Teodor", "Example-Marrowby", "desk.practice_three"},
}

// practise lists the families to practise with.
func (s *site) practise(*web.Request) (web.Response, error) {
	return web.View{Template: "practice", Back: "/", Banner: "desk.practice", Data: families}, nil
}

// beginPractice begins a draft about an invented person, which can never be sent.
func (s *site) beginPractice(r *web.Request) (*localv1.Draft, error) {
	i := slices.IndexFunc(families[:], func(f invented) bool { return f.Number == r.PostFormValue("practice") })
	if i < 0 {
		return nil, fault.New(fault.NotFound, "NO_FAMILY", "There is no such family to practise with. Choose one of the list.")
	}
	f := families[i]
	return s.desk.BeginDraft(r.Context(), &localv1.Draft{Practice: true, Answered: []string{"person"}, Form: &posternv1.Form{PrisonNumber: f.Number,
		Reception: &posternv1.Reception{Reason: posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION, ReceiveDate: s.today()},
		Parent:    &posternv1.Parent{Name: &posternv1.ParentName{GivenName: f.Given, FamilyName: f.Family, Provenance: s.said()}}}})
}
