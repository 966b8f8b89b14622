package main

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"postern/internal/form"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// canaryform FORM OUT writes a form in which every text of a section that takes any text is a word that stands nowhere
// else: one for each field, so that a search can say which field leaked.
func canaryform(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "canaryform")
	if len(args) != 2 {
		ts.Fatalf("usage: canaryform FORM OUT")
	}
	f, err := form.Decode([]byte(ts.ReadFile(args[0])))
	ts.Check(err)
	f.FormId, f.PrisonNumber = "", "A7351QX"
	words := plant(f)
	out, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(f)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), out, 0o600))
	ts.Logf("%d words planted", words)
	if words < 10 {
		ts.Fatalf("only %d words planted", words)
	}
}

// plant puts a word into each text of the form's sections where the form's check lets it stand.
func plant(f *posternv1.Form) (words int) {
	env := form.Env{Now: time.Now(), Authority: func(code string) (*posternv1.Authority, bool) { return &posternv1.Authority{Code: code}, true }}
	try := func(set func(string), before string) {
		word := fmt.Sprintf("Quivermoth%c%cwold", 'a'+words/26, 'a'+words%26)
		set(word)
		if _, err := form.Check(proto.CloneOf(f), env); err != nil {
			set(before)
			return
		}
		words++
	}
	var walk func(protoreflect.Message)
	walk = func(m protoreflect.Message) {
		m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
			switch {
			case d.Kind() == protoreflect.StringKind && d.IsList():
				for i := range v.List().Len() {
					try(func(s string) { m.Mutable(d).List().Set(i, protoreflect.ValueOfString(s)) }, v.List().Get(i).String())
				}
			case d.Kind() == protoreflect.StringKind:
				try(func(s string) { m.Set(d, protoreflect.ValueOfString(s)) }, v.String())
			case d.Message() != nil && !d.IsList() && !d.IsMap():
				walk(v.Message())
			}
			return true
		})
	}
	for _, path := range sectionPaths(f) {
		if m, ok := section.Get(f, path); ok {
			walk(m.ProtoReflect())
		}
	}
	return words
}

func sectionPaths(f *posternv1.Form) (all []string) {
	for _, s := range section.All() {
		if !s.PerChild {
			all = append(all, s.Pattern)
			continue
		}
		for i := range f.GetChildren() {
			all = append(all, s.Path(i+1))
		}
	}
	return all
}

// opened are the sections of a form as they are before they are sealed: so one of codes only is looked for too.
func opened(text []byte) ([]value, error) {
	f, err := form.Decode(text)
	if err != nil {
		return nil, err
	}
	var values []value
	for _, path := range sectionPaths(f) {
		m, ok := section.Get(f, path)
		if !ok {
			continue
		}
		b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return nil, err
		}
		if len(b) > 3*shortest { // less is found anywhere
			v := value{field: path, text: fmt.Sprintf("%x", b)}
			for _, s := range spellings(string(b)) {
				if len(s) >= len(b) { // not its digest, nor what a date or a number would be
					v.spellings = append(v.spellings, s)
				}
			}
			values = append(values, v)
		}
	}
	return values, nil
}

// dump PARTY FILE stops a party, writes its memory into a file, as a core has it, and kills it: all that it may write to,
// page by page, without the pages that are not there.
func dump(ts *testscript.TestScript, neg bool, args []string) {
	affirm(ts, neg, "dump")
	if len(args) != 2 {
		ts.Fatalf("usage: dump PARTY FILE")
	}
	s := partiesOf(ts).take(ts, args[0])
	ts.Check(s.cmd.Process.Signal(syscall.SIGSTOP))
	size, err := writeMemory(s.cmd.Process.Pid, ts.MkAbs(args[1]))
	ts.Check(errors.Join(err, s.cmd.Process.Kill()))
	<-s.ended
	if size < 4<<20 {
		ts.Fatalf("only %d bytes of memory", size)
	}
	ts.Logf("%d MiB of memory", size>>20)
}

// mostOfARegion is larger than any that holds data: what is larger is reserved only, or the race detector's own.
const mostOfARegion = 16 << 30

func writeMemory(pid int, path string) (size int64, err error) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	maps, err := os.ReadFile(proc + "maps")
	if err != nil {
		return 0, err
	}
	memory, err := os.Open(proc + "mem")
	if err != nil {
		return 0, err
	}
	defer memory.Close()
	pages, err := os.Open(proc + "pagemap")
	if err != nil {
		return 0, err
	}
	defer pages.Close()
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	out := bufio.NewWriterSize(file, 1<<20)
	defer func() { err = errors.Join(err, out.Flush(), file.Close()) }()
	pageSize := uint64(os.Getpagesize())
	page, entries := make([]byte, pageSize), make([]byte, 1<<16)
	for line := range strings.Lines(string(maps)) {
		var from, to uint64
		var may string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &may); err != nil {
			return size, err
		}
		if !strings.HasPrefix(may, "rw") || to-from > mostOfARegion {
			continue
		}
		for at := from; at < to; {
			n, err := pages.ReadAt(entries[:min(uint64(len(entries)), (to-at)/pageSize*8)], int64(at/pageSize*8))
			if err != nil && !errors.Is(err, io.EOF) || n == 0 {
				return size, fmt.Errorf("pages of %x: %w", at, err)
			}
			for i := 0; i+8 <= n; i, at = i+8, at+pageSize {
				if binary.NativeEndian.Uint64(entries[i:])>>62 == 0 {
					continue // neither in memory nor swapped
				}
				if _, err := memory.ReadAt(page, int64(at)); err != nil {
					continue // a page that nobody may read, such as a device's
				}
				if _, err := out.Write(page); err != nil {
					return size, err
				}
				size += int64(pageSize)
			}
		}
	}
	return size, nil
}

// finder looks for many byte strings at once, in time that hardly depends on how many there are.
type finder struct {
	begins [1 << 16]bool     // the first two bytes of any
	by     map[[4]byte][]int // by the first four
	all    [][]byte
}

func newFinder(all [][]byte) *finder {
	f := &finder{by: map[[4]byte][]int{}, all: all}
	for i, s := range all {
		f.begins[binary.BigEndian.Uint16(s)] = true
		f.by[[4]byte(s)] = append(f.by[[4]byte(s)], i)
	}
	return f
}

// in returns which of them stand in b.
func (f *finder) in(b []byte) map[int]bool {
	found := map[int]bool{}
	for i := 0; i+4 <= len(b); i++ {
		if !f.begins[binary.BigEndian.Uint16(b[i:])] {
			continue
		}
		for _, n := range f.by[[4]byte(b[i:])] {
			if s := f.all[n]; len(b)-i >= len(s) && string(b[i:i+len(s)]) == string(s) {
				found[n] = true
			}
		}
	}
	return found
}

func TestAFinderFindsEach(t *testing.T) {
	all := [][]byte{[]byte("abcd"), []byte("abcde"), []byte("bcde"), []byte("zzzz"), []byte("\x00\x00\x00\x01")}
	found := newFinder(all).in([]byte("xabcd\x00\x00\x00\x01"))
	if len(found) != 2 || !found[0] || !found[4] {
		t.Errorf("found %v", found)
	}
	if found := newFinder(all).in([]byte("abcde")); len(found) != 3 {
		t.Errorf("found %v", found)
	}
}
