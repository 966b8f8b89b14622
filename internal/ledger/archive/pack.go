package archive

import (
	"context"
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"time"

	"postern/internal/envelope"
	"postern/internal/identity"
)

const (
	// PackName is the file of a pack that says what it is, and that an auditor signs.
	PackName = "evidence.json"
	// PackLogs is the folder of a pack with the export that its pages were made from.
	PackLogs = "log"

	maxPack = 64 << 20 // bytes of its manifest, or of one page
)

// packManifest is what an auditor signs of a pack. Its JSON has one spelling, with files in the order of their paths.
type packManifest struct {
	Version  int             `json:"version"`
	Time     string          `json:"time"`            // of the signature, RFC 3339 in UTC
	Question json.RawMessage `json:"question"`        // what the pages are about, by the names of EventFilter
	Export   string          `json:"manifest_sha256"` // of the export's manifest, hex
	Files    []file          `json:"files"`
}

// Pack is pages of evidence, made from an export that lies beside them.
type Pack struct {
	Question []byte            // JSON
	Manifest []byte            // the export's manifest, as its file has it
	Files    map[string][]byte // the pages by name, in no folder
}

// Seal signs a pack and returns the bytes of PackName.
func (p Pack) Seal(by *identity.Identity, now time.Time) ([]byte, error) {
	m := packManifest{Version: manifestVersion, Time: now.UTC().Truncate(time.Second).Format(time.RFC3339), Question: p.Question, Export: digest(p.Manifest)}
	for _, name := range sorted(p.Files) {
		m.Files = append(m.Files, file{Path: name, Size: int64(len(p.Files[name])), SHA256: digest(p.Files[name])})
	}
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return sign(by, envelope.TypeEvidence, payload)
}

// PackReport is what a verified pack is.
type PackReport struct {
	Time  time.Time
	By    identity.Party
	Pages []string // the files, by name
	Logs  *Report  // of the export beside them
}

// VerifyPack checks a folder with evidence without the hub: that an auditor signed the pages, that none was altered, dropped or
// added, and that the logs they name are beside them and hold. What the pages say of these logs is the auditor's word: the same
// commands find it again.
func VerifyPack(ctx context.Context, fsys fs.FS, c Config) (*PackReport, error) {
	f := &folder{Config: c, fsys: fsys}
	data, err := f.read(PackName, maxPack, nil)
	if err != nil {
		return nil, err
	}
	payload, at, by, err := signedManifest(PackName, data, envelope.TypeEvidence, c.Anchors)
	if err != nil {
		return nil, err
	}
	m, r := new(packManifest), &PackReport{Time: at, By: by}
	if err := json.Unmarshal(payload, m); err != nil || m.Version != manifestVersion {
		return nil, wrong("MANIFEST_VERSION", "The evidence has a version that this program does not know. Update the program.")
	}
	for _, l := range m.Files {
		if l.Size < 0 || path.Base(l.Path) != l.Path {
			return nil, errMalformed(PackName)
		}
		page, err := f.read(l.Path, min(l.Size, maxPack)+1, nil)
		if err != nil {
			return nil, err
		}
		if int64(len(page)) != l.Size || digest(page) != l.SHA256 {
			return nil, wrong("PAGE_WRONG", "%s is not the page that was signed.", l.Path)
		}
		r.Pages = append(r.Pages, l.Path)
	}
	names, err := fs.ReadDir(fsys, ".")
	if err != nil {
		return nil, unreadable(".", err)
	}
	for _, n := range names {
		if n.Name() != PackName && n.Name() != PackLogs && !slices.Contains(r.Pages, n.Name()) {
			return nil, wrong("FILE_UNKNOWN", "%.200q is in the folder, and nobody signed it.", n.Name())
		}
	}
	manifest, err := f.read(PackLogs+"/"+manifestName, maxManifest, nil)
	if err != nil {
		return nil, err
	}
	if digest(manifest) != m.Export {
		return nil, wrong("EXPORT_WRONG", "The logs beside the pages are not those that they were made from.")
	}
	logs, err := fs.Sub(fsys, PackLogs)
	if err != nil {
		return nil, unreadable(PackLogs, err)
	}
	r.Logs, err = Verify(ctx, logs, c)
	return r, err
}
