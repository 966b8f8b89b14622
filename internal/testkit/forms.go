package testkit

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/examples/forms"
	"postern/internal/directory"
	"postern/internal/envelope"
	"postern/internal/form"
	"postern/internal/form/formtest"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	posternv1 "postern/proto/postern/v1"
)

// Example reads an example form, such as shared_in_full, without its id: each reading is a new form.
func (x *Exchange) Example(name string) *posternv1.Form {
	x.t.Helper()
	f := value(form.Decode(value(forms.Files.ReadFile(name + ".json"))(x.t)))(x.t)
	f.FormId = ""
	return f
}

// Seal makes the notifications of a form as an honest desk would, without a desk: the directory is the hub's newest.
// edits may change each draft before it is sealed and signed.
func (x *Exchange) Seal(prison string, f *posternv1.Form, edits ...func(*envelope.Draft)) []*posternv1.SealedNotification {
	x.t.Helper()
	now := x.Clock.Now()
	dir := x.directory()
	checked := value(form.Check(f, form.Env{Now: now, Authority: dir.Authority, Article9Condition: "art9.2.g"}))(x.t)
	id := func() string { return value(envelope.NewID(rand.Reader))(x.t) }
	var out []*posternv1.SealedNotification
	for _, p := range checked.Parts(id) {
		children, hub := form.Facts(p, form.FactsConfig{Today: form.Today(now), DeskKey: refKey[:], FirstSubmit: now})
		d := envelope.Draft{
			Manifest: &posternv1.Manifest{
				NotificationId: id(), Audience: Domain, CreateTime: timestamppb.New(now), ExpireTime: timestamppb.New(now.AddDate(0, 0, 30)),
				Sender:    &posternv1.Sender{PrisonId: prison, Unit: "Reception", StaffId: Staff.ID, StaffRole: Staff.Role},
				Reception: p.Reception, NoticeVersion: p.NoticeVersion,
			},
			Children: children, Hub: hub,
		}
		var key *posternv1.RecipientKey
		if p.Enquiry != nil {
			d.Manifest.Statement = &posternv1.Manifest_Enquiry{Enquiry: p.Enquiry}
		} else {
			d.Manifest.Statement = &posternv1.Manifest_Offer{Offer: &posternv1.Offer{
				Route: p.Route, Authority: p.Authority, Consent: p.Consent, LawfulBasis: p.LawfulBasis,
				DestinationSource: p.Source}}
			if dir.Enrolled(p.Authority, now) {
				key, _ = dir.RecipientKey(p.Authority)
				for _, s := range p.Sections {
					d.Sections = append(d.Sections, envelope.Plain{Path: s.Path, Message: s.Message})
				}
			}
		}
		for _, edit := range edits {
			edit(&d)
		}
		out = append(out, value(envelope.Seal(d, key, x.Identity(deskPath(prison))))(x.t))
	}
	return out
}

// directory is the directory that is in force at the hub.
func (x *Exchange) directory() *directory.Directory {
	x.t.Helper()
	d := directory.Empty()
	must(x.t, x.Store.View(x.t.Context(), func(s store.Snapshot) error {
		signed, entries, ok, err := directory.Load(s, schema.HubDirectory)
		if err == nil && ok {
			d, err = directory.Open(signed, entries, x.cast.anchors, x.Clock.Now())
		}
		return err
	}))
	return d
}

// minCanary is the shortest value that is looked for: shorter ones stand in random bytes by chance.
const minCanary = 6

// Personal lists the values of every text in the sections of a form, and the prison number, that may stand nowhere
// outside a desk and the one inbox. Dates of the last weeks and to come are left out: a hub's own dates look the same.
func Personal(f *posternv1.Form) []string {
	words := []string{f.GetPrisonNumber()}
	recent := Now.AddDate(0, 0, -60).Format(time.DateOnly)
	var collect func(protoreflect.Message)
	text := func(s string) {
		if _, err := time.Parse(time.DateOnly, s); len(s) >= minCanary && (err != nil || s < recent) {
			words = append(words, s)
		}
	}
	collect = func(m protoreflect.Message) {
		m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case d.Kind() == protoreflect.StringKind && d.IsList():
				for i := range v.List().Len() {
					text(v.List().Get(i).String())
				}
			case d.Kind() == protoreflect.StringKind:
				text(v.String())
			case d.Message() != nil && !d.IsList():
				collect(v.Message())
			}
			return true
		})
	}
	for _, path := range paths(f) {
		if m, ok := section.Get(f, path); ok {
			collect(m.ProtoReflect())
		}
	}
	slices.Sort(words)
	return slices.Compact(words)
}

// familyWords are what every form of formtest.New says of people, but the prison number, which is another in each.
func familyWords() []string {
	f := formtest.New(Bristol, Lancashire)
	return slices.DeleteFunc(Personal(f), func(w string) bool { return w == f.GetPrisonNumber() })
}

// paths are the paths of every section that the form could have.
func paths(f *posternv1.Form) []string {
	var all []string
	for _, s := range section.All() {
		if !s.PerChild {
			all = append(all, s.Pattern)
			continue
		}
		for i := range f.GetChildren() {
			all = append(all, s.Path(i+1))
		}
	}
	return all
}

// Holds reports which of the words are in any of the texts, also as JSON would write them.
func Holds(words []string, texts ...[]byte) []string {
	var found []string
	for _, w := range words {
		for _, t := range texts {
			if bytes.Contains(t, []byte(w)) || bytes.Contains(t, inJSON(w)) {
				found = append(found, w)
				break
			}
		}
	}
	return found
}

// inJSON is a text as it stands inside a JSON string.
func inJSON(s string) []byte {
	b, err := json.Marshal(s)
	if err != nil {
		return []byte(s)
	}
	return b[1 : len(b)-1]
}

// Clone is proto.CloneOf, for tests that change one thing of a message.
func Clone[M proto.Message](m M, edit func(M)) M {
	c := proto.CloneOf(m)
	edit(c)
	return c
}
