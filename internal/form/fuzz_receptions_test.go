package form_test

import (
	"testing"
	"time"

	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/words"
)

// FuzzReceptions: any text as a file of receptions is refused with the line of each fault, or is days in order, each once,
// none to come.
func FuzzReceptions(f *testing.F) {
	f.Add([]byte("date,received\n2026-11-20,12\n21/11/2026,0\n"))
	f.Add([]byte("\ufeffDate , Received\r\n20 November 2026,3\r\n"))
	f.Add([]byte("date,received\n\"2026-11-20"))
	f.Add([]byte("date,received\n2026-11-20,1\n2026-11-20,2\n"))
	f.Add([]byte{0xff})
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, file []byte) {
		days, err := form.Receptions(file, now, words.English)
		if err != nil {
			told := fault.From(err)
			if told.Kind != fault.Invalid || len(told.Fields) == 0 {
				t.Fatal(err)
			}
			return
		}
		before := ""
		for _, d := range days {
			if d.GetReceiveDate() <= before || d.GetReceiveDate() > "2026-11-22" {
				t.Fatalf("%s comes after %s", d.GetReceiveDate(), before)
			}
			before = d.GetReceiveDate()
		}
		if len(days) == 0 {
			t.Fatalf("%q holds no day, and nothing is said", file)
		}
	})
}
