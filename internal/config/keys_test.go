package config_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/ledger"
)

func reason(err error) string { return fault.From(err).Reason }

// bare is folder before anybody has a key of their own.
func bare(t *testing.T) func(...string) string {
	t.Helper()
	dir := folder(t)
	file := func(parts ...string) string { return filepath.Join(append([]string{dir}, parts...)...) }
	for _, path := range []string{file("hub", "sent.key"), file("hub", "received.key"), file("desk", "reference.key"), file("inbox", "recipient")} {
		check(t, os.RemoveAll(path))
	}
	return file
}

func private(t *testing.T, path string) string {
	t.Helper()
	info, err := os.Stat(path)
	check(t, err)
	if info.Mode().Perm() != 0o600 {
		t.Errorf("%s has the mode %v", path, info.Mode())
	}
	b, err := os.ReadFile(path)
	check(t, err)
	return string(b)
}

func TestAHubMakesItsFirstLogKeysOnce(t *testing.T) {
	file := bare(t)
	c, err := config.LoadHub(file("hub.yaml"))
	check(t, err)
	if _, err := c.Build(t.Context(), runtime()); reason(err) != "NO_KEY" || !strings.Contains(err.Error(), "postern hub new-keys") {
		t.Errorf("a hub without keys: %v", err)
	}
	vkeys := [2]string{}
	vkeys[0], vkeys[1], err = c.NewKeys(rand.Reader)
	check(t, err)
	for i, log := range []string{"sent", "received"} {
		vkey, err := ledger.VerifierKey(private(t, file("hub", log+".key")))
		check(t, err)
		handed, err := os.ReadFile(file("hub", log+".vkey"))
		check(t, err)
		if vkey != vkeys[i] || string(handed) != vkey+"\n" || !strings.HasPrefix(vkey, domain+"/"+log+"+") {
			t.Errorf("the %s log: %q, handed over %q, told %q", log, vkey, handed, vkeys[i])
		}
	}
	before := private(t, file("hub", "sent.key"))
	// A crash came before the one verifier key, and the other is of a key that was taken away since.
	check(t, os.Remove(file("hub", "sent.vkey")))
	check(t, os.WriteFile(file("hub", "received.vkey"), []byte("another\n"), 0o644))
	if _, _, err := c.NewKeys(rand.Reader); reason(err) != "KEY_EXISTS" {
		t.Errorf("once more: %v", err)
	}
	for i, log := range []string{"sent", "received"} {
		if handed, err := os.ReadFile(file("hub", log+".vkey")); err != nil || string(handed) != vkeys[i]+"\n" {
			t.Errorf("handed over after that: %q, %v", handed, err)
		}
	}
	if _, _, err := c.NewKeys(rand.Reader); reason(err) != "KEY_EXISTS" || !strings.Contains(err.Error(), vkeys[0]) || !strings.Contains(err.Error(), vkeys[1]) {
		t.Errorf("a second time: %v", err)
	}
	check(t, os.Rename(file("hub", "received.key"), file("aside")))
	if _, _, err := c.NewKeys(rand.Reader); reason(err) != "KEYS_IN_PART" || !strings.Contains(err.Error(), "hub/received.key is not") {
		t.Errorf("one of them is gone: %v", err)
	}
	if private(t, file("hub", "sent.key")) != before {
		t.Error("the key that was there is another one")
	}
	check(t, os.Rename(file("aside"), file("hub", "received.key")))
	s, err := c.Build(t.Context(), runtime())
	check(t, err)
	check(t, s.Close())
	for _, log := range []string{"sent", "received"} {
		check(t, os.Remove(file("hub", log+".key")))
	}
	if _, _, err := c.NewKeys(rand.Reader); reason(err) != "KEYS_LOST" {
		t.Errorf("beside logs that other keys have signed: %v", err)
	}
	check(t, os.RemoveAll(file("hub", "data")))
	if _, _, err := c.NewKeys(rand.Reader); reason(err) != "KEYS_LOST" {
		t.Errorf("beside their checkpoint file: %v", err)
	}
	edit(t, file("hub.yaml"), "hub/received.key", "hub/sent.key")
	c, err = config.LoadHub(file("hub.yaml"))
	check(t, err)
	if _, _, err := c.NewKeys(rand.Reader); !strings.Contains(err.Error(), "log_key.received: It is the file of log_key.sent too.") {
		t.Errorf("one file for both: %v", err)
	}
}

func TestADeskMakesItsReferenceKeyOnce(t *testing.T) {
	file := bare(t)
	c, err := config.LoadDesk(file("desk.yaml"))
	check(t, err)
	if _, err := c.Build(t.Context(), runtime()); reason(err) != "NO_KEY" || !strings.Contains(err.Error(), "postern desk new-key") {
		t.Errorf("a desk without its key: %v", err)
	}
	check(t, c.NewKey(rand.Reader))
	before := private(t, file("desk", "reference.key"))
	if err := c.NewKey(rand.Reader); reason(err) != "KEY_EXISTS" || private(t, file("desk", "reference.key")) != before {
		t.Errorf("a second time: %v", err)
	}
	s, err := c.Build(t.Context(), runtime())
	check(t, err)
	check(t, s.Close())
	check(t, os.Remove(file("desk", "reference.key")))
	if err := c.NewKey(rand.Reader); reason(err) != "KEYS_LOST" {
		t.Errorf("beside a database: %v", err)
	}
}

func TestAnInboxMakesItsFirstRecipientKeyOnce(t *testing.T) {
	file := bare(t)
	c, err := config.LoadInbox(file("inbox.yaml"))
	check(t, err)
	if _, err := c.Build(t.Context(), runtime()); reason(err) != "NO_RECIPIENT_KEY" || !strings.Contains(err.Error(), "postern inbox new-key") {
		t.Errorf("an inbox without a key: %v", err)
	}
	for _, clock := range []time.Time{time.Now().AddDate(0, 0, -1), time.Now().AddDate(0, 3, 0)} {
		if _, err := c.NewKey(1, clock); reason(err) != "CERTIFICATE" || !strings.Contains(err.Error(), "clock") {
			t.Errorf("a clock that says %v: %v", clock, err)
		}
	}
	if _, err := os.Stat(file("inbox", "recipient")); err == nil {
		t.Error("a key was made that nobody vouches for")
	}
	statement, err := c.NewKey(1, time.Now())
	check(t, err)
	private(t, strings.TrimSuffix(statement, ".signed")+".key")
	if _, err := c.NewKey(2, time.Now()); reason(err) != "KEY_EXISTS" || !strings.Contains(err.Error(), "rotate-key") {
		t.Errorf("a second time: %v", err)
	}
	public, err := os.ReadFile(statement)
	check(t, err)
	check(t, os.Remove(statement)) // as a crash between the two leaves it
	if _, err := c.NewKey(1, time.Now()); reason(err) != "KEY_IN_PART" || !strings.Contains(err.Error(), "take that file away") {
		t.Errorf("after half a first time: %v", err)
	}
	check(t, os.WriteFile(statement, public, 0o644))
	edit(t, file("inbox.yaml"), "certificate: inbox/cert.pem, key: inbox/key.pem}", "certificate: desk/cert.pem, key: desk/key.pem}")
	edit(t, file("inbox.yaml"), "recipient_keys: inbox/recipient", "recipient_keys: inbox/other")
	c, err = config.LoadInbox(file("inbox.yaml"))
	check(t, err)
	if _, err := c.NewKey(1, time.Now()); reason(err) != "WRONG_CERTIFICATE" {
		t.Errorf("a desk's certificate: %v", err)
	}
}
