package config

import (
	"cmp"
	"strings"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/schema"
	posternv1 "postern/proto/postern/v1"
)

// certificates are what the certificate of each kind of party names, how a person calls the party, and the field that names
// the certificate. Only a hub's operator is none that a configuration is of.
var certificates = map[string]struct {
	role                posternv1.Role
	called, path, field string
}{
	"hub":    {posternv1.Role_ROLE_HUB, "a hub", "/hub/…", "identity"},
	"desk":   {posternv1.Role_ROLE_DESK, "a desk", "/prison/…/desk", "identity"},
	"inbox":  {posternv1.Role_ROLE_INBOX, "an inbox", "/authority/…/inbox", "identity"},
	"audit":  {posternv1.Role_ROLE_AUDITOR, "an auditor", "/auditor/…", "identity"},
	operator: {posternv1.Role_ROLE_OPERATOR, "an operator", "/operator/…", "operator"},
}

const operator = "operator"

// CertificateFor refuses a certificate that is not of the kind that a configuration is of: every other party would refuse
// what it does, and a hub would begin its logs under somebody else's name. kind is as Party has it.
func CertificateFor(kind string, p identity.Party) error {
	want := certificates[kind]
	if p.Role == want.role {
		return nil
	}
	return fault.Newf(fault.Precondition, "WRONG_CERTIFICATE", "This is the certificate of %s; %s needs %s. Correct %s.",
		strings.TrimPrefix(p.URI(), "spiffe://"+p.Domain), want.called, want.path, want.field)
}

// kindOf is the kind of party that has a database; an auditor has none.
func kindOf(d schema.Database) string { return cmp.Or(d.Name, "audit") }

// VerifiedIdentity reads the identity of a party that is about to sign something for others to keep, with the anchors. It
// must be of the party's kind and hold now: whoever reads the signature judges it so, and that would be far from here.
func VerifiedIdentity(p Party, now time.Time) (*identity.Identity, *identity.Anchors, error) {
	i, err := p.LoadIdentity()
	if err != nil {
		return nil, nil, err
	}
	if err := CertificateFor(p.Kind(), i.Party()); err != nil {
		return nil, nil, err
	}
	anchors, err := p.LoadAnchors()
	if err != nil {
		return nil, nil, err
	}
	if _, err = Verifies(i, anchors, now); err != nil {
		return nil, nil, fault.Newf(fault.Precondition, "CERTIFICATE", "%s Nobody would take what it signs. Correct identity, anchors or trust_domain, or the clock of this machine.", fault.From(err).Message).Because(err)
	}
	return i, anchors, nil
}
