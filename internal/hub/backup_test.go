package hub_test

import (
	"os"
	"path/filepath"
	"testing"

	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store/bolt"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
)

func TestABackupIsTheDatabase(t *testing.T) {
	x := testkit.NewExchange(t)
	path := filepath.Join(t.TempDir(), "copy.db")
	if _, err := x.Hub.Backup(t.Context(), &localv1.BackupRequest{Path: "copy.db"}); fault.KindOf(err) != fault.Invalid {
		t.Errorf("a path that depends on the server's folder: %v", err)
	}
	out, err := x.Hub.Backup(t.Context(), &localv1.BackupRequest{Path: path})
	if err != nil || out.GetRecords() == 0 {
		t.Fatalf("%v, %v", out, err)
	}
	report, err := bolt.Verify(t.Context(), bolt.Config{Path: path, Schema: schema.Hub})
	if err != nil || report.Records != out.GetRecords() || report.Bytes != int64(out.GetBytes()) {
		t.Errorf("said %v, is %+v, %v", out, report, err)
	}
	if _, err := x.Hub.Backup(t.Context(), &localv1.BackupRequest{Path: path}); fault.KindOf(err) != fault.Exists {
		t.Errorf("over a file: %v", err)
	}
}

func TestACheckAnswersWhatItFound(t *testing.T) {
	x := testkit.NewExchange(t)
	check := func() string {
		out, err := x.Hub.Check(t.Context(), &localv1.CheckRequest{})
		if err != nil {
			t.Fatal(err)
		}
		return out.GetFault()
	}
	if f := check(); f != "" {
		t.Errorf("a whole database: %s", f)
	}
	path := x.Path("hub", "hub.db")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const at = 60 // in a meta page, which is never free
	for _, turned := range []byte{file[at] ^ 4, file[at]} {
		db, err := os.OpenFile(path, os.O_RDWR, 0)
		if err == nil {
			_, err = db.WriteAt([]byte{turned}, int64(at))
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = db.Close()
		if f := check(); (f == "") != (turned == file[at]) {
			t.Errorf("with byte %d at %x: %q", at, turned, f)
		}
	}
}
