// Package words holds what Postern says to people, in English and in Welsh: an id, and a text for it in each language.
//
// The catalogues are en.txt and cy.txt, and beside them a pair for what only one part says, such as web.en.txt and
// web.cy.txt. Tests hold that every id the code uses is in both, that both fill in the same
// names, and that no text is left that nobody uses. A text that is missing all the same shows its id, so that a person
// sees that something should stand there. What is filled in is the caller's to choose: nothing is hidden or escaped here.
package words

import (
	"embed"
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Language is a language that Postern speaks; the empty one is English.
type Language string

// The languages.
const (
	English Language = "en"
	Welsh   Language = "cy"
)

// Parse reads a language tag such as cy, cy-GB or the cy_GB.UTF-8 of an environment.
func Parse(tag string) (Language, bool) {
	tag, _, _ = strings.Cut(tag, ".")
	tag, _, _ = strings.Cut(strings.ReplaceAll(tag, "_", "-"), "-")
	switch l := Language(strings.ToLower(tag)); l {
	case English, Welsh:
		return l, true
	default:
		return English, false
	}
}

// Args are the values to fill in, by name.
type Args map[string]any

//go:embed *.txt
var files embed.FS

var catalogues = sync.OnceValue(func() map[Language]map[string]string {
	all := map[Language]map[string]string{}
	for _, l := range []Language{English, Welsh} {
		all[l] = map[string]string{}
		for _, name := range catalogueFiles(l) {
			data, err := files.ReadFile(name)
			if err != nil {
				panic(err) // it was listed a line above, in a file system that cannot change
			}
			maps.Copy(all[l], read(string(data)))
		}
	}
	return all
})

// catalogueFiles are the files of a language, its main one first.
func catalogueFiles(l Language) []string {
	names, err := fs.Glob(files, "*."+string(l)+".txt")
	if err != nil {
		panic(err) // the pattern is a constant
	}
	return append([]string{string(l) + ".txt"}, names...)
}

// read reads a catalogue: ids at the start of a line, their text indented below, comments after #.
func read(source string) map[string]string {
	texts := map[string]string{}
	id := ""
	for line := range strings.Lines(source) {
		line = strings.TrimRight(line, "\n")
		text, indented := strings.CutPrefix(line, "  ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case !indented:
			id = line
		case texts[id] == "":
			texts[id] = text
		default:
			texts[id] += "\n" + text
		}
	}
	return texts
}

// names are the places to fill in. A single letter is none: child/{n}/home is a path.
var names = regexp.MustCompile(`\{[a-z]{2,}\}`)

func (l Language) texts() map[string]string {
	if l == "" {
		l = English
	}
	return catalogues()[l]
}

// Has reports whether there is a text for the id in this language.
func (l Language) Has(id string) bool { return l.texts()[id] != "" }

// Text returns the text of an id with its names filled in.
func (l Language) Text(id string, args Args) string {
	text, ok := l.texts()[id]
	if !ok {
		return "[" + id + "]"
	}
	return names.ReplaceAllStringFunc(text, func(name string) string {
		if v, ok := args[strings.Trim(name, "{}")]; ok {
			return fmt.Sprint(v)
		}
		return name
	})
}

// Fault returns the reason and the fix of a fault.
func (l Language) Fault(id string, args Args) (reason, fix string) {
	reason, fix, _ = strings.Cut(l.Text(id, args), "\n")
	return reason, fix
}

// IDs lists the ids of this language, sorted.
func (l Language) IDs() []string { return slices.Sorted(maps.Keys(l.texts())) }

// Names lists the names that the text of an id fills in, sorted.
func (l Language) Names(id string) []string {
	found := names.FindAllString(l.texts()[id], -1)
	slices.Sort(found)
	return slices.Compact(found)
}
