package inbox_test

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"postern/internal/form/formtest"
	"postern/internal/inbox"
	"postern/internal/outlet"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

// What comes again to an inbox that was put back from a copy is what the lost one had acknowledged, so it may have handed it
// over: a person says, and by the file's name and the command's POSTERN_PARCEL it is the same parcel as before. What is new
// goes by itself.
func TestARestoredInboxHandsNothingOverTwiceByItself(t *testing.T) {
	x := testkit.NewExchange(t)
	in := x.Inbox(testkit.Bristol)
	i := &importer{t, t.TempDir(), map[string]int{}}
	ran := filepath.Join(t.TempDir(), "ran")
	outlets := func(c *inbox.Config) {
		c.Outlets = inbox.Outlets{Folder: &outlet.Folder{Dir: i.dir},
			Hook: &outlet.Hook{Command: []string{"/bin/sh", "-c", `echo "$POSTERN_PARCEL" >> "$1"`, "hook", ran}, Timeout: time.Minute}}
	}
	in.Restart(outlets)
	copied := in.Backup()
	x.Desk(testkit.HMPBristol).Take(formtest.New(testkit.Bristol))
	x.Settle()
	step := func() (files, commands int) {
		t.Helper()
		for _, way := range []string{"folder", "hook"} {
			for worked := true; worked; {
				worked = must(in.StepOutlet(t.Context(), way))(t)
				i.look()
			}
		}
		for _, n := range i.taken {
			files += n
		}
		b, _ := os.ReadFile(ran)
		return files, len(strings.Fields(string(b)))
	}
	if files, commands := step(); files != 2 || commands != 1 {
		t.Fatalf("%d files were seen, and the command ran %d times", files, commands)
	}
	in.Restore(copied)
	in.Restart(outlets)
	if _, err := in.StepResume(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.Settle()
	if len(in.Items()) != 1 {
		t.Fatal("it did not come again")
	}
	if files, commands := step(); files != 2 || commands != 1 {
		t.Errorf("after it came again %d files were seen, and the command ran %d times", files, commands)
	}
	waiting := must(in.ListParcels(t.Context(), nil))(t).GetParcels()
	if len(waiting) != 2 || !waiting[0].GetUnclear() || !waiting[1].GetUnclear() {
		t.Fatalf("for a person there is %v", waiting)
	}
	for _, p := range waiting { // the case system is new too, say
		must(in.SettleParcel(t.Context(), &localv1.SettleParcelRequest{Id: p.GetId()}))(t)
	}
	files, commands := step()
	b, _ := os.ReadFile(ran)
	if ids := strings.Fields(string(b)); files != 4 || len(i.taken) != 2 || commands != 2 || len(slices.Compact(ids)) != 1 {
		t.Errorf("handed over again it is %v and %q", i.taken, ids)
	}
	x.Desk(testkit.HMPBristol).Take(x.Example("shared_in_part"))
	x.Settle()
	if files, commands := step(); files != 6 || commands != 3 {
		t.Errorf("with what is new %d files were seen, and the command ran %d times", files, commands)
	}
}
