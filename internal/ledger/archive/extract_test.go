package archive_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"postern/internal/envelope"
	"postern/internal/ledger"
	"postern/internal/ledger/archive"
	"postern/internal/ledger/verify"
)

// sealed signs files as an extract, whatever they are called.
func (w *world) sealed(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	var listed []map[string]any
	for _, name := range names {
		sum := sha256.Sum256(files[name])
		listed = append(listed, map[string]any{"path": name, "size": len(files[name]), "sha256": hex.EncodeToString(sum[:])})
	}
	payload, err := json.Marshal(map[string]any{"version": 1, "time": now.UTC().Format("2006-01-02T15:04:05Z07:00"), "question": map[string]any{}, "files": listed})
	check(t, err)
	s, err := envelope.SignStatement(w.auditor, envelope.TypeExtract, payload)
	check(t, err)
	var e struct {
		PayloadType string `json:"payloadType"`
		Payload     []byte `json:"payload"`
		Signatures  []any  `json:"signatures"`
	}
	e.PayloadType, e.Payload = s.GetPayloadType(), s.GetPayload()
	for _, sig := range s.GetSignatures() {
		e.Signatures = append(e.Signatures, struct {
			Sig          []byte   `json:"sig"`
			Certificates [][]byte `json:"certificates"`
		}{sig.GetSignature(), sig.GetCertificates()})
	}
	manifest, err := json.Marshal(e)
	check(t, err)
	files["manifest.json"] = append(manifest, '\n')
	return zipOf(t, files)
}

// TestEveryListedEventHasItsReceipt: an auditor who signs what does not hold lists an event for which there is no receipt,
// and another one's receipt twice.
func TestEveryListedEventHasItsReceipt(t *testing.T) {
	w := newWorld(t, newTrust(t), "receipts")
	w.add(ledger.Sent, 2)
	against := archive.Config{Keys: w.keys, Anchors: w.anchors}
	var ids []string
	var receipts [][]byte
	check(t, w.Range(t.Context(), w.Origin(ledger.Sent), 0, 2, func(e ledger.Logged) (bool, error) {
		r, err := w.Receipt(t.Context(), e.Leaf.EventID)
		ids, receipts = append(ids, hex.EncodeToString(e.Leaf.EventID[:])), append(receipts, verify.MarshalFile(r))
		return true, err
	}))
	lines := fmt.Appendf(nil, "{\"event_id\":%q}\n{\"event_id\":%q}\n", ids[0], ids[1])
	good := w.sealed(t, map[string][]byte{"decisions.csv": []byte("x"), "decisions.jsonl": lines,
		"receipts/" + ids[0] + ".tlog-proof": receipts[0], "receipts/" + ids[1] + ".tlog-proof": receipts[1]})
	if r, err := archive.VerifyExtract(good, against); err != nil || r.Events != 2 {
		t.Fatalf("%+v, %v", r, err)
	}
	for _, other := range []string{ids[0], strings.ToUpper(ids[0]) + ".tlog-proof", ids[0] + ".tlog-proof.tlog-proof"} {
		_, err := archive.VerifyExtract(w.sealed(t, map[string][]byte{"decisions.csv": []byte("x"), "decisions.jsonl": lines,
			"receipts/" + ids[0] + ".tlog-proof": receipts[0], "receipts/" + other: receipts[0]}), against)
		refused(t, err, "EXTRACT_RECEIPT")
	}
}
