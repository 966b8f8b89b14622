package directory

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/strict"
	posternv1 "postern/proto/postern/v1"
)

// termsYAML is a data-sharing agreement as its parties write it. The names are those of the protobuf fields.
type termsYAML struct {
	ID            string   `yaml:"id"`
	Version       uint32   `yaml:"version"`
	Prisons       []string `yaml:"prisons"`
	Authorities   []string `yaml:"authorities"`
	Sections      []string `yaml:"sections"` // `postern policy sections` lists what there is
	StartDate     string   `yaml:"start_date"`
	EndDate       string   `yaml:"end_date"`
	ReviewDate    string   `yaml:"review_date"`
	ContentDays   uint32   `yaml:"content_days"`
	DecisionYears uint32   `yaml:"decision_years"`
}

// ReadAgreement reads the terms of an agreement from a YAML file, and the statement with the signatures of those who have
// signed it from the file beside it, which ends in .signed; before anybody has, the statement has none. Every problem of
// the terms is reported at once. Two files that do not say the same are an error: nobody signs what they have not read.
func ReadAgreement(path string) (*posternv1.DataSharingAgreement, *posternv1.Signed, error) {
	t := termsYAML{}
	unread := strict.YAMLFile(path, &t)
	wrong := fault.From(unread).Fields
	if unread != nil && (len(wrong) == 0 || slices.ContainsFunc(wrong, func(f fault.Field) bool { return f.Path == "document" })) {
		return nil, nil, unread
	}
	a := &posternv1.DataSharingAgreement{Id: t.ID, Version: t.Version, Prisons: t.Prisons, Authorities: t.Authorities, Sections: t.Sections,
		StartDate: t.StartDate, EndDate: t.EndDate, ReviewDate: t.ReviewDate, ContentDays: t.ContentDays, DecisionYears: t.DecisionYears}
	s, err := NewAgreement(a)
	for _, f := range fault.From(err).Fields {
		if !slices.ContainsFunc(wrong, func(w fault.Field) bool { return w.Path == f.Path }) {
			wrong = append(wrong, f)
		}
	}
	if err := fault.InvalidFields("AGREEMENT_INVALID", "The data-sharing agreement "+filepath.Base(path)+" has problems.", wrong); err != nil {
		return nil, nil, err
	}
	file := SignedFile(path)
	b, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return a, s, nil
	}
	if err != nil {
		return nil, nil, fault.Newf(fault.Precondition, "AGREEMENT_FILE", "The file %s cannot be read. Check who may read it.", file).Because(err)
	}
	there, agreed := &posternv1.Signed{}, &posternv1.DataSharingAgreement{}
	if proto.Unmarshal(b, there) != nil || there.GetPayloadType() != typeAgreement || proto.Unmarshal(there.GetPayload(), agreed) != nil {
		return nil, nil, fault.Newf(fault.Invalid, "NOT_AN_AGREEMENT", "%s is not a signed data-sharing agreement. Get it again from whoever signed before, or take it away to begin anew.", file)
	}
	if fields := differ(a, agreed); len(fields) > 0 {
		return nil, nil, fault.Newf(fault.Precondition, "AGREEMENT_DIFFERS", "%s is not what was signed in %s: %s differ. Agree on one text; when that is a new one, raise its version and take the signed file away, so that everybody signs again.",
			path, file, strings.Join(fields, ", "))
	}
	return a, there, nil
}

// SignedFile is where the signatures of an agreement's YAML file are.
func SignedFile(path string) string { return strings.TrimSuffix(path, filepath.Ext(path)) + ".signed" }

// differ names the fields in which two agreements differ.
func differ(a, b *posternv1.DataSharingAgreement) (names []string) {
	fields := a.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		if !valueOf(a, f).Equal(valueOf(b, f)) {
			names = append(names, string(f.Name()))
		}
	}
	if len(names) == 0 && !proto.Equal(a, b) {
		names = []string{"fields that this version does not know"}
	}
	return names
}

func valueOf(a *posternv1.DataSharingAgreement, f protoreflect.FieldDescriptor) protoreflect.Value {
	return a.ProtoReflect().Get(f)
}

// NewAgreement makes the statement that the parties of a data-sharing agreement sign, each with SignAgreement, over
// the same bytes. It checks what can be checked without a directory.
func NewAgreement(a *posternv1.DataSharingAgreement) (*posternv1.Signed, error) {
	codes, ids := map[string]bool{}, map[string]bool{}
	k := &checker{}
	for i, c := range a.GetAuthorities() {
		codes[c] = true
		k.want(authorityCode.MatchString(c), fmt.Sprintf("authorities[%d]", i), "is not the GSS code of an upper-tier authority.",
			"Give nine characters that start with E06, E08, E09, E10 or W06, such as E06000023.")
	}
	for i, id := range a.GetPrisons() {
		ids[id] = true
		k.want(prisonID.MatchString(id), fmt.Sprintf("prisons[%d]", i), "is not an id of the prison register.", "Give its three capital letters, such as BLI.")
	}
	k.agreement(a, codes, ids, map[string]bool{})
	if err := fault.InvalidFields("AGREEMENT_INVALID", "The data-sharing agreement has problems.", k.faults); err != nil {
		return nil, err
	}
	payload, err := deterministic.Marshal(a)
	if err != nil {
		return nil, fault.From(err)
	}
	return &posternv1.Signed{Payload: payload, PayloadType: typeAgreement}, nil
}

// SignAgreement adds the signature of one party: the desk of a prison or the inbox of an authority that it names. It takes
// the place of an earlier one of this party, whose certificate may have ended since.
func SignAgreement(s *posternv1.Signed, i *identity.Identity) error {
	a := &posternv1.DataSharingAgreement{}
	if err := proto.Unmarshal(s.GetPayload(), a); err != nil || s.GetPayloadType() != typeAgreement {
		return fault.New(fault.Invalid, "NOT_AN_AGREEMENT", "This is not a data-sharing agreement.").Because(err)
	}
	if !isParty(a, i.Party()) {
		return fault.Newf(fault.Denied, "NOT_A_PARTY", "%s is not a party of this data-sharing agreement. Its parties sign, each with its own configuration: %s.",
			i.Party().URI(), strings.Join(partiesOf(a), ", "))
	}
	s.Signatures = slices.DeleteFunc(s.Signatures, func(sig *posternv1.Signature) bool { return signerOf(sig) == pathOf(i.Party()) })
	return envelope.AddSignature(s, i)
}

// WriteAgreement writes the statement beside the YAML file, whole: a crash leaves the signatures of before or those of now.
func WriteAgreement(path string, s *posternv1.Signed) error {
	file := SignedFile(path)
	b, err := proto.Marshal(s)
	if err != nil {
		return fault.From(err)
	}
	if err = os.WriteFile(file+".new", b, 0o644); err == nil {
		err = os.Rename(file+".new", file)
	}
	if err != nil {
		return fault.Newf(fault.Precondition, "AGREEMENT_FILE", "The file %s cannot be written. Check the folder and who may write to it.", file).Because(err)
	}
	return nil
}

// Signing is how one party of an agreement, or somebody else, has signed it.
type Signing struct {
	Party string // such as /prison/BLI/desk
	Fault string // why the signature does not count, in words with the fix; empty when it does
}

// Signings lists the parties of an agreement in their order, and then whoever else is among the signatures.
func Signings(s *posternv1.Signed, anchors *identity.Anchors, at time.Time) []Signing {
	a := &posternv1.DataSharingAgreement{}
	if err := proto.Unmarshal(s.GetPayload(), a); err != nil {
		return nil
	}
	var all []Signing
	parties, seen := partiesOf(a), map[string]bool{}
	for _, sig := range s.GetSignatures() {
		one := proto.CloneOf(s)
		one.Signatures = []*posternv1.Signature{sig}
		signing := Signing{Party: signerOf(sig)}
		if _, err := envelope.VerifyStatement(one, typeAgreement, anchors, at); err != nil {
			signing.Fault = fault.From(err).Message + " Compare trust_domain and anchors; where they are right, it signs again with its certificate of today."
		} else if !slices.Contains(parties, signing.Party) {
			signing.Fault = "It is no party of the agreement. Have the signatures made anew without it."
		}
		seen[signing.Party] = true
		all = append(all, signing)
	}
	for _, p := range parties {
		if !seen[p] {
			all = append(all, Signing{Party: p, Fault: "It has not signed. It runs: postern agreement sign."})
		}
	}
	place := func(s Signing) int {
		if i := slices.Index(parties, s.Party); i >= 0 {
			return i
		}
		return len(parties)
	}
	slices.SortStableFunc(all, func(a, b Signing) int { return place(a) - place(b) })
	return all
}

// Unsigned is an agreement that some of its parties have not signed: it counts for none of their pairs.
type Unsigned struct {
	*posternv1.DataSharingAgreement
	Missing []string // such as /prison/BLI/desk
}

// Words say what is missing.
func (u Unsigned) Words() string {
	return fmt.Sprintf("The agreement is not signed by %s, so nothing goes under it from or to there.", strings.Join(u.Missing, ", "))
}

// Fix says what to do.
func (Unsigned) Fix() string {
	return "They sign it (postern agreement sign); then the hub's operator loads a directory with the signed file."
}

// Unsigned lists the agreements that lack signatures, with whose.
func (d *Directory) Unsigned() (all []Unsigned) {
	for _, a := range d.agreements {
		has := func(signed map[string]bool) func(string) bool { return func(id string) bool { return signed[id] } }
		missing := partiesOf(&posternv1.DataSharingAgreement{
			Prisons:     slices.DeleteFunc(slices.Clone(a.GetPrisons()), has(a.prisons)),
			Authorities: slices.DeleteFunc(slices.Clone(a.GetAuthorities()), has(a.authorities))})
		if len(missing) > 0 {
			all = append(all, Unsigned{a.DataSharingAgreement, missing})
		}
	}
	return all
}

// partiesOf lists who may sign an agreement, as their certificates name them.
func partiesOf(a *posternv1.DataSharingAgreement) (all []string) {
	for _, id := range a.GetPrisons() {
		all = append(all, "/prison/"+id+"/desk")
	}
	for _, code := range a.GetAuthorities() {
		all = append(all, "/authority/"+code+"/inbox")
	}
	return all
}

// isParty says whether p may sign a: prisons sign with their desk's certificate, authorities with their inbox's.
func isParty(a *posternv1.DataSharingAgreement, p identity.Party) bool {
	return slices.Contains(partiesOf(a), pathOf(p))
}

// pathOf is a party's name within its trust domain.
func pathOf(p identity.Party) string { return strings.TrimPrefix(p.URI(), "spiffe://"+p.Domain) }

// signerOf is whom the certificate of a signature names, whoever vouches for it.
func signerOf(sig *posternv1.Signature) string {
	if len(sig.GetCertificates()) > 0 {
		if c, err := x509.ParseCertificate(sig.GetCertificates()[0]); err == nil && len(c.URIs) == 1 {
			return c.URIs[0].Path
		}
	}
	return "a certificate that cannot be read"
}
