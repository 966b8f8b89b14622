package directory_test

import (
	"crypto/sha256"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/fault"
	posternv1 "postern/proto/postern/v1"
)

func TestADirectoryIsWhatItsFileSays(t *testing.T) {
	w := newWorld(t)
	d := w.directory(7)
	if d.Number() != 7 || d.Domain() != domain {
		t.Errorf("number %d of %s", d.Number(), d.Domain())
	}
	a, ok := d.Authority(bristol)
	if !ok || a.GetName() != "Bristol City Council" || a.GetEndpoint().GetAddress() != "inbox-bristol.example:8443" ||
		a.GetAgeLimit() != 19 || a.GetUndeliveredAfterHours() != 12 || len(a.GetSignposts()) != 1 {
		t.Errorf("authority %v", a)
	}
	p, ok := d.Prison("BWI")
	if !ok || p.GetNameCy() != "CEF Berwyn" || !p.GetContracted() {
		t.Errorf("prison %v", p)
	}
	if len(d.Authorities()) != 2 || len(d.Prisons()) != 2 {
		t.Errorf("%d authorities and %d prisons, want 2 and 2", len(d.Authorities()), len(d.Prisons()))
	}
	key, ok := d.RecipientKey(bristol)
	if !ok || key.GetAuthority() != bristol || key.GetKeyId() != envelope.KeyID(key.GetPublicKey()) {
		t.Errorf("recipient key %v", key)
	}
	for _, unknown := range []string{"", "E06000001"} {
		_, a := d.Authority(unknown)
		_, k := d.RecipientKey(unknown)
		_, p := d.Prison(unknown)
		if a || k || p {
			t.Errorf("%q is somebody", unknown)
		}
	}
}

func TestTheSameFileGivesTheSameBytes(t *testing.T) {
	w := newWorld(t)
	r1, e1 := w.build(1)
	r2, e2 := w.build(1)
	if !proto.Equal(r1, r2) || !slices.EqualFunc(e1, e2, slices.Equal) {
		t.Error("two builds of one file differ")
	}
}

func TestEnrolledNeedsAKeyAndADay(t *testing.T) {
	w := newWorld(t)
	d := w.directory(1)
	keyEnds := morning.AddDate(0, 1, 0)
	for _, c := range []struct {
		name, code string
		at         time.Time
		want       bool
	}{
		{"with key, in time", bristol, morning, true},
		{"key just in time", bristol, keyEnds.Add(-time.Second), true},
		{"key expired", bristol, keyEnds, false},
		{"first minute in London", bristol, time.Date(2026, 8, 31, 23, 0, 0, 0, time.UTC), true},
		{"before its day in London", bristol, time.Date(2026, 8, 31, 22, 59, 0, 0, time.UTC), false},
		{"no key", lancs, morning, false},
		{"nobody", "E06000001", morning, false},
	} {
		if got := d.Enrolled(c.code, c.at); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestAnAgreementHoldsForThePairsThatSignedIt(t *testing.T) {
	w := newWorld(t) // signed by BLI and Bristol; it names BWI and Lancashire too
	d := w.directory(1)
	for _, c := range []struct {
		prison, authority, on string
		want                  bool
	}{
		{"BLI", bristol, "2026-10-05", true},
		{"BLI", bristol, "2026-09-01", true},
		{"BLI", bristol, "2027-08-31", true},
		{"BLI", bristol, "2026-08-31", false},
		{"BLI", bristol, "2027-09-01", false},
		{"BWI", bristol, "2026-10-05", false},
		{"BLI", lancs, "2026-10-05", false},
		{"BWI", lancs, "2026-10-05", false},
		{"XXX", bristol, "2026-10-05", false},
	} {
		if _, got := d.Agreement(c.prison, c.authority, c.on); got != c.want {
			t.Errorf("%s with %s on %s: %v, want %v", c.prison, c.authority, c.on, got, c.want)
		}
	}
}

// TestEverySetOfSignaturesCountsForItsOwnPairs is the same for every subset of the four parties.
func TestEverySetOfSignaturesCountsForItsOwnPairs(t *testing.T) {
	w := newWorld(t)
	parties := []string{desk, berwyn, inbox, lancInbox}
	rapid.Check(t, func(rt *rapid.T) {
		signers := rapid.SliceOfNDistinct(rapid.SampledFrom(parties), 1, 4, rapid.ID).Draw(rt, "signers")
		w.write("agreements/bristol.pb", w.agree(agreement(), signers...))
		d := w.directory(1)
		for prison, p := range map[string]string{"BLI": desk, "BWI": berwyn} {
			for authority, a := range map[string]string{bristol: inbox, lancs: lancInbox} {
				_, got := d.Agreement(prison, authority, "2026-10-05")
				if want := slices.Contains(signers, p) && slices.Contains(signers, a); got != want {
					rt.Fatalf("%s with %s: %v, want %v", prison, authority, got, want)
				}
			}
		}
	})
}

func TestTheAgreementThatStartedLastHolds(t *testing.T) {
	w := newWorld(t)
	next := agreement()
	next.Id, next.StartDate, next.EndDate = "bristol-2027", "2027-06-01", "2028-05-31"
	w.write("agreements/next.pb", w.agree(next, desk, inbox))
	w.writeYAML(func(yaml string) string {
		return strings.Replace(yaml, "  - file: agreements/bristol.pb", "  - file: agreements/next.pb\n  - file: agreements/bristol.pb", 1)
	})
	d := w.directory(1)
	for on, want := range map[string]string{"2027-05-31": "bristol-2026", "2027-06-01": "bristol-2027", "2027-08-31": "bristol-2027", "2028-05-31": "bristol-2027"} {
		if a, _ := d.Agreement("BLI", bristol, on); a.GetId() != want {
			t.Errorf("on %s %q holds, want %q", on, a.GetId(), want)
		}
	}
}

// An agreement that another takes the place of holds until the day before; one that not both have signed takes no place.
func TestAnAgreementHoldsUntilTheNextBegins(t *testing.T) {
	w := newWorld(t)
	next, half, last := agreement(), agreement(), agreement()
	next.Id, next.StartDate, next.EndDate = "next", "2027-03-01", "2027-04-30"
	last.Id, last.StartDate, last.EndDate = "last", "2027-09-01", "2028-08-31"
	half.Id, half.StartDate = "half", "2027-01-01"
	w.write("agreements/next.pb", w.agree(next, desk, inbox))
	w.write("agreements/last.pb", w.agree(last, desk, inbox))
	w.write("agreements/half.pb", w.agree(half, desk))
	w.writeYAML(func(yaml string) string {
		file := "  - file: agreements/bristol.pb\n"
		return strings.Replace(yaml, file, file+strings.ReplaceAll(file, "bristol", "last")+strings.ReplaceAll(file, "bristol", "next")+strings.ReplaceAll(file, "bristol", "half"), 1)
	})
	d := w.directory(1)
	for day, want := range map[string]string{
		"2026-08-31": " ", "2026-09-01": "bristol-2026 2027-02-28", "2027-02-28": "bristol-2026 2027-02-28", "2027-03-01": "next 2027-04-30",
		"2027-05-01": "bristol-2026 2027-08-31", "2027-09-01": "last 2028-08-31", "2028-09-01": " ",
	} {
		a, _ := d.Agreement("BLI", bristol, day)
		if got := a.GetId() + " " + d.AgreementEnd("BLI", bristol, day); got != want {
			t.Errorf("on %s it is %q, want %q", day, got, want)
		}
	}
}

func TestOnlyAnOperatorsUnchangedRevisionOpens(t *testing.T) {
	w := newWorld(t)
	r, entries := w.build(1)
	good := value(directory.Sign(w.id(operator), r))(t)
	if _, err := directory.Open(good, entries, w.anchors, morning); err != nil {
		t.Fatal(err)
	}
	// signedAs signs a changed revision without the checks of directory.Sign.
	signedAs := func(uri string, change func(*posternv1.DirectoryRevision)) *posternv1.Signed {
		r := proto.CloneOf(r)
		change(r)
		return value(envelope.SignStatement(w.id(uri), envelope.TypeDirectory, value(proto.Marshal(r))(t)))(t)
	}
	unchanged := func(*posternv1.DirectoryRevision) {}
	flipped := proto.CloneOf(good)
	flipped.Payload[len(flipped.Payload)-1] ^= 1
	twice := proto.CloneOf(good)
	must(t, envelope.AddSignature(twice, w.id(operator)))
	for _, c := range []struct {
		name    string
		signed  *posternv1.Signed
		entries [][]byte
		now     time.Time
		reason  string
	}{
		{"a flipped bit", flipped, entries, morning, "BAD_SIGNATURE"},
		{"no signature", &posternv1.Signed{Payload: good.GetPayload(), PayloadType: good.GetPayloadType()}, entries, morning, "NOT_ONE_SIGNATURE"},
		{"two signatures", twice, entries, morning, "NOT_ONE_SIGNATURE"},
		{"signed by the hub", signedAs("spiffe://postern.test/hub/one", unchanged), entries, morning, "DIRECTORY_SIGNER"},
		{"signed by an inbox", signedAs(inbox, unchanged), entries, morning, "DIRECTORY_SIGNER"},
		{"for another domain", signedAs(operator, func(r *posternv1.DirectoryRevision) { r.Audience = "other.test" }), entries, morning, "DIRECTORY_SIGNER"},
		{"no number", signedAs(operator, func(r *posternv1.DirectoryRevision) { r.Number = 0 }), entries, morning, "DIRECTORY_NUMBER"},
		{"no time", signedAs(operator, func(r *posternv1.DirectoryRevision) { r.CreateTime = nil }), entries, morning, "DIRECTORY_TIME"},
		{"made in the future", good, entries, morning.Add(-6 * time.Minute), "DIRECTORY_TIME"},
		{"made before its certificate", signedAs(operator, func(r *posternv1.DirectoryRevision) { r.CreateTime = timestamppb.New(morning.AddDate(0, -1, 0)) }), entries, morning, ""},
		{"an entry missing", good, entries[1:], morning, "DIRECTORY_ENTRIES"},
		{"an entry more", good, append(slices.Clone(entries), entries[0]), morning, "DIRECTORY_ENTRIES"},
		{"entries exchanged", good, slices.Concat(entries[1:2], entries[:1], entries[2:]), morning, "DIRECTORY_ENTRIES"},
		{"nothing", nil, nil, morning, "DIRECTORY_TIME"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := directory.Open(c.signed, c.entries, w.anchors, c.now)
			if err == nil || d != nil {
				t.Fatal("it opened")
			}
			if c.reason != "" {
				wantFault(t, err, c.reason)
			}
		})
	}
}

func TestADirectoryOutlivesTheCertificatesThatVouchedForIt(t *testing.T) {
	w := newWorld(t)
	r, entries := w.build(1)
	signed := value(directory.Sign(w.id(operator), r))(t)
	if _, err := directory.Open(signed, entries, w.anchors, morning.AddDate(1, 0, 0)); err != nil {
		t.Error(err)
	}
}

func TestOnlyAnOperatorSigns(t *testing.T) {
	w := newWorld(t)
	r, _ := w.build(1)
	_, err := directory.Sign(w.id(desk), r)
	wantFault(t, err, "NOT_AN_OPERATOR")
}

// entry replaces the entries by changed ones and signs the whole as an operator who did not look.
func (w *world) openEntries(entries ...*posternv1.DirectoryEntry) (*directory.Directory, error) {
	w.t.Helper()
	r := &posternv1.DirectoryRevision{Audience: domain, Number: 1, CreateTime: timestamppb.New(morning)}
	var all [][]byte
	for _, e := range entries {
		b := value(proto.Marshal(e))(w.t)
		sum := sha256.Sum256(b)
		all, r.EntriesSha256 = append(all, b), append(r.EntriesSha256, sum[:])
	}
	return w.open(r, all)
}

func (w *world) entries() []*posternv1.DirectoryEntry {
	w.t.Helper()
	_, raw := w.build(1)
	all := make([]*posternv1.DirectoryEntry, len(raw))
	for i, b := range raw {
		all[i] = &posternv1.DirectoryEntry{}
		must(w.t, proto.Unmarshal(b, all[i]))
	}
	return all
}

func TestOpenChecksWhatASignerDidNot(t *testing.T) {
	w := newWorld(t)
	ofLancs := value(value(envelope.GenerateRecipient())(t).Publish(w.id(lancInbox), 1, morning, morning.AddDate(0, 1, 0)))(t)
	selfMade := value(envelope.SignStatement(w.id(operator), envelope.TypeRecipientKey, ofLancs.GetPayload()))(t)
	stranger := w.agree(agreement(), desk, inbox)
	must(t, envelope.AddSignature(stranger, w.id("spiffe://postern.test/prison/PRI/desk")))
	byOperator := w.agree(agreement(), desk)
	must(t, envelope.AddSignature(byOperator, w.id(operator)))
	forged := w.agree(agreement(), desk, inbox)
	forged.Signatures[1].Signature[0] ^= 1
	change := func(fn func(*posternv1.DataSharingAgreement)) *posternv1.Signed {
		a := agreement()
		fn(a)
		s := &posternv1.Signed{PayloadType: envelope.TypeAgreement, Payload: value(proto.Marshal(a))(t)}
		must(t, envelope.AddSignature(s, w.id(desk)))
		return s
	}
	withKey := func(s *posternv1.Signed) func(all []*posternv1.DirectoryEntry) {
		return func(all []*posternv1.DirectoryEntry) { all[0].GetAuthority().RecipientKey = s }
	}
	withAgreement := func(s *posternv1.Signed) func(all []*posternv1.DirectoryEntry) {
		return func(all []*posternv1.DirectoryEntry) {
			all[4].Entry = &posternv1.DirectoryEntry_Agreement{Agreement: s}
		}
	}
	for _, c := range []struct {
		name   string
		change func(all []*posternv1.DirectoryEntry)
		path   string
	}{
		{"another authority's key", withKey(ofLancs), "authorities[0].recipient_key"},
		{"a key the operator made", withKey(selfMade), "authorities[0].recipient_key"},
		{"an empty key", withKey(&posternv1.Signed{}), "authorities[0].recipient_key"},
		{"a stranger's signature", withAgreement(stranger), "agreements[0].signatures[2]"},
		{"the operator's signature", withAgreement(byOperator), "agreements[0].signatures[1]"},
		{"a forged signature", withAgreement(forged), "agreements[0].signatures"},
		{"nobody's signature", withAgreement(w.agree(agreement())), "agreements[0].signatures"},
		{"unknown prison", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Prisons = []string{"BLI", "ZZZ"} })), "agreements[0].prisons[1]"},
		{"unknown authority", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Authorities = []string{"E06000001"} })), "agreements[0].authorities[0]"},
		{"no parent's name", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Sections = a.Sections[1:] })), "agreements[0].sections"},
		{"no child's identity", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Sections = slices.Delete(a.Sections, 1, 2) })), "agreements[0].sections"},
		{"no child's home", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Sections = slices.Delete(a.Sections, 2, 3) })), "agreements[0].sections"},
		{"home without safety", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Sections = a.Sections[:3] })), "agreements[0].sections"},
		{"unknown section", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Sections[5] = "child/{n}/offence" })), "agreements[0].sections[5]"},
		{"a path for a pattern", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.Sections[5] = "child/1/needs" })), "agreements[0].sections[5]"},
		{"content for 91 days", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.ContentDays = 91 })), "agreements[0].content_days"},
		{"open end", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.EndDate = "" })), "agreements[0].end_date"},
		{"ends before it starts", withAgreement(change(func(a *posternv1.DataSharingAgreement) { a.EndDate = "2026-08-31" })), "agreements[0].end_date"},
		{"a district", func(all []*posternv1.DirectoryEntry) { all[1].GetAuthority().Code = "E07000117" }, "authorities[1].code"},
		{"an authority twice", func(all []*posternv1.DirectoryEntry) { all[1].GetAuthority().Code = bristol }, "authorities[1].start_date"},
		{"an hour that is none", func(all []*posternv1.DirectoryEntry) {
			all[1].GetAuthority().FrontDoors[0].Hours[0].Opens = "9"
		}, "authorities[1].front_doors[0].hours[0].opens"},
		{"an eighth day", func(all []*posternv1.DirectoryEntry) {
			all[1].GetAuthority().FrontDoors[0].Hours[0].Days = []uint32{8}
		}, "authorities[1].front_doors[0].hours[0].days"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := w.entries()
			c.change(all)
			_, err := w.openEntries(all...)
			wantFault(t, err, "DIRECTORY_INVALID")
			if !slices.ContainsFunc(fault.From(err).Fields, func(f fault.Field) bool { return f.Path == c.path }) {
				t.Errorf("error %v, want a fault at %s", err, c.path)
			}
		})
	}
	t.Run("an unknown kind of entry", func(t *testing.T) {
		_, err := w.openEntries(append(w.entries(), &posternv1.DirectoryEntry{})...)
		wantFault(t, err, "DIRECTORY_NEWER")
	})
}

func TestAgreementsAreCheckedBeforeTheyAreSigned(t *testing.T) {
	w := newWorld(t)
	a := agreement()
	a.Sections, a.ContentDays = []string{"parent/name"}, 365
	_, err := directory.NewAgreement(a)
	wantFault(t, err, "AGREEMENT_INVALID")
	if n := len(fault.From(err).Fields); n != 3 {
		t.Errorf("%d faults, want identity, home and content_days: %v", n, err)
	}
	s := value(directory.NewAgreement(agreement()))(t)
	wantFault(t, directory.SignAgreement(s, w.id("spiffe://postern.test/prison/PRI/desk")), "NOT_A_PARTY")
	wantFault(t, directory.SignAgreement(s, w.id(operator)), "NOT_A_PARTY")
	wantFault(t, directory.SignAgreement(&posternv1.Signed{}, w.id(desk)), "NOT_AN_AGREEMENT")
}

// A revision is public bytes from anybody: no change of one byte may open as something else, or panic.
func FuzzOpen(f *testing.F) {
	f.Add(uint16(3), uint8(1), uint8(0))
	var w *world
	var signed *posternv1.Signed
	var entries [][]byte
	f.Fuzz(func(t *testing.T, at uint16, flip, which uint8) {
		if w == nil {
			w = newWorld(t)
			var r *posternv1.DirectoryRevision
			r, entries = w.build(1)
			signed = value(directory.Sign(w.id(operator), r))(t)
		}
		if flip == 0 {
			return
		}
		s, e := proto.CloneOf(signed), slices.Clone(entries)
		if which%2 == 0 {
			s.Payload[int(at)%len(s.Payload)] ^= flip
		} else {
			i := int(which) % len(e)
			e[i] = slices.Clone(e[i])
			e[i][int(at)%len(e[i])] ^= flip
		}
		if _, err := directory.Open(s, e, w.anchors, morning); err == nil {
			t.Fatal("a changed directory opened")
		}
	})
}
