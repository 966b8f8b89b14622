package inbox

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A manifest comes to a team once, but for two cases: a team passed on one child of it, whose arrival the hub did not hear
// of, and then her brother too; and a hub that lost its disk shares more of it than the lost one did. What the first
// delivery had stays as it is, and what it had not is added: it was acknowledged, so nobody would send it again.

// addMore adds to the item of a manifest what a later delivery of it holds beyond, and reports whether that was anything.
// It is to be done anew then, whatever the team did about what it had. What was withdrawn is not in later. Again says that it
// was here before, and lost.
func (in *Inbox) addMore(tx store.Tx, manifest, sealed []byte, later *localv1.GetItemResponse, again bool) (bool, error) {
	item, err := in.openItem(manifest, sealed)
	if err != nil {
		return false, err
	}
	i, more := item.GetItem(), later.GetItem()
	have := slices.Clone(i.GetPaths())
	for _, s := range later.GetSections() {
		if !slices.Contains(have, s.GetPath()) {
			item.Sections, i.Paths = append(item.Sections, s), append(i.Paths, s.GetPath())
		}
	}
	if len(i.GetPaths()) == len(have) {
		return false, nil
	}
	item.NotShared = slices.DeleteFunc(union(item.GetNotShared(), later.GetNotShared()), func(p string) bool { return slices.Contains(i.GetPaths(), p) })
	i.ChildNumbers = union(i.GetChildNumbers(), more.GetChildNumbers())
	i.Children, i.FactsMismatch, i.MoreTime = uint32(len(i.GetChildNumbers())), i.GetFactsMismatch() || more.GetFactsMismatch(), in.now()
	item.Decision, item.Receipt = both(item.GetDecision(), later.GetDecision()), later.GetReceipt()
	item.FirstReceipt = later.GetFirstReceipt()
	if sealed, err = in.seal(schema.InboxItem, manifest, item); err != nil {
		return false, err
	}
	if err := tx.Put(schema.InboxItem, manifest, sealed); err != nil {
		return false, err
	}
	_, err = in.handOver(tx, came(item, manifest, again))
	return true, err
}

// both is the later of two decisions on a manifest, with what the earlier one says of children and sections beyond it.
func both(earlier, later *posternv1.Decision) *posternv1.Decision {
	d := proto.CloneOf(later)
	if d == nil {
		return earlier
	}
	said := func(child uint32) bool {
		return slices.ContainsFunc(later.GetChildren(), func(c *posternv1.ChildDecision) bool { return c.GetNumber() == child })
	}
	for _, c := range earlier.GetChildren() {
		if !said(c.GetNumber()) {
			d.Children = append(d.Children, c)
		}
	}
	for _, o := range earlier.GetObligations() {
		if child := o.GetChildNumber(); child > 0 && !said(child) {
			d.Obligations = append(d.Obligations, o)
		}
	}
	slices.SortFunc(d.Children, func(a, b *posternv1.ChildDecision) int { return int(a.GetNumber()) - int(b.GetNumber()) })
	d.Paths = union(earlier.GetPaths(), later.GetPaths())
	return d
}

// union is what either has, in order, each once.
func union[T interface{ ~string | ~uint32 }](a, b []T) []T {
	all := slices.Concat(a, b)
	slices.Sort(all)
	return slices.Compact(all)
}
