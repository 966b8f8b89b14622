// Package form reads a form, checks all of it at once, splits it by authority and draws from each part the facts that a
// hub may see.
//
// A form passes through one line: Decode, Check, Parts, Facts. Only Check makes a Checked, so what is split and sealed
// has been checked; what Check accepts cannot fail later. Every fault names its field, the reason and the fix, and
// repeats no value, since a value may be a name or an address. A part holds one authority's children under new numbers
// and nothing that tells of another authority; its sections are exactly those the consent covers; its facts hold no
// value of a section.
//
// The package is pure: the clock, the directory and the desk's key are handed in. It does not decide whether anything
// may be shared: a form whose consent is missing or has ended is well formed, and policy says what becomes of it.
package form

import (
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/fault"
	"postern/internal/postcode"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// clockSlack is how far the clock of whoever wrote the form may be ahead of ours.
const clockSlack = 5 * time.Minute

// MaxChildren is the largest number of children in one form.
const MaxChildren = 16

// Env is what a check needs to know beyond the form.
type Env struct {
	// Now is the moment of the check; dates are judged by the civil day in Europe/London.
	Now time.Time
	// Authority finds an authority in the directory. Without it, only the shape of a code is checked.
	Authority func(code string) (*posternv1.Authority, bool)
	// Postcodes says which authority a postcode is in; nil says what its letters alone tell, and then staff choose.
	Postcodes *postcode.Table
	// Article9Condition is what the desk states of Article 9 where a form names nothing; empty for nothing.
	Article9Condition string
	// Language is the language of the faults.
	Language words.Language
}

// Checked is a form that was checked. Its zero value holds no form and is of no use; Check makes the others.
type Checked struct {
	typed   *posternv1.Form // as it came
	form    *posternv1.Form // with every date written out and the authority of every child
	places  []place         // by child
	expired bool            // the consent had ended when the form was checked
}

// Form returns a copy of the form as it was typed: an authority that only the postcode told
// is not in it, and dates are as people wrote them.
func (c *Checked) Form() *posternv1.Form { return proto.CloneOf(c.typed) }

// Check checks the whole form and returns every fault at once, as one fault.Invalid with a path, reason and fix a field.
// It keeps a copy, so a later change of f changes nothing that was checked. In what becomes of it every date is written
// as year, month and day, and an authority that nobody chose is the one of the whole postcode.
func Check(f *posternv1.Form, env Env) (*Checked, error) {
	c := &checker{form: proto.CloneOf(f), env: env, today: mustDate(Today(env.Now))}
	if f == nil {
		c.form = &posternv1.Form{}
	}
	c.message("", c.form.ProtoReflect())
	c.dates("", c.form.ProtoReflect())
	c.envelope()
	if c.form.GetEnquiry() != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED {
		c.enquiry()
	} else {
		c.consent()
		c.parent()
		c.children()
	}
	c.route()
	c.calls()
	if n := len(c.fields); n > 0 {
		message := env.Language.Text("form.one_fault", nil)
		if n > 1 {
			message = env.Language.Text("form.faults", words.Args{"count": n})
		}
		return nil, fault.InvalidFields("FORM_INVALID", message, c.fields)
	}
	return &Checked{typed: proto.CloneOf(f), form: c.form, places: c.places, expired: !consent.Expiry(c.form.GetConsent()).After(env.Now)}, nil
}

// checker gathers the faults of one form.
type checker struct {
	form   *posternv1.Form
	env    Env
	today  time.Time // midnight UTC of the civil day in London
	fields []fault.Field
	places []place // of the children looked at so far
}

// add notes a fault by the id of its words. args are the names and values they fill in, in turn; none may be a value that
// a person wrote.
func (c *checker) add(path, id string, args ...any) {
	c.fields = append(c.fields, faulty(c.env.Language, path, id, args...))
}

// missing notes faults below a path.
func (c *checker) missing(at string) func(is bool, path, id string, args ...any) {
	return func(is bool, path, id string, args ...any) {
		if is {
			c.add(at+path, id, args...)
		}
	}
}

// atLine is where a fault of a file is.
func atLine(lang words.Language, number int) string {
	return lang.Text("form.in_line", words.Args{"number": number})
}

func faulty(lang words.Language, path, id string, args ...any) fault.Field {
	filled := words.Args{}
	for i := 0; i+1 < len(args); i += 2 {
		filled[args[i].(string)] = args[i+1]
	}
	reason, fix := lang.Fault(id, filled)
	return fault.Field{Path: path, Reason: reason, Fix: fix}
}
