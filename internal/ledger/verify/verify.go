// Package verify checks what a Postern log claims: receipts, checkpoints and that one checkpoint continues another.
// Desks, inboxes and auditors need nothing else of the ledger, no network and no hub.
//
// The formats are open: RFC 6962 trees over SHA-256 and the C2SP texts tlog-checkpoint, signed-note and tlog-proof.
// Every text is accepted in one spelling only, so a receipt with any changed byte is refused or is the same receipt.
// What it does not do: it does not judge what an event means, whether a decision is still valid, or whether the log
// showed the same tree to everybody. The last needs a remembered checkpoint and Continues, or a witness.
//
// A failed check is a *fault.Error of kind Unverified whose reason names the first thing that does not hold.
package verify

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"slices"
	"strings"
	"time"

	"golang.org/x/mod/sumdb/tlog"
	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Event is what a verified receipt proves.
type Event struct {
	Head              // of the checkpoint that covers it
	Checkpoint string // the same as the signed note
	Index      uint64 // the place of the leaf in the log
	EventID    [EventIDSize]byte
	Kind       logv1.Kind
	Hour       time.Time // the beginning of the hour in which it was recorded, UTC
	Core       *logv1.Core
}

// Receipt checks a receipt offline: the leaf is well-formed, the opening opens its commitment to this core and this
// digest of details, the checkpoint is signed by a key trusted for its log, and the leaf is in its tree.
func Receipt(r *posternv1.Receipt, keys Keys) (*Event, error) {
	return receipt(r, func(signed string) (Head, error) { return Checkpoint(signed, keys) })
}

// Lack reports whether a receipt is of one of the logs that the keys are for, and only the key is missing: it is of another
// generation, or signed by none of the keys that we have for it. All else about it may hold or not.
func (k Keys) Lack(r *posternv1.Receipt) bool {
	_, err := Receipt(r, k)
	switch fault.From(err).Reason {
	case "SIGNATURE_MISSING":
		return true
	case "ORIGIN_UNKNOWN":
		p, _ := ParseProof(r.GetTlogProof()) // it was read before
		h, _ := ReadHead(p.Checkpoint)
		return slices.ContainsFunc(k.Origins(), func(o string) bool { return SameLog(o, h.Origin) })
	}
	return false
}

// ReceiptAt is Receipt for one of many receipts with the same checkpoint: head is what Checkpoint returned for signed,
// and a receipt with any other checkpoint is refused.
func ReceiptAt(r *posternv1.Receipt, signed string, head Head) (*Event, error) {
	return receipt(r, func(of string) (Head, error) {
		if of != signed {
			return Head{}, refuse("CHECKPOINT_DIFFERS", "The receipt is cut to another checkpoint.")
		}
		return head, nil
	})
}

func receipt(r *posternv1.Receipt, checkpoint func(signed string) (Head, error)) (*Event, error) {
	leaf, core, err := Open(r)
	if err != nil {
		return nil, err
	}
	p, err := ParseProof(r.GetTlogProof())
	if err != nil {
		return nil, err
	}
	if p.Extra != nil {
		return nil, refuse("PROOF_MALFORMED", "The proof inside a receipt carries extra data.")
	}
	head, err := checkpoint(p.Checkpoint)
	if err != nil {
		return nil, err
	}
	path := make(tlog.RecordProof, 0, len(p.Hashes))
	for _, h := range p.Hashes {
		path = append(path, h)
	}
	if p.Index >= head.Size ||
		tlog.CheckRecord(path, int64(head.Size), head.Root, int64(p.Index), tlog.RecordHash(r.GetLeaf())) != nil {
		return nil, refuse("INCLUSION_WRONG", "The leaf is not in the log at this place.")
	}
	return &Event{Head: head, Checkpoint: p.Checkpoint, Index: p.Index,
		EventID: leaf.EventID, Kind: leaf.Kind, Hour: leaf.Time(), Core: core}, nil
}

// Open checks the part of a receipt that needs no log: that its opening, core and digest of details are what the leaf
// commits to. It proves nothing about the leaf itself; Receipt does.
func Open(r *posternv1.Receipt) (Leaf, *logv1.Core, error) {
	leaf, err := ParseLeaf(r.GetLeaf())
	if err != nil {
		return leaf, nil, err
	}
	if len(r.GetOpening()) != OpeningSize || len(r.GetDetailsSha256()) != sha256.Size {
		return leaf, nil, refuse("OPENING_MALFORMED", "The opening or the digest of the details has the wrong length.")
	}
	c := Commitment([OpeningSize]byte(r.GetOpening()), sha256.Sum256(r.GetCore()), [sha256.Size]byte(r.GetDetailsSha256()))
	if subtle.ConstantTimeCompare(c[:], leaf.Commitment[:]) != 1 {
		return leaf, nil, refuse("COMMITMENT_WRONG", "The event shown is not the one that the log holds.")
	}
	core := new(logv1.Core)
	if proto.Unmarshal(r.GetCore(), core) != nil {
		return leaf, nil, refuse("CORE_MALFORMED", "The core of the event cannot be read.")
	}
	if hour, ok := HourOf(core.GetEventTime().AsTime()); !ok || hour != leaf.Hour {
		return leaf, nil, refuse("HOUR_WRONG", "The leaf and the event name different hours.")
	}
	return leaf, core, nil
}

// Details checks that details are the ones whose digest a receipt shows. It proves something only about a receipt that
// Receipt has passed.
func Details(r *posternv1.Receipt, details []byte) error {
	if d := sha256.Sum256(details); string(d[:]) != string(r.GetDetailsSha256()) {
		return refuse("DETAILS_WRONG", "The details shown are not the ones that the log holds.")
	}
	return nil
}

// MarshalFile writes a receipt as one file, `.tlog-proof`: a C2SP tlog-proof whose extra data is the rest of the
// receipt, so that any tlog-proof verifier can check the leaf inside and Postern can check everything.
func MarshalFile(r *posternv1.Receipt) []byte {
	rest := proto.CloneOf(r)
	rest.TlogProof = ""
	extra, _ := proto.MarshalOptions{Deterministic: true}.Marshal(rest) // only a string can fail to marshal; there is none
	header, body, _ := strings.Cut(r.GetTlogProof(), "\n")
	return []byte(header + "\nextra " + base64.StdEncoding.EncodeToString(extra) + "\n" + body)
}

// UnmarshalFile reads a file that MarshalFile wrote, without judging it: Receipt does that.
func UnmarshalFile(b []byte) (*posternv1.Receipt, error) {
	p, err := ParseProof(string(b))
	if err != nil {
		return nil, err
	}
	r := new(posternv1.Receipt)
	if len(p.Extra) == 0 || proto.Unmarshal(p.Extra, r) != nil || r.TlogProof != "" {
		return nil, refuse("FILE_MALFORMED", "The file is a log proof but holds no Postern receipt.")
	}
	p.Extra = nil
	r.TlogProof = p.Text()
	return r, nil
}

func refuse(reason, format string, args ...any) *fault.Error {
	return fault.Newf(fault.Unverified, reason, format, args...)
}
