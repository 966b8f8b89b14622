package engine

import (
	"postern/internal/directory"
	"postern/internal/form"
	posternv1 "postern/proto/postern/v1"
)

// Offered is the input for a statement of a desk, by what the directory says at that moment. A hub that decides and a
// desk that looks ahead ask this one function, so that they cannot ask different things.
func Offered(d *directory.Directory, f Facts) *Input {
	f.Consult(d, f.Manifest.GetOffer().GetAuthority())
	return NewInput(f)
}

// Consult adds what the directory says today of the sending prison, of the authority and of the agreement between them.
func (f *Facts) Consult(d *directory.Directory, authority string) {
	prison, known := d.Prison(f.CallerPrison)
	f.PrisonKnown, f.PrisonJurisdiction = known, prison.GetJurisdiction()
	if a, ok := d.Authority(authority); ok {
		door := func(role posternv1.FrontDoorRole) FrontDoor {
			name, phone, inHours := d.PhoneNow(authority, role, f.Now)
			return FrontDoor{Name: name, PhoneNow: phone, InHours: inHours}
		}
		enrolled := d.Enrolled(authority, f.Now)
		if enrolled { // else it has ended, and that is said otherwise
			f.Ends = a.GetEndDate()
		}
		f.Recipient = Recipient{
			Authority: authority, Known: true, Enrolled: enrolled, Jurisdiction: a.GetJurisdiction(), AgeLimit: a.GetAgeLimit(),
			EarlyHelp:    door(posternv1.FrontDoorRole_FRONT_DOOR_ROLE_EARLY_HELP),
			Safeguarding: door(posternv1.FrontDoorRole_FRONT_DOOR_ROLE_SAFEGUARDING),
		}
	}
	today := form.Today(f.Now)
	if a, ok := d.Agreement(f.CallerPrison, authority, today); ok {
		f.Agreement, f.AgreementEnds = a, d.AgreementEnd(f.CallerPrison, authority, today)
	}
}
