package site

import (
	"strings"
	"testing"
)

// Every value of an Input has its row, an empty one too: what a page leaves out, an inspector takes for not given.
func TestEveryFactHasItsRow(t *testing.T) {
	list, err := facts([]byte(`{"now": "2026-11-22", "none": null, "empty": [], "bare": {}, "age": 7, "names": ["a", "b"],
		"children": [{"number": 1, "paths": []}, {"number": 2, "paths": ["home"]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, row := range list.Rows {
		key, _ := row.Key.Text.(string)
		value, _ := row.Value.Text.(string)
		got = append(got, key+"="+value)
	}
	want := "now=2026-11-22 none=– empty=– bare=– age=7 names=a, b children › 1 › number=1 children › 1 › paths=– children › 2 › number=2 children › 2 › paths=home"
	if strings.Join(got, " ") != want {
		t.Errorf("%s\nwant\n%s", strings.Join(got, " "), want)
	}
	if _, err := facts([]byte(`{"now": `)); err == nil {
		t.Error("half an Input is shown")
	}
}
