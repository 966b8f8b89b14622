package inbox

import (
	"context"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/store"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
)

// join makes a key of parts that hold no zero byte.
func join(parts ...string) []byte { return []byte(strings.Join(parts, "\x00")) }

func (in *Inbox) seal(ks store.Keyspace, key []byte, m proto.Message) ([]byte, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, fault.From(err)
	}
	return in.cfg.Vault.Seal(string(ks), key, b)
}

func (in *Inbox) openItem(key, sealed []byte) (*localv1.GetItemResponse, error) {
	b, err := in.cfg.Vault.Open(string(schema.InboxItem), key, sealed)
	if err != nil {
		return nil, err
	}
	out := &localv1.GetItemResponse{}
	if err := proto.Unmarshal(b, out); err != nil {
		return nil, fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
	}
	if i := out.GetItem(); len(i.GetChildNumbers()) == 0 { // it was kept before these were
		i.ChildNumbers = numbersIn(slices.Concat(i.GetPaths(), out.GetNotShared()))
	}
	return out, nil
}

// numbersIn are the numbers of the children that paths are of, in order.
func numbersIn(paths []string) (all []uint32) {
	for _, path := range paths {
		if n, ok := section.ChildOf(path); ok && n > 0 && !slices.Contains(all, uint32(n)) {
			all = append(all, uint32(n))
		}
	}
	slices.Sort(all)
	return all
}

var notHere = fault.New(fault.NotFound, "NOT_FOUND", "This inbox has nothing by that name. Check the reference; `postern inbox list` shows all.")

// ListItems lists what the team has received, newest first, each with what was done about it and by when it is due.
func (in *Inbox) ListItems(ctx context.Context, _ *localv1.ListItemsRequest) (*localv1.ListItemsResponse, error) {
	out := &localv1.ListItemsResponse{}
	var all [][]marked
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		settings, err := in.readSettings(s)
		if err != nil {
			return err
		}
		return s.Scan(schema.InboxItem, nil, nil, func(key, sealed []byte) (bool, error) {
			item, err := in.openItem(key, sealed)
			if err != nil {
				return true, err
			}
			children, err := in.add(s, key, item, settings)
			all = append(all, children)
			out.Items = append(out.Items, item.GetItem())
			return true, err
		})
	})
	group(all)
	slices.SortStableFunc(out.Items, func(a, b *localv1.Item) int {
		return b.GetReceiveTime().AsTime().Compare(a.GetReceiveTime().AsTime())
	})
	return out, err
}

// add adds to an item what is shown of it and not kept with it: the team's work, which others it hangs together with, marks
// of the children, and when it is due.
func (in *Inbox) add(r store.Snapshot, key []byte, item *localv1.GetItemResponse, settings *localv1.TeamSettings) (children []marked, err error) {
	i := item.GetItem()
	if i.Work, err = in.readWork(r, key); err != nil {
		return nil, err
	}
	if err := in.relate(r, item); err != nil {
		return nil, err
	}
	in.named(i)
	now := in.cfg.Clock()
	if children, err = marks(item, now.In(in.zone)); err != nil {
		return nil, err
	}
	i.Marks = marksOf(children)
	if at := turnOf(i, settings, in.zone).due; !at.IsZero() {
		i.DueTime, i.Overdue = timestamppb.New(at), !now.Before(at)
	}
	return children, nil
}

// named puts in what the prison is called; a code alone is left as it is.
func (in *Inbox) named(i *localv1.Item) {
	if name := in.NameOf(words.English, i.GetPrisonId()); name != i.GetPrisonId() {
		i.PrisonName = name
	}
}

// GetItem opens one item, by the notification's id or its reference.
func (in *Inbox) GetItem(ctx context.Context, req *localv1.GetItemRequest) (*localv1.GetItemResponse, error) {
	var out *localv1.GetItemResponse
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		key, _, err := in.find(s, req.GetId())
		if err != nil {
			return err
		}
		sealed, err := s.Get(schema.InboxItem, key)
		if err != nil {
			return err
		}
		if sealed == nil {
			return notHere
		}
		if out, err = in.openItem(key, sealed); err != nil {
			return err
		}
		settings, err := in.readSettings(s)
		if err != nil {
			return err
		}
		children, err := in.add(s, key, out, settings)
		group([][]marked{children})
		return err
	})
	return out, err
}

// find resolves an id or a reference to the key of one item and the id of its notification.
func (in *Inbox) find(s store.Snapshot, name string) (key []byte, id string, err error) {
	ref := ""
	if envelope.ValidID(name) {
		id, ref = name, envelope.Reference(name)
	} else {
		if ref, err = envelope.ParseReference(name); err != nil {
			return nil, "", err
		}
	}
	var keys [][]byte
	found, prefix := "", join(ref, "")
	err = s.Scan(schema.InboxReference, prefix, join(ref, "\xff"), func(key, _ []byte) (bool, error) {
		itemID, manifest := string(key[len(prefix):len(prefix)+36]), key[len(prefix)+37:]
		if id == "" || id == itemID {
			keys, found = append(keys, manifest), itemID
		}
		return true, nil
	})
	switch {
	case err != nil:
		return nil, "", err
	case len(keys) == 0:
		return nil, "", notHere
	case len(keys) > 1:
		return nil, "", fault.New(fault.Precondition, "AMBIGUOUS", "More than one item has this reference. Use the notification's id.")
	}
	return keys[0], found, nil
}
