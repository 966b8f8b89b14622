package inbox

import (
	"cmp"
	"context"
	"encoding/json"
	"time"

	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/store"
	"postern/internal/words"
)

// What the directory calls prisons and authorities is kept here: a page that waited for the hub to name a prison would
// show nothing while the hub is down. All of them are kept, so that nothing tells who writes to whom.

var namesKey = []byte("names")

// named is what the directory calls a prison or an authority.
type named struct {
	English string `json:"en"`
	Welsh   string `json:"cy,omitempty"`
}

// learnEvery is how old names may be. A prison is seldom called otherwise.
const learnEvery = time.Hour

// NameOf is what a prison or an authority is called, by its code; the code where it is not known.
func (in *Inbox) NameOf(lang words.Language, code string) string {
	n := (*in.names.Load())[code]
	if lang == words.Welsh {
		return cmp.Or(n.Welsh, n.English, code)
	}
	return cmp.Or(n.English, code)
}

// loadNames reads what was learned before.
func (in *Inbox) loadNames(ctx context.Context) error {
	known := map[string]named{}
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		row, err := s.Get(schema.InboxMeta, namesKey)
		if err != nil || row == nil {
			return err
		}
		if err := json.Unmarshal(row, &known); err != nil {
			return fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
		}
		return nil
	})
	in.names.Store(&known)
	return err
}

// StepNames learns names anew when those that are known are old, and reports whether it did. A name that the directory no
// longer has stays: what came from there is still here.
func (in *Inbox) StepNames(ctx context.Context) (bool, error) {
	now := in.cfg.Clock()
	if in.cfg.Directory == nil || !in.learned.IsZero() && !now.Before(in.learned) && now.Before(in.learned.Add(learnEvery)) {
		return false, nil
	}
	dir, err := in.directory(ctx)
	if err != nil {
		return false, err
	}
	row, err := json.Marshal(in.with(dir))
	if err != nil {
		return false, fault.From(err)
	}
	if err := in.cfg.Store.Update(ctx, func(tx store.Tx) error { return tx.Put(schema.InboxMeta, namesKey, row) }); err != nil {
		return false, err
	}
	in.learned = now
	return true, in.loadNames(ctx)
}

// with is every name that is known after a directory was read.
func (in *Inbox) with(dir *directory.Directory) map[string]named {
	all := map[string]named{}
	for code, n := range *in.names.Load() {
		all[code] = n
	}
	for _, p := range dir.Prisons() {
		all[p.GetId()] = named{p.GetName(), p.GetNameCy()}
	}
	for _, a := range dir.Authorities() {
		all[a.GetCode()] = named{a.GetName(), a.GetNameCy()}
	}
	return all
}
