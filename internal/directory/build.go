package directory

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

const (
	typeDirectory    = envelope.TypeDirectory
	typeRecipientKey = envelope.TypeRecipientKey
	typeAgreement    = envelope.TypeAgreement
)

// deterministic fixes the bytes of what is about to be signed. Whoever receives them hashes them as they came.
var deterministic = proto.MarshalOptions{Deterministic: true}

// Build makes the unsigned revision `number` of the directory for the trust domain `audience`, and its entries in the
// order of the file: authorities, prisons, agreements.
func Build(src *Source, number uint64, audience string, now time.Time) (*posternv1.DirectoryRevision, [][]byte, error) {
	if len(src.unread) > 0 {
		return nil, nil, fault.Newf(fault.Precondition, "DIRECTORY_FILES_UNREAD",
			"The directory names files that were not read: %s. Read it with its folder.", strings.Join(src.unread, ", "))
	}
	r := &posternv1.DirectoryRevision{Audience: audience, Number: number, CreateTime: timestamppb.New(now)}
	var entries [][]byte
	add := func(e *posternv1.DirectoryEntry) error {
		b, err := deterministic.Marshal(e)
		if err != nil {
			return fault.New(fault.Invalid, "DIRECTORY_TEXT", "The directory holds text that is not valid UTF-8. Save the file as UTF-8.").Because(err)
		}
		sum := sha256.Sum256(b)
		entries, r.EntriesSha256 = append(entries, b), append(r.EntriesSha256, sum[:])
		return nil
	}
	for _, a := range src.authorities {
		if err := add(&posternv1.DirectoryEntry{Entry: &posternv1.DirectoryEntry_Authority{Authority: a}}); err != nil {
			return nil, nil, err
		}
	}
	for _, p := range src.prisons {
		if err := add(&posternv1.DirectoryEntry{Entry: &posternv1.DirectoryEntry_Prison{Prison: p}}); err != nil {
			return nil, nil, err
		}
	}
	for _, a := range src.agreements {
		if err := add(&posternv1.DirectoryEntry{Entry: &posternv1.DirectoryEntry_Agreement{Agreement: a}}); err != nil {
			return nil, nil, err
		}
	}
	return r, entries, nil
}

// Sign signs a revision as its operator.
func Sign(operator *identity.Identity, r *posternv1.DirectoryRevision) (*posternv1.Signed, error) {
	if operator.Party().Role != posternv1.Role_ROLE_OPERATOR {
		return nil, fault.New(fault.Denied, "NOT_AN_OPERATOR", "Only an operator's certificate may sign a directory. Use the one issued for /operator/<name>.")
	}
	payload, err := deterministic.Marshal(r)
	if err != nil {
		return nil, fault.From(err)
	}
	return envelope.SignStatement(operator, typeDirectory, payload)
}

// NewAgreement makes the statement that the parties of a data-sharing agreement sign, each with SignAgreement, over
// the same bytes. It checks what can be checked without a directory.
func NewAgreement(a *posternv1.DataSharingAgreement) (*posternv1.Signed, error) {
	codes, ids := map[string]bool{}, map[string]bool{}
	for _, c := range a.GetAuthorities() {
		codes[c] = true
	}
	for _, id := range a.GetPrisons() {
		ids[id] = true
	}
	k := &checker{}
	k.in("agreement", func() { k.agreement(a, codes, ids, map[string]bool{}) })
	if err := fault.InvalidFields("AGREEMENT_INVALID", "The data-sharing agreement has problems.", k.faults); err != nil {
		return nil, err
	}
	payload, err := deterministic.Marshal(a)
	if err != nil {
		return nil, fault.From(err)
	}
	return &posternv1.Signed{Payload: payload, PayloadType: typeAgreement}, nil
}

// SignAgreement adds the signature of one party: the desk of a prison or the inbox of an authority that it names.
func SignAgreement(s *posternv1.Signed, i *identity.Identity) error {
	a := &posternv1.DataSharingAgreement{}
	if err := proto.Unmarshal(s.GetPayload(), a); err != nil || s.GetPayloadType() != typeAgreement {
		return fault.New(fault.Invalid, "NOT_AN_AGREEMENT", "This is not a data-sharing agreement.").Because(err)
	}
	if !isParty(a, i.Party()) {
		return fault.New(fault.Denied, "NOT_A_PARTY", fmt.Sprintf("%s is not a party of this data-sharing agreement.", i.Party().URI()))
	}
	return envelope.AddSignature(s, i)
}

// isParty says whether p may sign a: prisons sign with their desk's certificate, authorities with their inbox's.
func isParty(a *posternv1.DataSharingAgreement, p identity.Party) bool {
	switch p.Role {
	case posternv1.Role_ROLE_DESK:
		return slices.Contains(a.GetPrisons(), p.ID)
	case posternv1.Role_ROLE_INBOX:
		return slices.Contains(a.GetAuthorities(), p.ID)
	}
	return false
}
