package archive_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing/fstest"
	"time"

	"postern/internal/identity"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
)

// pick takes any file of the export but the manifest.
func (a *attempt) pick() string { return a.scene.files[a.IntN(len(a.scene.files))] }

func (a *attempt) set(name string, data []byte) { a.files[name] = &fstest.MapFile{Data: data} }

// place is the entry in which a byte of a file lies, where the fault must name it.
func (a *attempt) place(name string, offset int) {
	log, rest, _ := strings.Cut(name, "/")
	if kind, bundle, ok := strings.Cut(rest, "tile/entries/"); ok && kind == "" {
		a.log, a.entry = log, bundleStart(bundle)+offset/(2+verify.LeafSize)
	}
	if kind, bundle, ok := strings.Cut(rest, "tile/0/"); ok && kind == "" {
		a.log, a.entry = log, bundleStart(bundle)+offset/32
	}
}

func bundleStart(name string) int {
	if strings.HasPrefix(name, "001") {
		return 256
	}
	return 0
}

func (a *attempt) flipBit() string {
	name := a.pick()
	data := bytes.Clone(a.files[name].Data)
	at := a.IntN(len(data))
	data[at] ^= 1 << a.IntN(8)
	a.set(name, data)
	a.place(name, at)
	return fmt.Sprintf("%s byte %d", name, at)
}

func (a *attempt) changeByte() string {
	name := a.pick()
	data := bytes.Clone(a.files[name].Data)
	at := a.IntN(len(data))
	data[at] += byte(1 + a.IntN(255))
	a.set(name, data)
	a.place(name, at)
	return fmt.Sprintf("%s byte %d", name, at)
}

// spot is the place of an entry: the name of its bundle in one of a log's folders, and the index there.
type spot struct {
	log, name string
	n, index  int
}

// spot takes any entry of any log; below says in which folder the bundle is.
func (a *attempt) spot(below string) spot {
	log, size := "sent", sentSize
	if a.IntN(3) == 0 {
		log, size = "received", receivedSize
	}
	i := a.IntN(size)
	n := i / 256
	return spot{log, archive.TileName(log, below, uint64(n), min(256, size-n*256)), n, i % 256}
}

func (s spot) entry() int { return s.n*256 + s.index }

// expect says that the fault must name this place.
func (a *attempt) expect(s spot) { a.log, a.entry = s.log, s.entry() }

// expectFirst says that the fault must name the place that is checked first: received comes before sent.
func (a *attempt) expectFirst(x, y spot) {
	if y.log < x.log || y.log == x.log && y.entry() < x.entry() {
		x = y
	}
	a.expect(x)
}

// entries are the entries of a bundle.
func entries(files fstest.MapFS, name string) (all [][]byte) {
	for e, rest, ok := archive.CutEntry(files[name].Data); ok; e, rest, ok = archive.CutEntry(rest) {
		all = append(all, e)
	}
	return all
}

func (a *attempt) setEntries(name string, all [][]byte) {
	var data []byte
	for _, e := range all {
		data = archive.AppendEntry(data, e)
	}
	a.set(name, data)
}

// bodiesOf are the bodies of a bundle, nil for one that is absent.
func bodiesOf(files fstest.MapFS, name string) (all []*archive.Body) {
	for b, present, rest, ok := archive.CutBody(files[name].Data); ok; b, present, rest, ok = archive.CutBody(rest) {
		if present {
			all = append(all, &b)
		} else {
			all = append(all, nil)
		}
	}
	return all
}

func (a *attempt) setBodies(name string, all []*archive.Body) {
	var data []byte
	for _, b := range all {
		data = archive.AppendBody(data, b)
	}
	a.set(name, data)
}

func (a *attempt) swapEntries() string {
	x := a.spot("tile/entries")
	y := a.spot("tile/entries")
	for x == y {
		y = a.spot("tile/entries")
	}
	in := map[string][][]byte{x.name: entries(a.files, x.name), y.name: entries(a.files, y.name)}
	in[x.name][x.index], in[y.name][y.index] = in[y.name][y.index], in[x.name][x.index]
	for name, all := range in {
		a.setEntries(name, all)
	}
	a.expectFirst(x, y)
	return fmt.Sprint(x, y)
}

// withBody takes any entry that has a body.
func (a *attempt) withBody() (spot, []*archive.Body) {
	for {
		s := a.spot("bodies")
		if all := bodiesOf(a.files, s.name); all[s.index] != nil {
			return s, all
		}
	}
}

func (a *attempt) swapBodies() string {
	x, _ := a.withBody()
	y, _ := a.withBody()
	for x == y {
		y, _ = a.withBody()
	}
	in := map[string][]*archive.Body{x.name: bodiesOf(a.files, x.name), y.name: bodiesOf(a.files, y.name)}
	in[x.name][x.index], in[y.name][y.index] = in[y.name][y.index], in[x.name][x.index]
	for name, all := range in {
		a.setBodies(name, all)
	}
	a.expectFirst(x, y)
	return fmt.Sprint(x, y)
}

func (a *attempt) swapHashes() string {
	x := a.spot("tile/0")
	data := bytes.Clone(a.files[x.name].Data)
	y := a.IntN(len(data) / 32)
	for y == x.index {
		y = a.IntN(len(data) / 32)
	}
	h := bytes.Clone(data[32*x.index : 32*x.index+32])
	copy(data[32*x.index:], data[32*y:32*y+32])
	copy(data[32*y:], h)
	a.set(x.name, data)
	a.log, a.entry = x.log, x.entry()+min(0, y-x.index)
	return fmt.Sprint(x, y)
}

func (a *attempt) swapFiles() string {
	x, y := a.pick(), a.pick()
	for x == y {
		y = a.pick()
	}
	a.files[x], a.files[y] = a.files[y], a.files[x]
	return x + " " + y
}

func (a *attempt) dropEntry() string {
	s := a.spot("tile/entries")
	a.setEntries(s.name, slices.Delete(entries(a.files, s.name), s.index, s.index+1))
	a.expect(s)
	return fmt.Sprint(s)
}

func (a *attempt) dropBody() string {
	s, all := a.withBody()
	all[s.index] = nil
	a.setBodies(s.name, all)
	return fmt.Sprint(s)
}

func (a *attempt) dropFile() string {
	name := a.pick()
	delete(a.files, name)
	return name
}

func (a *attempt) dropLog() string {
	log := []string{"sent/", "received/"}[a.IntN(2)]
	maps.DeleteFunc(a.files, func(name string, _ *fstest.MapFile) bool { return strings.HasPrefix(name, log) })
	return log
}

func (a *attempt) truncate() string {
	name := a.pick()
	data := a.files[name].Data
	keep := a.IntN(len(data))
	a.set(name, data[:keep])
	a.place(name, keep)
	return fmt.Sprint(name, keep)
}

func (a *attempt) insertBytes() string {
	name := a.pick()
	data := a.files[name].Data
	at, more := a.IntN(len(data)+1), make([]byte, 1+a.IntN(64))
	for i := range more {
		more[i] = byte(a.Uint32())
	}
	a.set(name, slices.Concat(data[:at], more, data[at:]))
	return fmt.Sprint(name, at, len(more))
}

func (a *attempt) insertEntry() string {
	s := a.spot("tile/entries")
	e := bytes.Clone(entries(a.files, s.name)[s.index])
	e[20] ^= byte(1 + a.IntN(255))
	a.setEntries(s.name, slices.Insert(entries(a.files, s.name), s.index, e))
	a.expect(s)
	return fmt.Sprint(s)
}

func (a *attempt) insertFile() string {
	name := []string{"sent/tile/0/002", "received/tile/entries/000", "sent/notes.txt", "received/bodies/000.p/41", "sent/tile/2/000.p/1",
		"sent/checkpoint.new", "sent/tile/1/000.p/2"}[a.IntN(7)]
	a.set(name, make([]byte, a.IntN(100)))
	return name
}

func (a *attempt) duplicateEntry() string {
	x, y := a.spot("tile/entries"), a.spot("tile/entries")
	for x == y {
		y = a.spot("tile/entries")
	}
	all := entries(a.files, x.name)
	all[x.index] = entries(a.files, y.name)[y.index]
	a.setEntries(x.name, all)
	a.expect(x)
	return fmt.Sprint(x, y)
}

func (a *attempt) duplicateFile() string {
	name := a.pick()
	next := fmt.Sprintf("%s/tile/%d/%03d", name[:strings.Index(name, "/")], a.IntN(3), 3+a.IntN(900))
	a.files[next] = a.files[name]
	return name + " as " + next
}

func (a *attempt) checkpointFrom(files fstest.MapFS) string {
	log := []string{"sent", "received"}[a.IntN(2)]
	a.files[log+"/checkpoint"] = files[log+"/checkpoint"]
	return log
}

func (a *attempt) forgeCheckpoint() string { return a.checkpointFrom(a.forger) }
func (a *attempt) rollBack() string        { return a.checkpointFrom(a.older) }
func (a *attempt) splitCheckpoint() string { return a.checkpointFrom(a.forked) }

func (a *attempt) rollAllBack() string {
	a.files = maps.Clone(a.older)
	return "older export"
}

func (a *attempt) splitAll() string {
	a.files = maps.Clone(a.forked)
	return "forked export"
}

func (a *attempt) foreignBody() string {
	s, all := a.withBody()
	other := bodiesOf(a.forked, s.name)[s.index]
	if other == nil || a.IntN(2) == 0 {
		_, more := a.withBody()
		for other == nil || bytes.Equal(other.Opening, all[s.index].Opening) {
			other = more[a.IntN(len(more))]
		}
	}
	all[s.index] = other
	a.setBodies(s.name, all)
	a.expect(s)
	return fmt.Sprint(s)
}

func (a *attempt) changeBody() string {
	s, all := a.withBody()
	b := &archive.Body{Opening: bytes.Clone(all[s.index].Opening), Core: bytes.Clone(all[s.index].Core), Details: bytes.Clone(all[s.index].Details)}
	part := []*[]byte{&b.Opening, &b.Core, &b.Details}[a.IntN(3)]
	if len(*part) != verify.OpeningSize && a.IntN(3) == 0 {
		*part = append(*part, byte(a.Uint32()))
	} else {
		(*part)[a.IntN(len(*part))] ^= 1 << a.IntN(8)
	}
	all[s.index] = b
	a.setBodies(s.name, all)
	a.expect(s)
	return fmt.Sprint(s)
}

// rewrite puts another event, with a body that opens it, in the place of one, and makes the tiles fit.
func (a *attempt) rewrite() string {
	s := a.spot("tile/entries")
	all := entries(a.files, s.name)
	all[s.index] = entries(a.forked, s.name)[s.index]
	a.setEntries(s.name, all)
	name := strings.Replace(s.name, "tile/entries", "bodies", 1)
	opened := bodiesOf(a.files, name)
	opened[s.index] = bodiesOf(a.forked, name)[s.index]
	a.setBodies(name, opened)
	size := uint64(sentSize)
	if s.log == "received" {
		size = receivedSize
	}
	if err := archive.Rehash(a.files, s.log, size); err != nil {
		panic(err)
	}
	return fmt.Sprint(s)
}

func (a *attempt) changeManifest() string {
	data := bytes.Clone(a.files["manifest.json"].Data)
	at := a.IntN(len(data))
	switch a.IntN(3) {
	case 0:
		data[at] ^= 1 << a.IntN(8)
	case 1:
		data = data[:at]
	case 2:
		data = slices.Insert(data, at, " \n\t{,"[a.IntN(5)])
	}
	a.set("manifest.json", data)
	return fmt.Sprint(at)
}

// signAsAnother signs the manifest by somebody who is no auditor, or outside the time of the certificate.
func (a *attempt) signAsAnother() string {
	by, when := (*identity.Identity)(nil), now
	switch a.IntN(3) {
	case 0:
		by = a.hub
	case 1:
		by, when = a.auditor, now.AddDate(1, 0, 0)
	case 2:
		by, when = a.auditor, now.Add(-48*time.Hour)
	}
	if err := archive.Resign(a.files, by, when); err != nil {
		panic(err)
	}
	return when.String()
}
