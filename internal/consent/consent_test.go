package consent_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/consent"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

var gave = time.Date(2026, 11, 2, 18, 5, 0, 0, time.UTC)

// given is a consent for children 1 and 2 to tell their home and names to Bristol.
func given(edit ...func(*posternv1.Consent)) *posternv1.Consent {
	c := &posternv1.Consent{
		Id:          "a-consent",
		State:       posternv1.ConsentState_CONSENT_STATE_GIVEN,
		Understood:  posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_YES,
		Children:    []uint32{1, 2},
		Sections:    []string{"parent/name", "child/{n}/home", "child/2/phone"},
		Authorities: []string{"E06000023"},
		GiveTime:    timestamppb.New(gave),
	}
	for _, e := range edit {
		e(c)
	}
	return c
}

func withdraw(paths ...string) func(*posternv1.Consent) {
	return func(c *posternv1.Consent) { c.Withdrawal = &posternv1.ConsentWithdrawal{Paths: paths} }
}

func TestAConsentEndsWhenItSaysOrAfterNinetyDays(t *testing.T) {
	end := gave.AddDate(10, 0, 0)
	for name, tc := range map[string]struct {
		consent *posternv1.Consent
		want    time.Time
	}{
		"it names an end":           {given(func(c *posternv1.Consent) { c.ExpireTime = timestamppb.New(end) }), end},
		"it names none":             {given(), time.Date(2027, 1, 31, 18, 5, 0, 0, time.UTC)},
		"nobody says when it began": {given(func(c *posternv1.Consent) { c.GiveTime = nil }), time.Time{}},
		"there is none":             {nil, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := consent.Expiry(tc.consent); !got.Equal(tc.want) {
				t.Errorf("Expiry = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestCovers(t *testing.T) {
	for name, tc := range map[string]struct {
		consent *posternv1.Consent
		path    string
		want    bool
	}{
		"a section of the parent by name":           {given(), "parent/name", true},
		"a section of the parent that nobody named": {given(), "parent/birth", false},
		"a pattern, for a child that is covered":    {given(), "child/2/home", true},
		"a pattern, for a child that is not":        {given(), "child/3/home", false},
		"a path, for its child":                     {given(), "child/2/phone", true},
		"a path, for another child":                 {given(), "child/1/phone", false},
		"a path whose child is not covered": {given(func(c *posternv1.Consent) { c.Children = []uint32{1} }),
			"child/2/phone", false},
		"safety travels with its home": {given(), "child/1/safety", true},
		"safety stays without its home": {given(func(c *posternv1.Consent) { c.Sections = []string{"parent/name"} }),
			"child/1/safety", false},
		"the minimum is not covered by a yes alone": {given(), "child/1/identity", false},
		"the urgent section": {given(func(c *posternv1.Consent) { c.Sections = []string{"urgency"} }),
			"urgency", false},
		"a pattern is not a path":    {given(), "child/{n}/home", false},
		"a section nobody knows":     {given(func(c *posternv1.Consent) { c.Sections = []string{"cell"} }), "cell", false},
		"no consent":                 {nil, "parent/name", false},
		"a person who said no":       {state(posternv1.ConsentState_CONSENT_STATE_DECLINED), "parent/name", false},
		"a person who was not asked": {state(posternv1.ConsentState_CONSENT_STATE_NOT_ASKED), "parent/name", false},
		"a consent withdrawn":        {state(posternv1.ConsentState_CONSENT_STATE_WITHDRAWN), "parent/name", false},
		"a consent nobody stated":    {state(posternv1.ConsentState_CONSENT_STATE_UNSPECIFIED), "parent/name", false},
		"a person who did not understand": {given(func(c *posternv1.Consent) {
			c.Understood = posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_NO
		}), "parent/name", false},
		"everything withdrawn":                {given(withdraw()), "parent/name", false},
		"a child withdrawn":                   {given(withdraw("child/2")), "child/2/home", false},
		"a child's safety, withdrawn with it": {given(withdraw("child/2")), "child/2/safety", false},
		"another child withdrawn":             {given(withdraw("child/2")), "child/1/home", true},
		"child 1 is not child 10": {given(withdraw("child/1"), func(c *posternv1.Consent) {
			c.Children = []uint32{10}
		}), "child/10/home", true},
		"a section withdrawn":       {given(withdraw("child/2/phone")), "child/2/phone", false},
		"another section withdrawn": {given(withdraw("child/2/phone")), "child/2/home", true},
	} {
		t.Run(name, func(t *testing.T) {
			if got := consent.Covers(tc.consent, tc.path); got != tc.want {
				t.Errorf("Covers(%q) = %v, want %v", tc.path, got, tc.want)
			}
		})
	}
}

func state(s posternv1.ConsentState) *posternv1.Consent {
	return given(func(c *posternv1.Consent) { c.State = s })
}

func TestReaches(t *testing.T) {
	follows := given(func(c *posternv1.Consent) { c.Authorities, c.FollowsChild = nil, true })
	for name, tc := range map[string]struct {
		consent   *posternv1.Consent
		authority string
		want      bool
	}{
		"a named authority":             {given(), "E06000023", true},
		"another authority":             {given(), "E10000017", false},
		"wherever the child lives":      {follows, "E10000017", true},
		"nowhere":                       {follows, "", false},
		"an authority, without consent": {nil, "E06000023", false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := consent.Reaches(tc.consent, tc.authority); got != tc.want {
				t.Errorf("Reaches = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestAProjectionCarriesEveryFieldThatShouldTravel(t *testing.T) {
	now := timestamppb.New(gave)
	whole := &posternv1.Consent{
		Id: "first", Version: 3, Jurisdiction: "GB-WLS", State: posternv1.ConsentState_CONSENT_STATE_GIVEN,
		CapacityConcern: true, GrantorUnder_18: true, Understood: posternv1.ConsentUnderstood_CONSENT_UNDERSTOOD_YES,
		Children: []uint32{3}, Sections: []string{"parent/name", "child/{n}/phone"}, Authorities: []string{"W06000006", "E06000023"},
		FollowsChild: true, Notice: &posternv1.Notice{Id: "notice", Language: "cy", ReadAloud: true},
		Method: posternv1.ConsentMethod_CONSENT_METHOD_VIDEO, Witness: &posternv1.Witness{StaffId: "s1", Role: "officer"},
		GiveTime: now, ExpireTime: now, AskAgainDate: "2026-12-01", EvidenceSha256: make([]byte, 32), SlipGiven: true,
		Withdrawal: &posternv1.ConsentWithdrawal{
			WithdrawTime: now, Method: posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_PHONE,
			Paths: []string{"child/3/school", "child/1", "parent/birth", "child/2/home"},
		},
	}
	fields := whole.ProtoReflect().Descriptor().Fields()
	for i := range fields.Len() {
		if !whole.ProtoReflect().Has(fields.Get(i)) {
			t.Fatalf("the field %s is new: decide in Project whether it travels, then set it here", fields.Get(i).Name())
		}
	}
	got := consent.Project(whole, "W06000006", map[int]int{3: 1}, "second")
	want := proto.CloneOf(whole)
	want.Id, want.Children, want.Authorities = "second", []uint32{1}, []string{"W06000006"}
	want.Sections = []string{"parent/name", "child/1/phone"}
	want.Withdrawal.Paths = []string{"child/1/school", "parent/birth"}
	if !proto.Equal(got, want) {
		t.Errorf("Project =\n%v, want\n%v", got, want)
	}
}

func TestAWithdrawalForOtherChildrenIsNotShown(t *testing.T) {
	got := consent.Project(given(withdraw("child/2")), "E06000023", map[int]int{1: 1}, "fresh")
	if got.GetWithdrawal() != nil {
		t.Errorf("the projection shows the withdrawal %v of a child of another authority", got.GetWithdrawal())
	}
	if all := consent.Project(given(withdraw()), "E06000023", map[int]int{1: 1}, "fresh"); all.GetWithdrawal() == nil {
		t.Error("the projection hides that everything was withdrawn")
	}
}

func TestAnAuthorityNotReachedGetsNothing(t *testing.T) {
	got := consent.Project(given(), "E10000017", map[int]int{1: 1}, "fresh")
	if len(got.GetSections()) != 0 || len(got.GetAuthorities()) != 0 {
		t.Errorf("the projection for an authority the person did not name is %v", got)
	}
	if consent.Project(nil, "E10000017", map[int]int{1: 1}, "fresh") != nil {
		t.Error("no consent became one")
	}
}

// anyConsent draws consents that are mostly, not always, in order.
func anyConsent(t *rapid.T) *posternv1.Consent {
	var paths []string
	for _, s := range section.All() {
		paths = append(paths, s.Pattern, s.Path(1), s.Path(4))
	}
	subset := func(from []string, label string) []string {
		return rapid.SliceOfDistinct(rapid.SampledFrom(from), rapid.ID[string]).Draw(t, label)
	}
	c := given(func(c *posternv1.Consent) {
		c.State = posternv1.ConsentState(rapid.SampledFrom([]int32{1, 1, 1, 1, 2, 3, 4}).Draw(t, "state"))
		c.Understood = posternv1.ConsentUnderstood(rapid.SampledFrom([]int32{1, 1, 1, 2}).Draw(t, "understood"))
		c.Children = rapid.SliceOfDistinct(rapid.Uint32Range(1, 5), rapid.ID[uint32]).Draw(t, "children")
		c.Sections = subset(paths, "sections")
		c.Authorities = subset([]string{"E06000023", "E10000017"}, "authorities")
		c.FollowsChild = rapid.Bool().Draw(t, "follows")
	})
	if rapid.Bool().Draw(t, "withdrawn") {
		withdraw(subset([]string{"parent/name", "child/1", "child/2/home", "child/4", "parent/birth", "child", "child/x"}, "paths")...)(c)
	}
	return c
}

func TestProjectingKeepsTheMeaningAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := anyConsent(t)
		before := proto.CloneOf(c)
		children := map[int]int{}
		for i, old := range rapid.SliceOfNDistinct(rapid.IntRange(1, 5), 1, 4, rapid.ID[int]).Draw(t, "here") {
			children[old] = i + 1
		}
		p := consent.Project(c, "E06000023", children, "fresh")
		reached := consent.Reaches(c, "E06000023")
		for _, s := range section.All() {
			for old, renumbered := range children {
				want := reached && consent.Covers(c, s.Path(old))
				if got := consent.Covers(p, s.Path(renumbered)); got != want {
					t.Fatalf("%s is covered %v in the form and %v in the projection of %v", s.Path(old), want, got, c)
				}
			}
		}
		for _, path := range p.GetSections() {
			if _, ok := section.Lookup(path); !ok {
				t.Fatalf("the projection names %q, which is not a path", path)
			}
		}
		for old, renumbered := range children {
			if want, got := slices.Contains(c.GetChildren(), uint32(old)), slices.Contains(p.GetChildren(), uint32(renumbered)); got != want {
				t.Fatalf("child %d is named %v in the form and %v in the projection of %v", old, want, got, c)
			}
		}
		for _, n := range p.GetChildren() {
			if int(n) > len(children) {
				t.Fatalf("the projection names child %d of %d", n, len(children))
			}
		}
		if w := c.GetWithdrawal(); len(w.GetPaths()) > 0 {
			if want := withdrawnHere(w.GetPaths(), children); !slices.Equal(p.GetWithdrawal().GetPaths(), want) || (p.GetWithdrawal() == nil) != (len(want) == 0) {
				t.Fatalf("of %v the authority sees %v, want %v", w, p.GetWithdrawal(), want)
			}
		}
		for _, path := range slices.Concat(p.GetSections(), p.GetWithdrawal().GetPaths()) {
			var n int
			if _, err := fmt.Sscanf(path, "child/%d", &n); err == nil && n > len(children) {
				t.Fatalf("the projection mentions %q, but the authority has %d children", path, len(children))
			}
		}
		if strings.Contains(p.String(), "E10000017") || strings.Contains(p.String(), before.GetId()) {
			t.Fatalf("the projection for Bristol names another authority or the form's own consent: %v", p)
		}
		if !proto.Equal(c, before) {
			t.Fatal("projecting changed the consent")
		}
		if again := consent.Project(p, "E06000023", identity(len(children)), "fresh"); !proto.Equal(again, p) {
			t.Fatalf("projecting twice differs:\n%v\n%v", p, again)
		}
	})
}

// withdrawnHere are the withdrawn paths that mean something to an authority, with its numbers.
func withdrawnHere(paths []string, children map[int]int) (here []string) {
	for _, p := range paths {
		var n int
		switch _, err := fmt.Sscanf(p, "child/%d", &n); {
		case p == "child" || strings.HasPrefix(p, "parent/"):
			here = append(here, p)
		case err == nil && children[n] > 0:
			here = append(here, strings.Replace(p, fmt.Sprintf("child/%d", n), fmt.Sprintf("child/%d", children[n]), 1))
		}
	}
	return here
}

func identity(n int) map[int]int {
	m := map[int]int{}
	for i := range n {
		m[i+1] = i + 1
	}
	return m
}

func TestAskingAgainIsOnTheNextAndTheThirdDay(t *testing.T) {
	days := consent.AskAgain(time.Date(2026, 12, 30, 0, 0, 0, 0, time.UTC))
	if len(days) != 2 || days[0].Format(time.DateOnly) != "2026-12-31" || days[1].Format(time.DateOnly) != "2027-01-02" {
		t.Errorf("asked again on %v", days)
	}
}
