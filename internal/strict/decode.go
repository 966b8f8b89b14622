package strict

import (
	"encoding"
	"encoding/base64"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// decoder sets Go values from a tree.
type decoder struct {
	*problems
	plainIsText bool // a scalar without quotes may be text, as in YAML
}

// value sets v, which can be set, from n.
func (d *decoder) value(n *node, v reflect.Value, path string) {
	if n.kind == null || n.kind == refused {
		return
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		d.value(n, v.Elem(), path)
		return
	}
	if v.Type() == reflect.TypeFor[time.Duration]() {
		d.duration(n, v, path)
		return
	}
	if u, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		if s, ok := d.text(n, path); ok && u.UnmarshalText([]byte(s)) != nil {
			d.add(n.at, path, "is not written as it should be", "Compare it with the description of the field.")
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		d.object(n, v, path)
	case reflect.Map:
		d.mapping(n, v, path)
	case reflect.Slice:
		d.slice(n, v, path)
	case reflect.Interface:
		if v.NumMethod() != 0 {
			panic("strict: cannot read into a " + v.Type().String())
		}
		if x := d.any(n, path); x != nil {
			v.Set(reflect.ValueOf(x))
		}
	case reflect.String:
		if s, ok := d.text(n, path); ok {
			v.SetString(s)
		}
	default:
		d.scalar(n, v, path)
	}
}

// text returns a scalar as text.
func (d *decoder) text(n *node, path string) (string, bool) {
	if n.kind == quoted || n.kind == plain && d.plainIsText {
		return n.text, true
	}
	if n.kind == plain {
		d.add(n.at, path, "is not text", "Put it in quotes.")
	} else {
		d.add(n.at, path, "is "+n.kind.String()+" where text belongs", "Write one value.")
	}
	return "", false
}

func (d *decoder) duration(n *node, v reflect.Value, path string) {
	if n.kind == plain || n.kind == quoted {
		if length, err := time.ParseDuration(n.text); err == nil && (n.kind == quoted || d.plainIsText) {
			v.SetInt(int64(length))
			return
		}
	}
	d.add(n.at, path, "is not a length of time", "Write a number with its unit, such as 250ms, 30s or 1h30m.")
}

// scalar sets a bool or a number. They are written without quotes: "12" is text.
func (d *decoder) scalar(n *node, v reflect.Value, path string) {
	set, what, fix := false, "a whole number in range", "Write digits only, without quotes."
	switch v.Kind() {
	case reflect.Bool:
		what, fix = "true or false", "Write true or false, without quotes."
		if set = n.kind == plain && (n.text == "true" || n.text == "false"); set {
			v.SetBool(n.text == "true")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if x, err := strconv.ParseInt(n.text, 10, v.Type().Bits()); err == nil && n.isNumber() {
			v.SetInt(x)
			set = true
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if x, err := strconv.ParseUint(n.text, 10, v.Type().Bits()); err == nil && n.isNumber() {
			v.SetUint(x)
			set = true
		}
	case reflect.Float32, reflect.Float64:
		what, fix = "a number in range", "Write a number, without quotes."
		if x, err := strconv.ParseFloat(n.text, v.Type().Bits()); err == nil && n.isNumber() {
			v.SetFloat(x)
			set = true
		}
	default:
		panic("strict: cannot read into a " + v.Type().String())
	}
	if !set {
		d.add(n.at, path, "is not "+what, fix)
	}
}

// isNumber says whether a scalar is written as JSON writes numbers: 0x10, 010, 1_000 and .inf mean different things to
// different readers, so they mean nothing here.
func (n *node) isNumber() bool {
	digits := strings.TrimPrefix(n.text, "-")
	leadingZero := len(digits) > 1 && digits[0] == '0' && digits[1] >= '0' && digits[1] <= '9'
	return n.kind == plain && digits != "" && digits[0] >= '0' && digits[0] <= '9' && !leadingZero &&
		strings.Trim(digits, "0123456789.eE+-") == "" && !strings.HasSuffix(digits, ".")
}

func (d *decoder) slice(n *node, v reflect.Value, path string) {
	if v.Type().Elem().Kind() == reflect.Uint8 {
		if s, ok := d.text(n, path); ok {
			b, err := base64.StdEncoding.DecodeString(s)
			if err != nil {
				d.add(n.at, path, "is not base64", "Encode the bytes as standard base64.")
			}
			v.SetBytes(b)
		}
		return
	}
	if n.kind != list {
		d.add(n.at, path, "is not a list", "Write a list, even of one.")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.items), len(n.items)))
	for i, item := range n.items {
		at := fmt.Sprintf("%s[%d]", path, i)
		if item.kind == null {
			d.add(item.at, at, "is an empty item", "Give it a value or leave it out.")
		}
		d.value(item, v.Index(i), at)
	}
}

func (d *decoder) mapping(n *node, v reflect.Value, path string) {
	if v.Type().Key().Kind() != reflect.String {
		panic("strict: cannot read into a " + v.Type().String())
	}
	if n.kind != object {
		d.add(n.at, path, "is not an object", "Write keys and values.")
		return
	}
	v.Set(reflect.MakeMapWithSize(v.Type(), len(n.entries)))
	for e := range d.once(n, path) {
		x := reflect.New(v.Type().Elem()).Elem()
		d.value(e.node, x, join(path, e.key))
		v.SetMapIndex(reflect.ValueOf(e.key).Convert(v.Type().Key()), x)
	}
}

// once yields the entries of an object, reporting a key that was there before.
func (d *decoder) once(n *node, path string) func(yield func(entry) bool) {
	return func(yield func(entry) bool) {
		first := map[string]position{}
		for _, e := range n.entries {
			if at, again := first[e.key]; again {
				d.add(e.at, join(path, e.key), fmt.Sprintf("is given a second time; first in line %d", at.line), "Keep one of them.")
				continue
			}
			first[e.key] = e.at
			if !yield(e) {
				return
			}
		}
	}
}

func (d *decoder) object(n *node, v reflect.Value, path string) {
	known := map[string]reflect.Value{}
	fields(v, known)
	if n.kind != object {
		d.add(n.at, path, "is not an object", "Write keys and values under it.")
		return
	}
	for e := range d.once(n, path) {
		if field, ok := known[e.key]; ok {
			d.value(e.node, field, join(path, e.key))
		} else {
			d.add(e.at, join(path, e.key), "is not a known field", suggestion(e.key, slices.Sorted(maps.Keys(known))))
		}
	}
}

// fields collects the fields of a struct by the names they have in a document.
func fields(v reflect.Value, known map[string]reflect.Value) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		tag, tagged := f.Tag.Lookup("yaml")
		if !tagged {
			tag = f.Tag.Get("json")
		}
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-":
		case name == "" && (f.Anonymous || f.IsExported() && options == "inline") && f.Type.Kind() == reflect.Struct:
			fields(v.Field(i), known)
		case !f.IsExported():
		case name == "":
			known[strings.ToLower(f.Name)] = v.Field(i)
		default:
			known[name] = v.Field(i)
		}
	}
}

// any returns a value as encoding/json would, but whole numbers as int64.
func (d *decoder) any(n *node, path string) any {
	switch n.kind {
	case object:
		m := map[string]any{}
		for e := range d.once(n, path) {
			m[e.key] = d.any(e.node, join(path, e.key))
		}
		return m
	case list:
		l := make([]any, len(n.items))
		for i, item := range n.items {
			l[i] = d.any(item, fmt.Sprintf("%s[%d]", path, i))
		}
		return l
	case quoted:
		return n.text
	case plain:
		if n.text == "true" || n.text == "false" {
			return n.text == "true"
		}
		if n.isNumber() {
			if x, err := strconv.ParseInt(n.text, 10, 64); err == nil {
				return x
			}
			if x, err := strconv.ParseFloat(n.text, 64); err == nil {
				return x
			}
		}
		if !d.plainIsText {
			d.add(n.at, path, "is not a number in range", "Write a smaller number.")
		}
		return n.text
	}
	return nil
}

// String names a kind for a problem.
func (k kind) String() string {
	return [...]string{"nothing", "a value", "text", "an object", "a list", "something else"}[k]
}

// suggestion is the fix for an unknown field: the nearest known one, or all of them.
func suggestion(key string, known []string) string {
	const near = 2 // slips of the keyboard
	best, distance := "", near+1
	for _, k := range known {
		if n := slips(strings.ToLower(key), k); n < distance {
			best, distance = k, n
		}
	}
	switch {
	case best != "":
		return "Perhaps " + best + " is meant."
	case len(known) == 0:
		return "Leave it out."
	}
	return "Leave it out, or use one of: " + strings.Join(known, ", ") + "."
}

// slips is the Levenshtein distance of two short words, or a large number for words that cannot be near.
func slips(a, b string) int {
	if len(a) > 64 || len(b) > 64 {
		return 64
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
