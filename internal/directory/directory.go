// Package directory is who takes part: authorities with their front doors, hours, numbers, champions, endpoints and
// recipient keys; prisons; and the data-sharing agreements between them.
//
// An operator writes a YAML file (ReadYAML), makes a numbered revision of it (Build) and signs that (Sign). Everybody
// else gets the signed revision with its entries as bytes and makes a Directory of them with Open, which is the only
// way to get one. So a Directory guarantees: an operator of this trust domain signed exactly these entries; each
// recipient key was signed by the inbox of its authority; every signature on every agreement is by a party that the
// agreement names; and the whole is free of the faults in check.go. An agreement counts for one prison and one
// authority only when both of them signed it.
//
// It does not know today's date: what depends on a date takes one. It does not refuse an older revision than the one
// in use; whoever replaces one compares their numbers first. What it returns is shared and must not be changed.
package directory

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// Directory is one verified revision. It never changes and may be used from any goroutine.
type Directory struct {
	revision    *posternv1.DirectoryRevision
	operator    identity.Party
	authorities []*posternv1.Authority
	entries     map[string][]*posternv1.Authority // by code, in the order of their dates
	day         string                            // on which it is looked at; empty for the newest entries
	keys        map[string]*posternv1.RecipientKey
	prisons     []*posternv1.Prison
	byID        map[string]*posternv1.Prison
	agreements  []agreement
}

// agreement is a data-sharing agreement with those who signed it.
type agreement struct {
	*posternv1.DataSharingAgreement
	prisons, authorities map[string]bool
}

// maxSkew is how far an operator's clock may be ahead of ours.
const maxSkew = 5 * time.Minute

// Open verifies a signed revision with its entries and validates the whole. Certificates are judged at the revision's
// own create_time, so a directory outlives the certificates that vouched for it until the next revision; a
// create_time in the future is refused.
func Open(signed *posternv1.Signed, entries [][]byte, anchors *identity.Anchors, now time.Time) (*Directory, error) {
	// The time to verify at is inside the payload, so it is read first and believed only if the signature then holds.
	r := &posternv1.DirectoryRevision{}
	if err := proto.Unmarshal(signed.GetPayload(), r); err != nil {
		return nil, unverified("DIRECTORY_MALFORMED", "The directory revision cannot be read.").Because(err)
	}
	if !r.GetCreateTime().IsValid() || r.GetCreateTime().AsTime().After(now.Add(maxSkew)) {
		return nil, unverified("DIRECTORY_TIME", "The directory revision says that it was made in the future. Check the clocks here and at the operator.")
	}
	at := r.GetCreateTime().AsTime()
	operator, err := envelope.VerifyStatement(signed, typeDirectory, anchors, at)
	if err != nil {
		return nil, err
	}
	if operator.Role != posternv1.Role_ROLE_OPERATOR || operator.Domain != r.GetAudience() {
		return nil, unverified("DIRECTORY_SIGNER", "The directory revision is not signed by an operator of the trust domain it is for.")
	}
	if r.GetNumber() == 0 {
		return nil, unverified("DIRECTORY_NUMBER", "The directory revision has no number.")
	}
	d := &Directory{
		revision: r, operator: operator,
		entries: map[string][]*posternv1.Authority{}, keys: map[string]*posternv1.RecipientKey{}, byID: map[string]*posternv1.Prison{},
	}
	statements, err := d.read(entries)
	if err != nil {
		return nil, err
	}
	for _, of := range d.entries {
		slices.SortFunc(of, func(a, b *posternv1.Authority) int { return strings.Compare(a.GetStartDate(), b.GetStartDate()) })
	}
	c := content{authorities: d.authorities, prisons: d.prisons}
	for _, a := range d.agreements {
		c.agreements = append(c.agreements, a.DataSharingAgreement)
	}
	faults := c.check()
	faults = append(faults, d.verifyKeys(anchors, at)...)
	faults = append(faults, d.verifyAgreements(statements, anchors, at)...)
	if err := fault.InvalidFields("DIRECTORY_INVALID", "The directory revision has problems; the one before it stays in use.", faults); err != nil {
		return nil, err
	}
	return d, nil
}

// read checks the entries against their digests and sorts them by kind. It returns the agreements as signed.
func (d *Directory) read(entries [][]byte) (agreements []*posternv1.Signed, err error) {
	if len(entries) != len(d.revision.GetEntriesSha256()) {
		return nil, unverified("DIRECTORY_ENTRIES", "The directory does not have as many entries as its revision says.")
	}
	for i, b := range entries {
		sum := sha256.Sum256(b)
		if !bytes.Equal(sum[:], d.revision.GetEntriesSha256()[i]) {
			return nil, unverified("DIRECTORY_ENTRIES", fmt.Sprintf("Entry %d of the directory is not the one its operator signed.", i))
		}
		e := &posternv1.DirectoryEntry{}
		if err := proto.Unmarshal(b, e); err != nil {
			return nil, unverified("DIRECTORY_ENTRIES", fmt.Sprintf("Entry %d of the directory cannot be read.", i)).Because(err)
		}
		switch e := e.GetEntry().(type) {
		case *posternv1.DirectoryEntry_Authority:
			d.authorities = append(d.authorities, e.Authority)
			code := e.Authority.GetCode()
			d.entries[code] = append(d.entries[code], e.Authority)
		case *posternv1.DirectoryEntry_Prison:
			d.prisons = append(d.prisons, e.Prison)
			d.byID[e.Prison.GetId()] = e.Prison
		case *posternv1.DirectoryEntry_Agreement:
			m := &posternv1.DataSharingAgreement{}
			if err := proto.Unmarshal(e.Agreement.GetPayload(), m); err != nil {
				return nil, unverified("DIRECTORY_ENTRIES", fmt.Sprintf("Entry %d of the directory does not hold an agreement.", i)).Because(err)
			}
			d.agreements = append(d.agreements, agreement{m, map[string]bool{}, map[string]bool{}})
			agreements = append(agreements, e.Agreement)
		default:
			return nil, fault.Newf(fault.Unimplemented, "DIRECTORY_NEWER", "Entry %d of the directory is of a kind this version does not know. Update Postern.", i)
		}
	}
	return agreements, nil
}

// verifyKeys keeps the recipient key of every authority that has one; a key may name no authority but its own.
func (d *Directory) verifyKeys(anchors *identity.Anchors, at time.Time) (faults []fault.Field) {
	for i, a := range d.authorities {
		if a.GetRecipientKey() == nil {
			continue
		}
		path := fmt.Sprintf("authorities[%d].recipient_key", i)
		key, err := envelope.VerifyRecipientKey(a.GetRecipientKey(), anchors, at)
		switch {
		case err != nil:
			faults = append(faults, fault.Field{Path: path, Reason: "does not verify: " + fault.From(err).Message,
				Fix: "Ask the authority to publish its recipient key again."})
		case key.GetAuthority() != a.GetCode():
			faults = append(faults, fault.Field{Path: path, Reason: "is the key of another authority.",
				Fix: "Put each key beside its own authority."})
		case d.keys[a.GetCode()] == nil || d.keys[a.GetCode()].GetVersion() < key.GetVersion():
			d.keys[a.GetCode()] = key
		}
	}
	return faults
}

// verifyAgreements keeps who signed each agreement. A signature that does not hold, or by somebody the agreement does
// not name, is a fault of the directory and not merely ignored: someone believes that it counts.
func (d *Directory) verifyAgreements(statements []*posternv1.Signed, anchors *identity.Anchors, at time.Time) (faults []fault.Field) {
	for i, s := range statements {
		path := fmt.Sprintf("agreements[%d].signatures", i)
		parties, err := envelope.VerifySignatures(s, typeAgreement, anchors, at)
		if err != nil {
			faults = append(faults, fault.Field{Path: path, Reason: "do not verify: " + fault.From(err).Message,
				Fix: "Ask the parties to sign the same agreement again with their certificates of today."})
			continue
		}
		for j, p := range parties {
			switch a := d.agreements[i]; {
			case !isParty(a.DataSharingAgreement, p):
				faults = append(faults, fault.Field{Path: fmt.Sprintf("%s[%d]", path, j), Reason: "is by somebody who is not a party of the agreement.",
					Fix: "Remove it, or have the agreement made again with that party."})
			case p.Role == posternv1.Role_ROLE_DESK:
				a.prisons[p.ID] = true
			default:
				a.authorities[p.ID] = true
			}
		}
	}
	return faults
}

// Number is the number of the revision, from 1.
func (d *Directory) Number() uint64 { return d.revision.GetNumber() }

// Contents is the SHA-256 of the digests of the entries in a row: the same for two revisions that say the same, whenever made.
func (d *Directory) Contents() [sha256.Size]byte {
	return sha256.Sum256(bytes.Join(d.revision.GetEntriesSha256(), nil))
}

// SignedBy is the operator who signed the revision.
func (d *Directory) SignedBy() identity.Party { return d.operator }

// Domain is the trust domain that the directory is for.
func (d *Directory) Domain() string { return d.revision.GetAudience() }

// Authorities lists the entries of authorities in the order of the directory, whatever their dates.
func (d *Directory) Authorities() []*posternv1.Authority { return slices.Clone(d.authorities) }

// At is the directory as it is looked at on a day: of an authority with several entries the one in force then counts.
func (d *Directory) At(t time.Time) *Directory {
	at := *d
	at.day = day(t, 0)
	return &at
}

// Authority returns the entry of the authority with a GSS code: of several the one in force on the day the directory is
// looked at, or else the last that began before it, so that a name is still found; see Enrolled.
func (d *Directory) Authority(code string) (*posternv1.Authority, bool) { return d.entry(code, d.day) }

func (d *Directory) entry(code, day string) (*posternv1.Authority, bool) {
	of := d.entries[code]
	for i, a := range slices.Backward(of) {
		if day == "" || a.GetStartDate() <= day || i == 0 {
			return a, true
		}
	}
	return nil, false
}

// Prison returns the prison with an id of the prison register.
func (d *Directory) Prison(id string) (*posternv1.Prison, bool) {
	p, ok := d.byID[id]
	return p, ok
}

// Prisons lists the prisons in the order of the directory.
func (d *Directory) Prisons() []*posternv1.Prison { return slices.Clone(d.prisons) }

// RecipientKey returns the verified recipient key of an authority, even one that has expired: a sender checks
// expire_time with its own clock.
func (d *Directory) RecipientKey(code string) (*posternv1.RecipientKey, bool) {
	k, ok := d.keys[code]
	return k, ok
}

// Enrolled says whether notifications can be sealed and sent to an authority at a time: its entry holds on that day in
// London and it has a recipient key that has not expired.
func (d *Directory) Enrolled(code string, at time.Time) bool {
	on := day(at, 0)
	a, ok := d.entry(code, on)
	key := d.keys[code]
	return ok && key != nil && a.GetRecipientKey() != nil && holds(a.GetStartDate(), a.GetEndDate(), on) &&
		at.Before(key.GetExpireTime().AsTime())
}

// Agreements lists the data-sharing agreements in the order of the directory, whoever signed them.
func (d *Directory) Agreements() []*posternv1.DataSharingAgreement {
	all := make([]*posternv1.DataSharingAgreement, len(d.agreements))
	for i, a := range d.agreements {
		all[i] = a.DataSharingAgreement
	}
	return all
}

// Agreement returns the data-sharing agreement in force between a prison and an authority on a civil date (2026-09-30):
// both have signed it and the date is within. Of several, the one that started last holds.
func (d *Directory) Agreement(prison, authority, on string) (*posternv1.DataSharingAgreement, bool) {
	var found *posternv1.DataSharingAgreement
	for _, a := range d.agreements {
		if a.signedBy(prison, authority) && holds(a.GetStartDate(), a.GetEndDate(), on) && (found == nil || a.GetStartDate() >= found.GetStartDate()) {
			found = a.DataSharingAgreement
		}
	}
	return found, found != nil
}

// AgreementEnd is the last day on which what Agreement returns holds: its own, or the day before a later one begins, which
// then holds in its place. It is empty where there is none.
func (d *Directory) AgreementEnd(prison, authority, on string) string {
	found, _ := d.Agreement(prison, authority, on)
	end := found.GetEndDate()
	for _, a := range d.agreements {
		start, err := time.Parse(time.DateOnly, a.GetStartDate())
		if a.signedBy(prison, authority) && err == nil && on < a.GetStartDate() && a.GetStartDate() <= end {
			end = start.AddDate(0, 0, -1).Format(time.DateOnly)
		}
	}
	return end
}

// signedBy reports whether both of a pair have signed.
func (a agreement) signedBy(prison, authority string) bool {
	return a.prisons[prison] && a.authorities[authority]
}

// holds compares civil dates, which sort as text; an empty end is open.
func holds(start, end, on string) bool { return start <= on && (end == "" || on <= end) }

func unverified(reason, message string) *fault.Error {
	return fault.New(fault.Unverified, reason, message)
}
