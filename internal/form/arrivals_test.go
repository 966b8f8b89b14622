package form_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/form"
	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

var arrivalsNow = time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)

// Each faulty line is named, and takes nobody else off the list.
func TestArrivals(t *testing.T) {
	people, faults := form.Arrivals([]byte("\ufeffDate;Prison Number;Family-Name;Given name;Reason;Offence\r\n"+
		"22/11/2026;a1111zz;Fennimore-Pike;Odile;licence recall;never read\r\n;;;;;\r\n"+
		"2026-11-23;A2222ZZ;Tomorrow;;;\r\n22 November 2026;A3333ZZ;Only\r\n22/11/2026;A4444ZZ;Known;;on holiday;\r\n"), arrivalsNow, words.English)
	if len(people) != 2 || people[0].PrisonNumber != "A1111ZZ" || people[0].Reception.GetReason() != posternv1.ReceptionReason_RECEPTION_REASON_LICENCE_RECALL ||
		people[1].FamilyName != "Only" || people[1].Reception.GetReceiveDate() != "2026-11-22" || people[1].Reception.GetReason() != posternv1.ReceptionReason_RECEPTION_REASON_NEW_ADMISSION {
		t.Errorf("read %v", people)
	}
	var at []string
	for _, f := range faults {
		at = append(at, f.Path)
	}
	if want := []string{"line 4, date", "line 6, reason"}; !slices.Equal(at, want) {
		t.Errorf("faults at %q, want %q", at, want)
	}
	for name, file := range map[string]string{"empty": "", "no header": "A1111ZZ,Pike,22/11/2026\n", "no date": "prison_number,family_name\nA1111ZZ,Pike\n", "not text": "prison_number\xff"} {
		if people, faults := form.Arrivals([]byte(file), arrivalsNow, words.Welsh); len(people) != 0 || len(faults) != 1 || faults[0].Fix == "" {
			t.Errorf("%s: %v, %v", name, people, faults)
		}
	}
}

// FuzzArrivals: of any text every line is read, named as faulty, or empty; a fault repeats nothing of the file.
func FuzzArrivals(f *testing.F) {
	f.Add([]byte("prison_number,given_name,family_name,date,reason\nA1111ZZ,Odile,Fennimore-Pike,22/11/2026,NEW_ADMISSION\n"))
	f.Add([]byte("prison_number;family_name;date\nQWXYZQ;\"QWXYZQ;QWXYZQ\n"))
	f.Add([]byte{0xff})
	f.Fuzz(func(t *testing.T, file []byte) {
		people, faults := form.Arrivals(file, arrivalsNow, words.English)
		for _, p := range people {
			if len(p.PrisonNumber) != 7 || p.FamilyName == "" || p.Reception.GetReceiveDate() > "2026-11-22" || p.Reception.GetReceiveDate() == "" {
				t.Fatalf("read %v", p)
			}
		}
		for _, f := range faults {
			if strings.Contains(f.Path+f.Reason+f.Fix, "QWXYZQ") || f.Reason == "" || !strings.HasPrefix(f.Path, "line ") {
				t.Fatalf("fault %v", f)
			}
		}
		if len(people) == 0 && len(faults) == 0 && strings.Count(strings.TrimSpace(string(file)), "\n") > 0 {
			for line := range strings.Lines(string(file)) {
				if strings.Trim(line, ",; \t\r\n\ufeff") != "" && !strings.Contains(strings.ToLower(line), "prison") {
					t.Fatalf("%q is passed over", line)
				}
			}
		}
	})
}
