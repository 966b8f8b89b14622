package desk

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/fault"
	"postern/internal/form"
	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// Stage is how far asking somebody has come.
type Stage string

// The stages of an arrival.
const (
	NotBegun   Stage = "not_begun"
	Begun      Stage = "draft"
	Asked      Stage = "asked" // and there is nothing to send
	AskedLater Stage = "again" // nobody could ask; to be asked again
	Moved      Stage = "moved" // nobody asked, and the person is at another prison
	Sent       Stage = "sent"
)

// Arrived is somebody who came to the prison, and how far asking them has come.
type Arrived struct {
	form.Arrival
	ID    string // opaque, for a form's button; empty for somebody who was added by hand
	Stage Stage
	Draft *localv1.Draft // the newest; nil where none was begun
}

// Day is who came on one day.
type Day struct {
	People []Arrived
	Faults []fault.Field // of the files, by file, line and column
	Folder bool          // whether there is a folder of files at all
}

// ArrivalDays is how many days back arrivals are listed, today included.
const ArrivalDays = 7

// maxArrivalFile and maxArrivalFiles bound what is read of a folder that somebody may have mistaken for another.
const (
	maxArrivalFile  = 1 << 20
	maxArrivalFiles = 62
)

// Arrivals lists who came to the prison so many days ago, by name: those of the files in the folder, and those who were
// added by hand. What the files say stays on this desk, and nothing of it is kept until somebody begins.
func (d *Desk) Arrivals(ctx context.Context, daysAgo int, lang words.Language) (Day, error) {
	drafts, err := d.Drafts(ctx)
	if err != nil {
		return Day{}, err
	}
	if daysAgo < 0 || daysAgo >= ArrivalDays {
		return Day{}, fault.New(fault.NotFound, "NO_DAY", "Arrivals are listed for the last seven days. Choose one of them.")
	}
	people, faults := d.arrivals(lang)
	day := Day{People: d.cameOn(daysAgo, people, drafts), Faults: faults, Folder: d.cfg.Arrivals != ""}
	for i, p := range day.People {
		if p.Stage != AskedLater {
			continue
		}
		if gone, err := d.movedAway(ctx, p.Draft); err != nil {
			return Day{}, err
		} else if gone {
			day.People[i].Stage = Moved
		}
	}
	return day, nil
}

// NotBegun counts those whom nobody has begun to ask, by how many days ago they came: midnight takes nobody off. There is
// none where there is no folder of files.
func (d *Desk) NotBegun(ctx context.Context) (counts []int, err error) {
	drafts, err := d.Drafts(ctx)
	if err != nil || d.cfg.Arrivals == "" {
		return nil, err
	}
	people, _ := d.arrivals(words.English)
	for ago := range ArrivalDays {
		counts = append(counts, 0)
		for _, p := range d.cameOn(ago, people, drafts) {
			if p.Stage == NotBegun {
				counts[ago]++
			}
		}
	}
	return counts, nil
}

// cameOn are those of the files and the drafts who came so many days ago, by name.
func (d *Desk) cameOn(daysAgo int, people []form.Arrival, drafts []*localv1.Draft) (all []Arrived) {
	day := form.Today(d.cfg.Clock().AddDate(0, 0, -daysAgo))
	listed := map[string]bool{} // drafts that belong to a line of a file
	for _, p := range people {
		if p.Reception.GetReceiveDate() != day {
			continue
		}
		a := Arrived{Arrival: p, ID: d.arrivalID(p), Stage: NotBegun}
		for _, draft := range drafts { // the newest first
			if !draft.GetPractice() && (draft.GetArrival() == a.ID || sameArrival(draft.GetForm(), p)) {
				if listed[draft.GetId()] = true; a.Draft == nil {
					a.Draft, a.Stage = draft, stageOf(draft)
				}
			}
		}
		all = append(all, a)
	}
	for _, draft := range drafts {
		if f := draft.GetForm(); !draft.GetPractice() && !listed[draft.GetId()] && dayOf(draft) == day && !superseded(draft, drafts) {
			name := f.GetParent().GetName()
			all = append(all, Arrived{Stage: stageOf(draft), Draft: draft, Arrival: form.Arrival{PrisonNumber: f.GetPrisonNumber(),
				GivenName: name.GetGivenName(), FamilyName: name.GetFamilyName(), Reception: f.GetReception()}})
		}
	}
	slices.SortStableFunc(all, func(a, b Arrived) int {
		return cmp.Or(strings.Compare(strings.ToLower(a.FamilyName), strings.ToLower(b.FamilyName)), strings.Compare(strings.ToLower(a.GivenName), strings.ToLower(b.GivenName)))
	})
	return all
}

// dayOf is the day under which a draft is listed: of the reception, or of its beginning while that is not said.
func dayOf(draft *localv1.Draft) string {
	return cmp.Or(draft.GetForm().GetReception().GetReceiveDate(), form.Today(draft.GetBeginTime().AsTime()))
}

func sameArrival(f *posternv1.Form, a form.Arrival) bool {
	return strings.EqualFold(f.GetPrisonNumber(), a.PrisonNumber) && f.GetReception().GetReceiveDate() == a.Reception.GetReceiveDate()
}

// superseded reports whether somebody was asked again after a draft came to its end.
func superseded(draft *localv1.Draft, all []*localv1.Draft) bool {
	return slices.ContainsFunc(all, func(later *localv1.Draft) bool {
		return later.GetForm().GetSupersedes() == draft.GetForm().GetFormId()
	})
}

func stageOf(draft *localv1.Draft) Stage {
	switch {
	case draft.GetSendTime() == nil:
		return Begun
	case notAsked(draft):
		return AskedLater
	case OutcomeOf(draft) != posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED:
		return Asked
	}
	return Sent
}

// notAsked reports whether a draft came to its end without the person being asked: at all, or for permission.
func notAsked(draft *localv1.Draft) bool {
	e := OutcomeOf(draft)
	return draft.GetSendTime() != nil && (e == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_NOT_ASKED || e == posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_CHILDREN)
}

// AskAgain lists the drafts of those who are to be asked again by today and were not: on the first and the third day
// after they came. After that a person decides, and it stands among what needs a decision.
func (d *Desk) AskAgain(ctx context.Context) (due []*localv1.Draft, err error) {
	all, err := d.Drafts(ctx)
	if err != nil {
		return nil, err
	}
	today := form.Today(d.cfg.Clock())
	for _, draft := range all {
		if !draft.GetPractice() && notAsked(draft) && !superseded(draft, all) {
			day := AskAgainOn(draft)
			if day == "" || day > today {
				continue
			}
			if gone, err := d.movedAway(ctx, draft); err != nil {
				return nil, err
			} else if !gone {
				due = append(due, draft)
			}
		}
	}
	return due, nil
}

// AskAgainOn is the day on which the person of a draft that came to its end is asked again; none when all are past.
func AskAgainOn(draft *localv1.Draft) string {
	return askAgainOn(draft.GetForm().GetAskAgainDate(), dayOf(draft), form.Today(draft.GetSendTime().AsTime()))
}

// askAgainOn is the day on which somebody who could not be asked is asked again: the day that was set, or the first of the
// days after the one on which they came on which people are, that is later than another; none when all are past.
func askAgainOn(set, came, later string) string {
	if set != "" {
		return set
	}
	from, _ := time.Parse(time.DateOnly, came)
	for _, day := range consent.AskAgain(from) {
		if date := form.Today(day); date > later {
			return date
		}
	}
	return ""
}

// BeginArrival begins the draft of somebody on the list, or goes on with the one there is. Who could not be asked before
// is asked in a new form, which puts the earlier one right.
func (d *Desk) BeginArrival(ctx context.Context, id string) (*localv1.Draft, error) {
	people, _ := d.arrivals(words.English)
	i := slices.IndexFunc(people, func(p form.Arrival) bool { return d.arrivalID(p) == id })
	if i < 0 || id == "" {
		return nil, fault.New(fault.NotFound, "NO_ARRIVAL", "This person is not on the list any more. Look at the arrivals again, or add them by hand.")
	}
	known := &localv1.Draft{Arrival: id, Form: &posternv1.Form{PrisonNumber: people[i].PrisonNumber, Reception: people[i].Reception,
		Parent: d.parentNamed(people[i].GivenName, people[i].FamilyName, posternv1.Basis_BASIS_RECORD)}, Answered: []string{"person"}}
	all, err := d.Drafts(ctx)
	if err != nil {
		return nil, err
	}
	for _, draft := range all {
		if draft.GetArrival() == id && notAsked(draft) && !superseded(draft, all) {
			known.Form.Supersedes = draft.GetForm().GetFormId()
		}
	}
	return d.BeginDraft(ctx, known)
}

// BeginAgain begins a draft about somebody who could not be asked before.
func (d *Desk) BeginAgain(ctx context.Context, id string) (*localv1.Draft, error) {
	earlier, err := d.Draft(ctx, id)
	if err != nil {
		return nil, err
	}
	if !notAsked(earlier) || earlier.GetPractice() {
		return nil, fault.New(fault.Precondition, "ASKED", "This person was asked already. Look at what became of it under the arrivals.")
	}
	f := earlier.GetForm()
	return d.BeginDraft(ctx, &localv1.Draft{Arrival: cmp.Or(earlier.GetArrival(), earlier.GetId()), Answered: []string{"person"}, Form: &posternv1.Form{
		PrisonNumber: f.GetPrisonNumber(), Reception: f.GetReception(), Parent: f.GetParent(), Supersedes: f.GetFormId()}})
}

// parentNamed is the section of a name that was said, or read in a record.
func (d *Desk) parentNamed(given, family string, basis posternv1.Basis) *posternv1.Parent {
	return &posternv1.Parent{Name: &posternv1.ParentName{GivenName: given, FamilyName: family,
		Provenance: &posternv1.Provenance{Known: posternv1.Known_KNOWN_KNOWN, Basis: basis, AsOfDate: form.Today(d.cfg.Clock())}}}
}

// arrivalID is what a page calls somebody on the list: it tells nothing to whoever has not this desk's key.
func (d *Desk) arrivalID(a form.Arrival) string {
	mac := hmac.New(sha256.New, d.cfg.RefKey)
	mac.Write([]byte("arrival\x00" + a.PrisonNumber + "\x00" + a.Reception.GetReceiveDate()))
	return hex.EncodeToString(mac.Sum(nil)[:16])
}

// arrivals reads the files of the folder, the newest by name first, so that of a person in two of them the later file counts.
func (d *Desk) arrivals(lang words.Language) (people []form.Arrival, faults []fault.Field) {
	if d.cfg.Arrivals == "" {
		return nil, nil
	}
	say := func(at, id string) {
		reason, fix := lang.Fault(id, nil)
		faults = append(faults, fault.Field{Path: at, Reason: reason, Fix: fix})
	}
	names, err := fs.Glob(os.DirFS(d.cfg.Arrivals), "*.[cC][sS][vV]")
	if _, gone := os.Stat(d.cfg.Arrivals); err != nil || gone != nil {
		say("", "arrivals.folder")
		return nil, faults
	}
	slices.Sort(names)
	slices.Reverse(names)
	seen := map[string]bool{}
	for _, name := range names[:min(len(names), maxArrivalFiles)] {
		data, err := readSmall(filepath.Join(d.cfg.Arrivals, name))
		if err != nil {
			say(name, "arrivals.unread")
			continue
		}
		found, wrong := form.Arrivals(data, d.cfg.Clock(), lang)
		for _, f := range wrong {
			f.Path = name + ", " + f.Path
			faults = append(faults, f)
		}
		for _, p := range found {
			if id := d.arrivalID(p); !seen[id] {
				seen[id] = true
				people = append(people, p)
			}
		}
	}
	return people, faults
}

var errNotSmall = errors.New("desk: not a file of arrivals")

// readSmall reads a regular file of at most maxArrivalFile bytes: a pipe in its place would never end.
func readSmall(path string) ([]byte, error) {
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() || info.Size() > maxArrivalFile {
		return nil, errors.Join(err, errNotSmall)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxArrivalFile))
}

// Prison is this prison as the directory has it; by its id alone while the directory does not know it.
func (d *Desk) Prison() *posternv1.Prison {
	id := d.cfg.Identity.Party().ID
	if p, ok := d.directory.Load().At(d.cfg.Clock()).Prison(id); ok {
		return proto.CloneOf(p)
	}
	return &posternv1.Prison{Id: id, Name: id}
}

// Prisons are the prisons of the directory.
func (d *Desk) Prisons() []*posternv1.Prison { return d.directory.Load().At(d.cfg.Clock()).Prisons() }

// Consented is a consent as the desk records it, given the answers: who took it, here and now, under which law and which
// notice. The page says what was agreed.
func (d *Desk) Consented(ctx context.Context, answered *posternv1.Consent) (*posternv1.Consent, error) {
	by, err := d.fillsIn(ctx)
	if err != nil {
		return nil, err
	}
	c := proto.CloneOf(answered)
	c.Version, c.Jurisdiction, c.FollowsChild = max(c.GetVersion(), 1), cmp.Or(d.Prison().GetJurisdiction(), "GB-ENG"), len(c.GetAuthorities()) == 0
	c.Witness = &posternv1.Witness{StaffId: by.ID, Role: plain.Words(plain.Enum(by.Role))}
	c.GiveTime = d.now()
	return c, nil
}

// DraftFaults are the faults of a draft's form so far that are about fields under the given paths: whoever answers a page
// hears at once what would be found at the end, and nothing of pages that they have not come to.
func (d *Desk) DraftFaults(draft *localv1.Draft, lang words.Language, under ...string) error {
	f := proto.CloneOf(draft.GetForm())
	f.Enquiry, f.NotAskedReason = posternv1.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED, posternv1.NotAskedReason_NOT_ASKED_REASON_UNSPECIFIED
	_, err := d.check(lang, f, d.directory.Load().At(d.cfg.Clock()))
	found := fault.From(err)
	if err == nil || found.Kind != fault.Invalid {
		return err
	}
	about := slices.DeleteFunc(slices.Clone(found.Fields), func(f fault.Field) bool {
		return !slices.ContainsFunc(under, func(p string) bool {
			rest, ok := strings.CutPrefix(f.Path, p)
			return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
		})
	})
	return fault.InvalidFields("FORM_INVALID", found.Message, about)
}
