package config_test

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/ledger"
)

// Whoever has lost a log's private key opens new logs: with the verifier key, which every party has, whatever else of the
// old logs is left.
func TestANewGenerationWithoutTheOldKeys(t *testing.T) {
	for name, c := range map[string]struct {
		lost    []string // files and folders
		without bool     // it is possible without the verifier keys
	}{
		"the sent log's key":            {lost: []string{"hub/sent.key"}},
		"the received log's key":        {lost: []string{"hub/received.key"}},
		"both keys":                     {lost: []string{"hub/sent.key", "hub/received.key"}},
		"both keys, and the disk":       {lost: []string{"hub/sent.key", "hub/received.key", "hub/data"}},
		"both keys, a database is left": {lost: []string{"hub/sent.key", "hub/received.key", "newest"}},
		"no key":                        {without: true},
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			p, err := config.LoadHub(filepath.Join(dir, "hub.yaml"))
			check(t, err)
			s, err := p.Build(t.Context(), runtime())
			check(t, err)
			check(t, s.Close())
			var vkeys []string
			for _, file := range []string{"sent.key", "received.key"} {
				skey, err := os.ReadFile(filepath.Join(dir, "hub", file))
				check(t, err)
				vkey, err := ledger.VerifierKey(string(skey))
				check(t, err)
				vkeys = append(vkeys, vkey)
			}
			for _, lost := range c.lost {
				check(t, os.RemoveAll(filepath.Join(dir, lost)))
			}
			next := filepath.Join(dir, "hub", "next")
			_, err = p.NewGeneration(t.Context(), runtime(), next, nil, nil)
			if (err == nil) != c.without || err != nil && (fault.From(err).Reason != "NO_EARLIER_KEY" || !strings.Contains(err.Error(), "--earlier-key")) {
				t.Fatalf("without the verifier keys: %v", err)
			}
			if len(c.lost) > 0 {
				if _, _, err := p.NewLogKey(strings.TrimSuffix(filepath.Base(c.lost[0]), ".key"), filepath.Join(dir, "other.key"), nil); err == nil || !strings.Contains(err.Error(), "new generation") {
					t.Errorf("a next key: %v", err)
				}
			}
			for range 2 { // as after a crash
				n, err := p.NewGeneration(t.Context(), runtime(), next, nil, vkeys)
				check(t, err)
				if !strings.HasPrefix(n.SentVKey, domain+"/sent/2+") || !strings.HasPrefix(n.ReceivedVKey, domain+"/received/2+") || len(n.Follows) != 1 {
					t.Errorf("opened %+v", n)
				}
			}
			edit(t, filepath.Join(dir, "hub.yaml"), "hub/sent.key", "hub/next/sent.key")
			edit(t, filepath.Join(dir, "hub.yaml"), "hub/received.key", "hub/next/received.key")
			p, err = config.LoadHub(filepath.Join(dir, "hub.yaml"))
			check(t, err)
			_, err = p.CheckDatabase(t.Context(), runtime())
			check(t, err)
		})
	}
}

// A crash while the keys were made leaves an empty file in the place of one, and the same command again goes on.
func TestACrashWhileTheKeysOfAGenerationAreMade(t *testing.T) {
	dir := folder(t)
	p, err := config.LoadHub(filepath.Join(dir, "hub.yaml"))
	check(t, err)
	s, err := p.Build(t.Context(), runtime())
	check(t, err)
	check(t, s.Close())
	next := filepath.Join(dir, "hub", "next")
	check(t, os.Mkdir(next, 0o700))
	check(t, os.WriteFile(filepath.Join(next, "sent.key"), nil, 0o600))
	n, err := p.NewGeneration(t.Context(), runtime(), next, nil, nil)
	check(t, err)
	skey, err := os.ReadFile(n.SentKey)
	check(t, err)
	if vkey, err := ledger.VerifierKey(string(skey)); err != nil || vkey != n.SentVKey {
		t.Errorf("the key is %q, %v", vkey, err)
	}
	check(t, os.WriteFile(n.SentKey, skey[:len(skey)/2], 0o600)) // which no crash leaves: it may be all that is left of a key
	if _, err := p.NewGeneration(t.Context(), runtime(), next, nil, nil); fault.From(err).Reason != "LEDGER_KEY_MALFORMED" {
		t.Errorf("with half a key: %v", err)
	}
	if left, err := os.ReadFile(n.SentKey); err != nil || len(left) != len(skey)/2 {
		t.Errorf("half a key became %d bytes, %v", len(left), err)
	}
}

// An earlier key that stands in the configuration need not be named, and may be.
func TestEarlierKeysOfTheConfiguration(t *testing.T) {
	dir := folder(t)
	p, err := config.LoadHub(filepath.Join(dir, "hub.yaml"))
	check(t, err)
	s, err := p.Build(t.Context(), runtime())
	check(t, err)
	check(t, s.Close())
	_, now, err := p.NewLogKey("sent", filepath.Join(dir, "hub", "spare.key"), rand.Reader)
	check(t, err)
	check(t, os.Remove(filepath.Join(dir, "hub", "sent.key")))
	edit(t, filepath.Join(dir, "hub.yaml"), "log_key: {", "log_key: {earlier: ["+now+"], ")
	p, err = config.LoadHub(filepath.Join(dir, "hub.yaml"))
	check(t, err)
	for _, named := range [][]string{nil, {now}} {
		n, err := p.NewGeneration(t.Context(), runtime(), filepath.Join(dir, "hub", "next"), nil, slices.Clone(named))
		check(t, err)
		if !strings.HasPrefix(n.SentVKey, domain+"/sent/2+") {
			t.Errorf("opened %+v", n)
		}
	}
}
