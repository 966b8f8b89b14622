package store_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"postern/internal/store"
)

func TestPrefixEnd(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		bytesNear := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 0x7f, 0xfe, 0xff}), 1, 5)
		prefix, key := bytesNear.Draw(t, "prefix"), bytesNear.Draw(t, "key")
		end := store.PrefixEnd(prefix)
		in := bytes.Compare(key, prefix) >= 0 && (end == nil || bytes.Compare(key, end) < 0)
		if in != bytes.HasPrefix(key, prefix) {
			t.Fatalf("key %x, prefix %x, end %x: in range %t", key, prefix, end, in)
		}
	})
}

func TestCorruptNamesTheRecordWithoutItsContent(t *testing.T) {
	err := store.Corrupt("desk_form", []byte("a private key"))
	if !errors.Is(err, store.ErrCorrupt) {
		t.Fatalf("%v is not ErrCorrupt", err)
	}
	if text := err.Error(); !strings.Contains(text, "desk_form") || strings.Contains(text, "private") {
		t.Fatalf("%q must name the keyspace and not the key", text)
	}
}

func TestCheckRecord(t *testing.T) {
	k, v := []byte("k"), []byte("v")
	for name, c := range map[string]struct {
		key, value []byte
		ok         bool
	}{
		"a record":        {k, v, true},
		"the largest":     {make([]byte, store.MaxKeySize), make([]byte, store.MaxValueSize), true},
		"empty key":       {nil, v, false},
		"empty value":     {k, []byte{}, false},
		"oversized key":   {make([]byte, store.MaxKeySize+1), v, false},
		"oversized value": {k, make([]byte, store.MaxValueSize+1), false},
	} {
		if err := store.CheckRecord(c.key, c.value); (err == nil) != c.ok || (err != nil && !errors.Is(err, store.ErrBadRecord)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
