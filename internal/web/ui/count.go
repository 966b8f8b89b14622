package ui

import (
	"cmp"
	"html/template"
	"maps"
	"strconv"
	"strings"
)

// CharacterCount is several lines of text with a limit that is said, and counted down where scripts run. Nothing here
// enforces the limit.
type CharacterCount struct {
	ID, Name, Value     string
	MaxLength, MaxWords int    // the limit; words when both are given
	Threshold           int    // from how many per cent of the limit on the count shows
	CountType           string // characters, words or graphemes; by default what the limit is of
	Rows                int
	Label               Label
	Hint                *Hint
	ErrorMessage        *ErrorMessage
	FormGroup           FormGroup
	CountMessage        struct{ Classes string }
	Spellcheck          Toggle
	Classes             string
	Attributes          Attributes

	// What is said, in the reader's language; %{count} stands for the number.
	TextareaDescriptionText                       string
	CharactersAtLimitText, WordsAtLimitText       string
	CharactersUnderLimitText, WordsUnderLimitText Plural
	CharactersOverLimitText, WordsOverLimitText   Plural
}

// HTML is the component as a browser gets it.
func (c CharacterCount) HTML() template.HTML {
	id := cmp.Or(c.ID, c.Name)
	group := FormGroup{Classes: join("govuk-character-count", c.FormGroup.Classes), Attributes: c.script()}
	maps.Copy(group.Attributes, c.FormGroup.Attributes)
	message := Hint{ID: id + "-info", Text: c.limit(), Classes: join("govuk-character-count__message", c.CountMessage.Classes)}
	return Textarea{
		ID: id, Name: c.Name, Value: c.Value, Rows: c.Rows, Label: c.Label, Hint: c.Hint, ErrorMessage: c.ErrorMessage,
		FormGroup: group, DescribedBy: message.ID, Spellcheck: c.Spellcheck,
		Classes: join("govuk-js-character-count", c.Classes), Attributes: c.Attributes,
	}.with(message.HTML())
}

func (c CharacterCount) counts() string {
	if c.CountType == "" && c.MaxWords > 0 {
		return "words"
	}
	return c.CountType
}

// limit says how much may be written, nothing when there is no limit yet.
func (c CharacterCount) limit() string {
	n := cmp.Or(c.MaxWords, c.MaxLength)
	if n == 0 {
		return ""
	}
	what := "characters"
	if c.counts() == "words" {
		what = "words"
	}
	return strings.ReplaceAll(cmp.Or(c.TextareaDescriptionText, "You can enter up to %{count} "+what), "%{count}", strconv.Itoa(n))
}

// script is what the script that counts is told.
func (c CharacterCount) script() Attributes {
	a := Attributes{"data-module": "govuk-character-count"}
	for name, n := range map[string]int{"data-maxlength": c.MaxLength, "data-maxwords": c.MaxWords, "data-threshold": c.Threshold} {
		if n != 0 {
			a[name] = strconv.Itoa(n)
		}
	}
	if counts := c.counts(); counts != "" {
		a["data-count-type"] = counts
	}
	if c.MaxLength == 0 && c.MaxWords == 0 && c.TextareaDescriptionText != "" {
		said(a, "textarea-description", "", Plural{"other": c.TextareaDescriptionText})
	}
	said(a, "characters-under-limit", "", c.CharactersUnderLimitText)
	said(a, "characters-at-limit", c.CharactersAtLimitText, nil)
	said(a, "characters-over-limit", "", c.CharactersOverLimitText)
	said(a, "words-under-limit", "", c.WordsUnderLimitText)
	said(a, "words-at-limit", c.WordsAtLimitText, nil)
	said(a, "words-over-limit", "", c.WordsOverLimitText)
	return a
}

// Plural is a text by the form of a number that a language knows, such as one and other.
type Plural map[string]string

// said adds texts for a script to attributes.
func said(to Attributes, key, text string, plural Plural) {
	for form, t := range plural {
		to["data-i18n."+key+"."+form] = t
	}
	if text != "" {
		to["data-i18n."+key] = text
	}
}
