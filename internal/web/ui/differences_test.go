package ui

// The reasons of more than one difference.
const (
	noHoles    = "a slice in Go has no holes: what is not asked is not in it, so ids count what is there"
	hasValue   = "an option of ours always has a value: one without sends its words, which change with the language"
	alwaysSaid = "the word before an error is never left out; a Welsh page sets VisuallyHiddenText"
	otherItems = "a date without one of its parts names its Items"
)

// differences are the cases in which the port differs from the macro, with the reason.
var differences = map[string]string{
	"checkboxes: with falsy values":               noHoles,
	"radios: with falsy items":                    noHoles,
	"task-list: with empty values":                noHoles,
	"select: without values":                      hasValue,
	"select: without values with selected value":  hasValue,
	"select: with falsy values":                   hasValue,
	"error-message: translated":                   alwaysSaid,
	"error-message: visually hidden text removed": alwaysSaid,
	"date-input: day and month":                   otherItems,
	"date-input: month and year":                  otherItems,
	"date-input: with field value and items":      "a part that is named in Items has its value there",
}
