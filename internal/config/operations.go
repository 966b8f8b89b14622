package config

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"syscall"
	"time"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/ops"
)

// operations starts the operations listener, where there is one, and returns what ends it: the listener answers until
// the party has finished its work.
func (s *Service) operations(ctx context.Context) (end func() error, err error) {
	s.metrics.Read(s.measure, gauges...)
	s.metrics.Read(s.reload.measure, trustGauges...)
	lis := s.rt.Operations
	if lis == nil && s.address == "" {
		return func() error { return nil }, nil
	}
	if lis == nil {
		if lis, err = ops.Listen(ctx, s.address); err != nil {
			return nil, err
		}
	}
	server := ops.NewServer(ops.Config{Checks: s.checks(), Metrics: s.metrics, Log: s.rt.Log})
	stop := context.AfterFunc(ctx, server.Stopping)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(lis) }() // until end closes it
	s.rt.Log.InfoContext(ctx, "operations", "party", s.Name, "address", lis.Addr().String())
	return func() error {
		stop()
		return errors.Join(server.Close(), <-ended)
	}, nil
}

// checks are the party's own and those that every party has.
func (s *Service) checks() []ops.Check {
	return append([]ops.Check{{Name: "certificate", Holds: func(context.Context) error {
		_, err := Verifies(s.server.Identity, s.server.Anchors, s.rt.Clock())
		return err
	}}}, s.Checks...)
}

// Verifies holds a certificate against the anchors, as the other side of a connection does.
func Verifies(i *identity.Identity, a *identity.Anchors, now time.Time) (identity.Party, error) {
	var chain []*x509.Certificate
	for _, der := range i.Chain() {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return identity.Party{}, fault.From(err)
		}
		chain = append(chain, c)
	}
	return a.Verify(chain, now)
}

var gauges = []ops.Gauge{
	{Name: "postern_ready", Help: "1 while a check of /readyz holds.", Labels: []string{"check"}},
	{Name: "postern_certificate_days", Help: "Whole days until the party's certificate ends; negative after it."},
	{Name: "postern_disk_free_bytes", Help: "What the party may still write on the disk of its data folder."},
}

// measure reads what every party has.
func (s *Service) measure(ctx context.Context, report ops.Report) error {
	for _, c := range s.checks() {
		holds := 1.0
		if c.Holds(ctx) != nil {
			holds = 0
		}
		report("postern_ready", holds, c.Name)
	}
	report("postern_certificate_days", float64(ops.Days(s.server.Identity.Leaf().NotAfter, s.rt.Clock())))
	free, _, err := DiskFree(s.data)
	report("postern_disk_free_bytes", float64(free))
	return err
}

// DiskFree returns how many bytes a process without privileges may still write on the disk of a folder, and how many
// the disk has.
func DiskFree(folder string) (free, size uint64, err error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(folder, &st); err != nil {
		return 0, 0, fault.New(fault.Precondition, "DATA_FOLDER", "The disk of the data folder cannot be asked how full it is.").Because(err)
	}
	return st.Bavail * uint64(st.Bsize), st.Blocks * uint64(st.Bsize), nil
}

// certificateEvery is how often the certificate's end is looked at. A warning is due on four days; an hour late is early.
const certificateEvery = time.Hour

// watchCertificate says in the log, 30, 14, 7 and 1 days ahead, that the certificate ends, and once more when it has.
func (s *Service) watchCertificate(ctx context.Context) error {
	last := -1
	for {
		now, end := s.rt.Clock(), s.server.Identity.Leaf().NotAfter
		if band := ops.Band(end, now); band != last {
			last = band
			if band >= 0 { // not that it was renewed
				warnCertificate(ctx, s.rt.Log, s.Name, end, now)
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(certificateEvery):
		}
	}
}

// Lists hold for some weeks, so that a month is no news; an anchor takes a change on every machine.
const (
	anchorDays = 30
	listDays   = 7
)

// watchTrust says the same of what everybody rests on: trust anchors from 30 days ahead, revocation lists from 7. One
// that is over is said again every hour, because everybody it speaks of is refused by then.
func (s *Service) watchTrust(ctx context.Context) error {
	last := map[string]int{}
	warn := func(what string, ends map[string]time.Time, days int, words string) {
		now := s.rt.Clock()
		for anchor, end := range ends {
			band, key := ops.Band(end, now), what+" "+anchor
			if band == last[key] && band != 0 {
				continue
			}
			last[key] = band
			if band >= 0 && band <= days {
				s.rt.Log.ErrorContext(ctx, words, "anchor", anchor, "ends", end.UTC().Format(time.RFC3339), "days", ops.Days(end, now))
			}
		}
	}
	for {
		warn("anchor", s.server.Anchors.Ends(), anchorDays, "the trust anchor must be followed by another, or everybody it vouches for is refused")
		warn("list", s.server.Anchors.Lists(), listDays, "the revocation list must be renewed, or everybody it speaks of is refused")
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(certificateEvery):
		}
	}
}

func warnCertificate(ctx context.Context, log *slog.Logger, party string, end, now time.Time) {
	days, level := ops.Days(end, now), slog.LevelWarn
	if days <= 7 {
		level = slog.LevelError
	}
	log.Log(ctx, level, "the certificate must be renewed", "party", party, "ends", end.UTC().Format(time.RFC3339), "days", days)
}

// checkOperations is the fault of an address for the operations listener, if it has one.
func (c *Common) checkOperations() []fault.Field {
	if c.Operations == "" {
		return nil
	}
	if err := ops.CheckAddress(c.Operations); err != nil {
		return []fault.Field{{Path: "operations", Reason: "Not a loopback address with a port.", Fix: fmt.Sprintf("Write one such as %s, or leave it out.", net.JoinHostPort("127.0.0.1", "9464"))}}
	}
	return nil
}
