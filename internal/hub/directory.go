package hub

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"postern/internal/directory"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// pageBytes keeps a page of the directory under the message limit of 256 KiB.
const pageBytes = 128 << 10

// ListAuthorities serves the signed revision and its entries verbatim.
func (h *Hub) ListAuthorities(ctx context.Context, req *posternv1.ListAuthoritiesRequest) (*posternv1.ListAuthoritiesResponse, error) {
	if err := h.ahead(ctx, req.GetKnownLogs(), ledger.Sent); err != nil {
		return nil, err
	}
	h.hearRevision(ctx, req.GetKnownRevision())
	out, cut := &posternv1.ListAuthoritiesResponse{}, h.cfg.Ledger.Cut()
	_, _, out.Checkpoint = cut.Head(ledger.Sent)
	var err error
	if out.Consistency, err = cut.Proofs(ctx, req.GetKnownLogs(), ledger.Sent); err != nil {
		return nil, err
	}
	newest := h.directory.Load()
	current := newest.Number()
	if current > 0 {
		contents := newest.Contents()
		out.ContentsSha256 = contents[:]
	}
	if current == 0 || (req.GetPageToken() == "" && req.GetKnownRevision() == current) {
		return out, nil
	}
	var signed *posternv1.Signed
	var entries [][]byte
	err = h.cfg.Store.View(ctx, func(s store.Snapshot) (err error) {
		signed, entries, _, err = directory.Load(s, schema.HubDirectory)
		return err
	})
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(signed.GetPayload())
	start, err := parsePlace(req.GetPageToken(), digest)
	if err != nil || start > len(entries) {
		return nil, badToken
	}
	out.Revision = signed
	limit, size := pageSize(req.GetPageSize(), len(entries), len(entries)), 0
	end := start
	for end < len(entries) && end-start < limit && (end == start || size+len(entries[end]) <= pageBytes) {
		size += len(entries[end])
		end++
	}
	out.Entries = entries[start:end]
	if end < len(entries) {
		out.NextPageToken = place(end, digest)
	}
	return out, nil
}

// revisionAt is a directory revision that a desk says to have.
type revisionAt struct {
	prison string
	number uint64
}

// believed bounds what a desk is believed of its directory's number, so that none can use up the numbers there are.
const believed = 1 << 53

// hearRevision remembers the largest revision above the one in force that a desk says to have, such as from a hub before
// this one that was lost: desks take none but a larger one.
func (h *Hub) hearRevision(ctx context.Context, number uint64) {
	p, _ := rpc.Party(ctx)
	if p.Role != posternv1.Role_ROLE_DESK || number <= h.directory.Load().Number() || number >= believed {
		return
	}
	for {
		was := h.atDesks.Load()
		if was != nil && was.number >= number || h.atDesks.CompareAndSwap(was, &revisionAt{p.ID, number}) {
			return
		}
	}
}

// atDesk is the largest revision that a desk has, while it is above the one in force; the zero revisionAt for none.
func (h *Hub) atDesk() revisionAt {
	if r := h.atDesks.Load(); r != nil && r.number > h.directory.Load().Number() {
		return *r
	}
	return revisionAt{}
}

// A place in a revision is the index of the next entry and the start of the revision's digest, so that a token for an
// older revision is refused rather than mixed with a newer one.
func place(index int, revision [32]byte) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(revision[:8:8], uint32(index)))
}

func parsePlace(token string, revision [32]byte) (int, error) {
	if token == "" {
		return 0, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) != 12 || string(b[:8]) != string(revision[:8]) {
		return 0, badToken
	}
	return int(binary.BigEndian.Uint32(b[8:])), nil
}

// LoadDirectory brings a signed directory revision into force: verified, newer than the one in force, recorded as a
// leaf in the transaction that stores it.
func (h *Hub) LoadDirectory(ctx context.Context, req *localv1.LoadDirectoryRequest) (*localv1.LoadDirectoryResponse, error) {
	now := h.now()
	d, err := directory.Open(req.GetRevision(), req.GetEntries(), h.cfg.Anchors, now)
	if err != nil {
		return nil, err
	}
	err = fault.InvalidFields("DIRECTORY_INVALID", "The directory would change the past; the one before it stays in use.", directory.Backdated(h.directory.Load(), d))
	if err != nil {
		return nil, err
	}
	digest := sha256.Sum256(req.GetRevision().GetPayload())
	var event [16]byte
	err = h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		inForce, err := directory.StoredNumber(tx, schema.HubDirectory)
		if err != nil {
			return err
		}
		if d.Number() <= inForce {
			return fault.Newf(fault.Precondition, "DIRECTORY_NOT_NEWER", "The directory in force is number %d. Give the new one a larger number.", inForce)
		}
		entry, err := tx.Record(ledger.Sent, ledger.Event{
			Kind:    logv1.Kind_KIND_DIRECTORY_CHANGED,
			Time:    now,
			Core:    &logv1.Core{SubjectSha256: digest[:]},
			Details: &logv1.Details{Caller: d.SignedBy().URI(), DirectoryRevision: d.Number()},
		})
		if err != nil {
			return err
		}
		event = entry.EventID()
		return directory.Save(tx, schema.HubDirectory, req.GetRevision(), req.GetEntries())
	})
	if err != nil {
		return nil, err
	}
	// A crash just here starts again with the stored revision. A decision made before this line with the old one is
	// made again, because its transaction reads the stored number.
	if err := failpoint.Hit(failpoint.HubDirectory); err != nil {
		return nil, err
	}
	h.use(d)
	receipt, err := h.cfg.Ledger.Receipt(ctx, event)
	if err != nil {
		return nil, err
	}
	return &localv1.LoadDirectoryResponse{Number: d.Number(), Receipt: receipt}, nil
}

// catchUp takes the stored revision into use when it is newer than the one in memory. A load whose caller's time ran out
// while it was written down is committed without anybody here being told, and every decision would be stale for ever.
func (h *Hub) catchUp(ctx context.Context) error {
	var newer *directory.Directory
	err := h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		number, err := directory.StoredNumber(s, schema.HubDirectory)
		if err != nil || number <= h.directory.Load().Number() {
			return err
		}
		signed, entries, _, err := directory.Load(s, schema.HubDirectory)
		if err != nil {
			return err
		}
		newer, err = directory.Open(signed, entries, h.cfg.Anchors, h.cfg.Clock())
		return err
	})
	if newer != nil {
		h.use(newer)
	}
	return err
}

// use replaces the revision in force, unless a load that was recorded after this one came first: an older one here than
// in the store would make every decision stale.
func (h *Hub) use(d *directory.Directory) {
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	if d.Number() > h.directory.Load().Number() {
		h.directory.Store(h.published.over(d))
	}
}
