package hub

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// published is the recipient keys that inboxes have published. Every one is kept, so that a desk that was away sees each
// follow the one before.
type published struct {
	newest map[string]*posternv1.RecipientKey // by authority
	last   uint64                             // the number of the last one
}

func keyPublication(n uint64) []byte { return binary.BigEndian.AppendUint64(nil, n) }

// readPublished reads what was published before. It was verified when it came.
func readPublished(s store.Snapshot) (published, error) {
	p := published{newest: map[string]*posternv1.RecipientKey{}}
	err := s.Scan(schema.HubKey, nil, nil, func(key, value []byte) (bool, error) {
		signed, k := &posternv1.Signed{}, &posternv1.RecipientKey{}
		if len(key) != 8 || proto.Unmarshal(value, signed) != nil || proto.Unmarshal(signed.GetPayload(), k) != nil {
			return false, fault.New(fault.Internal, "KEY_ROW", "A published recipient key cannot be read.")
		}
		p.newest[k.GetAuthority()], p.last = k, binary.BigEndian.Uint64(key)
		return true, nil
	})
	return p, err
}

// over is the directory with the newest key of each authority, its own or a published one. The caller holds keysMu.
func (p *published) over(d *directory.Directory) *directory.Directory {
	newer := map[string]*posternv1.RecipientKey{}
	for code, k := range p.newest {
		if own, ok := d.RecipientKey(code); ok && own.GetVersion() < k.GetVersion() {
			newer[code] = k
		}
	}
	return d.WithKeys(newer)
}

// PublishKey takes a recipient key that follows the one in use, in one transaction with its leaf. A first key, and one
// that does not follow, come into use by an operator's directory only: a person has looked. One that has ended is taken too,
// for the next one follows it; nothing is sealed to it.
func (h *Hub) PublishKey(ctx context.Context, req *posternv1.PublishKeyRequest) (*posternv1.PublishKeyResponse, error) {
	caller, _ := rpc.Party(ctx)
	now := h.now()
	k, err := directory.VerifyPublished(req.GetRecipientKey(), h.cfg.Anchors, now)
	if err != nil {
		return nil, err
	}
	if k.GetAuthority() != caller.ID {
		return nil, fault.New(fault.Denied, "SENDER_IS_NOT_CALLER", "The recipient key was signed by another inbox than the one that sends it.")
	}
	h.keysMu.Lock()
	defer h.keysMu.Unlock()
	trusted, ok := h.directory.Load().RecipientKey(caller.ID)
	if !ok {
		return nil, fault.New(fault.Precondition, "NOT_ENROLLED", "The directory holds no key of this authority yet. Give the first key's signed statement to the hub's operator.")
	}
	newer, err := directory.Succeeds(trusted, req.GetRecipientKey(), k)
	if err != nil || !newer {
		return &posternv1.PublishKeyResponse{KeyId: k.GetKeyId()}, err
	}
	if err := h.recordKey(ctx, caller.URI(), req.GetRecipientKey(), k); err != nil {
		return nil, err
	}
	// A crash just here reads it from the store at the next start.
	h.published.newest[k.GetAuthority()] = k
	h.published.last++
	h.directory.Store(h.published.over(h.directory.Load()))
	return &posternv1.PublishKeyResponse{KeyId: k.GetKeyId()}, nil
}

// recordKey writes the leaf and the key under the next number. It is of the received log: an inbox caused it.
func (h *Hub) recordKey(ctx context.Context, uri string, signed *posternv1.Signed, k *posternv1.RecipientKey) error {
	row, err := proto.Marshal(signed)
	if err != nil {
		return fault.From(err)
	}
	digest, number, now := sha256.Sum256(signed.GetPayload()), h.published.last+1, h.now()
	return h.cfg.Ledger.Append(ctx, func(tx *ledger.Tx) error {
		_, err := tx.Record(ledger.Received, ledger.Event{
			Kind:    logv1.Kind_KIND_KEY_PUBLISHED,
			Time:    now,
			Core:    &logv1.Core{SubjectSha256: digest[:]},
			Details: &logv1.Details{Caller: uri, Authority: k.GetAuthority()},
		})
		if err != nil {
			return err
		}
		return tx.Put(schema.HubKey, keyPublication(number), row)
	})
}

// ListKeys lists the published keys from a number on. A caller that knows more than there is has met another hub, or one
// that was restored: it gets all of them again.
func (h *Hub) ListKeys(ctx context.Context, req *posternv1.ListKeysRequest) (*posternv1.ListKeysResponse, error) {
	h.keysMu.Lock()
	from := req.GetKnownNumber()
	if from > h.published.last {
		from = 0
	}
	h.keysMu.Unlock()
	out, size := &posternv1.ListKeysResponse{Number: from}, 0
	err := h.cfg.Store.View(ctx, func(s store.Snapshot) error {
		return s.Scan(schema.HubKey, keyPublication(from+1), nil, func(key, value []byte) (bool, error) {
			signed := &posternv1.Signed{}
			if err := proto.Unmarshal(value, signed); err != nil {
				return false, fault.New(fault.Internal, "KEY_ROW", "A published recipient key cannot be read.").Because(err)
			}
			out.RecipientKeys, out.Number = append(out.RecipientKeys, signed), binary.BigEndian.Uint64(key)
			size += len(value)
			return size < pageBytes, nil
		})
	})
	return out, err
}
