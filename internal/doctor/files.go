package doctor

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ops"
	localv1 "postern/proto/postern/local/v1"
)

// files looks at each file of the configuration: it is there, it can be read, and nobody else may read a secret.
func (e *examination) files() {
	before := len(e.report.Findings)
	for _, f := range e.Files() {
		if found := e.file(f); found != nil {
			e.add(found)
		}
	}
	if len(e.report.Findings) == before {
		e.add(ops.OK("files", fmt.Sprintf("%d files and folders are there, and nobody else may read the secret ones", len(e.Files()))))
	}
	for _, f := range e.Files() {
		if f.Anchor {
			e.anchor(f)
		}
	}
}

// file is what is wrong with a file, or nil.
func (e *examination) file(f config.File) *localv1.Finding {
	check, name := "file "+f.Field, filepath.Base(f.Path)
	info, err := os.Stat(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && f.Field == "data":
		return ops.Warning(check, "The data folder "+name+" does not exist yet.", "It is made when the party first starts. If it was there before, mount its disk or restore the backup first.")
	case errors.Is(err, fs.ErrNotExist) && f.Field == config.VaultField:
		return noVault(check, name)
	case errors.Is(err, fs.ErrNotExist) && f.Field == "access_logs":
		return ops.Warning(check, "The folder "+name+" does not exist, so nothing of it is found.", "Copy what the site handed over to "+f.Path+", or take it out of access_logs.")
	case errors.Is(err, fs.ErrNotExist) && f.New != "":
		return ops.Problem(check, name+" does not exist.", "Put it back from its copy, or correct "+f.Field+" in the configuration. A new party makes it: postern "+f.New+" --config "+e.Config)
	case errors.Is(err, fs.ErrNotExist):
		return ops.Problem(check, name+" does not exist.", "Put it there, or correct "+f.Field+" in the configuration.")
	case err != nil:
		return ops.Problem(check, name+" cannot be looked at.", "Run the doctor as the user that runs the party, and let that user into the folder.")
	case info.IsDir() != f.Folder:
		return ops.Problem(check, name+" is "+map[bool]string{true: "a folder, not a file.", false: "a file, not a folder."}[info.IsDir()], "Correct "+f.Field+" in the configuration.")
	case f.Secret && info.Mode().Perm()&0o077 != 0:
		mode, what := "600", "file"
		if f.Folder {
			mode, what = "700", "folder"
		}
		return ops.Problem(check, fmt.Sprintf("Others may read the %s %s (mode %o).", what, name, info.Mode().Perm()), fmt.Sprintf("chmod %s %s", mode, f.Path))
	}
	if f.Folder {
		var held []fs.DirEntry
		if held, err = os.ReadDir(f.Path); err == nil && len(held) == 0 && f.Field == config.VaultField {
			return noVault(check, name)
		}
	} else {
		_, err = os.ReadFile(f.Path)
	}
	if err != nil {
		return ops.Problem(check, name+" cannot be read.", "Give it to the user that runs the party: chown, then chmod.")
	}
	return nil
}

// noVault is the finding about a database without the keys that open it.
func noVault(check, name string) *localv1.Finding {
	return ops.Problem(check, "The keys in "+name+" that open the records of the database are not there.",
		"Mount the disk that they are on, or put them back from their own copy. Do not make new ones: they open nothing.")
}

// anchor tells when each authority's certificate of a trust anchor ends: everybody it vouches for ends with it.
func (e *examination) anchor(f config.File) {
	data, err := os.ReadFile(f.Path)
	if err != nil {
		return // reported with the files
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			continue // identity.NewAnchors says it better
		}
		e.add(ops.Expiry(strings.Replace(f.Field, "anchors.", "anchor ", 1), "The trust anchor", c.NotAfter, e.Clock(),
			"Add the next certificate to the same file on every machine, then issue new certificates from it, then remove this one."))
	}
}

// certificate looks at who we are.
func (e *examination) certificate() {
	i, err := e.LoadIdentity()
	if err == nil {
		err = config.CertificateFor(e.Kind(), i.Party())
	}
	if err != nil {
		e.add(ops.Faults("certificate", err)...)
		return
	}
	anchors, err := e.LoadAnchors()
	if err != nil {
		e.add(ops.Faults("anchors", err)...)
		return
	}
	const fix = "Ask whoever runs this party's certificate authority for a new one (postern ca issue) and put it in place; the party takes it by itself."
	now := e.Clock()
	if found := ops.Expiry("certificate", "The certificate of "+i.Party().URI(), i.Leaf().NotAfter, now, fix); found.GetLevel() == localv1.Level_LEVEL_PROBLEM || !now.Before(i.Leaf().NotAfter) {
		e.add(found)
	} else if _, err := config.Verifies(i, anchors, now); err != nil {
		e.add(ops.Problem("certificate", fault.From(err).Message, "Other parties refuse it too. Check that certificate and anchors are those of this trust domain."))
	} else {
		e.add(found)
	}
	e.operator()
	e.lists(anchors, now)
	e.identity, e.anchors = i, anchors
}

// operator looks at the certificate that a hub's operator signs with, where it is on this machine.
func (e *examination) operator() {
	if c, ok := e.Party.(*config.Hub); ok && c.Operator.Certificate != "" {
		if _, err := c.LoadOperator(); err != nil {
			e.add(ops.Faults("operator", err)...)
		}
	}
}

// lists looks at the revocation lists. They hold for weeks, so only the last one is a warning.
func (e *examination) lists(anchors *identity.Anchors, now time.Time) {
	ends := anchors.Lists()
	const fix = "Get the newest list from whoever runs the anchor (postern ca renew), and copy it to every party; each reads it by itself."
	for _, name := range []string{"prison", "authority", "hub", "auditor"} {
		check, end := "revocation "+name, ends[name]
		switch found := ops.Expiry(check, "The revocation list of the "+name+" anchor", end, now, fix); {
		case end.IsZero():
			e.add(ops.Warning(check, "There is no revocation list for the "+name+" anchor, so nobody it vouches for can be revoked.", "Name one under revocation in the configuration."))
		case now.After(end):
			e.add(ops.Problem(check, found.GetWords()+" Everybody the anchor vouches for is refused.", fix))
		case end.Sub(now) < 7*24*time.Hour:
			e.add(ops.Warning(check, found.GetWords(), fix))
		default:
			e.add(ops.OK(check, found.GetWords()))
		}
	}
}

// How much space is little.
const (
	littleSpace   = 1 << 30
	tooLittle     = 128 << 20
	littlePercent = 5
)

// disk looks at the space for the data.
func (e *examination) disk() {
	folder := e.DataDir()
	if _, err := os.Stat(folder); err != nil {
		folder = filepath.Dir(folder) // it is made there
	}
	free, size, err := config.DiskFree(folder)
	if err != nil {
		e.add(ops.Faults("disk", err)...)
		return
	}
	words := fmt.Sprintf("%.1f GiB free of %.1f for the data folder", float64(free)/(1<<30), float64(size)/(1<<30))
	const fix = "Make room or give it a larger disk, before it takes no more forms."
	switch {
	case free < tooLittle:
		e.add(ops.Problem("disk", words+".", fix))
	case free < littleSpace || free < size/100*littlePercent:
		e.add(ops.Warning("disk", words+".", fix))
	default:
		e.add(ops.OK("disk", words))
	}
}

// checkpoints looks at where a hub keeps its newest checkpoints outside the database.
func (e *examination) checkpoints() {
	c, ok := e.Party.(*config.Hub)
	if !ok {
		return
	}
	const check, fix = "checkpoint file", "Name a file on another disk under checkpoint_file: it is what shows that an old database was put back."
	if c.CheckpointPath() == "" {
		e.add(ops.Warning(check, "The newest checkpoints are kept nowhere outside the database.", fix))
		return
	}
	folder := filepath.Dir(c.CheckpointPath())
	kept, err := os.Stat(folder)
	if err != nil {
		e.add(ops.Problem(check, "The folder of the checkpoint file does not exist.", "mkdir -p -m 700 "+folder))
		return
	}
	data, err := os.Stat(c.DataDir())
	if err == nil && device(data) == device(kept) {
		e.add(ops.Warning(check, "The checkpoint file is on the same disk as the database.", fix))
		return
	}
	e.add(ops.OK(check, "on another disk than the database"))
}

// device is the disk of a file; 0 where the system does not tell.
func device(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return uint64(st.Dev)
	}
	return 0
}
