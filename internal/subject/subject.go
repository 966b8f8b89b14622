// Package subject writes what the desk of a prison holds about one person, for whoever answers what that person asks under
// Article 15 UK GDPR: a copy to hand out, a page for the officer who decides what is in it, and everything as JSON.
//
// It guarantees that the files are a pure function of what it is handed; that the officer's page has every part and says of
// each whether it is in the person's copy, and why not; that the copy has no part which the officer's page has not; that it
// is the same whatever the public-protection check found; and that no file name and no title holds anything of a person. A
// section that came later than its rules is held back. What is held about the person, and what of a notification they may
// see, its caller decides.
package subject

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the page
	"encoding/hex"
	"encoding/json"
	"html/template"
	"slices"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/fault"
	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Why is the reason for which something is not in the person's copy, or is to be thought about before it is handed out.
type Why string

// The reasons. Of what is Said, the person was the source, so that it is in the copy: an officer looks at it all the same.
const (
	Given        Why = ""
	Said         Why = "SAID_BY_THE_PERSON"
	Safeguarding Why = "SAFEGUARDING"
	Whereabouts  Why = "WHEREABOUTS"
	ThirdParty   Why = "THIRD_PARTY"
	Harm         Why = "SERIOUS_HARM"
	Staff        Why = "STAFF"
	NotTold      Why = "NOT_TOLD"
	OtherNumber  Why = "OTHER_NUMBER"
	Unnamed      Why = "NAMED_BY_REFERENCE"
)

// Held is what a desk holds about one person.
type Held struct {
	Prison        string // what it is called
	MakeTime      time.Time
	StaffID       string
	KeptDays      int // for how many days a form is kept once its business is finished
	Forms         []Form
	Notifications []Notification
	Drafts        []Draft
	Arrivals      []*posternv1.Form // of the lists of arrivals: number, name and reception
	Earlier       []*localv1.SubjectCopy
	Unreadable    bool // whether a list of arrivals could not be read to its end
}

// Form is a form that was taken.
type Form struct {
	*posternv1.Form
	TakeTime time.Time
	Why      Why // for which all of it is held back
}

// Draft is a form that is being filled in, or what is left of one that was sent.
type Draft struct {
	*localv1.Draft
	Why Why
}

// Notification is one notification.
type Notification struct {
	Full     *localv1.Notification // all of it
	Seen     *localv1.Notification // without what the check found
	Stands   string                // in words, by what may be seen
	Messages []Message
	Receipts []Receipt
	Erase    time.Time // when its form is to be erased; zero while its business is not finished
	Why      Why
}

// Message is what was signed under one id: a notification, a withdrawal of it, or a decision not to share it.
type Message struct {
	ID       string
	Manifest *posternv1.Manifest
	Facts    []*posternv1.FactsBlock
	Sections []*posternv1.SealedSection
}

// Receipt is the receipt of what was decided under one id, as a file.
type Receipt struct {
	ID      string
	Content []byte
}

// File is one file of a copy.
type File struct {
	Name    string // with / between folders
	Content []byte
}

// The names of the files that are always there.
const (
	Index    = "index.json"              // what the folder has, with the digest of each file
	Officer  = "read-first.html"         // for the officer alone
	Consider = "to-consider.json"        // the same decisions, for a program
	Page     = "for-the-person.html"     // to hand out
	Data     = "for-the-person.json"     // the same, for a program
	format   = "postern subject copy v1" // of Index
)

// Files are the files of a copy in a language, the index last, and how many parts of it are held back.
func (h Held) Files(lang words.Language) (files []File, heldBack int, err error) {
	if lang == "" {
		lang = words.English
	}
	chapters := h.chapters(lang)
	add := func(name string, content []byte, failed error) {
		files = append(files, File{name, content})
		if err == nil && failed != nil {
			err = fault.New(fault.Internal, "BAD_COPY", "The copy cannot be written.").Because(failed)
		}
	}
	addJSON := func(name string, v any) {
		b, failed := json.MarshalIndent(v, "", "  ")
		add(name, append(b, '\n'), failed)
	}
	page, failed := h.page(lang, chapters, true)
	add(Officer, page, failed)
	toConsider, heldBack := considered(lang, chapters)
	addJSON(Consider, toConsider)
	own := ofThePerson(chapters)
	page, failed = h.page(lang, own, false)
	add(Page, page, failed)
	addJSON(Data, map[string]any{"chapters": own, "about": h.about(lang), "language": string(lang)})
	for _, f := range h.Forms {
		addJSON("held/form-"+f.GetFormId()+".json", plain.Map(f.Form))
	}
	for _, d := range h.Drafts {
		addJSON("held/draft-"+d.GetId()+".json", plain.Map(d.Draft))
	}
	if len(h.Arrivals) > 0 {
		addJSON("held/arrivals.json", asMaps(h.Arrivals))
	}
	for _, n := range h.Notifications {
		addJSON("held/notification-"+n.Full.GetId()+".json", n.held())
		for _, r := range n.Receipts {
			add("receipts/"+r.ID+".txt", r.Content, nil)
		}
	}
	addJSON(Index, h.index(lang, files))
	return files, heldBack, err
}

// asMaps are messages for JSON.
func asMaps[M proto.Message](all []M) []map[string]any {
	out := make([]map[string]any, len(all))
	for i, m := range all {
		out[i] = plain.Map(m)
	}
	return out
}

// held is all of a notification: its record, and what was signed about it, with the sealed sections by their digests. What
// is sealed to the team nobody here can open; it says what the form says.
func (n Notification) held() map[string]any {
	messages := []map[string]any{}
	for _, m := range n.Messages {
		sections := []map[string]any{}
		for _, s := range m.Sections {
			sections = append(sections, map[string]any{"path": s.GetPath(), "bytes": len(s.GetCiphertext()), "sha256": digest(s.GetCiphertext())})
		}
		messages = append(messages, map[string]any{"id": m.ID, "manifest": plain.Map(m.Manifest), "facts": asMaps(m.Facts), "sealed_sections": sections})
	}
	receipts := []string{}
	for _, r := range n.Receipts {
		receipts = append(receipts, "receipts/"+r.ID+".txt")
	}
	out := map[string]any{"notification": plain.Map(n.Full), "messages": messages, "receipts": receipts, "erase_time": nil}
	if !n.Erase.IsZero() {
		out["erase_time"] = n.Erase.UTC().Format(time.RFC3339)
	}
	return out
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// index says what the folder has. It holds nothing of the person but how much there is.
func (h Held) index(lang words.Language, files []File) map[string]any {
	list := []map[string]any{}
	for _, f := range files {
		reader := "OFFICER"
		if f.Name == Page || f.Name == Data {
			reader = "PERSON"
		}
		list = append(list, map[string]any{"id": f.Name, "bytes": len(f.Content), "sha256": digest(f.Content), "for": reader})
	}
	return map[string]any{"format": format, "prison": h.Prison, "make_time": h.MakeTime.UTC().Format(time.RFC3339), "staff_id": h.StaffID,
		"language": string(lang), "forms": len(h.Forms), "drafts": len(h.Drafts), "arrivals": len(h.Arrivals), "notifications": len(h.Notifications), "files": list}
}

// lines are what a message says in words, without the fields that are named and without digests.
func lines(lang words.Language, m proto.Message, without ...string) []plain.Line {
	if !m.ProtoReflect().IsValid() {
		return nil
	}
	m = proto.Clone(m)
	r := m.ProtoReflect()
	fields := r.Descriptor().Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); slices.Contains(without, string(f.Name())) || f.Kind() == protoreflect.BytesKind {
			r.Clear(f)
		}
	}
	return plain.LinesIn(lang, m)
}

// considered are the parts that an officer decides about, and how many of them are held back.
func considered(lang words.Language, all []chapter) (list []map[string]any, heldBack int) {
	list = []map[string]any{}
	for _, c := range all {
		for _, p := range c.Parts {
			why := p.why(c)
			if why == Given {
				continue
			}
			held := "HELD_BACK"
			if why == Said {
				held = "GIVEN"
			} else {
				heldBack++
			}
			list = append(list, map[string]any{"id": c.Where + "#" + p.Where, "default": held, "why": string(why), "words": whyIn(lang, why)})
		}
	}
	return list, heldBack
}

// ofThePerson are the chapters with what is in the person's copy.
func ofThePerson(all []chapter) []chapter {
	out := []chapter{}
	for _, c := range all {
		parts := slices.DeleteFunc(slices.Clone(c.Parts), func(p part) bool { w := p.why(c); return w != Given && w != Said })
		if len(parts) > 0 {
			out = append(out, chapter{Where: c.Where, Heading: c.Heading, Parts: parts})
		}
	}
	return out
}

// page is one of the two pages, whole in itself: it loads nothing.
func (h Held) page(lang words.Language, chapters []chapter, officer bool) ([]byte, error) {
	title, text := lang.Text("subject.copy_title", nil), h.about(lang)
	if officer {
		title, text = lang.Text("subject.officer_title", nil), h.toOfficer(lang)
	}
	var b bytes.Buffer
	err := parsed().Execute(&b, map[string]any{"Lang": string(lang), "Title": title, "Text": text, "Chapters": view(lang, chapters, officer),
		"Decide": lang.Text("subject.decide", nil)})
	return b.Bytes(), err
}

//go:embed subject.html
var source string

var parsed = sync.OnceValue(func() *template.Template { return template.Must(template.New("subject").Parse(source)) })
