package identity_test

import (
	"log/slog"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// anyParty draws every party that can be written.
func anyParty() *rapid.Generator[identity.Party] {
	ids := map[posternv1.Role]string{
		posternv1.Role_ROLE_DESK:     `[A-Z]{3}`,
		posternv1.Role_ROLE_INBOX:    `(E06|E08|E09|E10|W06)[0-9]{6}`,
		posternv1.Role_ROLE_HUB:      `[a-z0-9-]{1,40}`,
		posternv1.Role_ROLE_AUDITOR:  `[a-z0-9-]{1,40}`,
		posternv1.Role_ROLE_OPERATOR: `[a-z0-9-]{1,40}`,
	}
	return rapid.Custom(func(t *rapid.T) identity.Party {
		role := posternv1.Role(rapid.IntRange(1, 5).Draw(t, "role"))
		return identity.Party{
			Domain: rapid.StringMatching(`([a-z0-9]{1,5}\.){0,2}[a-z][a-z0-9]{0,5}`).Draw(t, "domain"),
			Role:   role,
			ID:     rapid.StringMatching(ids[role]).Draw(t, "id"),
		}
	})
}

func TestEveryPartyReadsBackFromItsURI(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := anyParty().Draw(t, "party")
		got, err := identity.ParseURI(want.URI())
		if err != nil || got != want {
			t.Fatalf("%q read as %+v, %v", want.URI(), got, err)
		}
		if want.Anchor() == "" || want.LogValue().String() != want.URI() {
			t.Fatalf("%+v has anchor %q and logs as %q", want, want.Anchor(), want.LogValue())
		}
	})
}

// A URI with one byte changed is refused or is another party's: never a second spelling of the same.
func TestNoTwoSpellingsOfOneParty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := anyParty().Draw(t, "party")
		uri := []byte(p.URI())
		at := rapid.IntRange(0, len(uri)-1).Draw(t, "at")
		uri[at] ^= byte(rapid.IntRange(1, 255).Draw(t, "flip"))
		if got, err := identity.ParseURI(string(uri)); err == nil && got == p {
			t.Fatalf("%q reads as %q", uri, p.URI())
		}
	})
}

var refusedURIs = []string{
	"",
	"spiffe://",
	"postern.example/prison/BLI/desk",
	"spiffe:///prison/BLI/desk",
	"spiffe://postern.example",
	"spiffe://postern.example/",
	"https://postern.example/prison/BLI/desk",
	"SPIFFE://postern.example/prison/BLI/desk",
	"spiffe://Postern.example/prison/BLI/desk",
	"spiffe://postern.example:443/prison/BLI/desk",
	"spiffe://desk@postern.example/prison/BLI/desk",
	"spiffe://postern..example/prison/BLI/desk",
	"spiffe://.postern.example/prison/BLI/desk",
	"spiffe://postern.example./prison/BLI/desk",
	"spiffe://10.0.0.1/prison/BLI/desk",
	"spiffe://[::1]/prison/BLI/desk",
	"spiffe://postern.example/prison/BLI/desk?",
	"spiffe://postern.example/prison/BLI/desk?x=1",
	"spiffe://postern.example/prison/BLI/desk#",
	"spiffe://postern.example/prison/BLI/desk#x",
	"spiffe://postern.example/prison/BLI/desk/",
	"spiffe://postern.example//prison/BLI/desk",
	"spiffe://postern.example/prison//desk",
	"spiffe://postern.example/prison/desk",
	"spiffe://postern.example/prison/BLI",
	"spiffe://postern.example/prison/BLI/inbox",
	"spiffe://postern.example/prison/bli/desk",
	"spiffe://postern.example/prison/BLIX/desk",
	"spiffe://postern.example/prison/BL%49/desk",
	"spiffe://postern.example/prison/%42LI/desk",
	"spiffe://postern.example/prison%2FBLI/desk",
	"spiffe://postern.example/hub/../prison/BLI/desk",
	"spiffe://postern.example/prison/BLI/desk\n",
	"spiffe://postern.example/prison/BLI/desk\x00",
	"spiffe://postern.example/prison/ΒLI/desk",
	"spiffe://postern.example/authority/E07000041/inbox",
	"spiffe://postern.example/authority/E0600002/inbox",
	"spiffe://postern.example/authority/E060000233/inbox",
	"spiffe://postern.example/authority/S12000033/inbox",
	"spiffe://postern.example/authority/E06000023/desk",
	"spiffe://postern.example/hub/",
	"spiffe://postern.example/hub/One",
	"spiffe://postern.example/hub/one two",
	"spiffe://postern.example/hub/one/two",
	"spiffe://postern.example/hub/" + strings.Repeat("a", 41),
	"spiffe://postern.example/family/one",
	"spiffe://" + strings.Repeat("a", 254) + "/hub/one",
}

func TestEveryOtherSpellingIsRefused(t *testing.T) {
	for _, uri := range refusedURIs {
		p, err := identity.ParseURI(uri)
		if err == nil || p != (identity.Party{}) {
			t.Errorf("%q read as %+v", uri, p)
			continue
		}
		if fault.KindOf(err) != fault.Invalid || (len(uri) > 10 && strings.Contains(err.Error(), uri)) {
			t.Errorf("%q: %v", uri, err)
		}
	}
}

func TestNobodyHasNoURI(t *testing.T) {
	var p identity.Party
	if p.URI() != "" || p.Anchor() != "" || p.String() != "" {
		t.Fatalf("nobody is %q of anchor %q", p.URI(), p.Anchor())
	}
	if got := slog.AnyValue(p).Resolve().String(); got != "" {
		t.Fatalf("nobody logs as %q", got)
	}
}

func FuzzParseURI(f *testing.F) {
	for _, uri := range refusedURIs {
		f.Add(uri)
	}
	f.Add("spiffe://postern.example/prison/BLI/desk")
	f.Add("spiffe://postern.example/authority/E10000017/inbox")
	f.Add("spiffe://postern.example/operator/one")
	f.Fuzz(func(t *testing.T, uri string) {
		p, err := identity.ParseURI(uri)
		if err != nil {
			return
		}
		if p.URI() != uri {
			t.Fatalf("%q reads as %q", uri, p.URI())
		}
		for _, c := range uri {
			if c <= ' ' || c > '~' || strings.ContainsRune("%?#@", c) {
				t.Fatalf("%q was read", uri)
			}
		}
	})
}
