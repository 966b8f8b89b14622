// Package identity says who a certificate names, and makes the TLS that proves it.
//
// A party is the one URI of its certificate, such as spiffe://postern.example/prison/BLI/desk. There are four trust
// anchors (prison, authority, hub with operator, auditor) and each vouches for its own paths only: a prison's
// certificate authority cannot make a hub, though its signature is good. X.509 name constraints cannot say this, since
// for a URI they see the host alone, so Anchors says it. The package guarantees TLS 1.3 with certificates on both
// sides, no resumed sessions, and one rule for a certificate wherever it is met: in a handshake, on a later call over
// the same connection, or beside a signature. Where an anchor has revocation lists they are part of that rule, and one
// that is out of date refuses everybody. It does not say what a party may do (package rpc does), and it fetches nothing:
// anchors and lists are given to it.
package identity

import (
	"log/slog"
	"regexp"
	"strings"

	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

// Party is an organisation's machine, as a certificate names it. The zero Party is nobody. Two Parties are the same
// when they are equal with ==.
type Party struct {
	Domain string         // the trust domain, such as postern.example
	Role   posternv1.Role // what it does
	ID     string         // prison id (BLI), GSS code (E06000023), or the name of a hub, auditor or operator
}

// anchor is one of the four trust anchors.
type anchor int

const (
	anchorPrison anchor = iota
	anchorAuthority
	anchorHub
	anchorAuditor
	anchorCount
)

var anchorNames = [anchorCount]string{"prison", "authority", "hub", "auditor"}

// Anchor names the trust anchor that may vouch for p: prison, authority, hub or auditor; "" for nobody.
func (p Party) Anchor() string {
	if k, ok := kindOf(p.Role); ok {
		return anchorNames[k.anchor]
	}
	return ""
}

// kind is the path of one role: who may vouch for it, and how its id is written.
type kind struct {
	role          posternv1.Role
	anchor        anchor
	before, after string
	id            *regexp.Regexp
}

// The ids. A prison id is the three letters the prison service uses. An authority is an upper-tier one: unitary (E06),
// metropolitan (E08), London borough (E09), county (E10) or Welsh (W06); a shire district (E07) has no early help team.
var (
	prisonID      = regexp.MustCompile(`^[A-Z]{3}$`)
	authorityCode = regexp.MustCompile(`^(E06|E08|E09|E10|W06)[0-9]{6}$`)
	name          = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)
	trustDomain   = regexp.MustCompile(`^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)*[a-z]([a-z0-9-]*[a-z0-9])?$`)
)

var kinds = [...]kind{
	{posternv1.Role_ROLE_DESK, anchorPrison, "/prison/", "/desk", prisonID},
	{posternv1.Role_ROLE_INBOX, anchorAuthority, "/authority/", "/inbox", authorityCode},
	{posternv1.Role_ROLE_HUB, anchorHub, "/hub/", "", name},
	{posternv1.Role_ROLE_OPERATOR, anchorHub, "/operator/", "", name},
	{posternv1.Role_ROLE_AUDITOR, anchorAuditor, "/auditor/", "", name},
}

func kindOf(role posternv1.Role) (kind, bool) {
	for _, k := range kinds {
		if k.role == role {
			return k, true
		}
	}
	return kind{}, false
}

// scheme is that of SPIFFE-ID section 2; no workload API is used.
const scheme = "spiffe://"

// URI writes the party as its certificate has it; "" for a role that has no path.
func (p Party) URI() string {
	k, ok := kindOf(p.Role)
	if !ok {
		return ""
	}
	return scheme + p.Domain + k.before + p.ID + k.after
}

// String is URI.
func (p Party) String() string { return p.URI() }

// LogValue is URI: it names an organisation, never a person.
func (p Party) LogValue() slog.Value { return slog.StringValue(p.URI()) }

// ParseURI reads the one way to write a party, and refuses every other: no user, port, query, fragment, escape, upper
// case in the domain, empty or doubled part. So a URI that parses is equal to its Party's URI, byte for byte. The
// error is fault.Invalid and does not repeat the text.
func ParseURI(uri string) (Party, error) {
	rest, ok := strings.CutPrefix(uri, scheme)
	slash := strings.IndexByte(rest, '/')
	if !ok || slash < 0 {
		return Party{}, errURI("It must be written spiffe://<trust domain>/<path>.")
	}
	domain, path := rest[:slash], rest[slash:]
	if !ValidDomain(domain) {
		return Party{}, errURI("The trust domain must be a lower-case domain name without a port.")
	}
	for _, k := range kinds {
		id, ok := between(path, k.before, k.after)
		if ok && k.id.MatchString(id) {
			return Party{Domain: domain, Role: k.role, ID: id}, nil
		}
	}
	return Party{}, errURI("The path must be /prison/<three letters>/desk, /authority/<GSS code of an upper-tier authority>/inbox, /hub/<name>, /auditor/<name> or /operator/<name>.")
}

// ValidDomain reports whether s can be a trust domain: lower-case DNS labels, the last of which starts with a letter.
func ValidDomain(s string) bool { return len(s) <= 253 && trustDomain.MatchString(s) }

func between(s, before, after string) (string, bool) {
	s, ok := strings.CutPrefix(s, before)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(s, after)
}

func errURI(fix string) error {
	return fault.New(fault.Invalid, "PARTY_URI", "This is not the URI of a party. "+fix)
}
