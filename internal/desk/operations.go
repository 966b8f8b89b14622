package desk

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/ops"
	"postern/internal/plain"
	"postern/internal/queue"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Checks are what must hold for the desk to take a form. The hub is not among them: a desk goes on without it.
func (d *Desk) Checks() []ops.Check {
	return []ops.Check{
		{Name: "database", Holds: func(ctx context.Context) error {
			return d.cfg.Store.View(ctx, func(s store.Snapshot) error {
				_, err := s.Get(schema.DeskMeta, sequenceKey)
				return err
			})
		}},
		{Name: "directory", Holds: func(context.Context) error {
			if d.directory.Load().Number() == 0 {
				return fault.New(fault.Unavailable, "NO_DIRECTORY", "The desk has no directory yet, so it knows no authority. It comes from the hub by itself: see whether the hub answers, and whether its operator has loaded one.")
			}
			return nil
		}},
		d.follow.Check(),
	}
}

var gauges = []ops.Gauge{
	{Name: "postern_spool_length", Help: "Notifications that wait for the hub's answer."},
	{Name: "postern_spool_oldest_seconds", Help: "How long the oldest of them has waited; 0 when none does."},
	{Name: "postern_cases_waiting", Help: "Notifications that wait for something ordinary, such as the public-protection check or a call."},
	{Name: "postern_cases_referred", Help: "Notifications that need a decision by a person."},
	{Name: "postern_cases_overdue", Help: "Notifications whose time to decide or to submit again has passed."},
	{Name: "postern_duty_governor_alerts", Help: "Notifications about which the duty governor is to be told now."},
	{Name: "postern_directory_revision", Help: "The number of the directory the desk holds; 0 for none."},
}

// count defines what a desk counts and reads: of its own side only, so nothing that a team does shows here but what the
// closed set of updates lets through.
func (d *Desk) count(m *ops.Metrics) {
	if m == nil {
		m = ops.NewMetrics()
	}
	d.failures = m.Counter("postern_steps_failed_total", "Attempts to sync the directory, to submit or to fetch updates that failed, and why.", "step", "reason")
	m.Read(d.measure, gauges...)
}

func (d *Desk) measure(ctx context.Context, report ops.Report) error {
	report("postern_directory_revision", float64(d.directory.Load().Number()))
	if err := d.measureCases(ctx, report); err != nil {
		return err
	}
	waiting, err := d.waiting(ctx)
	if err != nil {
		return err
	}
	report("postern_spool_length", float64(len(waiting)))
	report("postern_spool_oldest_seconds", ops.Since(oldest(waiting), d.cfg.Clock()))
	return nil
}

// measureCases counts what people have to do: how many, and nothing of whom.
func (d *Desk) measureCases(ctx context.Context, report ops.Report) error {
	var waiting, referred, overdue, alerts float64
	err := d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		waiting, referred, overdue, alerts = 0, 0, 0, 0
		return s.Scan(schema.DeskNotification, nil, nil, func(key, sealed []byte) (bool, error) {
			n := &localv1.Notification{}
			if err := d.unseal(schema.DeskNotification, string(key), sealed, n); err != nil {
				return false, err
			}
			shown, err := d.shown(s, n)
			if err != nil {
				return false, err
			}
			shown = forReception(shown) // whoever is at the machine can read what is counted, and nobody signs in for it
			for count, is := range map[*float64]bool{&waiting: waits(shown), &overdue: shown.GetOverdue(),
				&referred: listed(&localv1.ListNotificationsRequest{Referred: true}, shown), &alerts: slices.ContainsFunc(shown.GetTasks(), alertsGovernor)} {
				if is {
					*count++
				}
			}
			return true, nil
		})
	})
	report("postern_cases_waiting", waiting)
	report("postern_cases_referred", referred)
	report("postern_cases_overdue", overdue)
	report("postern_duty_governor_alerts", alerts)
	return err
}

func alertsGovernor(t *localv1.Task) bool {
	return t.GetKind() == posternv1.ObligationKind_OBLIGATION_KIND_ALERT_DUTY_GOVERNOR
}

func (d *Desk) waiting(ctx context.Context) (items []queue.Item, err error) {
	err = d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		items, err = d.spool.List(s)
		return err
	})
	return items, err
}

// oldest is since when the first of them waits; zero for none.
func oldest(items []queue.Item) (at time.Time) {
	for _, it := range items {
		if at.IsZero() || it.EnqueueTime.Before(at) {
			at = it.EnqueueTime
		}
	}
	return at
}

// How long a notification may wait for the hub before somebody looks, and an agreement may have before it ends.
const (
	waitsLong     = 10 * time.Minute
	agreementDays = 60
)

// Examine looks at database, directory, staff, spool and this prison's agreements.
func (d *Desk) Examine(ctx context.Context, _ *localv1.ExamineRequest) (*localv1.ExamineResponse, error) {
	now := d.cfg.Clock()
	dir := d.directory.Load().At(now)
	out := &localv1.ExamineResponse{Findings: ops.Examine(ctx, d.Checks())}
	add := func(f *localv1.Finding) { out.Findings = append(out.Findings, f) }
	out.Findings = append(out.Findings, d.follow.Findings()...)
	if len(d.cfg.Staff) == 0 {
		add(ops.Problem("staff", "No member of staff may use this desk.", "Name the users of this machine under staff in the configuration."))
	} else {
		add(ops.OK("staff", fmt.Sprintf("%d may use this desk", len(d.cfg.Staff))))
	}
	d.examineSync(add)
	if _, known := dir.Prison(d.cfg.Identity.Party().ID); dir.Number() > 0 && !known {
		add(ops.Problem("prison", "The directory does not name this prison, so the hub refers everything to a person.", "Ask the hub's operator to load a directory with "+d.cfg.Identity.Party().ID+" in it."))
	}
	if err := d.examinePins(ctx, add); err != nil {
		return nil, err
	}
	d.examineCatchment(dir, add)
	waiting, err := d.waiting(ctx)
	if err != nil {
		return nil, err
	}
	words := fmt.Sprintf("%d wait for the hub", len(waiting))
	if since := oldest(waiting); len(waiting) > 0 && now.Sub(since) > waitsLong {
		add(ops.Warning("spool", words+", the oldest since "+plain.Time(since)+".", "See whether the hub answers. What waits is safe and goes by itself."))
	} else {
		add(ops.OK("spool", words))
	}
	for _, e := range dir.Ending(now, agreementDays) {
		if e.Prison == d.cfg.Identity.Party().ID {
			add(ops.Warning("agreement "+e.GetId(), fmt.Sprintf("The agreement with %s ends on %s, and nothing goes on.", e.Authority, e.GetEndDate()),
				"Sign the next one with the authority; the hub's operator loads it."))
		}
	}
	for _, u := range dir.Unsigned() {
		if slices.Contains(u.GetPrisons(), d.cfg.Identity.Party().ID) {
			add(ops.Warning("agreement "+u.GetId(), u.Words(), u.Fix()))
		}
	}
	for _, a := range dir.ReviewDue(now) {
		if slices.Contains(a.GetPrisons(), d.cfg.Identity.Party().ID) {
			add(ops.Warning("review of "+a.GetId(), "The agreement was to be reviewed on "+a.GetReviewDate()+". It is in force all the same.",
				"Review it with its parties and sign the next version, with a new day of review; the hub's operator loads it."))
		}
	}
	return out, nil
}

// examineSync tells why the desk did not take the newest directory, where that does not pass by itself. That it has stopped
// is told by another check.
func (d *Desk) examineSync(add func(*localv1.Finding)) {
	why := d.unsynced.Load()
	if why == nil || why.Kind == fault.Unavailable || why.Kind == fault.Exhausted || why.Kind == fault.Deadline || d.follow.Stopped() != nil {
		return
	}
	words := fmt.Sprintf("The hub's newest directory is not taken, so this desk goes on with %d. %s", d.directory.Load().Number(), why.Message)
	if why.Reason == "SIGNATURE_MISSING" || why.Reason == "ORIGIN_UNKNOWN" {
		add(ops.Problem("newest directory", words, "Put them right under hub.log_keys, and start the desk again."))
		return
	}
	add(ops.Problem("newest directory", words,
		fmt.Sprintf("Telephone the hub's operator. After the loss of a hub they load the directory again, with a number above %d.", d.directory.Load().Number())))
}

// examinePins names every authority whose key waits for a person, and every one that nothing can be sealed to any more.
func (d *Desk) examinePins(ctx context.Context, add func(*localv1.Finding)) error {
	dir, now := d.directory.Load(), d.cfg.Clock()
	return d.cfg.Store.View(ctx, func(s store.Snapshot) error {
		for _, a := range dir.Authorities() {
			waiting, err := readKey(s, waitingRow(a.GetCode()))
			if err != nil {
				return err
			}
			if waiting != nil {
				add(ops.Problem("recipient key "+a.GetCode(), "A new recipient key of "+a.GetName()+" is not signed by the one before it, and is not used.",
					"Telephone "+a.GetName()+", compare the key's id, and confirm it with `postern desk confirm-key "+a.GetCode()+" KEY_ID`."))
			}
			if key, ok := dir.RecipientKey(a.GetCode()); ok && !now.Before(key.GetExpireTime().AsTime()) {
				add(ops.Problem("recipient key "+a.GetCode(), "The recipient key of "+a.GetName()+" has ended, so everything to it needs a person.",
					"Telephone "+a.GetName()+": its inbox must publish its next key."))
			}
		}
		return nil
	})
}

// examineCatchment says to how many authorities of the postcode table nothing can be sent: a child who lives there is a
// matter for the manual route. It is the ordinary state of most of the country at first, so it is no problem by itself.
func (d *Desk) examineCatchment(dir *directory.Directory, add func(*localv1.Finding)) {
	if d.cfg.Postcodes == nil || dir.Number() == 0 {
		return
	}
	codes, info := d.cfg.Postcodes.Authorities(), d.cfg.Postcodes.Info()
	unserved := dir.Unserved(codes, d.cfg.Clock())
	add(ops.OK("postcodes", fmt.Sprintf("vintage %s, %d authorities", info.Vintage, len(codes))))
	words := "something can be sent to each of them"
	if n := len(unserved); n > 0 {
		const shown = 8
		words = fmt.Sprintf("nothing can be sent to %d of the %d authorities, where a child goes by the manual route: %s", n, len(codes), strings.Join(unserved[:min(n, shown)], " "))
		if n > shown {
			words += fmt.Sprintf(" and %d more", n-shown)
		}
	}
	add(ops.OK("catchment", words))
}
