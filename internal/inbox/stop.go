package inbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"google.golang.org/protobuf/proto"

	"postern/internal/consent"
	"postern/internal/envelope"
	"postern/internal/failpoint"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/outlet"
	"postern/internal/plain"
	"postern/internal/schema"
	"postern/internal/store"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// tombstone is what was withdrawn of a manifest, whether or not it ever came. It is never removed: a late copy may come
// at any time. It holds nothing personal.
type tombstone struct {
	Whole bool     `json:"whole,omitempty"`
	Paths []string `json:"paths,omitempty"`
	Of    []string `json:"of,omitempty"` // the id or reference in each request that named no manifest; none where one did, or is from before
}

// about reports whether it is about a notification, as far as the desks said which one.
func (t tombstone) about(id string) bool {
	return len(t.Of) == 0 || slices.ContainsFunc(t.Of, func(name string) bool { return names(name, id) })
}

// names reports whether a desk that wrote this meant the notification with this id.
func names(name, id string) bool { return name == id || name == envelope.Reference(id) }

func (t tombstone) holds(path string) bool {
	return t.Whole || len(t.Paths) > 0 && consent.Withdrawn(t.Paths, path)
}

// with is the tombstone after a further stop request; no paths mean all. of is what names the notification in a request
// that names no manifest.
func (t tombstone) with(paths []string, of string) tombstone {
	next := tombstone{Whole: t.Whole || len(paths) == 0}
	if !next.Whole {
		next.Paths = union(t.Paths, paths)
	}
	if first := !t.Whole && len(t.Paths) == 0; of != "" && (first || len(t.Of) > 0) {
		next.Of = union(t.Of, []string{of})
	}
	return next
}

func readTombstone(r store.Reader, manifest []byte) (t tombstone, err error) {
	row, err := r.Get(schema.InboxTombstone, manifest)
	if err != nil || row == nil {
		return t, err
	}
	if err := json.Unmarshal(row, &t); err != nil {
		return t, fault.New(fault.Internal, "BAD_RECORD", "A record of this inbox cannot be read.").Because(err)
	}
	return t, nil
}

// stop takes a stop request as it takes a notification: check, keep, acknowledge. What was withdrawn is gone from view
// and from the database's record in the transaction that keeps the answer; nobody at the inbox has to agree first.
func (in *Inbox) stop(ctx context.Context, d *posternv1.Delivery) (*posternv1.DeliverResponse, error) {
	manifest, request, origin, ok := in.checkStop(d)
	if !ok {
		return in.refuse(ctx, d, posternv1.RefusalReason_REFUSAL_REASON_BAD_STOP_REQUEST)
	}
	answer, err := in.acknowledge(subject(d))
	if err != nil {
		return nil, err
	}
	kept, err := proto.Marshal(answer)
	if err != nil {
		return nil, fault.From(err)
	}
	nothing, err := in.stopAnswer(d.GetDeliveryId(), request.GetNotificationId(), manifest, posternv1.StopAnswerCode_STOP_ANSWER_CODE_STOPPED)
	if err != nil {
		return nil, err
	}
	tell := false
	// A crash before the commit: the hub sends again. A crash after it: the hub sends again and gets the answer kept.
	err = store.Reserved(in.cfg.Store).Update(ctx, func(tx store.Tx) error { // also on a full disk
		if err := tx.Put(schema.InboxDelivery, []byte(d.GetDeliveryId()), kept); err != nil {
			return err
		}
		if err := in.note(tx, d, origin); err != nil {
			return err
		}
		var err error
		if tell, err = in.cameAgain(tx, manifest, origin); err != nil {
			return err
		}
		t, err := readTombstone(tx, manifest)
		if err != nil {
			return err
		}
		of := request.GetNotificationId()
		if len(request.GetManifestSha256()) > 0 {
			of = ""
		}
		item, err := tx.Get(schema.InboxItem, manifest)
		if err != nil {
			return err
		}
		next := t.with(request.GetPaths(), of)
		if next.Whole == t.Whole && slices.Equal(next.Paths, t.Paths) && (item != nil || slices.Equal(next.Of, t.Of)) {
			return nil // it came before, under another delivery's id: the team may have answered, and is not asked again
		}
		t = next
		row, err := json.Marshal(t)
		if err != nil {
			return fault.From(err)
		}
		if err := tx.Put(schema.InboxTombstone, manifest, row); err != nil {
			return err
		}
		came, err := in.readSealed(tx, manifest)
		if err != nil {
			return err
		}
		if err := in.keepSealed(tx, manifest, came, t); err != nil {
			return err
		}
		reference := ""
		found, err := in.change(tx, manifest, func(item *localv1.GetItemResponse) error {
			if of != "" && !names(of, item.GetItem().GetId()) { // whatever was named in a request before
				return errOfAnother
			}
			in.takeFromView(item, t, d.GetDeliveryId())
			reference = item.GetItem().GetReference()
			return nil
		})
		if found {
			_, err = in.handOver(tx, parcel{Kind: outlet.Stop, Reference: reference, Manifest: manifest, Paths: t.Paths})
		}
		if err != nil || found {
			return err
		}
		// It never came, so there is nothing for a person to stop, and a late copy will be refused.
		return in.spoolReport(tx, d.GetDeliveryId(), nothing)
	})
	if errors.Is(err, errOfAnother) {
		return in.refuse(ctx, d, posternv1.RefusalReason_REFUSAL_REASON_BAD_STOP_REQUEST)
	}
	if err != nil {
		return nil, err
	}
	if err := failpoint.Hit(failpoint.InboxStopped); err != nil {
		return nil, err
	}
	in.cfg.Log.InfoContext(ctx, "stop request taken", "delivery", d.GetDeliveryId())
	in.wakeUp()
	in.wakeOutlets()
	if tell {
		in.wakeRedirects()
	}
	return answer, nil
}

// errOfAnother is of a stop request about another notification than the manifest that the hub says it is about.
var errOfAnother = fault.New(fault.Unverified, "STOP_OF_ANOTHER", "The stop request is about another notification.")

// checkStop holds a stop request against the ledger and the desk: the receipt proves that the hub recorded this very
// request about one manifest, and a desk signed it. That another desk than the sender may ask, with the code on the
// slip, is the hub's to check: the code never comes here.
func (in *Inbox) checkStop(d *posternv1.Delivery) (manifest []byte, request *posternv1.StopRequest, origin string, ok bool) {
	event, err := verify.Receipt(d.GetReceipt(), in.cfg.AllLogs) // of what was passed on to us the received log asks
	if err != nil || event.Kind != logv1.Kind_KIND_STOP_ASKED || !bytes.Equal(event.Core.GetSubjectSha256(), subject(d)) {
		return nil, nil, "", false
	}
	signed := event.Core.GetEventTime().AsTime()
	if w, err := verify.Receipt(d.GetFirstReceipt(), in.cfg.AllLogs); err == nil && w.Kind == logv1.Kind_KIND_WITHDRAWN && bytes.Equal(w.EventID[:], event.Core.GetFollowsEvent()) {
		signed = w.Core.GetEventTime().AsTime() // the team is asked later than the person withdrew
	}
	request, _, err = envelope.OpenStopRequest(d.GetStopRequest(), in.cfg.Anchors, signed)
	manifest = event.Core.GetManifestSha256()
	if err != nil || len(manifest) != sha256.Size || len(request.GetManifestSha256()) > 0 && !bytes.Equal(request.GetManifestSha256(), manifest) {
		return nil, nil, "", false
	}
	return manifest, request, event.Origin, true
}

// takeFromView removes from an item what was withdrawn. Of an item withdrawn whole there remains what the team needs to
// recognise it and to ask: reference, prison, dates, whom to ask and the receipt.
func (in *Inbox) takeFromView(item *localv1.GetItemResponse, t tombstone, deliveryID string) {
	item.Item.Stop = &localv1.Stop{ReceiveTime: in.now(), Paths: t.Paths, DeliveryId: deliveryID}
	if t.Whole {
		item.Sections, item.NotShared, item.Decision, item.ConsentExpireTime = nil, nil, nil, nil
		item.Consent = nil
		item.Item.Children, item.Item.ChildNumbers, item.Item.Paths, item.Item.FactsMismatch = 0, nil, nil, false
		return
	}
	t.cut(item)
}

// cut takes out of an item the sections that were withdrawn, and what stands beside them of children of whom all was: why
// they were shared, what was to be done about them, and that there was permission.
func (t tombstone) cut(item *localv1.GetItemResponse) {
	item.Sections = slices.DeleteFunc(item.Sections, func(s *localv1.OpenedSection) bool { return t.holds(s.GetPath()) })
	item.Item.Paths = slices.DeleteFunc(item.Item.Paths, t.holds)
	gone := func(child uint32) bool { return child > 0 && t.holds("child/"+strconv.Itoa(int(child))) }
	item.Item.ChildNumbers = slices.DeleteFunc(item.Item.ChildNumbers, gone)
	if d := item.GetDecision(); d != nil {
		d.Paths = slices.DeleteFunc(d.Paths, t.holds)
		d.Children = slices.DeleteFunc(d.Children, func(c *posternv1.ChildDecision) bool { return gone(c.GetNumber()) })
		d.Obligations = slices.DeleteFunc(d.Obligations, func(o *posternv1.Obligation) bool { return gone(o.GetChildNumber()) })
	}
	if c := item.GetConsent(); c != nil {
		c.Sections, c.Children = slices.DeleteFunc(c.Sections, t.holds), slices.DeleteFunc(c.Children, gone)
	}
}

// without is an item that comes after a part of it was withdrawn: as if that part had not been shared.
func without(item *localv1.GetItemResponse, t tombstone) *localv1.GetItemResponse {
	out := proto.CloneOf(item)
	out.NotShared = append(out.NotShared, slices.DeleteFunc(slices.Clone(item.GetItem().GetPaths()), func(p string) bool { return !t.holds(p) })...)
	t.cut(out)
	return out
}

// change rewrites the item of a manifest, and reports whether there is one.
func (in *Inbox) change(tx store.Tx, manifest []byte, fn func(*localv1.GetItemResponse) error) (found bool, err error) {
	sealed, err := tx.Get(schema.InboxItem, manifest)
	if err != nil || sealed == nil {
		return false, err
	}
	item, err := in.openItem(manifest, sealed)
	if err != nil {
		return false, err
	}
	if err := fn(item); err != nil {
		return false, err
	}
	if sealed, err = in.seal(schema.InboxItem, manifest, item); err != nil {
		return false, err
	}
	return true, tx.Put(schema.InboxItem, manifest, sealed)
}

var furtherWithdrawn = fault.New(fault.Precondition, "WITHDRAWN_FURTHER", "More was withdrawn just now. Look again before you answer.")

// AnswerStop takes the team's answer to a stop request and spools it for the hub; the prison never hears it. RETAINED
// says that the team keeps what it has in its own records, under a duty or to safeguard a child: it brings nothing back
// into view here. The same answer again changes nothing; another one is sent too, and the log has both.
func (in *Inbox) AnswerStop(ctx context.Context, req *localv1.AnswerStopRequest) (*localv1.AnswerStopResponse, error) {
	code := req.GetAnswer()
	if _, known := posternv1.StopAnswerCode_name[int32(code)]; !known || code == posternv1.StopAnswerCode_STOP_ANSWER_CODE_UNSPECIFIED {
		return nil, fault.New(fault.Invalid, "STOP_ANSWER", "A stop request is answered with STOPPED, RETAINED_DUTY or RETAINED_SAFEGUARDING.")
	}
	out := &localv1.AnswerStopResponse{}
	var manifest []byte
	var before *localv1.Stop
	err := in.cfg.Store.View(ctx, func(s store.Snapshot) error {
		key, _, err := in.find(s, req.GetId())
		if err != nil {
			return err
		}
		sealed, err := s.Get(schema.InboxItem, key)
		if err != nil || sealed == nil {
			return errors.Join(err, notHere)
		}
		item, err := in.openItem(key, sealed)
		manifest, before, out.Item = key, item.GetItem().GetStop(), item.GetItem()
		return err
	})
	if err != nil {
		return nil, err
	}
	if seen := req.GetStopDeliveryId(); seen != "" && seen != before.GetDeliveryId() {
		return nil, furtherWithdrawn
	}
	if before == nil {
		return nil, fault.New(fault.Precondition, "NOT_WITHDRAWN", "Nobody has asked the team to stop. There is nothing to answer.")
	}
	if before.GetAnswer() == code {
		return out, nil
	}
	report, err := in.stopAnswer(before.GetDeliveryId(), out.GetItem().GetId(), manifest, code)
	if err != nil {
		return nil, err
	}
	err = in.cfg.Store.Update(ctx, func(tx store.Tx) error {
		again := false
		_, err := in.change(tx, manifest, func(item *localv1.GetItemResponse) error {
			if item.GetItem().GetStop().GetDeliveryId() != before.GetDeliveryId() {
				return furtherWithdrawn
			}
			again = item.GetItem().GetStop().GetAnswer() == code
			item.Item.Stop.Answer = code
			out.Item = item.GetItem()
			return nil
		})
		if err != nil || again {
			return err
		}
		if err = in.sawAll(tx, manifest, req.SeenDeeds); err == nil {
			err = in.noted(ctx, tx, manifest, &localv1.Deed{Deed: &localv1.Deed_StopAnswered{StopAnswered: code}})
		}
		if err != nil {
			return err
		}
		return in.spoolReport(tx, before.GetDeliveryId(), report)
	})
	if err != nil {
		return nil, err
	}
	if err := failpoint.Hit(failpoint.InboxAnswered); err != nil {
		return nil, err
	}
	in.cfg.Log.InfoContext(ctx, "stop request answered", "delivery", before.GetDeliveryId(), "answer", plain.Enum(code))
	in.wakeUp()
	return out, nil
}

// stopAnswer is the signed answer to a stop request, serialized. Of what never came the notification is named as in the
// request.
func (in *Inbox) stopAnswer(deliveryID, notification string, manifest []byte, code posternv1.StopAnswerCode) ([]byte, error) {
	signed, err := in.sign(&posternv1.Report{
		DeliveryId: deliveryID, NotificationId: notification, ManifestSha256: manifest, ReportTime: in.now(),
		Report: &posternv1.Report_StopAnswer{StopAnswer: &posternv1.StopAnswer{Code: code}},
	})
	if err != nil {
		return nil, err
	}
	b, err := proto.Marshal(signed)
	if err != nil {
		return nil, fault.From(err)
	}
	return b, nil
}
