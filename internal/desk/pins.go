package desk

import (
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// The desk pins the recipient key of each authority: the first for its certificate, each later one because the one
// before signed it or because a member of staff confirmed it. Nobody who serves the directory, and nobody with only the
// authority's certificate, can make a desk seal to a key of their own.

var keysKey = []byte("keys")

func pinRow(authority string) []byte     { return []byte(authority) }
func waitingRow(authority string) []byte { return join(authority, "") }

// offered is a verified recipient key with its statement.
type offered struct {
	*posternv1.RecipientKey
	signed *posternv1.Signed
}

// readKey reads a pinned or waiting key; nil when there is none.
func readKey(r store.Reader, row []byte) (*offered, error) {
	b, err := r.Get(schema.DeskPin, row)
	if err != nil || b == nil {
		return nil, err
	}
	k := &offered{&posternv1.RecipientKey{}, &posternv1.Signed{}}
	if proto.Unmarshal(b, k.signed) != nil || proto.Unmarshal(k.signed.GetPayload(), k.RecipientKey) != nil {
		return nil, fault.New(fault.Internal, "PIN_ROW", "A pinned recipient key cannot be read.")
	}
	return k, nil
}

func putKey(tx store.Tx, row []byte, signed *posternv1.Signed) error {
	b, err := proto.Marshal(signed)
	if err != nil {
		return fault.From(err)
	}
	return tx.Put(schema.DeskPin, row, b)
}

// readPins reads the pins of all authorities.
func readPins(s store.Snapshot) (map[string]*posternv1.RecipientKey, error) {
	pins := map[string]*posternv1.RecipientKey{}
	err := s.Scan(schema.DeskPin, nil, nil, func(key, _ []byte) (bool, error) {
		if strings.HasSuffix(string(key), "\x00") {
			return true, nil
		}
		k, err := readKey(s, key)
		if err == nil {
			pins[string(key)] = k.RecipientKey
		}
		return true, err
	})
	return pins, err
}

// judge pins a key that may take the place of the pinned one, and keeps one that only a person can confirm. It returns
// what is wrong with the key, which leaves the pin as it is.
func judge(tx store.Tx, next offered) (refused *fault.Error, err error) {
	code := next.GetAuthority()
	trusted, err := readKey(tx, pinRow(code))
	if err != nil {
		return nil, err
	}
	var pinned *posternv1.RecipientKey
	if trusted != nil {
		pinned = trusted.RecipientKey
	}
	newer, verdict := directory.Succeeds(pinned, next.signed, next.RecipientKey)
	if verdict != nil {
		refused = fault.From(verdict)
		if refused.Reason != directory.KeyReplayed {
			return refused, putKey(tx, waitingRow(code), next.signed)
		}
		return refused, nil
	}
	if !newer {
		return nil, nil
	}
	if err := tx.Delete(schema.DeskPin, waitingRow(code)); err != nil {
		return nil, err
	}
	return nil, putKey(tx, pinRow(code), next.signed)
}

// judgeDirectory judges the keys of a directory. An older one than the pinned is no fault there: an operator's file may
// name an authority's first key for years.
func (d *Desk) judgeDirectory(ctx context.Context, tx store.Tx, dir *directory.Directory) error {
	for _, a := range dir.Authorities() {
		key, ok := dir.RecipientKey(a.GetCode())
		if !ok {
			continue
		}
		refused, err := judge(tx, offered{key, a.GetRecipientKey()})
		if err != nil {
			return err
		}
		if refused != nil && refused.Reason != directory.KeyReplayed {
			d.distrust(ctx, a.GetCode(), refused)
		}
	}
	return nil
}

func (d *Desk) distrust(ctx context.Context, authority string, refused *fault.Error) {
	d.failures("keys", refused.Reason)
	d.cfg.Log.ErrorContext(ctx, "recipient key not trusted", "authority", authority, "reason", refused.Reason)
}

// usePins puts the pins of the store in the place of the directory's keys; nil is the directory in use.
func (d *Desk) usePins(ctx context.Context, dir *directory.Directory) error {
	d.pinning.Lock()
	defer d.pinning.Unlock()
	defer d.resealing.Store(true)
	if dir == nil {
		dir = d.directory.Load()
	}
	return d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		pins, err := readPins(s)
		if err == nil {
			d.directory.Store(dir.WithKeys(pins))
		}
		return err
	})
}

// StepKeys fetches the keys that inboxes have published since the last time and judges each. It reports whether there
// were any.
func (d *Desk) StepKeys(ctx context.Context) (bool, error) {
	var known uint64
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		b, err := s.Get(schema.DeskCursor, keysKey)
		if len(b) == 8 {
			known = binary.BigEndian.Uint64(b)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	page, err := d.cfg.Directory.ListKeys(ctx, &posternv1.ListKeysRequest{KnownNumber: known})
	if err != nil || len(page.GetRecipientKeys()) == 0 {
		return false, err
	}
	if page.GetNumber() == known {
		return false, fault.New(fault.Unverified, "KEYS_NUMBER", "The hub lists recipient keys without going on. Telephone its operator.")
	}
	var good []offered
	for _, signed := range page.GetRecipientKeys() {
		if k, err := d.verifyKey(signed); err != nil {
			d.distrust(ctx, "", fault.From(err))
		} else {
			good = append(good, k)
		}
	}
	var refused map[string]*fault.Error
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		refused = map[string]*fault.Error{}
		for _, k := range good {
			why, err := judge(tx, k)
			if err != nil {
				return err
			}
			if why != nil {
				refused[k.GetAuthority()] = why
			}
		}
		return tx.Put(schema.DeskCursor, keysKey, binary.BigEndian.AppendUint64(nil, page.GetNumber()))
	})
	if err != nil {
		return false, err
	}
	for _, code := range slices.Sorted(maps.Keys(refused)) {
		d.distrust(ctx, code, refused[code])
	}
	// A crash just here reads the pins at the next start.
	return true, d.usePins(ctx, nil)
}

// verifyKey verifies a published key.
func (d *Desk) verifyKey(signed *posternv1.Signed) (offered, error) {
	k, err := directory.VerifyPublished(signed, d.cfg.Anchors, d.cfg.Clock())
	return offered{k, signed}, err
}

// ListPins lists the pinned keys.
func (d *Desk) ListPins(ctx context.Context, _ *localv1.ListPinsRequest) (*localv1.ListPinsResponse, error) {
	if _, err := d.signedIn(ctx); err != nil {
		return nil, err
	}
	out := &localv1.ListPinsResponse{}
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		pins, err := readPins(s)
		for _, code := range slices.Sorted(maps.Keys(pins)) {
			pin, err := showPin(s, code)
			if err != nil {
				return err
			}
			out.Pins = append(out.Pins, pin)
		}
		return err
	})
	return out, err
}

func showPin(r store.Reader, code string) (*localv1.Pin, error) {
	pinned, err := readKey(r, pinRow(code))
	if err != nil || pinned == nil {
		return nil, err
	}
	pin := &localv1.Pin{Authority: code, KeyId: pinned.GetKeyId(), Version: pinned.GetVersion(), ExpireTime: pinned.GetExpireTime()}
	waiting, err := readKey(r, waitingRow(code))
	if waiting != nil {
		pin.WaitingKeyId, pin.WaitingVersion = waiting.GetKeyId(), waiting.GetVersion()
	}
	return pin, err
}

// ConfirmKey pins a waiting key whose id a member of staff has compared with the authority by telephone.
func (d *Desk) ConfirmKey(ctx context.Context, req *localv1.ConfirmKeyRequest) (*localv1.ConfirmKeyResponse, error) {
	by, err := d.signedIn(ctx)
	if err != nil {
		return nil, err
	}
	out := &localv1.ConfirmKeyResponse{}
	err = d.cfg.Store.Update(ctx, func(tx store.Tx) error {
		waiting, err := readKey(tx, waitingRow(req.GetAuthority()))
		if err != nil {
			return err
		}
		if waiting == nil {
			return fault.New(fault.NotFound, "NO_WAITING_KEY", "No recipient key of this authority waits to be confirmed. `postern desk keys` lists what does.")
		}
		if !strings.EqualFold(strings.ReplaceAll(req.GetKeyId(), " ", ""), waiting.GetKeyId()) {
			return fault.New(fault.Precondition, "KEY_ID_DIFFERS", "That is not the id of the key that waits. If the authority reads out another id, do not use the key: telephone the hub's operator.")
		}
		if err := putKey(tx, pinRow(req.GetAuthority()), waiting.signed); err != nil {
			return err
		}
		if err := tx.Delete(schema.DeskPin, waitingRow(req.GetAuthority())); err != nil {
			return err
		}
		out.Pin, err = showPin(tx, req.GetAuthority())
		return err
	})
	if err != nil {
		return nil, err
	}
	d.cfg.Log.InfoContext(ctx, "recipient key confirmed", "authority", req.GetAuthority(), "staff", by.ID)
	return out, d.usePins(ctx, nil)
}
