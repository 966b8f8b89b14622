package vault

import (
	"context"

	"postern/internal/fault"
	"postern/internal/store"
)

// Fits refuses a vault that is not that of a database: of the keyspaces that hold sealed records, each under the keyspace as
// kind and its key as id, the first record of none opens. What would be written under other keys would not open once the
// right ones are back. One that holds nothing sealed yet fits any.
func (v *Vault) Fits(ctx context.Context, s store.Store, sealed ...store.Keyspace) error {
	var wrong error
	opened := false
	err := s.View(ctx, func(s store.Snapshot) error {
		for _, ks := range sealed {
			err := s.Scan(ks, nil, nil, func(key, value []byte) (bool, error) {
				_, err := v.Open(string(ks), key, value)
				opened = err == nil
				if reason := fault.From(err).Reason; !opened && (reason == "VAULT_SEAL_BROKEN" || reason == "VAULT_EPOCH_MISSING") {
					wrong, err = err, nil
				}
				return false, err
			})
			if err != nil || opened {
				return err
			}
		}
		return nil
	})
	if err != nil || opened || wrong == nil {
		return err
	}
	return fault.Newf(fault.Precondition, "WRONG_VAULT",
		"The keys in %s are not those of this database: none of its records opens. Put back the vault's keys that belong to it, or the database that belongs to these keys. Nothing was written.", v.dir).Because(wrong)
}
