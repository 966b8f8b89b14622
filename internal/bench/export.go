package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

// exported is how many decisions the export of row 7 holds.
const exported = 20_000

// export measures row 7: `postern audit verify` of an export, offline, beside SHA-256 of the same bytes.
func (b *bench) export() error {
	folder, err := b.makeFolder("export")
	if err != nil {
		return err
	}
	if err := b.fill(folder, exported); err != nil {
		return err
	}
	h, err := b.startHub(folder)
	if err != nil {
		return err
	}
	dir, auditor := filepath.Join(b.dir, "exported"), filepath.Join(folder, "auditor.yaml")
	start := time.Now()
	text, err := exec.CommandContext(b.ctx, b.postern, "audit", "--config", auditor, "export", dir).CombinedOutput()
	if err := errors.Join(err, h.stop()); err != nil {
		return fmt.Errorf("exporting: %w\n%s", err, text)
	}
	b.say("exported %d entries in %v", exported, time.Since(start).Round(time.Millisecond))
	var ours, theirs, ratio []float64
	for round := range b.opts.rounds + 1 {
		cmd := exec.CommandContext(b.ctx, b.postern, "audit", "--config", auditor, "verify", dir)
		if text, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("verifying: %w\n%s", err, text)
		}
		own := exported / cmd.ProcessState.UserTime().Seconds() // on one core: it may use more than one
		before := ownTime()
		if err := hashAll(dir); err != nil {
			return err
		}
		other := exported / (ownTime() - before).Seconds()
		b.say("verify: %.0f entries/s/core; SHA-256 %.0f/s", own, other)
		if round > 0 {
			ours, theirs, ratio = append(ours, own), append(theirs, other), append(ratio, own/other)
		}
	}
	b.table.add(7, fmt.Sprintf("`audit verify` of an export of %d decisions, entries/s/core", exported), fmt.Sprintf("%.0f/s", median(ours)),
		fmt.Sprintf("reading and SHA-256 of the same bytes: %.0f/s", median(theirs)), median(ratio), "≥ 0.5",
		"Both are processor time in user mode; ours that of the whole process, its start included")
	return nil
}

// ownTime is the processor time of this process in user mode.
func ownTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano())
}

// hashAll reads a folder and hashes every byte of it.
func hashAll(dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		_, err = io.Copy(sha256.New(), f)
		return errors.Join(err, f.Close())
	})
}
