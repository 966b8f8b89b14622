package directory_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

const terms = `id: bristol-2026
version: 1
prisons: [BLI, BWI]
authorities: [E06000023]
sections: [parent/name, "child/{n}/identity", "child/{n}/home", "child/{n}/safety"]
start_date: "2026-09-01"
end_date: "2027-08-31"
review_date: "2027-03-01"
content_days: 14
decision_years: 6
`

// termsFile writes the terms with a change.
func (w *world) termsFile(old, replacement string) string {
	w.t.Helper()
	if !strings.Contains(terms, old) {
		w.t.Fatalf("%q is not in the terms", old)
	}
	path := w.path("terms.yaml")
	must(w.t, os.WriteFile(path, []byte(strings.Replace(terms, old, replacement, 1)), 0o600))
	return path
}

// sign signs the terms in a file as one party, as the command does.
func (w *world) sign(path, uri string) {
	w.t.Helper()
	_, signed, err := directory.ReadAgreement(path)
	must(w.t, err)
	must(w.t, directory.SignAgreement(signed, w.id(uri)))
	must(w.t, directory.WriteAgreement(path, signed))
}

func (w *world) signings(path string) map[string]string {
	w.t.Helper()
	_, signed, err := directory.ReadAgreement(path)
	must(w.t, err)
	all := map[string]string{}
	for _, s := range directory.Signings(signed, w.anchors, morning) {
		all[s.Party] = s.Fault
	}
	return all
}

func TestEveryFaultOfAnAgreementIsNamedAtOnce(t *testing.T) {
	w := newWorld(t)
	path := w.path("terms.yaml")
	must(t, os.WriteFile(path, []byte("id: x\nprisons: [Bristol]\nauthorities: [E07000123]\nsections: [parent/name, child/1/home]\ncontent_dys: 14\nend_date: <last day>\n"), 0o600))
	_, _, err := directory.ReadAgreement(path)
	wantFault(t, err, "AGREEMENT_INVALID")
	var paths []string
	for _, f := range fault.From(err).Fields {
		if paths = append(paths, f.Path); f.Fix == "" && f.Path != "content_dys" {
			t.Errorf("%s has no fix", f.Path)
		}
	}
	for _, want := range []string{"content_dys", "content_days", "version", "prisons[0]", "authorities[0]", "sections[1]", "start_date", "end_date", "review_date", "decision_years"} {
		if !slices.Contains(paths, want) {
			t.Errorf("%s is not named, only %v", want, paths)
		}
	}
	_, _, err = directory.ReadAgreement(w.path("nowhere.yaml"))
	wantFault(t, err, "NO_FILE")
}

// Each party signs the text that it has read, in its own time, and nobody else does.
func TestPartiesSignOneText(t *testing.T) {
	w := newWorld(t)
	path := w.termsFile("", "")
	w.sign(path, desk)
	if s := w.signings(path); s["/prison/BLI/desk"] != "" || !strings.Contains(s["/authority/E06000023/inbox"], "has not signed") || len(s) != 3 {
		t.Errorf("one has signed: %v", s)
	}
	w.sign(path, inbox)
	w.sign(path, desk) // again: its certificate was renewed
	_, signed, err := directory.ReadAgreement(path)
	must(t, err)
	if len(signed.GetSignatures()) != 2 {
		t.Errorf("%d signatures of two", len(signed.GetSignatures()))
	}
	wantFault(t, directory.SignAgreement(signed, w.id(lancInbox)), "NOT_A_PARTY")

	w.termsFile("content_days: 14", "content_days: 30")
	_, _, err = directory.ReadAgreement(path)
	wantFault(t, err, "AGREEMENT_DIFFERS")
	if !strings.Contains(err.Error(), "content_days differ") || strings.Contains(err.Error(), "sections") {
		t.Errorf("what differs is not named alone: %v", err)
	}
	must(t, os.WriteFile(directory.SignedFile(path), []byte("hello"), 0o600))
	_, _, err = directory.ReadAgreement(path)
	wantFault(t, err, "NOT_AN_AGREEMENT")
}

// A signature that does not count says why, beside whose it is; the others count all the same.
func TestASignatureThatDoesNotCountIsNamed(t *testing.T) {
	w := newWorld(t)
	path := w.termsFile("", "")
	must(t, ca.Issue(w.path("ca"), inbox, ca.IssueConfig{OutCert: w.path("old.pem"), OutKey: w.path("old-key.pem"), Now: morning.AddDate(0, 0, -100)}))
	w.ids[inbox] = value(identity.Load(w.path("old.pem"), w.path("old-key.pem")))(t)
	w.sign(path, inbox)
	w.sign(path, desk)
	s := w.signings(path)
	if s["/prison/BLI/desk"] != "" || !strings.Contains(s["/authority/E06000023/inbox"], "expired") || !strings.Contains(s["/authority/E06000023/inbox"], "signs again") {
		t.Errorf("%v", s)
	}
	delete(w.ids, inbox)
	w.sign(path, inbox) // takes the place of the old one
	_, signed, err := directory.ReadAgreement(path)
	must(t, err)
	if s = w.signings(path); s["/authority/E06000023/inbox"] != "" || len(signed.GetSignatures()) != 2 {
		t.Errorf("%v, %d signatures", s, len(signed.GetSignatures()))
	}

	changed := proto.CloneOf(signed)
	changed.Signatures[0].Signature[0] ^= 1
	changed.Signatures = append(changed.Signatures, w.agree(agreement(), lancInbox).GetSignatures()[0], &posternv1.Signature{})
	var faults []string
	for _, s := range directory.Signings(changed, w.anchors, morning) {
		faults = append(faults, s.Party+" "+s.Fault)
	}
	all := strings.Join(faults, "\n")
	for _, want := range []string{"/prison/BLI/desk The signature does not match", "/prison/BWI/desk It has not signed", "/authority/E10000017/inbox ", "a certificate that cannot be read "} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not in\n%s", want, all)
		}
	}
}

// The directory names whose signature an agreement lacks, since it counts for no pair of theirs.
func TestADirectoryNamesWhoHasNotSigned(t *testing.T) {
	w := newWorld(t)
	missing := w.directory(1).Unsigned()
	if len(missing) != 1 || missing[0].GetId() != "bristol-2026" || !slices.Equal(missing[0].Missing, []string{"/prison/BWI/desk", "/authority/E10000017/inbox"}) ||
		!strings.Contains(missing[0].Words(), "/prison/BWI/desk") || !strings.Contains(missing[0].Fix(), "postern agreement sign") {
		t.Errorf("%v", missing)
	}
	w.write("agreements/bristol.pb", w.agree(agreement(), desk, berwyn, inbox, lancInbox))
	if missing := w.directory(2).Unsigned(); len(missing) != 0 {
		t.Errorf("everybody has signed, and %v", missing)
	}
}
