package site

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/consent"
	"postern/internal/desk"
	"postern/internal/form"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/web"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What the pages about children and the parent have in common: answers that are enums, and how a section is known.

const (
	yes      = posternv1.Answer_ANSWER_YES
	no       = posternv1.Answer_ANSWER_NO
	shared   = posternv1.Answer_ANSWER_SHARED
	notKnown = posternv1.Answer_ANSWER_NOT_KNOWN
)

// enum is what every enum of the protocol is.
type enum interface {
	~int32
	protoreflect.Enum
}

// chosen is the answer to a field whose answers are values of an enum; 0 for none.
func chosen[E enum](f *web.Form, name string) E {
	n, ok := plain.Value(E(0), f.Text(name))
	if !ok {
		return 0
	}
	return E(n)
}

// choices are the values of an enum as answers, in their words.
func choices[E enum](r *web.Request, values ...E) (all []web.Option) {
	for _, v := range values {
		text := plain.EnumIn(r.Language, v)
		if v, ok := any(v).(posternv1.Answer); ok {
			text = answerWords(r, v)
		}
		all = append(all, web.Option{Value: plain.Enum(v), Text: upper(text)})
	}
	return all
}

// answerWords are the words of an answer as somebody gives it.
func answerWords(r *web.Request, a posternv1.Answer) string {
	switch a {
	case yes:
		return r.T("fill.yes")
	case no:
		return r.T("fill.no")
	case shared:
		return r.T("fill.partly")
	default:
		return r.T("fill.i_do_not_know")
	}
}

// valuesOf are all values of an enum but that of nothing said.
func valuesOf[E enum]() (all []E) {
	values := E(0).Descriptor().Values()
	for i := 1; i < values.Len(); i++ {
		all = append(all, E(values.Get(i).Number()))
	}
	return all
}

// listed are answers in a list that opens, which begins with one that says nothing.
func listed(r *web.Request, options []web.Option) []web.Option {
	return append([]web.Option{{Text: r.T("fill.choose")}}, options...)
}

func upper(s string) string {
	first, n := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(first)) + s[n:]
}

// tick is a single box to tick.
func tick(name, path, text string) web.Field {
	return web.Field{Name: name, Path: path, Kind: web.Many, Options: []web.Option{{Value: "YES", Text: text}}}
}

// section is what every section has.
type sourced interface {
	proto.Message
	GetProvenance() *posternv1.Provenance
}

// told is how a section is known: what was there before stays as it was known, and what is new or changed was said by
// the parent today. A section that says nothing is not known, where that was the answer.
func (s *site) told(before, now sourced, known posternv1.Known) *posternv1.Provenance {
	fresh := &posternv1.Provenance{Known: known, Basis: posternv1.Basis_BASIS_PARENT_SAID, AsOfDate: form.Today(s.now())}
	if before.GetProvenance() == nil || before.GetProvenance().GetKnown() != known || !sameBut(before, now) {
		return fresh
	}
	return before.GetProvenance()
}

// sameBut reports whether two sections say the same, however each is known.
func sameBut(a, b sourced) bool {
	bare := func(m sourced) proto.Message {
		c := proto.Clone(m)
		c.ProtoReflect().Clear(c.ProtoReflect().Descriptor().Fields().ByName("provenance"))
		return c
	}
	return proto.Equal(bare(a), bare(b))
}

const (
	isKnown    = posternv1.Known_KNOWN_KNOWN
	isNotKnown = posternv1.Known_KNOWN_NOT_KNOWN
	isNotAsked = posternv1.Known_KNOWN_NOT_ASKED
	isDeclined = posternv1.Known_KNOWN_DECLINED
)

// mayTell reports whether a section may be told, and so is asked for: of a child, by its number, or of the parent. It goes
// by what the person agreed to, of a child nobody described yet by what they agreed to for every child. On the urgent route
// nobody is asked to agree, and it goes by what helps to find the child tonight; on the duty route it may be put right what the
// form says already, beside the minimum.
func mayTell(draft *localv1.Draft, pattern string, child int) bool {
	c := desk.FormOf(draft).GetConsent()
	sec, ok := section.ByPattern(pattern)
	if !ok {
		return false
	}
	if urgent(draft) {
		return form.Urgently(sec, draft.GetForm().GetUrgency().GetReason())
	}
	if byDuty(draft) {
		_, there := section.Get(draft.GetForm(), sec.Path(child))
		return there || sec.Class == posternv1.SectionClass_SECTION_CLASS_MINIMUM
	}
	if sec.PerChild && child > len(draft.GetForm().GetChildren()) {
		return slices.Contains(c.GetSections(), pattern)
	}
	return consent.Covers(c, sec.Path(child))
}

// keepUnasked keeps the sections that a page of a route without permission did not ask for: they were said before, and nobody
// took them back. On the standard route they go, because the person does not agree to tell them any more.
func keepUnasked(draft *localv1.Draft, was, now proto.Message, of string, child int, names []string) {
	if !urgent(draft) && !byDuty(draft) {
		return
	}
	before, after := was.ProtoReflect(), now.ProtoReflect()
	for _, name := range names {
		if f := after.Descriptor().Fields().ByName(protoreflect.Name(name)); before.Has(f) && !mayTell(draft, of+name, child) {
			after.Set(f, before.Get(f))
		}
	}
}

// mend fails the form's fields with whatever is wrong in the draft below these paths, in plain words.
func (s *site) mend(r *web.Request, f *web.Form, draft *localv1.Draft, paths ...string) {
	for _, x := range s.desk.Faults(r.Language, desk.FormOf(draft)) {
		if slices.ContainsFunc(paths, func(p string) bool { return below(x.Path, p) }) {
			f.Fail(x)
		}
	}
}

// below reports whether a path is another or lies under it.
func below(path, above string) bool {
	rest, ok := strings.CutPrefix(path, above)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// tongues are the languages that are spoken most in prisons and visits halls, as BCP 47 tags; bfi is British Sign Language.
var tongues = []string{"en", "cy", "bfi", "sq", "ar", "bn", "bg", "zh", "fr", "de", "gu", "hi", "it", "ku", "lv", "lt", "fa", "pl", "pt", "pa", "rom", "ro", "ru", "so", "es", "ti", "tr", "uk", "ur", "vi"}

// language asks for a language by its name. One that is not among them stays as it was written.
func language(r *web.Request, name, path, label, is string) web.Field {
	f := web.Field{Name: name, Path: path, Kind: web.List, Label: label, Options: []web.Option{{Text: r.T("fill.not_asked")}}, Value: is}
	for _, tag := range tongues {
		f.Options = append(f.Options, web.Option{Value: tag, Text: r.T("tongue." + tag)})
	}
	if is != "" && !slices.Contains(tongues, is) {
		f.Options = append(f.Options, web.Option{Value: is, Text: is})
	}
	return f
}
