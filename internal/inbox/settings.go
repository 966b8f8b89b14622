package inbox

import (
	"context"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/rpc"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// TeamManager is the role, by its short code, that changes the team's settings.
const TeamManager = "TEAM_MANAGER"

var settingsKey = []byte("settings")

// What a team without settings has: an ordinary office, and an answer on the next working day.
func unsettled() *localv1.TeamSettings {
	return &localv1.TeamSettings{Hours: []*posternv1.OpeningHours{{Days: []uint32{1, 2, 3, 4, 5}, Opens: "08:30", Closes: "17:00"}}, AnswerDays: 1}
}

func (in *Inbox) readSettings(r store.Reader) (*localv1.TeamSettings, error) {
	sealed, err := r.Get(schema.InboxTeam, settingsKey)
	if err != nil || sealed == nil {
		return unsettled(), err
	}
	b, err := in.cfg.Vault.Open(string(schema.InboxTeam), settingsKey, sealed)
	if err != nil {
		return nil, err
	}
	s := &localv1.TeamSettings{}
	if err := proto.Unmarshal(b, s); err != nil {
		return nil, fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
	}
	return s, nil
}

func (in *Inbox) settings(ctx context.Context) (s *localv1.TeamSettings, err error) {
	err = in.cfg.Store.View(ctx, func(r store.Snapshot) error {
		s, err = in.readSettings(r)
		return err
	})
	return s, err
}

// GetSettings returns the team's own settings. What the signed directory says of the authority stands beside them, when
// it is asked for and the hub answers: it is the operator's to change, and a team sees here what others rely on.
func (in *Inbox) GetSettings(ctx context.Context, req *localv1.GetSettingsRequest) (*localv1.GetSettingsResponse, error) {
	s, err := in.settings(ctx)
	if err != nil {
		return nil, err
	}
	out := &localv1.GetSettingsResponse{Settings: s, HubPhone: in.cfg.HubPhone, CanTest: in.canTest(s), SendsMail: in.cfg.Outlets.uses(byMail)}
	if !req.GetDirectory() || in.cfg.Directory == nil {
		return out, nil
	}
	dir, err := in.directory(ctx)
	if err != nil {
		in.cfg.Log.WarnContext(ctx, "the directory cannot be shown beside the settings", "reason", fault.From(err).Reason)
		return out, nil
	}
	out.Authority, _ = dir.Authority(in.cfg.Identity.Party().ID)
	out.DirectoryRevision, out.SignedBy = dir.Number(), dir.SignedBy().URI()
	return out, nil
}

// HubPhone is the telephone number of the hub's operator; empty where none is known.
func (in *Inbox) HubPhone() string { return in.cfg.HubPhone }

// maxChanges is how many changes of the settings are remembered.
const maxChanges = 50

// ChangeSettings changes the team's own settings: a team manager's, or of whoever runs the inbox on its machine. Of two
// who change them at once the second is told.
func (in *Inbox) ChangeSettings(ctx context.Context, req *localv1.ChangeSettingsRequest) (*localv1.ChangeSettingsResponse, error) {
	by, err := actor(ctx)
	if err != nil {
		return nil, err
	}
	if p, ok := rpc.LocalPerson(ctx); ok && !slices.Contains(p.Roles, TeamManager) {
		return nil, fault.New(fault.Denied, "NOT_MANAGER", "A team manager changes the settings of the team.")
	}
	next := proto.CloneOf(req.GetSettings())
	if err := CheckSettings(next); err != nil {
		return nil, err
	}
	err = in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		old, err := in.readSettings(tx)
		if err != nil {
			return err
		}
		next.Version, next.Changes = old.GetVersion(), old.GetChanges()
		if proto.Equal(old, next) {
			return nil
		}
		if req.GetSettings().GetVersion() != old.GetVersion() {
			return fault.New(fault.Precondition, "CHANGED", "Somebody changed the settings meanwhile. Look again; nothing was changed now.")
		}
		next.Version++
		next.Changes = append(slices.Clone(old.GetChanges()), &localv1.SettingsChange{Time: in.now(), StaffId: by})
		next.Changes = next.Changes[max(0, len(next.Changes)-maxChanges):]
		sealed, err := in.seal(schema.InboxTeam, settingsKey, next)
		if err != nil {
			return err
		}
		return tx.Put(schema.InboxTeam, settingsKey, sealed)
	})
	if err != nil {
		return nil, err
	}
	in.cfg.Log.InfoContext(ctx, "team settings changed", "version", next.GetVersion())
	return &localv1.ChangeSettingsResponse{Settings: next}, nil
}

const (
	maxAnswerDays = 20
	maxListed     = 200
	maxSaid       = 100
)

// CheckSettings names everything that is wrong with settings.
func CheckSettings(s *localv1.TeamSettings) error {
	var wrong []fault.Field
	say := func(path, reason, fix string) {
		wrong = append(wrong, fault.Field{Path: path, Reason: reason, Fix: fix})
	}
	if s.GetAnswerDays() > maxAnswerDays {
		say("answer_days", "That is too long for a family to wait.", fmt.Sprintf("Give a number from 0 to %d.", maxAnswerDays))
	}
	for i, h := range s.GetHours() {
		opens, err := time.Parse("15:04", h.GetOpens())
		closes, errCloses := time.Parse("15:04", h.GetCloses())
		if err != nil || errCloses != nil || !opens.Before(closes) || len(h.GetDays()) == 0 ||
			slices.ContainsFunc(h.GetDays(), func(d uint32) bool { return d < 1 || d > 7 }) {
			say(fmt.Sprintf("hours[%d]", i), "These are no hours of a day.", "Write them as in 08:30 and 17:00, the opening first.")
		}
	}
	for i, h := range s.GetHolidays() {
		if _, err := time.Parse(time.DateOnly, h.GetDate()); err != nil || !sayable(h.GetName()) {
			say(fmt.Sprintf("holidays[%d]", i), "This is no day with a name.", "Write one a line, as in 2026-12-25 Christmas Day.")
		}
	}
	known := map[string]*localv1.Colleague{}
	for i, c := range s.GetColleagues() {
		if !sayable(c.GetStaffId()) || !sayable(c.GetName()) || strings.ContainsAny(c.GetStaffId(), " \t,") || known[c.GetStaffId()] != nil ||
			c.GetMailbox() != "" && !aMailbox(c.GetMailbox()) {
			say(fmt.Sprintf("colleagues[%d]", i), "Everybody has a staff id of their own and a name.", "Write one a line, as in DEMO21 Lee Example, with the mailbox of a deputy after the name.")
		}
		known[c.GetStaffId()] = c
	}
	for i, d := range s.GetDeputies() {
		switch c := known[d]; {
		case c == nil:
			say(fmt.Sprintf("deputies[%d]", i), "Nobody in the team has this staff id.", "Name deputies by the staff ids in the list of people.")
		case c.GetMailbox() == "":
			say(fmt.Sprintf("deputies[%d]", i), "A deputy without a mailbox cannot be told.", "Write it after the name in the list of people, as in DEMO21 Lee Example lee@earlyhelp.example.")
		}
	}
	for i, l := range s.GetLeave() {
		first, err := time.Parse(time.DateOnly, l.GetFirstDate())
		last, errLast := time.Parse(time.DateOnly, l.GetLastDate())
		if known[l.GetStaffId()] == nil || err != nil || errLast != nil || last.Before(first) {
			say(fmt.Sprintf("leave[%d]", i), "This does not say who is away from when to when.", "Write one a line, as in DEMO21 2026-12-21 2027-01-03.")
		}
	}
	for i, a := range s.GetAlertAddresses() {
		if !aMailbox(a) {
			say(fmt.Sprintf("alert_addresses[%d]", i), "This is not the address of a mailbox.", "Write one a line, as in duty@earlyhelp.example.")
		}
	}
	for path, n := range map[string]int{"holidays": len(s.GetHolidays()), "colleagues": len(s.GetColleagues()), "alert_addresses": len(s.GetAlertAddresses()),
		"hours": len(s.GetHours()), "deputies": len(s.GetDeputies()), "leave": len(s.GetLeave())} {
		if n > maxListed {
			say(path, "That is too many.", fmt.Sprintf("Give at most %d.", maxListed))
		}
	}
	return fault.InvalidFields("SETTINGS", "The settings cannot be like this.", wrong)
}

// sayable reports whether a text can stand in a line of a page or of a message.
func sayable(s string) bool {
	return s != "" && utf8.RuneCountInString(s) <= maxSaid && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' })
}

// aMailbox reports whether a text is the bare address of a mailbox.
func aMailbox(s string) bool {
	at, err := mail.ParseAddress(s)
	return err == nil && at.Address == s && sayable(s)
}
