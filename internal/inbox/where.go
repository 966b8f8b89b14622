package inbox

import (
	"context"
	"errors"

	"postern/internal/fault"
	"postern/internal/postcode"
	posternv1 "postern/proto/postern/v1"
)

// Authorities are the authorities that the hub's directory knows today, but for this one: to whom an item may be passed on.
func (in *Inbox) Authorities(ctx context.Context) ([]*posternv1.Authority, error) {
	if in.cfg.Directory == nil {
		return nil, fault.New(fault.Precondition, "NO_DIRECTORY", "This inbox has no way to the hub's directory.")
	}
	dir, err := in.directory(ctx)
	if err != nil {
		return nil, err
	}
	var out []*posternv1.Authority
	for _, a := range dir.Authorities() {
		if _, now := dir.Authority(a.GetCode()); now && a.GetCode() != in.cfg.Identity.Party().ID {
			out = append(out, a)
		}
	}
	return out, nil
}

// AuthorityOf is the code of the authority that a corrected postcode lies in. The look-up is here, in the inbox's own
// table: the hub never sees a postcode. The fault names the field and never what was typed.
func (in *Inbox) AuthorityOf(typed string) (string, error) {
	wrong := func(code, reason, fix string) error {
		return fault.InvalidFields(code, "This postcode names no other team.", []fault.Field{{Path: "postcode", Reason: reason, Fix: fix}})
	}
	p, err := postcode.Parse(typed)
	if slip := (*postcode.Slip)(nil); errors.As(err, &slip) {
		return "", fault.InvalidFields("POSTCODE", "This is no postcode.", []fault.Field{slip.Fault("postcode")})
	}
	switch a := in.cfg.Postcodes.Lookup(p); {
	case a.Authority == in.cfg.Identity.Party().ID:
		return "", wrong("POSTCODE_OURS", "That postcode is in your own area.", "Check the postcode, or answer that the child cannot be traced.")
	case a.Authority == "":
		return "", wrong("POSTCODE_UNKNOWN", "The table of postcodes does not say which authority that is.", "Choose the authority from the list.")
	default:
		return a.Authority, nil
	}
}
