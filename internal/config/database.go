package config

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"postern/internal/fault"
	"postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/store/bolt"
	"postern/internal/vault"
)

// Disk is how much of the disk a database takes and leaves.
type Disk struct {
	MaxMiB     int64 `yaml:"max_mib"`     // the largest size of the database file; as large as the disk allows when empty
	ReserveMiB int64 `yaml:"reserve_mib"` // kept back for withdrawals and for what was already promised; 8 when empty
}

// database is where a party's database is, and its limits.
func (c *Common) database(d schema.Database) bolt.Config {
	reserve := c.Disk.ReserveMiB
	if reserve <= 0 {
		reserve = 8
	}
	return bolt.Config{Path: filepath.Join(c.DataDir(), d.Name+".db"), Schema: d, MaxSize: max(c.Disk.MaxMiB, 0) << 20, Reserve: reserve << 20}
}

// vaultDir is where the keys are that open the sealed records. They lie beside the database, not in it: a copy of the
// database alone opens nothing.
func (c *Common) vaultDir() string { return filepath.Join(c.DataDir(), "vault") }

// vaultFor reads the vault, with the keys that open the records of a database file. The first one is made only where there is no such
// file: beside one that is there, its keys have yet to be put back.
func (c *Common) vaultFor(rt Runtime, database string) (*vault.Vault, error) {
	_, err := os.Stat(database)
	return vault.Open(vault.Config{Dir: c.vaultDir(), Clock: rt.Clock, Rand: rt.Rand, Existing: !errors.Is(err, fs.ErrNotExist)})
}

// DatabaseReport is what a check of a hub's database found in order.
type DatabaseReport struct {
	store.Report
	Sent, Received uint64 // how many events the logs have
}

// CheckDatabase reads every record of the hub's database, which no process may have open, recomputes both logs from
// their leaves, and holds them against the checkpoint file and what witnesses have seen.
//
// Errors: those of bolt.Verify, ledger.Open and Ledger.CheckAll, which name the first fault.
func (c *Hub) CheckDatabase(ctx context.Context, rt Runtime) (DatabaseReport, error) {
	d := c.database(schema.Hub)
	report, err := bolt.Verify(ctx, d)
	if err != nil {
		return DatabaseReport{}, err
	}
	return c.checkLogs(ctx, rt, d.Path, report, true)
}

// CheckCopy is CheckDatabase for a backup, which may be older than the checkpoint file.
func (c *Hub) CheckCopy(ctx context.Context, rt Runtime, path string) (DatabaseReport, error) {
	report, err := bolt.Verify(ctx, bolt.Config{Path: path, Schema: schema.Hub})
	if err != nil {
		return DatabaseReport{}, err
	}
	return c.checkLogs(ctx, rt, path, report, false)
}

// checkLogs recomputes the logs of a database file that was verified.
func (c *Hub) checkLogs(ctx context.Context, rt Runtime, path string, verified store.Report, compare bool) (report DatabaseReport, err error) {
	v, err := c.vaultFor(rt, path)
	if err != nil {
		return report, err
	}
	var witnesses []string
	if compare {
		witnesses = c.witnessFiles()
	}
	checkpoints := ""
	if compare && c.CheckpointFile != "" { // a copy: opening a ledger brings the file up to its own size
		dir, err := os.MkdirTemp("", "postern-check-")
		if err != nil {
			return report, fault.From(err)
		}
		defer os.RemoveAll(dir)
		checkpoints = filepath.Join(dir, "checkpoints")
		content, err := os.ReadFile(c.resolve(c.CheckpointFile))
		if err == nil {
			err = os.WriteFile(checkpoints, content, 0o600)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return report, fault.From(err)
		}
	}
	s, err := bolt.Open(ctx, bolt.Config{Path: path, Schema: schema.Hub})
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	l, err := c.openLedger(ctx, rt, ledger.Config{Store: s, Vault: v, CheckpointFile: checkpoints, WitnessFiles: witnesses})
	if err != nil {
		return report, err
	}
	report.Report = verified
	report.Sent, _, _ = l.Head(ledger.Sent)
	report.Received, _, _ = l.Head(ledger.Received)
	return report, l.CheckAll(ctx)
}

// Restored is what RestoreDatabase did.
type Restored struct {
	DatabaseReport
	Aside  string // where the replaced database file is kept; empty when there was none
	Behind string // why the hub will sign nothing on this copy, in plain words; empty when it will
}

// RestoreDatabase puts a backup in the place of the hub's database, which no process may have open; with force also over
// a newer one. The copy is checked whole first, its logs included, and the replaced file is kept.
//
// Errors: those of CheckCopy, about the backup; those of bolt.Restore. Precondition LEDGER_FORKED when the backup is not
// of the history that the checkpoint file or a witness knows.
func (c *Hub) RestoreDatabase(ctx context.Context, rt Runtime, from string, force bool) (Restored, error) {
	var r Restored
	d := c.database(schema.Hub)
	aside, report, err := bolt.Restore(ctx, bolt.RestoreConfig{Config: d, From: from, Force: force,
		Accept: func(ctx context.Context, copied string, verified store.Report) (err error) {
			r.DatabaseReport, err = c.checkLogs(ctx, rt, copied, verified, true)
			if fault.From(err).Reason == "LEDGER_SHORTER" {
				r.Behind = err.Error()
				r.DatabaseReport, err = c.checkLogs(ctx, rt, copied, verified, false)
			}
			return err
		}})
	r.Aside, r.Report = aside, report
	return r, err
}
