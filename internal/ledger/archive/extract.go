package archive

import (
	"archive/zip"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ledger/verify"
)

// An extract is what an auditor took out of the logs for one question: the events as a table and as JSON lines, the
// receipt of each, and a manifest that the auditor signed over all of it, in one ZIP file. A row is the auditor's word,
// who verified it when the extract was made; that there is such an event, its receipt proves by itself.
const (
	extractTable  = "decisions.csv"
	extractLines  = "decisions.jsonl"
	extractProofs = "receipts/"
	proofEnding   = ".tlog-proof"
	maxExtract    = 64 << 20 // bytes of one file of an extract
	maxUnpacked   = 4 * maxExtract

	// MaxExtract is the most bytes that an extract may have; whoever reads one needs to read no more than shows that it has.
	MaxExtract = maxExtract
)

// extractManifest is what is signed of an extract. Its JSON has one spelling: what encoding/json writes.
type extractManifest struct {
	Version  int             `json:"version"`
	Time     string          `json:"time"`     // of the signature, RFC 3339 in UTC
	Question json.RawMessage `json:"question"` // which events were asked for, by the names of EventFilter
	Files    []file          `json:"files"`    // in the order of their paths
}

// Extract is what goes into an extract.
type Extract struct {
	Question     []byte            // JSON
	Table, Lines []byte            // the events, as CSV and as JSON lines with an event_id each
	Receipts     map[string][]byte // by event id, in hex
}

// Seal signs an extract and returns the ZIP file.
func (x Extract) Seal(by *identity.Identity, now time.Time) ([]byte, error) {
	files := map[string][]byte{extractTable: x.Table, extractLines: x.Lines}
	for id, receipt := range x.Receipts {
		files[extractProofs+id+proofEnding] = receipt
	}
	m := extractManifest{Version: manifestVersion, Time: now.UTC().Format(time.RFC3339), Question: x.Question}
	var out bytes.Buffer
	z := zip.NewWriter(&out)
	write := func(name string, data []byte) error {
		w, err := z.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Deflate, Modified: now.UTC()})
		if err == nil {
			_, err = w.Write(data)
		}
		return err
	}
	for _, name := range sorted(files) {
		sum := sha256.Sum256(files[name])
		m.Files = append(m.Files, file{Path: name, Size: int64(len(files[name])), SHA256: hex.EncodeToString(sum[:])})
		if err := write(name, files[name]); err != nil {
			return nil, err
		}
	}
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	signed, err := sign(by, envelope.TypeExtract, payload)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(write(manifestName, signed), z.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func sorted(files map[string][]byte) []string {
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// ExtractReport is what a verified extract is.
type ExtractReport struct {
	Time   time.Time
	By     identity.Party
	Events int // each with a receipt that holds
}

// VerifyExtract checks an extract without the hub: the auditor's signature, that nothing in it was altered, dropped or
// added, and that every event it lists has a receipt that verifies with the log keys.
func VerifyExtract(data []byte, against Config) (*ExtractReport, error) {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil || len(data) > MaxExtract {
		return nil, wrong("EXTRACT_MALFORMED", "The file is damaged or is no extract.").Because(err)
	}
	files, unpacked := map[string][]byte{}, uint64(0)
	for _, f := range z.File {
		unpacked += min(f.UncompressedSize64, maxUnpacked)
		if _, twice := files[f.Name]; twice || f.UncompressedSize64 > maxExtract || unpacked > maxUnpacked {
			return nil, wrong("EXTRACT_MALFORMED", "The extract has a file twice, or more than an extract may have.")
		}
		if files[f.Name], err = contents(f); err != nil {
			return nil, wrong("EXTRACT_MALFORMED", "A file in the extract is damaged.").Because(err)
		}
	}
	m, report, err := openExtract(files[manifestName], against.Anchors)
	if err != nil {
		return nil, err
	}
	delete(files, manifestName)
	if len(m.Files) != len(files) {
		return nil, wrong("EXTRACT_FILES", "The extract has not the files that its manifest lists.")
	}
	for _, f := range m.Files {
		sum := sha256.Sum256(files[f.Path])
		if data, there := files[f.Path]; !there || int64(len(data)) != f.Size || hex.EncodeToString(sum[:]) != f.SHA256 {
			return nil, wrong("EXTRACT_FILES", "%s is not the file that was signed.", f.Path)
		}
	}
	report.Events, err = proven(files, against.Keys)
	return report, err
}

func contents(f *zip.File) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(io.LimitReader(r, int64(f.UncompressedSize64)+1)) // what it says it has, which was found not too much
}

// openExtract checks who signed the manifest of an extract.
func openExtract(data []byte, anchors *identity.Anchors) (*extractManifest, *ExtractReport, error) {
	payload, at, by, err := signedManifest(manifestName, data, envelope.TypeExtract, anchors)
	if err != nil {
		return nil, nil, err
	}
	m := new(extractManifest)
	if err := json.Unmarshal(payload, m); err != nil || m.Version != manifestVersion {
		return nil, nil, wrong("MANIFEST_VERSION", "The extract has a version that this program does not know. Update the program.")
	}
	return m, &ExtractReport{Time: at, By: by}, nil
}

// proven checks that each line has the receipt of its event, and each receipt its line, and counts them.
func proven(files map[string][]byte, keys verify.Keys) (int, error) {
	listed := map[string]bool{}
	lines := bufio.NewScanner(bytes.NewReader(files[extractLines]))
	lines.Buffer(nil, maxExtract)
	for lines.Scan() {
		var row struct {
			EventID string `json:"event_id"`
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil || row.EventID == "" || listed[row.EventID] {
			return 0, wrong("EXTRACT_MALFORMED", "%s has a line that is no event, or one twice.", extractLines)
		}
		listed[row.EventID] = true
	}
	receipts := 0
	for name, data := range files {
		id, isProof := strings.CutPrefix(name, extractProofs)
		if !isProof {
			continue
		}
		id, isProof = strings.CutSuffix(id, proofEnding) // so that no two are of one event
		receipt, err := verify.UnmarshalFile(data)
		if err != nil {
			return 0, err
		}
		event, err := verify.Receipt(receipt, keys)
		if err != nil {
			return 0, wrong("EXTRACT_RECEIPT", "The receipt of event %s does not hold. %s", id, fault.From(err).Message)
		}
		if !isProof || hex.EncodeToString(event.EventID[:]) != id || !listed[id] {
			return 0, wrong("EXTRACT_RECEIPT", "The receipt %s is of another event, or of one that is not listed.", id)
		}
		receipts++
	}
	if receipts != len(listed) {
		return 0, wrong("EXTRACT_RECEIPT", "An event is listed without its receipt.")
	}
	return receipts, nil
}
