package form_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// paths checks a form and returns the paths of its faults. Each must be said in sentences that repeat no value.
func paths(t *testing.T, f *posternv1.Form) []string {
	t.Helper()
	all := faults(t, f)
	var named []string
	for _, field := range all {
		for _, sentence := range []string{field.Reason, field.Fix} {
			if !strings.HasSuffix(sentence, ".") {
				t.Errorf("%s: %q is not a sentence", field.Path, sentence)
			}
			for _, leaf := range leaves(f, "authority", "sections", "paths", "authorities") {
				if len(leaf) >= 6 && strings.Contains(sentence, leaf) {
					t.Errorf("the fault at %s repeats the value %q: %s", field.Path, leaf, sentence)
				}
			}
		}
		named = append(named, field.Path)
	}
	return named
}

// faults checks a form. A refusal must name a field; what is accepted is accepted again, as it is.
func faults(t *testing.T, f *posternv1.Form) []fault.Field {
	t.Helper()
	checked, err := form.Check(f, formtest.Env())
	if err == nil {
		again, err := form.Check(checked.Form(), formtest.Env())
		if err != nil || !proto.Equal(checked.Form(), again.Form()) {
			t.Fatalf("the checked form, checked again, is another: %v", err)
		}
		return nil
	}
	var e *fault.Error
	if !errors.As(err, &e) || e.Kind != fault.Invalid || len(e.Fields) == 0 {
		t.Fatalf("Check failed with %v; want fault.Invalid that names a field", err)
	}
	for _, field := range e.Fields {
		if field.Path == "" || field.Reason == "" || field.Fix == "" {
			t.Fatalf("the fault %+v lacks its path, reason or fix", field)
		}
	}
	return e.Fields
}

// leaves returns every text of a message, but for fields of these names.
func leaves(m proto.Message, but ...protoreflect.Name) []string {
	var all []string
	var walk func(m protoreflect.Message)
	one := func(f protoreflect.FieldDescriptor, v protoreflect.Value) {
		switch f.Kind() {
		case protoreflect.StringKind:
			all = append(all, v.String())
		case protoreflect.MessageKind:
			walk(v.Message())
		}
	}
	walk = func(m protoreflect.Message) {
		m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case slices.Contains(but, f.Name()):
				return true
			case !f.IsList():
				one(f, v)
				return true
			}
			for i := range v.List().Len() {
				one(f, v.List().Get(i))
			}
			return true
		})
	}
	walk(m.ProtoReflect())
	return all
}

func TestEveryValidFormIsAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := formtest.Any(t)
		checked, err := form.Check(f, formtest.Env())
		if err != nil {
			t.Fatalf("%v\n%v", err, f)
		}
		if !proto.Equal(checked.Form(), f) {
			t.Fatal("the checked form is not the form, though its dates and authorities are written out")
		}
	})
	for name, f := range map[string]*posternv1.Form{
		"one child":       formtest.New(formtest.Bristol),
		"two authorities": formtest.New(formtest.Bristol, formtest.Lancashire, formtest.Bristol),
		"a refusal":       formtest.Declined(),
		"urgent":          formtest.Urgent(formtest.Bristol, 2),
		"considered":      formtest.Duty(formtest.Bristol, 2),
		"none":            formtest.Enquiry(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN),
		"not asked":       formtest.Enquiry(posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED),
	} {
		if got := paths(t, f); got != nil {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A mistake is one edit of a good form and the paths that must be named for it.
type mistake struct {
	edit func(*posternv1.Form)
	want []string
}

func TestMistakesInTheEnvelope(t *testing.T) {
	testMistakes(t, formtest.New(formtest.Bristol, formtest.Lancashire), map[string]mistake{
		"a form id that is not a UUID": {func(f *posternv1.Form) { f.FormId = "form-seventeen" }, []string{"form_id"}},
		"no reception":                 {func(f *posternv1.Form) { f.Reception = nil }, []string{"reception.reason", "reception.receive_date"}},
		"a reception tomorrow": {func(f *posternv1.Form) { f.Reception.ReceiveDate = "2026-11-23" },
			[]string{"reception.receive_date"}},
		"a reception in another century": {func(f *posternv1.Form) { f.Reception.ReceiveDate = "1926-11-22" },
			[]string{"reception.receive_date"}},
		"a reception on 31 November": {func(f *posternv1.Form) { f.Reception.ReceiveDate = "2026-11-31" },
			[]string{"reception.receive_date"}},
		"no prison number":                {func(f *posternv1.Form) { f.PrisonNumber = " " }, []string{"prison_number"}},
		"a prison number of another sort": {func(f *posternv1.Form) { f.PrisonNumber = "1234567" }, []string{"prison_number"}},
		"a first question left open": {func(f *posternv1.Form) { f.Tonight.Answer = 0 },
			[]string{"tonight.answer"}},
		"the urgent route, in haste": {func(f *posternv1.Form) { f.Route = posternv1.Route_ROUTE_URGENT }, []string{"children[1].authority", "urgency"}},
		"the duty route, in haste":   {func(f *posternv1.Form) { f.Route = posternv1.Route_ROUTE_DUTY }, []string{"children[1].authority", "consideration"}},
		"a route nobody knows":       {func(f *posternv1.Form) { f.Route = 9 }, []string{"route"}},
		"urgency on another route":   {func(f *posternv1.Form) { f.Urgency = &posternv1.Urgency{} }, []string{"urgency"}},
		"another paragraph":          {func(f *posternv1.Form) { f.LawfulBasis = &posternv1.LawfulBasis{Schedule1Paragraph: 7} }, []string{"lawful_basis.schedule1_paragraph"}},
		"a gateway in words":         {func(f *posternv1.Form) { f.LawfulBasis = &posternv1.LawfulBasis{Gateway: "the Act"} }, []string{"lawful_basis.gateway"}},
		"a call without anything":    {func(f *posternv1.Form) { f.Calls = []*posternv1.Call{{ChildNumber: 3}} }, []string{"calls[0].call_time", "calls[0].result", "calls[0].child_number"}},
		"a call tomorrow": {func(f *posternv1.Form) {
			f.Calls = []*posternv1.Call{{CallTime: timestamppb.New(formtest.Now.AddDate(0, 0, 1)), Result: 1}}
		}, []string{"calls[0].call_time"}},
		"asked again before the reception": {func(f *posternv1.Form) { f.AskAgainDate = "2026-11-01" }, []string{"ask_again_date"}},
		"a reason for not asking":          {func(f *posternv1.Form) { f.NotAskedReason = 1 }, []string{"not_asked_reason"}},
		"too many calls": {func(f *posternv1.Form) {
			f.Calls = slices.Repeat([]*posternv1.Call{{CallTime: timestamppb.New(formtest.Now), Result: 1}}, 33)
		}, []string{"calls"}},
		"a field from the future": {func(f *posternv1.Form) { f.Children[1].ProtoReflect().SetUnknown([]byte{0xf8, 0x07, 1}) },
			[]string{"children[1]"}},
	})
}

func TestMistakesInTheConsent(t *testing.T) {
	testMistakes(t, formtest.New(formtest.Bristol, formtest.Lancashire), map[string]mistake{
		"none":               {func(f *posternv1.Form) { f.Consent = nil }, []string{"consent"}},
		"no state":           {func(f *posternv1.Form) { f.Consent.State = 0 }, []string{"consent.state"}},
		"a no, and children": {func(f *posternv1.Form) { f.Consent.State = posternv1.ConsentState_CONSENT_STATE_DECLINED }, []string{"consent.state"}},
		"a bare yes": {func(f *posternv1.Form) {
			f.Consent = &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_GIVEN}
		}, []string{"consent.understood", "consent.give_time", "consent.method", "consent.children", "consent.sections", "consent.authorities", "consent.jurisdiction"}},
		"the law of another country": {func(f *posternv1.Form) { f.Consent.Jurisdiction = "GB-SCT" }, []string{"consent.jurisdiction"}},
		"given tomorrow":             {func(f *posternv1.Form) { f.Consent.GiveTime = timestamppb.New(formtest.Now.AddDate(0, 0, 1)) }, []string{"consent.give_time"}},
		"given at no time at all":    {func(f *posternv1.Form) { f.Consent.GiveTime.Nanos = -1 }, []string{"consent.give_time"}},
		"ending at no time at all":   {func(f *posternv1.Form) { f.Consent.ExpireTime = &timestamppb.Timestamp{Seconds: 1 << 60} }, []string{"consent.expire_time"}},
		"over before it began":       {func(f *posternv1.Form) { f.Consent.ExpireTime = timestamppb.New(formtest.Now.AddDate(0, 0, -1)) }, []string{"consent.expire_time"}},
		"a child nobody described":   {func(f *posternv1.Form) { f.Consent.Children = []uint32{1, 0, 3} }, []string{"consent.children[1]", "consent.children[2]"}},
		"a child twice":              {func(f *posternv1.Form) { f.Consent.Children = []uint32{1, 1} }, []string{"consent.children[1]"}},
		"a section nobody knows": {func(f *posternv1.Form) {
			f.Consent.Sections = []string{"parent/name", "child/{n}/diary", "child/01/home", ""}
		}, []string{"consent.sections[1]", "consent.sections[2]", "consent.sections[3]"}},
		"the urgent section":    {func(f *posternv1.Form) { f.Consent.Sections = []string{"urgency"} }, []string{"consent.sections[0]"}},
		"a section of no child": {func(f *posternv1.Form) { f.Consent.Sections = []string{"child/3/home"} }, []string{"consent.sections[0]"}},
		"a section of a child not covered": {func(f *posternv1.Form) {
			f.Consent.Children, f.Consent.Sections = []uint32{1}, []string{"child/2/home"}
		},
			[]string{"consent.sections[0]"}},
		"a district as recipient": {func(f *posternv1.Form) { f.Consent.Authorities = []string{formtest.Bristol, "E07000117"} }, []string{"consent.authorities[1]"}},
		"a withdrawal that says nothing": {func(f *posternv1.Form) {
			f.Consent.Withdrawal = &posternv1.ConsentWithdrawal{Paths: []string{"child/2", "child/3", "child/2/home", "child/02", "grandparent"}}
		},
			[]string{"consent.withdrawal.withdraw_time", "consent.withdrawal.method", "consent.withdrawal.paths[1]", "consent.withdrawal.paths[3]", "consent.withdrawal.paths[4]"}},
		"evidence that is no digest": {func(f *posternv1.Form) { f.Consent.EvidenceSha256 = []byte("signed paper") }, []string{"consent.evidence_sha256"}},
		"a language in words":        {func(f *posternv1.Form) { f.Consent.Notice = &posternv1.Notice{Language: "Welsh, please"} }, []string{"consent.notice.language"}},
		"an id that is not a UUID":   {func(f *posternv1.Form) { f.Consent.Id = "consent-one" }, []string{"consent.id"}},
	})
}

func TestConsentsThatPolicyJudgesAreNotMistakes(t *testing.T) {
	testMistakes(t, formtest.New(formtest.Bristol), map[string]mistake{
		"not asked": {func(f *posternv1.Form) {
			f.Consent = &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_NOT_ASKED}
		}, nil},
		"not understood":  {func(f *posternv1.Form) { f.Consent.Understood = posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_NO }, nil},
		"ended":           {func(f *posternv1.Form) { f.Consent.GiveTime = timestamppb.New(formtest.Now.AddDate(-1, 0, 0)) }, nil},
		"far from ending": {func(f *posternv1.Form) { f.Consent.ExpireTime = timestamppb.New(formtest.Now.AddDate(20, 0, 0)) }, nil},
		"another recipient": {func(f *posternv1.Form) {
			f.Consent.FollowsChild, f.Consent.Authorities = false, []string{formtest.Lancashire}
		},
			nil},
	})
}

func TestMistakesAboutAChild(t *testing.T) {
	child := func(edit func(*posternv1.Child)) func(*posternv1.Form) {
		return func(f *posternv1.Form) { edit(f.Children[1]) }
	}
	at := func(paths ...string) []string {
		for i := range paths {
			paths[i] = "children[1]." + paths[i]
		}
		return paths
	}
	born := func(f *posternv1.Child, date string) {
		f.Identity.Born = &posternv1.ChildIdentity_DateOfBirth{DateOfBirth: date}
	}
	due := func(f *posternv1.Child, date string) {
		f.Identity.Born = &posternv1.ChildIdentity_DueDate{DueDate: date}
	}
	testMistakes(t, formtest.New(formtest.Bristol, formtest.Bristol), map[string]mistake{
		"no child":                              {func(f *posternv1.Form) { f.Children, f.Consent = nil, &posternv1.Consent{State: 3} }, []string{"children"}},
		"no authority":                          {child(func(c *posternv1.Child) { c.Authority = "" }), at("authority")},
		"a district":                            {child(func(c *posternv1.Child) { c.Authority = "E07000117" }), at("authority")},
		"Scotland":                              {child(func(c *posternv1.Child) { c.Authority = "S12000036" }), at("authority")},
		"an authority not in the directory":     {child(func(c *posternv1.Child) { c.Authority = "E06000008" }), at("authority")},
		"nobody says whether the name is known": {child(func(c *posternv1.Child) { c.Identity.Provenance = nil }), at("identity.provenance.known")},
		"known, but empty":                      {child(func(c *posternv1.Child) { c.School.SettingName = "  " }), at("school")},
		"not known, but filled":                 {child(func(c *posternv1.Child) { c.School.Provenance.Known = posternv1.Known_KNOWN_DECLINED }), at("school")},
		"known tomorrow":                        {child(func(c *posternv1.Child) { c.Carer.Provenance.AsOfDate = "2026-11-23" }), at("carer.provenance.as_of_date")},
		"no name":                               {child(func(c *posternv1.Child) { c.Identity.GivenName, c.Identity.FamilyName = "", "" }), at("identity.family_name")},
		"no birth":                              {child(func(c *posternv1.Child) { c.Identity.Born = nil }), at("identity.date_of_birth")},
		"a birth tomorrow":                      {child(func(c *posternv1.Child) { born(c, "2026-11-23") }), at("identity.date_of_birth")},
		"a due date left empty":                 {child(func(c *posternv1.Child) { due(c, "") }), at("identity.due_date")},
		"the home of a child whose home is not given": {func(f *posternv1.Form) {
			f.Children[0].Home = nil
			f.Children[1].Home = &posternv1.ChildHome{Provenance: f.Children[1].Home.Provenance, SameAsChild: 1}
		}, at("home.same_as_child")},
		"together in two authorities": {child(func(c *posternv1.Child) {
			c.Authority, c.Home = formtest.Lancashire, &posternv1.ChildHome{Provenance: c.Home.Provenance, SameAsChild: 1}
		}), at("home.same_as_child")},
		"a foster carer, not in care": {child(func(c *posternv1.Child) { c.Carer.Relationship = posternv1.Relationship_RELATIONSHIP_FOSTER_CARER }), at("carer.relationship")},
		"a foster carer's responsibility": {child(func(c *posternv1.Child) {
			c.Relationship.Relationship = posternv1.Relationship_RELATIONSHIP_FOSTER_CARER
		}), at("relationship.parental_responsibility")},
		"a birth left empty":         {child(func(c *posternv1.Child) { born(c, "") }), at("identity.date_of_birth")},
		"a birth as people write it": {child(func(c *posternv1.Child) { born(c, "3/5/2019") }), nil},
		"a son of 25":                {child(func(c *posternv1.Child) { born(c, "2001-11-22") }), at("identity.date_of_birth")},
		"a son of almost 25":         {child(func(c *posternv1.Child) { born(c, "2001-11-23") }), nil},
		"born today":                 {child(func(c *posternv1.Child) { born(c, "2026-11-22") }), nil},
		"an age of 25":               {child(func(c *posternv1.Child) { c.Identity.Born = &posternv1.ChildIdentity_AgeYears{AgeYears: 25} }), at("identity.age_years")},
		"an age of 0":                {child(func(c *posternv1.Child) { c.Identity.Born = &posternv1.ChildIdentity_AgeYears{} }), nil},
		"due long ago":               {child(func(c *posternv1.Child) { due(c, "2026-10-24") }), at("identity.due_date")},
		"due in a year":              {child(func(c *posternv1.Child) { due(c, "2027-11-22") }), at("identity.due_date")},
		"due, without a name":        {child(func(c *posternv1.Child) { due(c, "2027-03-01"); c.Identity.GivenName, c.Identity.FamilyName = "", "" }), nil},
		"help agreed without parental responsibility": {child(func(c *posternv1.Child) {
			c.Relationship.ParentalResponsibility = posternv1.Answer_ANSWER_NOT_KNOWN
		}), at("relationship.agrees_to_early_help")},
		"a postcode that is none":    {child(func(c *posternv1.Child) { c.Home.Postcode = "near the docks" }), at("home.postcode")},
		"half a postcode":            {child(func(c *posternv1.Child) { c.Home.Postcode = "zz99" }), nil},
		"a postcode without a space": {child(func(c *posternv1.Child) { c.Home.Postcode = "ZZ993QT" }), nil},
		"seven lines of address":     {child(func(c *posternv1.Child) { c.Home.AddressLines = slices.Repeat([]string{"Fernhollow"}, 7) }), at("home.address_lines")},
		"an empty line of address":   {child(func(c *posternv1.Child) { c.Home.AddressLines = []string{"Fernhollow", ""} }), at("home.address_lines[1]")},
		"the home of a later child":  {child(func(c *posternv1.Child) { c.Home = &posternv1.ChildHome{Provenance: c.Home.Provenance, SameAsChild: 2} }), at("home.same_as_child")},
		"the home of no child": {child(func(c *posternv1.Child) {
			c.Home = &posternv1.ChildHome{Provenance: c.Home.Provenance, SameAsChild: 4000000000}
		}), at("home.same_as_child")},
		"a home given twice":                 {child(func(c *posternv1.Child) { c.Home.SameAsChild = 1 }), at("home.same_as_child")},
		"an address that is confidential":    {child(func(c *posternv1.Child) { c.AddressConfidential = true }), at("home")},
		"an address of a child in care":      {child(func(c *posternv1.Child) { c.InCare = true }), at("home")},
		"a number that is none":              {child(func(c *posternv1.Child) { c.Phone.CarerPhone = "ask at the shop" }), at("phone.carer_phone")},
		"a number with brackets":             {child(func(c *posternv1.Child) { c.Phone.CarerPhone = "+44 (7700) 900-123" }), nil},
		"the same need twice":                {child(func(c *posternv1.Child) { c.Needs.Codes = []posternv1.Need{2, 2} }), at("needs.codes[1]")},
		"a need nobody knows":                {child(func(c *posternv1.Child) { c.Needs.Codes = []posternv1.Need{2, 0, 88} }), at("needs.codes[1]", "needs.codes[2]")},
		"an answer nobody knows":             {child(func(c *posternv1.Child) { c.Carer.IsAdult = 77 }), at("carer.is_adult")},
		"a language in words":                {child(func(c *posternv1.Child) { c.Safety.Language = "she speaks Polish" }), at("safety.language")},
		"words without end":                  {child(func(c *posternv1.Child) { c.Safety.SafeManner = strings.Repeat("please ", 60) }), at("safety.safe_manner")},
		"a name of 101 letters":              {child(func(c *posternv1.Child) { c.Carer.Name = strings.Repeat("ŵ", 101) }), at("carer.name")},
		"a name of 100 letters":              {child(func(c *posternv1.Child) { c.Carer.Name = strings.Repeat("ŵ", 100) }), nil},
		"a name that is not UTF-8":           {child(func(c *posternv1.Child) { c.Carer.Name = "Gwladys\xff" }), at("carer.name")},
		"a name with a zero byte":            {child(func(c *posternv1.Child) { c.Carer.Name = "Gwladys\x00" }), at("carer.name")},
		"a name that steers a terminal":      {child(func(c *posternv1.Child) { c.Carer.Name = "\x1b[31mGwladys" }), at("carer.name")},
		"a name on two lines, right to left": {child(func(c *posternv1.Child) { c.Carer.Name = "Gwladys\n\"\u200fאב'\u202e" }), nil},
	})
}

func TestMistakesAboutTheParent(t *testing.T) {
	testMistakes(t, formtest.New(formtest.Bristol), map[string]mistake{
		"a parent without sections": {func(f *posternv1.Form) { f.Parent = nil }, nil},
		"one name alone":            {func(f *posternv1.Form) { f.Parent.Name.GivenName = "" }, nil},
		"no name":                   {func(f *posternv1.Form) { f.Parent.Name.GivenName, f.Parent.Name.FamilyName = "", " " }, []string{"parent.name"}},
		"a birth tomorrow":          {func(f *posternv1.Form) { f.Parent.Birth.DateOfBirth = "2026-11-23" }, []string{"parent.birth.date_of_birth"}},
		"a birth nine years ago":    {func(f *posternv1.Form) { f.Parent.Birth.DateOfBirth = "2016-11-23" }, []string{"parent.birth.date_of_birth"}},
		"a birth in 1826":           {func(f *posternv1.Form) { f.Parent.Birth.DateOfBirth = "1826-11-22" }, []string{"parent.birth.date_of_birth"}},
		"eighteen tomorrow, unsaid": {func(f *posternv1.Form) { f.Parent.Birth.DateOfBirth = "2008-11-23" }, []string{"consent.grantor_under_18"}},
		"eighteen today":            {func(f *posternv1.Form) { f.Parent.Birth.DateOfBirth = "2008-11-22" }, nil},
		"eighteen tomorrow, said": {func(f *posternv1.Form) {
			f.Parent.Birth.DateOfBirth, f.Consent.GrantorUnder_18 = "2008-11-23", true
		}, nil},
		"eighteen tomorrow, and not asked": {func(f *posternv1.Form) {
			f.Parent.Birth.DateOfBirth, f.Consent.State = "2008-11-23", posternv1.ConsentState_CONSENT_STATE_NOT_ASKED
		}, nil},
		"a language in words": {func(f *posternv1.Form) { f.Parent.Language.Language = "Welsh and English" }, []string{"parent.language.language"}},
	})
}

func TestMistakesInARefusal(t *testing.T) {
	whole := formtest.New(formtest.Bristol)
	testMistakes(t, formtest.Declined(), map[string]mistake{
		"a refusal with its consent": {func(f *posternv1.Form) {
			f.Consent = &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_DECLINED}
		}, nil},
		"a refusal to ask about again": {func(f *posternv1.Form) { f.AskAgainDate = "2026-11-24" }, nil},
		"a yes": {func(f *posternv1.Form) {
			f.Consent = &posternv1.Consent{State: posternv1.ConsentState_CONSENT_STATE_GIVEN}
		}, []string{"consent.state"}},
		"children after all": {func(f *posternv1.Form) {
			f.Children, f.Parent, f.Calls = whole.Children, whole.Parent, []*posternv1.Call{{CallTime: timestamppb.New(formtest.Now), Result: 1}}
		},
			[]string{"children", "parent", "calls"}},
		"nobody asked, and why not": {func(f *posternv1.Form) { f.Enquiry = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED },
			[]string{"not_asked_reason"}},
		"none, with a consent": {func(f *posternv1.Form) {
			f.Enquiry, f.Consent = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN, &posternv1.Consent{}
		}, []string{"consent.state"}},
		"a refusal that cannot wait": {func(f *posternv1.Form) { f.Route = posternv1.Route_ROUTE_URGENT }, []string{"route", "urgency"}},
	})
}

func testMistakes(t *testing.T, good *posternv1.Form, mistakes map[string]mistake) {
	for name, m := range mistakes {
		t.Run(name, func(t *testing.T) {
			f := proto.CloneOf(good)
			m.edit(f)
			got := paths(t, f)
			slices.Sort(got)
			slices.Sort(m.want)
			if !slices.Equal(got, m.want) {
				t.Errorf("faults at %q, want %q", got, m.want)
			}
		})
	}
}

func TestAllMistakesAreNamedAtOnce(t *testing.T) {
	f := formtest.New(formtest.Bristol, formtest.Bristol)
	f.PrisonNumber = ""
	f.Children[0].Home.Postcode = "?"
	f.Children[1].Phone.CarerPhone = "?"
	f.Consent.Method = 0
	if got := paths(t, f); len(got) != 4 {
		t.Errorf("four mistakes gave %q", got)
	}
	if got := paths(t, nil); len(got) < 3 {
		t.Errorf("no form at all gave %q", got)
	}
}

func TestAFormHoldsSixteenChildren(t *testing.T) {
	sixteen := slices.Repeat([]string{formtest.Bristol}, form.MaxChildren)
	if got := paths(t, formtest.New(sixteen...)); got != nil {
		t.Errorf("sixteen children: %q", got)
	}
	f := formtest.New(append(sixteen, formtest.Bristol)...)
	f.Consent.Children = f.Consent.Children[:form.MaxChildren]
	if got := paths(t, f); !slices.Equal(got, []string{"children"}) {
		t.Errorf("seventeen children gave %q", got)
	}
}

func TestTheDayIsTheDayInLondon(t *testing.T) {
	f := formtest.New(formtest.Bristol)
	f.Reception.ReceiveDate = "2027-06-15"
	env := formtest.Env()
	env.Now = time.Date(2027, 6, 14, 23, 30, 0, 0, time.UTC) // half past midnight in summer
	if _, err := form.Check(f, env); err != nil {
		t.Errorf("a reception just after midnight: %v", err)
	}
}

// TestTheLongestWordsFitTheirSection fills every text of every section to its limit with the widest characters: what the
// limits allow must fit the padded size, or Check would refuse a form for a reason that its user cannot see.
func TestTheLongestWordsFitTheirSection(t *testing.T) {
	f := formtest.New(formtest.Bristol)
	widest := func(n int) string { return strings.Repeat("😀", n) }
	f.Parent.Name.GivenName, f.Parent.Name.FamilyName = widest(100), widest(100)
	c := f.Children[0]
	c.Identity.GivenName, c.Identity.FamilyName, c.Identity.KnownAs = widest(100), widest(100), widest(100)
	c.Home.AddressLines = slices.Repeat([]string{widest(100)}, 6)
	c.Carer.Name, c.School.SettingName, c.Worker.TeamName = widest(100), widest(100), widest(100)
	c.Safety.SafeManner, c.Safety.SafeTimes = widest(400), widest(100)
	c.Needs.CommunicationNeeds, c.Needs.Codes = widest(300), []posternv1.Need{1, 2, 3, 4, 5, 6, 7, 8}
	if got := paths(t, f); got != nil {
		t.Errorf("the longest words are refused at %q", got)
	}
	for _, s := range parts(t, f)[0].Sections {
		fits(t, s)
	}
}

// fits fails when a section does not fit its padded size with the room that sealing needs.
func fits(t testing.TB, ps form.PartSection) {
	t.Helper()
	if s, ok := section.Lookup(ps.Path); !ok || proto.Size(ps.Message) > s.PaddedSize-64 {
		t.Errorf("%s takes %d bytes of %d", ps.Path, proto.Size(ps.Message), s.PaddedSize)
	}
}

func TestNoDirectoryMeansNoLookUp(t *testing.T) {
	f := formtest.New("E09000033")
	if _, err := form.Check(f, form.Env{Now: formtest.Now, Article9Condition: "art9.2.g"}); err != nil {
		t.Error(err)
	}
	if _, err := form.Check(f, formtest.Env()); err == nil {
		t.Error("an authority that is not in the directory was accepted")
	}
}

func TestWhatWasCheckedDoesNotChange(t *testing.T) {
	f := formtest.New(formtest.Bristol)
	checked, err := form.Check(f, formtest.Env())
	if err != nil {
		t.Fatal(err)
	}
	want := proto.CloneOf(f)
	f.Children[0].Authority = formtest.Lancashire
	checked.Form().Children[0].Authority = formtest.Lancashire
	for _, p := range checked.Parts(newIDs()) {
		p.Consent.Authorities[0] = "changed"
		p.Reception.ReceiveDate = "changed"
		p.Sections[0].Message.(*posternv1.ParentName).FamilyName = "changed"
	}
	if !proto.Equal(checked.Form(), want) {
		t.Error("the checked form changed")
	}
}

// newIDs gives ids that a test can recognise.
func newIDs() func() string {
	n := 0
	return func() string { n++; return fmt.Sprintf("fresh-consent-%d", n) }
}
