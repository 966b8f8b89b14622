// Command licences says under which licence each module stands that is built into postern, and prints their texts.
//
// It reads what the linker would take for every platform that is released, so a module that only a test needs is not in
// it, and it reads each licence from the module's own files in the module cache. It guarantees that nothing is missed in
// silence: a module without a licence that can be recognised, or with one that nobody here has agreed to, is an error.
// It gives no legal advice, and it does not read what a licence file leaves out. `make licences` writes the page; a test
// holds the page against the code.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"io"
	"log"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/google/licensecheck"
)

// platforms are those that scripts/release.sh builds for.
var platforms = []string{"linux/amd64", "linux/arm64"}

// agreed are the licences that a part of postern may stand under: all of them let anybody use, change and pass on the
// whole, and ask for no more than their text beside it.
var agreed = []string{"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT"}

// texts matches the files that a module's licence may stand in, and what must go along with it.
var texts = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice)([-.].*)?$`)

// enough is how much of a licence file must be the words of known licences, in percent; pkg.go.dev asks for as much.
const enough = 75

// part is something that is built into postern.
type part struct {
	name, version string
	licences      []string // SPDX identifiers
	files         []string // paths of the texts
}

func main() {
	log.SetFlags(0)
	full := flag.Bool("texts", false, "print the texts themselves, to hand out with a binary")
	flag.Parse()
	parts, err := find()
	if err == nil {
		err = write(os.Stdout, parts, *full)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// write prints the page, or the texts.
func write(w io.Writer, parts []part, full bool) error {
	out := bufio.NewWriter(w)
	if !full {
		page(out, parts)
		return out.Flush()
	}
	for _, p := range parts {
		for _, f := range p.files {
			text, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "==== %s %s: %s ====\n\n%s\n\n", p.name, p.version, filepath.Base(f), bytes.TrimSpace(text))
		}
	}
	return out.Flush()
}

func page(w io.Writer, parts []part) {
	fmt.Fprint(w, `# Licences of what is built in

Postern itself is under Apache-2.0. These are the Go modules that are linked into `+"`postern`"+`, with the licences that their
own files hold. The page is written by `+"`make licences`"+` and a test holds it against the code; `+"`make release`"+` puts the texts
themselves beside the program. A licence that is not among
`+strings.Join(agreed, ", ")+` stops both. What the style sheet and the scripts of the
pages are made of stands in [internal/web/assets/LICENCES.txt](../internal/web/assets/LICENCES.txt).

| module | version | licence |
|---|---|---|
`)
	for _, p := range parts {
		fmt.Fprintf(w, "| %s | %s | %s |\n", p.name, cmp.Or(p.version, "of the compiler"), strings.Join(p.licences, " and "))
	}
}

// find lists what is built in, by name; the standard library first.
func find() ([]part, error) {
	root, err := command(nil, "go", "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	named := map[string]part{"": {name: "Go standard library"}}
	folders := map[string]string{"": strings.TrimSpace(root)}
	for _, p := range platforms {
		system, machine, _ := strings.Cut(p, "/")
		out, err := command([]string{"GOOS=" + system, "GOARCH=" + machine, "CGO_ENABLED=0"},
			"go", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}{{end}}{{end}}", "postern/cmd/postern")
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(out) {
			if f := strings.Split(strings.TrimSpace(line), "\t"); len(f) == 3 {
				named[f[0]], folders[f[0]] = part{name: f[0], version: f[1]}, f[2]
			}
		}
	}
	var parts []part
	for _, name := range slices.Sorted(maps.Keys(named)) {
		p := named[name]
		if err := p.read(folders[name]); err != nil {
			return nil, err
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// read finds a part's licences in its folder.
func (p *part) read(folder string) error {
	entries, err := os.ReadDir(folder)
	if err != nil {
		return fmt.Errorf("%s: %w: run go mod download", p.name, err)
	}
	found := map[string]bool{}
	for _, e := range entries {
		if e.IsDir() || !texts.MatchString(e.Name()) {
			continue
		}
		path := filepath.Join(folder, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		p.files = append(p.files, path)
		if strings.HasPrefix(strings.ToLower(e.Name()), "notice") {
			continue // goes along, and is no licence
		}
		cover := licensecheck.Scan(text)
		if cover.Percent < enough {
			return fmt.Errorf("%s: %s is not the text of a known licence (%.0f %% of it is): read it", p.name, e.Name(), cover.Percent)
		}
		for _, m := range cover.Match {
			if !slices.Contains(agreed, m.ID) {
				return fmt.Errorf("%s is under %s, which nobody has agreed to: do without it, or add to the list in internal/licences and say why", p.name, m.ID)
			}
			found[m.ID] = true
		}
	}
	for _, id := range agreed {
		if found[id] {
			p.licences = append(p.licences, id)
		}
	}
	if len(p.licences) == 0 {
		return fmt.Errorf("%s has no licence: nobody may pass it on", p.name)
	}
	return nil
}

func command(env []string, name string, args ...string) (string, error) {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	var said bytes.Buffer
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, said.Bytes())
	}
	return string(out), nil
}
