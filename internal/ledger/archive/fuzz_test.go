package archive_test

import (
	"archive/zip"
	"bytes"
	"io"
	"maps"
	"testing"
	"testing/fstest"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
)

// FuzzBundles reads any bytes as bundles: what is read is written back as the same bytes, and the rest is left over.
func FuzzBundles(f *testing.F) {
	f.Add(archive.AppendEntry(archive.AppendEntry(nil, []byte("one")), nil))
	f.Add(archive.AppendBody(archive.AppendBody(nil, &archive.Body{Opening: make([]byte, 32), Core: []byte("core"), Details: []byte("d")}), nil))
	f.Add([]byte{1, 0, 0, 0})
	f.Add(append(make([]byte, 33), 255, 255, 255, 255, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		var again []byte
		rest := b
		for e, after, ok := archive.CutEntry(rest); ok; e, after, ok = archive.CutEntry(rest) {
			again, rest = archive.AppendEntry(again, e), after
		}
		if !bytes.Equal(append(again, rest...), b) {
			t.Fatal("entries are not what was read")
		}
		again, rest = nil, b
		for body, present, after, ok := archive.CutBody(rest); ok; body, present, after, ok = archive.CutBody(rest) {
			if rest = after; present {
				again = archive.AppendBody(again, &body)
			} else {
				again = archive.AppendBody(again, nil)
			}
		}
		if !bytes.Equal(append(again, rest...), b) {
			t.Fatal("bodies are not what was read")
		}
	})
}

// FuzzManifest reads any bytes as a manifest. Only the one that was signed passes.
func FuzzManifest(f *testing.F) {
	w := newWorld(f, newTrust(f), "manifests")
	w.add(ledger.Sent, 2)
	good := w.exported(nil)["manifest.json"].Data
	f.Add(good)
	f.Add([]byte(`{"payloadType":"","payload":"","signatures":null}` + "\n"))
	f.Add(bytes.Replace(good, []byte("payloadType"), []byte("PAYLOADTYPE"), 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := archive.OpenManifest(b, w.anchors)
		if (err == nil) != bytes.Equal(b, good) {
			t.Fatalf("%q: %v", b, err)
		}
	})
}

// FuzzVerify puts any bytes in the place of any file of an export, whose manifest an auditor who lies signs anew.
// Only the file that was there passes.
func FuzzVerify(f *testing.F) {
	w := newWorld(f, newTrust(f), "files")
	w.add(ledger.Sent, 3)
	good := w.exported(nil)
	names := []string{"sent/tile/entries/000.p/3", "sent/tile/0/000.p/3", "sent/bodies/000.p/3", "sent/checkpoint", "received/checkpoint"}
	for i, name := range names {
		f.Add(uint8(i), good[name].Data)
		f.Add(uint8(i), good[name].Data[1:])
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		name, files := names[int(which)%len(names)], maps.Clone(good)
		same := bytes.Equal(files[name].Data, b)
		files[name] = &fstest.MapFile{Data: b}
		check(t, archive.Resign(files, w.auditor, now))
		_, err := archive.Verify(t.Context(), files, w.config())
		if name == "sent/bodies/000.p/3" && err == nil {
			return // bodies left out are for the auditor to say
		}
		if (err == nil) != same || err != nil && fault.KindOf(err) != fault.Unverified {
			t.Fatalf("%s: %v", name, err)
		}
	})
}

// FuzzExtract reads any bytes as an extract, and puts them in the place of each of its files. Only the files that were
// signed pass.
func FuzzExtract(f *testing.F) {
	w := newWorld(f, newTrust(f), "extracts")
	against := archive.Config{Keys: w.keys, Anchors: w.anchors}
	good, err := archive.Extract{Question: []byte("{}"), Table: []byte("event_id\r\n")}.Seal(w.auditor, now)
	check(f, err)
	if _, err := archive.VerifyExtract(good, against); err != nil {
		f.Fatal(err)
	}
	files := unzip(f, good)
	f.Add(good)
	f.Add([]byte("{}"))
	for _, data := range files {
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := archive.VerifyExtract(b, against); err == nil && !maps.EqualFunc(unzip(t, b), files, bytes.Equal) {
			t.Fatalf("%q passes", b)
		}
		for name, data := range files {
			other := maps.Clone(files)
			other[name] = b
			if _, err := archive.VerifyExtract(zipOf(t, other), against); (err == nil) != bytes.Equal(b, data) {
				t.Fatalf("%q as %s: %v", b, name, err)
			}
		}
	})
}

// FuzzPack puts any bytes in the place of each file of a folder with evidence. Only those that were signed pass.
func FuzzPack(f *testing.F) {
	w := newWorld(f, newTrust(f), "pack")
	w.add(ledger.Sent, 3)
	good := fstest.MapFS{}
	for name, file := range w.exported(nil) {
		good[archive.PackLogs+"/"+name] = file
	}
	pages := map[string][]byte{"index.html": []byte("<p>1"), "index.json": []byte("{}")}
	signed, err := archive.Pack{Question: []byte("{}"), Manifest: good["log/manifest.json"].Data, Files: pages}.Seal(w.auditor, now)
	check(f, err)
	for name, data := range pages {
		good[name] = &fstest.MapFile{Data: data}
	}
	good[archive.PackName] = &fstest.MapFile{Data: signed}
	if _, err := archive.VerifyPack(f.Context(), good, w.config()); err != nil {
		f.Fatal(err)
	}
	names := []string{"index.html", "index.json", archive.PackName, "log/manifest.json", "log/sent/checkpoint", "more.html"}
	for _, name := range names[:5] {
		f.Add(good[name].Data)
		f.Add(good[name].Data[1:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range names {
			files := maps.Clone(good)
			same := files[name] != nil && bytes.Equal(files[name].Data, b)
			files[name] = &fstest.MapFile{Data: b}
			_, err := archive.VerifyPack(t.Context(), files, w.config())
			if (err == nil) != same || err != nil && fault.KindOf(err) != fault.Unverified {
				t.Fatalf("%q as %s: %v", b, name, err)
			}
		}
	})
}

func unzip(tb testing.TB, data []byte) map[string][]byte {
	tb.Helper()
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	check(tb, err)
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		check(tb, err)
		files[f.Name], err = io.ReadAll(r)
		check(tb, err)
	}
	return files
}

func zipOf(tb testing.TB, files map[string][]byte) []byte {
	tb.Helper()
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	for name, data := range files {
		f, err := z.Create(name)
		check(tb, err)
		_, err = f.Write(data)
		check(tb, err)
	}
	check(tb, z.Close())
	return out.Bytes()
}
