// Package formtest makes valid forms of invented families for the tests of other packages: one ordinary family, and
// every family that rapid can draw.
//
// It guarantees that form.Check accepts what it makes with Env. Every text it makes is recognisable and at least six
// characters long, so that a test may search for it where it must not be. It is for tests only; no command imports it.
package formtest

import (
	"crypto/rand"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/form"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// Now is the moment at which the forms of this package are checked.
var Now = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// The authorities of Env.
const (
	Bristol    = "E06000023"
	Lancashire = "E10000017"
	Wrexham    = "W06000006"
)

// Env knows the three authorities and the time.
func Env() form.Env {
	return form.Env{Now: Now, Article9Condition: "art9.2.g", Authority: func(code string) (*posternv1.Authority, bool) {
		known := code == Bristol || code == Lancashire || code == Wrexham
		return &posternv1.Authority{Code: code}, known
	}}
}

// New makes a form of a mother with one child in each of the authorities, in that order, every section filled in and
// every section consented, for whichever authority the child lives in. Each call gives another person's prison number:
// what two forms tell of one person may be taken for the same.
func New(authorities ...string) *posternv1.Form {
	f := &posternv1.Form{
		Reception: &posternv1.Reception{
			Reason: posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION, ReceiveDate: "2026-11-21",
		},
		PrisonNumber:  prisonNumber(),
		Tonight:       &posternv1.Tonight{Answer: posternv1.TonightAnswer_TONIGHT_ANSWER_NO, AskTime: timestamppb.New(Now.Add(-time.Hour))},
		Gate:          posternv1.Gate_GATE_NO_HOLD,
		NoticeVersion: "2026-09",
		Parent: &posternv1.Parent{
			Name:     &posternv1.ParentName{Provenance: told(), GivenName: "Morwenna", FamilyName: "Tattersby-Quill"},
			Birth:    &posternv1.ParentBirth{Provenance: told(), DateOfBirth: "1994-02-03"},
			Custody:  &posternv1.ParentCustody{Provenance: told(), CustodyType: posternv1.CustodyType_CUSTODY_TYPE_REMAND, TimeAway: posternv1.TimeAway_TIME_AWAY_NOT_KNOWN},
			Language: &posternv1.ParentLanguage{Provenance: told(), Language: "cy", InterpreterNeeded: posternv1.Answer_ANSWER_NO},
			Wishes:   &posternv1.ParentWishes{Provenance: told(), ContactWantedByParent: posternv1.ContactWanted_CONTACT_WANTED_YES},
		},
		Consent: Consent(len(authorities), Sections()...),
	}
	for i, code := range authorities {
		f.Children = append(f.Children, child(i+1, code))
	}
	return f
}

// prisonNumber draws a number of the sort that nobody has.
func prisonNumber() string {
	b := make([]byte, 4)
	if _, err := rand.Read(b); err != nil {
		panic(err) // never, says package rand
	}
	return fmt.Sprintf("%c%04d%cZ", 'A'+b[0]%26, (int(b[1])<<8|int(b[2]))%10000, 'A'+b[3]%26)
}

// Declined makes a form of a person who would rather not say.
func Declined() *posternv1.Form {
	return &posternv1.Form{
		Reception:    &posternv1.Reception{Reason: posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION, ReceiveDate: "2026-11-21"},
		PrisonNumber: "A0001ZZ",
		Enquiry:      posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED,
	}
}

// Enquiry makes a form of the outcome of asking, with the reason that NOT_ASKED needs.
func Enquiry(outcome posternv1.EnquiryOutcome) *posternv1.Form {
	f := Declined()
	f.Enquiry = outcome
	if outcome == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED {
		f.NotAskedReason = posternv1.NotAskedReason_NOT_ASKED_REASON_LATE
		f.AskAgainDate = "2026-11-23"
	}
	return f
}

// Urgent makes a form on the urgent route of a mother with so many children in one authority: nobody could be asked to
// agree, the duty governor authorised it by telephone, and one call was answered by nobody.
func Urgent(authority string, children int) *posternv1.Form {
	f := New(slices.Repeat([]string{authority}, children)...)
	f.Consent, f.Gate = nil, posternv1.Gate_GATE_NOT_DONE
	f.Tonight.Answer = posternv1.TonightAnswer_TONIGHT_ANSWER_YES
	f.Route = posternv1.Route_ROUTE_URGENT
	f.Urgency = &posternv1.Urgency{
		Provenance: told(), Reason: posternv1.UrgencyReason_URGENCY_REASON_CHILD_MAY_BE_ALONE,
		WhatWasSaid: "There is nobody at the house", SaidBy: "Morwenna herself",
		Calls: []*posternv1.UrgencyCall{{
			Number: "01632 960222", CallTime: timestamppb.New(Now.Add(-20 * time.Minute)), Result: posternv1.CallResult_CALL_RESULT_NO_ANSWER}},
		AuthorisedBy:  &posternv1.Authorisation{StaffId: "staff-0009", Role: posternv1.StaffRole_STAFF_ROLE_DUTY_GOVERNOR, ByPhone: true},
		ConsentSought: posternv1.Answer_ANSWER_NO, ConsentNotSoughtReason: "She was taken to hospital",
		ParentTold: posternv1.Answer_ANSWER_NO, ParentNotToldReason: "She was taken to hospital",
	}
	return f
}

// Duty makes a form on the duty route of so many children in one authority: the parent said no, and the safeguarding
// lead decided that the authority should know who and where the first of them is.
func Duty(authority string, children int) *posternv1.Form {
	f := New(slices.Repeat([]string{authority}, children)...)
	f.Consent = &posternv1.Consent{Version: 1, Jurisdiction: "GB-ENG", State: posternv1.ConsentState_CONSENT_STATE_DECLINED}
	f.Route = posternv1.Route_ROUTE_DUTY
	f.Consideration = &posternv1.Consideration{
		Law: posternv1.ConsiderationLaw_CONSIDERATION_LAW_DUTY_S16LA, Relevant: posternv1.Answer_ANSWER_YES, HelpsFunction: "ca1989.s17",
		NotMoreDetrimental: []uint32{1}, ParentTold: posternv1.Answer_ANSWER_YES,
		Paths:   []string{"parent/name", "child/1/identity", "child/1/home", "child/1/safety"},
		StaffId: "staff-0021", Role: posternv1.StaffRole_STAFF_ROLE_SAFEGUARDING_LEAD, ConsiderTime: timestamppb.New(Now.Add(-time.Hour)),
	}
	f.ConsiderationReasons = "A baby with a carer nobody has met"
	return f
}

// Consent makes a consent to tell these sections, patterns or paths, about the first so many children of a form, to the
// team where each child lives.
func Consent(children int, sections ...string) *posternv1.Consent {
	c := &posternv1.Consent{
		Id: "7b0f4c1e-93a5-4d28-8e61-2f5d9c0ab374", Version: 1, Jurisdiction: "GB-ENG",
		State:        posternv1.ConsentState_CONSENT_STATE_GIVEN,
		Understood:   posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_YES,
		Sections:     sections,
		FollowsChild: true,
		Method:       posternv1.ConsentMethod_CONSENT_METHOD_FACE_TO_FACE,
		Witness:      &posternv1.Witness{StaffId: "staff-0417", Role: "reception officer"},
		GiveTime:     timestamppb.New(Now.Add(-30 * time.Minute)),
	}
	for n := range children {
		c.Children = append(c.Children, uint32(n+1))
	}
	return c
}

// Sections returns the pattern of every section that a consent can cover.
func Sections() []string {
	var all []string
	for _, s := range section.All() {
		if s.Class != posternv1.SectionClass_SECTION_CLASS_URGENT {
			all = append(all, s.Pattern)
		}
	}
	return all
}

// child is the n-th child, with every section.
func child(n int, authority string) *posternv1.Child {
	yes, no := posternv1.Answer_ANSWER_YES, posternv1.Answer_ANSWER_NO
	return &posternv1.Child{
		Authority: authority,
		Identity: &posternv1.ChildIdentity{
			Provenance: told(), GivenName: fmt.Sprintf("Peregrine-%d", n), FamilyName: "Tattersby-Quill",
			Born: &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: fmt.Sprintf("2019-05-%02d", n)},
		},
		Relationship: &posternv1.ChildRelationship{
			Provenance: told(), Relationship: posternv1.Relationship_RELATIONSHIP_MOTHER, ParentalResponsibility: yes,
			PrimaryCarerBefore: yes, LivedWithBefore: yes, AgreesToEarlyHelp: yes,
		},
		Home: &posternv1.ChildHome{
			Provenance: told(), AddressLines: []string{fmt.Sprintf("%d Sixpenny Steps", n), "Lower Fernhollow"}, Postcode: "ZZ99 3QT",
		},
		Carer: &posternv1.ChildCarer{
			Provenance: told(), Name: "Gwladys Tattersby", Relationship: posternv1.Relationship_RELATIONSHIP_GRANDPARENT,
			IsAdult: yes, HasParentalResponsibility: no,
		},
		Safety: &posternv1.ChildSafety{
			Provenance: told(), CarerKnows: yes, SafeManner: "Ring before you come", SafeTimes: "after half past three",
			Language: "en", InterpreterNeeded: no,
		},
		Phone:  &posternv1.ChildPhone{Provenance: told(), CarerPhone: "01632 960147"},
		School: &posternv1.ChildSchool{Provenance: told(), SettingName: "Fernhollow Primary"},
		Knowledge: &posternv1.ChildKnowledge{
			Provenance: told(), KnowsAboutImprisonment: posternv1.KnowsAboutImprisonment_KNOWS_ABOUT_IMPRISONMENT_PARTLY,
		},
		Needs: &posternv1.ChildNeeds{
			Provenance: told(), Codes: []posternv1.Need{posternv1.Need_NEED_CHILDCARE, posternv1.Need_NEED_MONEY},
			CommunicationNeeds: "large print please",
		},
		Worker: &posternv1.ChildWorker{Provenance: told(), AlreadyHasWorker: yes, TeamName: "Fernhollow Family Centre"},
	}
}

// told is the provenance of what the parent said at reception.
func told() *posternv1.Provenance {
	return &posternv1.Provenance{
		Known: posternv1.Known_KNOWN_KNOWN, Basis: posternv1.Basis_BASIS_PARENT_SAID, AsOfDate: "2026-11-21",
	}
}
