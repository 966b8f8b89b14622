package directory

import (
	"crypto/sha256"
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
