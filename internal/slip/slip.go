// Package slip writes the person's own paper copy: what is told, to whom and what for, how to stop it, what cannot be
// undone and where else to turn; and the same for whoever said no, was not asked, or of whom nothing was sent.
//
// It guarantees that a slip is a pure function of what it is handed, that text and print page say the same, and that no
// name can act on a screen or become a part of the page. Its title holds nothing of the person. It gives no reasons of
// the policy and nothing of the public-protection check: those are for staff. Who may have a slip, its caller decides.
package slip

import (
	"bytes"
	_ "embed" // the page
	"html/template"
	"slices"
	"strings"
	"sync"
	"time"

	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// Stage is how far a notification has come, as far as it matters to the person.
type Stage uint8

// The stages.
const (
	NotSent      Stage = iota // a person here decides
	Waiting                   // it may go yet
	Nothing                   // nothing went and nothing is to do
	Sent                      // it went, or is going
	NotDelivered              // it could not be brought
	Withdrawn                 // stopped before it went
	StopAsked                 // stopped after it may have gone
	Stopped                   // stopped, and what that came to is not known yet
)

// Slip is what a slip says.
type Slip struct {
	Stage     Stage
	Route     posternv1.Route
	Enquiry   *posternv1.Enquiry // the outcome of asking, where nothing is offered to anybody
	Unagreed  bool               // whether the person has not said yes to telling this team; only the standard route asks
	Wales     bool               // whether the prison is in Wales, where it may and need not think of the children
	Prison    string
	Team      string
	Reference string
	Code      string // with which any prison can stop it; empty where there is nothing to stop
	About     []About
	Without   []About   // the children of whom nothing is sent
	Until     time.Time // when the permission ends; zero for none
	AskAgain  string    // a civil date, or empty
	Champion  *posternv1.Champion
	Services  []*posternv1.Service
}

// About is what is told about the parent, or about one child.
type About struct {
	Child int    // the number in the notification; 0 for the parent
	Name  string // empty where it is not known
	Paths []string
}

// Block is a piece of a slip: a heading, and under it paragraphs and a list. Nothing in it acts on a screen once it went
// through plain.Visible.
type Block struct {
	Heading    string
	Paragraphs []string
	Items      []string
}

// Text is the slip for a terminal or a plain printer.
func (s Slip) Text(lang words.Language) []byte {
	var b strings.Builder
	b.WriteString(strings.ToUpper(lang.Text("slip.title", nil)) + "\n")
	for _, part := range s.Blocks(lang) {
		b.WriteString("\n")
		if part.Heading != "" {
			b.WriteString(plain.Visible(part.Heading) + "\n")
		}
		for _, p := range part.Paragraphs {
			b.WriteString(plain.Visible(p) + "\n")
		}
		for _, item := range part.Items {
			b.WriteString("  - " + plain.Visible(item) + "\n")
		}
	}
	return []byte(b.String())
}

//go:embed slip.html
var page string

var parsed = sync.OnceValue(func() *template.Template { return template.Must(template.New("slip").Parse(page)) })

// HTML is the slip as a page to print, whole in itself: it loads nothing.
func (s Slip) HTML(lang words.Language) ([]byte, error) {
	if lang == "" {
		lang = words.English
	}
	var b bytes.Buffer
	err := parsed().Execute(&b, map[string]any{"Lang": string(lang), "Title": lang.Text("slip.title", nil), "Blocks": s.Blocks(lang)})
	return b.Bytes(), err
}

// Blocks are all that a slip says under its title, in order.
func (s Slip) Blocks(lang words.Language) []Block {
	out := []Block{{Paragraphs: []string{lang.Text("slip.from", words.Args{"prison": s.Prison})}}}
	switch {
	case s.Enquiry != nil:
		out = append(out, s.asked(lang))
	case s.Unagreed && s.Route == posternv1.Route_ROUTE_STANDARD:
		out = append(out, Block{Paragraphs: []string{lang.Text("slip.unagreed", words.Args{"team": s.Team}), lang.Text("slip.nothing_until", nil), lang.Text(s.think(), nil),
			lang.Text("slip.reference", words.Args{"reference": s.Reference})}})
	default:
		out = append(out, s.told(lang))
		out = append(out, s.what(lang)...)
		if s.Stage == Sent || s.Stage == Waiting {
			out = append(out, s.why(lang))
		}
		out = append(out, s.stop(lang)...)
	}
	return append(out, s.where(lang))
}

// asked is the slip of the outcome of asking.
func (s Slip) asked(lang words.Language) Block {
	var b Block
	switch s.Enquiry.GetOutcome() {
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_DECLINED:
		b.Paragraphs = append(b.Paragraphs, lang.Text("slip.declined", nil), lang.Text(s.think(), nil))
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NO_CHILDREN:
		b.Paragraphs = append(b.Paragraphs, lang.Text("slip.no_children", nil))
	case posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN:
		b.Paragraphs = append(b.Paragraphs, lang.Text("slip.children", nil))
	default:
		b.Paragraphs = append(b.Paragraphs, lang.Text("slip.not_asked", nil))
	}
	if day, err := time.Parse(time.DateOnly, s.AskAgain); err == nil {
		b.Paragraphs = append(b.Paragraphs, lang.Text("slip.ask_again", words.Args{"date": plain.Date(lang, day)}))
	}
	b.Paragraphs = append(b.Paragraphs, lang.Text("slip.change", nil), lang.Text("slip.reference", words.Args{"reference": s.Reference}))
	return b
}

// think says that the prison considers the children whatever the person agrees to: it must in England.
func (s Slip) think() string {
	if s.Wales {
		return "slip.may_think"
	}
	return "slip.must_think"
}

var stageWords = map[Stage]string{NotSent: "slip.not_sent", Waiting: "slip.waiting", Nothing: "slip.nothing_to_send", Sent: "slip.is_told",
	NotDelivered: "slip.not_delivered", Withdrawn: "slip.withdrawn", StopAsked: "slip.stop_asked", Stopped: "slip.stopped"}

func (s Slip) told(lang words.Language) Block {
	stage := lang.Text(stageWords[s.Stage], nil)
	team := words.Args{"team": s.Team}
	gone := s.Stage == Sent || s.Stage == StopAsked || s.Stage == NotDelivered
	switch {
	case s.Route == posternv1.Route_ROUTE_STANDARD:
		return Block{Paragraphs: []string{lang.Text("slip.told", team), stage}}
	case !gone:
		return Block{Paragraphs: []string{stage}} // nobody was told, whatever the route
	case s.Route == posternv1.Route_ROUTE_URGENT:
		return Block{Paragraphs: []string{lang.Text("slip.urgent", team)}}
	default:
		return Block{Paragraphs: []string{lang.Text("slip.duty", team)}}
	}
}

// what lists what is told, about the parent and about each child.
func (s Slip) what(lang words.Language) []Block {
	if s.Stage != Sent && s.Stage != Waiting && s.Stage != StopAsked {
		return nil
	}
	out := []Block{{Heading: lang.Text("slip.what", nil)}}
	for _, a := range s.About {
		b := Block{Heading: lang.Text("slip.you", nil)}
		if a.Child > 0 {
			b.Heading = lang.Text("slip.child", words.Args{"child": s.name(lang, a)})
		}
		for _, path := range a.Paths {
			if sec, ok := section.Lookup(path); ok {
				b.Items = append(b.Items, lang.Text("slip.section_"+sec.Name, nil))
			}
		}
		out = append(out, b)
	}
	for _, a := range s.Without {
		out = append(out, Block{Paragraphs: []string{lang.Text("slip.without", words.Args{"child": s.name(lang, a)})}})
	}
	if !s.Until.IsZero() {
		out = append(out, Block{Paragraphs: []string{lang.Text("slip.until", words.Args{"date": plain.Date(lang, s.Until)})}})
	}
	return out
}

// name is what a child is called on the slip.
func (s Slip) name(lang words.Language, a About) string {
	if a.Name != "" {
		return a.Name
	}
	return lang.Text("slip.child_number", words.Args{"number": a.Child})
}

func (s Slip) why(lang words.Language) Block {
	id := "slip.why_help"
	if s.Route != posternv1.Route_ROUTE_STANDARD {
		id = "slip.why_safety"
	}
	return Block{Heading: lang.Text("slip.why", nil), Paragraphs: []string{lang.Text(id, nil)}}
}

// stop says how to stop it and what cannot be undone; without permission there is nothing to withdraw, but an objection.
func (s Slip) stop(lang words.Language) []Block {
	reference := lang.Text("slip.reference", words.Args{"reference": s.Reference})
	undone := lang.Text("slip.undone", nil)
	switch {
	case s.Stage == Withdrawn || s.Stage == StopAsked || s.Stage == Stopped || s.Stage == Nothing:
		return []Block{{Paragraphs: []string{reference}}}
	case s.Route != posternv1.Route_ROUTE_STANDARD:
		return []Block{{Heading: lang.Text("slip.disagree", nil), Paragraphs: []string{lang.Text("slip.object", nil), reference}},
			{Heading: undone, Paragraphs: []string{lang.Text("slip.undone_told", nil)}}}
	}
	how := Block{Heading: lang.Text("slip.stop", nil), Paragraphs: []string{lang.Text("slip.stop_how", nil)}, Items: []string{reference}}
	tail := Block{Paragraphs: []string{lang.Text("slip.stop_part", nil)}}
	if s.Code != "" {
		how.Items = append(how.Items, lang.Text("slip.code", words.Args{"code": s.Code}))
		tail.Paragraphs = append(tail.Paragraphs, lang.Text("slip.keep", nil))
	}
	return []Block{how, tail, {Heading: undone, Paragraphs: []string{lang.Text("slip.undone_how", nil)}}}
}

func (s Slip) where(lang words.Language) Block {
	b := Block{Heading: lang.Text("slip.where", nil)}
	if c := s.Champion; c.GetPhone() != "" {
		b.Items = append(b.Items, lang.Text("slip.champion", words.Args{"role": c.GetRole(), "phone": c.GetPhone()}))
	}
	for _, service := range s.Services {
		ways := slices.DeleteFunc([]string{service.GetPhone(), service.GetWeb()}, func(w string) bool { return w == "" })
		b.Items = append(b.Items, lang.Text("slip.service",
			words.Args{"name": service.GetName(), "offers": service.GetOffers(), "ways": strings.Join(ways, ", ")}))
	}
	b.Paragraphs = append(b.Paragraphs, lang.Text("slip.staff", nil))
	return b
}
