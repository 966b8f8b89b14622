package engine

import (
	"bytes"
	"encoding/json"

	"postern/internal/strict"
)

// Input is everything a decision rests on, and all of it: facts, the caller, what the directory says today, the hour.
// It holds no value from a section. policy/schema/input.json describes the same shape for the authors of rules. Enums
// are short names (GIVEN), "" where nothing was said; moments are RFC 3339 in UTC; dates are civil dates.
type Input struct {
	Now               string         `json:"now"`                // the moment of the decision, in whole seconds
	Today             string         `json:"today"`              // the date of now in Europe/London
	Statement         string         `json:"statement"`          // OFFER or ENQUIRY
	Route             string         `json:"route"`              // STANDARD, URGENT, DUTY; "" for an enquiry
	DestinationSource string         `json:"destination_source"` // where the authority came from
	ChangeReason      string         `json:"change_reason"`      // why it replaces an earlier notification
	Supersedes        bool           `json:"supersedes"`         // whether it replaces an earlier notification
	AlreadyNotified   bool           `json:"already_notified"`   // whether this desk sent the same content before
	FirstNotification string         `json:"first_notification"` // the id of the notification that did
	Redirected        bool           `json:"redirected"`         // whether another team passes it on
	FirstSubmitTime   string         `json:"first_submit_time"`  // when this content was first submitted
	Gate              string         `json:"gate"`               // the public-protection check
	Caller            Caller         `json:"caller"`
	Reception         Reception      `json:"reception"`
	Enquiry           Enquiry        `json:"enquiry"`
	Consent           Consent        `json:"consent"`
	Recipient         Recipient      `json:"recipient"`
	Agreement         Agreement      `json:"agreement"`
	Parent            Sections       `json:"parent"` // the parent's sections, and urgency
	Children          []Child        `json:"children"`
	Calls             []Call         `json:"calls"`
	Urgency           Urgency        `json:"urgency"`
	Consideration     *Consideration `json:"consideration,omitempty"` // absent when nobody considered the duty
}

// Caller is the sending prison as the directory knows it.
type Caller struct {
	PrisonID     string `json:"prison_id"`
	Jurisdiction string `json:"jurisdiction"`
	Known        bool   `json:"known"`
}

// Reception is why and when the person came.
type Reception struct {
	Reason      string `json:"reason"`
	ReceiveDate string `json:"receive_date"`
}

// Enquiry is the outcome of asking.
type Enquiry struct {
	Outcome        string `json:"outcome"`
	AskAgainDate   string `json:"ask_again_date"`
	NotAskedReason string `json:"not_asked_reason"`
}

// Consent is what the person agreed to tell, as projected for this authority.
type Consent struct {
	State           string   `json:"state"`
	Jurisdiction    string   `json:"jurisdiction"`
	CapacityConcern bool     `json:"capacity_concern"`
	GrantorUnder18  bool     `json:"grantor_under_18"`
	Understood      string   `json:"understood"`
	GiveTime        string   `json:"give_time"`
	ExpireTime      string   `json:"expire_time"` // the stated end, or 90 days after it was given
	AskAgainDate    string   `json:"ask_again_date"`
	Children        []int    `json:"children"`
	Authorities     []string `json:"authorities"`
	FollowsChild    bool     `json:"follows_child"`
}

// Recipient is the authority as the directory knows it at this hour.
type Recipient struct {
	Authority    string    `json:"authority"`
	Known        bool      `json:"known"`
	Enrolled     bool      `json:"enrolled"`
	Jurisdiction string    `json:"jurisdiction"`
	AgeLimit     uint32    `json:"age_limit"`
	EarlyHelp    FrontDoor `json:"early_help"`
	Safeguarding FrontDoor `json:"safeguarding"`
}

// FrontDoor is one intake of an authority, with the number that answers at this hour.
type FrontDoor struct {
	Name     string `json:"name"`
	PhoneNow string `json:"phone_now"`
	InHours  bool   `json:"in_hours"`
}

// Agreement is the data-sharing agreement in force today between this prison and this authority.
type Agreement struct {
	InForce bool     `json:"in_force"`
	ID      string   `json:"id"`
	Parent  []string `json:"parent"`   // the parent's sections it includes, by name
	Child   []string `json:"child"`    // the sections of a child it includes, by name
	EndDate string   `json:"end_date"` // the last day it is in force: no other one has begun, nor has it ended
	EndTime string   `json:"end_time"` // the end in Europe/London of that day, or of the last one of the recipient's entry
}

// Sections is what is known of the sections of one child, or of the parent: by name (home for child/2/home), in the
// order of the form.
type Sections struct {
	Known     map[string]string `json:"known"`     // each section: KNOWN, NOT_KNOWN, NOT_ASKED, DECLINED, "" unsaid
	Offered   []string          `json:"offered"`   // the sections that are in the statement
	Permitted []string          `json:"permitted"` // the sections that the permission covers
}

// Child is the facts of one child.
type Child struct {
	Sections
	Number                 int    `json:"number"`
	AgeYears               *int   `json:"age_years,omitempty"` // absent when it is not known or the child is unborn
	Unborn                 bool   `json:"unborn"`
	AsOfDate               string `json:"as_of_date"`
	CarerKnown             string `json:"carer_known"`
	CarerIsAdult           string `json:"carer_is_adult"`
	PrimaryCarerBefore     string `json:"primary_carer_before"`
	LivedWithBefore        string `json:"lived_with_before"`
	ParentalResponsibility string `json:"parental_responsibility"`
	InCare                 bool   `json:"in_care"`
	AddressConfidential    bool   `json:"address_confidential"`
	SameAddressGroup       int    `json:"same_address_group"`
	OutwardCodeOnly        bool   `json:"outward_code_only"` // of the postcode only the first half is known; staff chose the authority
}

// Call is one telephone call to a front door.
type Call struct {
	Time   string `json:"time"`
	Result string `json:"result"`
	Child  int    `json:"child"` // 0 for all
}

// Urgency is why it is urgent and who authorised it.
type Urgency struct {
	Reason         string `json:"reason"`
	AuthorisedRole string `json:"authorised_role"`
}

// Consideration is a person's decision on the duty to share, as codes.
type Consideration struct {
	Law                string   `json:"law"`
	Relevant           string   `json:"relevant"`
	HelpsFunction      string   `json:"helps_function"`
	NotMoreDetrimental []int    `json:"not_more_detrimental"`
	ParentTold         string   `json:"parent_told"`
	Paths              []string `json:"paths"`
	Role               string   `json:"role"`
	Time               string   `json:"time"`
}

// ParseInput reads an Input as Decide wrote it. A key it does not know is a fault: an input with facts that this version
// cannot see would be decided without them.
func ParseInput(data []byte) (*Input, error) {
	in, _, err := readInput(data)
	return in, err
}

// readInput also says whether the Input is written again as the same bytes.
func readInput(data []byte) (_ *Input, same bool, _ error) {
	var in Input
	// What is written again as the same bytes was read whole. A replay reads millions of these; only another spelling,
	// and whatever is wrong, needs the reader that says what.
	if json.Unmarshal(data, &in) == nil && bytes.Equal(in.json(), data) {
		return &in, true, nil
	}
	in = Input{}
	if err := strict.JSON(data, &in); err != nil {
		return nil, false, err
	}
	return &in, false, nil
}

// RouteOf is the route that an Input names, and nothing else of it; "" where it names none, or is none.
func RouteOf(input []byte) string {
	var in struct {
		Route string `json:"route"`
	}
	if json.Unmarshal(input, &in) != nil {
		return ""
	}
	return in.Route
}
