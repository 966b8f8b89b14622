package stranger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

// State is where something that a desk sends stands.
type State string

// The states.
const (
	Queued    State = "queued"
	Shared    State = "shared"
	Waits     State = "waits"
	Withheld  State = "withheld"
	Referred  State = "referred"
	Counted   State = "counted" // receptions, considerations and withdrawals: recorded
	RefusedIt State = "refused"
	Withdrawn State = "withdrawn"
	Expired   State = "expired"
)

// Outgoing is a statement that a desk made, with all that came of it.
type Outgoing struct {
	ID, Reference, Authority, Slip string
	Message                        []byte // the serialized notification, as first sent
	SHA256                         []byte // of its manifest
	Kind                           logpb.Kind
	State                          State
	Decision                       *pb.Decision
	Answered, Acknowledged         bool
	Replies                        []*pb.Reply
	Why                            string    // of a refusal
	Of                             *Outgoing // of a withdrawal, what it withdraws, where this desk sent it

	form  *pb.Form
	part  *part
	kept  kept
	again bool
}

// Desk is a prison-side client.
type Desk struct {
	Me        *Self
	Trust     *Trust
	Now       func() time.Time
	Sender    *pb.Sender
	Basis     *pb.LawfulBasis // where a form says none
	RefKey    []byte          // of references; never changes
	Log       *Follower
	Directory *Directory
	Submitter pb.SubmissionServiceClient
	Listings  pb.DirectoryServiceClient

	mu    sync.Mutex
	Items []*Outgoing
	Token string // of the last page of updates
}

// NewDesk is a desk that has sent nothing yet; conn is its connection to the hub.
func NewDesk(me *Self, t *Trust, conn grpc.ClientConnInterface, log *Follower, now func() time.Time, sender *pb.Sender, refKey []byte) *Desk {
	log.Ask = asking(conn)
	return &Desk{Me: me, Trust: t, Now: now, Sender: sender, RefKey: refKey, Log: log, Directory: NewDirectory(t),
		Submitter: pb.NewSubmissionServiceClient(conn), Listings: pb.NewDirectoryServiceClient(conn)}
}

// Sync fetches directory and keys.
func (d *Desk) Sync(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.Directory.Sync(ctx, d.Listings, d.Log, d.Now())
}

// Take splits a form and queues what it comes to.
func (d *Desk) Take(form *pb.Form) ([]*Outgoing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f, err := written(form)
	if err != nil {
		return nil, err
	}
	if f.Enquiry != pb.EnquiryOutcome_ENQUIRY_OUTCOME_UNSPECIFIED {
		o, err := d.enquiry(f)
		if err != nil {
			return nil, err
		}
		d.Items = append(d.Items, o)
		return []*Outgoing{o}, nil
	}
	parts := split(f)
	switch {
	case len(parts) == 0:
		return nil, errors.New("the form tells nobody anything")
	case len(parts) > 1 && f.Route != pb.Route_ROUTE_STANDARD:
		return nil, errors.New("without consent a form is about children of one authority")
	case f.Route == pb.Route_ROUTE_STANDARD && f.Consent.GetState() == pb.ConsentState_CONSENT_STATE_DECLINED:
		return nil, errors.New("who said no is an enquiry with the outcome DECLINED")
	}
	var out []*Outgoing
	for _, p := range parts {
		k := kept{id: newUUID(), slip: NewSlipCode(), first: d.Now(), sender: d.Sender}
		if old := d.ofForm(f.Supersedes, p.authority); old != nil {
			k.supersedes, k.change = old.ID, d.change(old, f, p)
		}
		o, err := d.build(f, p, k)
		if err != nil {
			return nil, err
		}
		out = append(out, o)
	}
	d.Items = append(d.Items, out...)
	return out, nil
}

// ofForm finds the notification of an earlier form to an authority.
func (d *Desk) ofForm(form, authority string) *Outgoing {
	for _, o := range slices.Backward(d.Items) {
		if form != "" && o.form.GetFormId() == form && o.Authority == authority {
			return o
		}
	}
	return nil
}

// change says why a notification replaces an earlier one.
func (d *Desk) change(old *Outgoing, f *pb.Form, p *part) pb.ChangeReason {
	was := map[string]bool{}
	for _, n := range old.part.children {
		was[string(childRef(d.RefKey, old.form.PrisonNumber, old.form.Children[n-1]))] = true
	}
	for _, n := range p.children {
		if !was[string(childRef(d.RefKey, f.PrisonNumber, f.Children[n-1]))] {
			return pb.ChangeReason_CHANGE_REASON_CHILD_ADDED
		}
	}
	return pb.ChangeReason_CHANGE_REASON_CORRECTION
}

// enquiry is a form that describes no children.
func (d *Desk) enquiry(f *pb.Form) (*Outgoing, error) {
	now := d.Now()
	k := kept{id: newUUID(), first: now, sender: d.Sender}
	m := d.manifest(k.id, k.sender, now, 30*24*time.Hour)
	m.Reception, m.NoticeVersion = f.Reception, f.NoticeVersion
	m.Statement = &pb.Manifest_Enquiry{Enquiry: &pb.Enquiry{Outcome: f.Enquiry, AskAgainDate: f.AskAgainDate, NotAskedReason: f.NotAskedReason}}
	block := &pb.FactsBlock{Salt: random(32), Facts: &pb.FactsBlock_Hub{Hub: d.hubFacts(f, &part{}, k)}}
	n := &pb.SealedNotification{Facts: [][]byte{mustMarshal(block)}}
	if err := d.finish(n, m); err != nil {
		return nil, err
	}
	return d.outgoing(n, k, logpb.Kind_KIND_DECIDED)
}

func (d *Desk) outgoing(n *pb.SealedNotification, k kept, kind logpb.Kind) (*Outgoing, error) {
	ref, err := Reference(k.id)
	return &Outgoing{
		ID: k.id, Reference: ref, Slip: k.slip, Message: mustMarshal(n), SHA256: digest(n.Manifest.Payload),
		Kind: kind, State: Queued, kept: k,
	}, err
}

// build makes the offer of one part of a form.
func (d *Desk) build(f *pb.Form, p *part, k kept) (*Outgoing, error) {
	n, err := d.offer(f, p, k, d.Now())
	if err != nil {
		return nil, err
	}
	o, err := d.outgoing(n, k, logpb.Kind_KIND_DECIDED)
	if err == nil {
		o.Authority, o.form, o.part = p.authority, f, p
	}
	return o, err
}

// CountReceptions tells the hub how many people came, day by day.
func (d *Desk) CountReceptions(days ...*pb.ReceptionDay) (*Outgoing, error) {
	return d.plain(func(m *pb.Manifest) { m.Statement = &pb.Manifest_Receptions{Receptions: &pb.Receptions{Days: days}} },
		logpb.Kind_KIND_RECEPTIONS_COUNTED)
}

// Consider tells the hub that a person considered the duty to share about a notification and decided not to.
func (d *Desk) Consider(notification string, c *pb.Consideration, reasons string) (*Outgoing, error) {
	c = proto.Clone(c).(*pb.Consideration)
	c.ReasonsSha256 = digest([]byte(reasons))
	return d.plain(func(m *pb.Manifest) {
		m.Statement = &pb.Manifest_Considered{Considered: &pb.Considered{Considers: notification, Consideration: c}}
	}, logpb.Kind_KIND_CONSIDERED)
}

// plain queues a statement without facts and sections.
func (d *Desk) plain(fill func(*pb.Manifest), kind logpb.Kind) (*Outgoing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := kept{id: newUUID()}
	m, n := d.manifest(k.id, nil, d.Now(), 30*24*time.Hour), &pb.SealedNotification{}
	fill(m)
	if err := d.finish(n, m); err != nil {
		return nil, err
	}
	o, err := d.outgoing(n, k, kind)
	if err != nil {
		return nil, err
	}
	d.Items = append(d.Items, o)
	return o, nil
}

// Withdraw withdraws a notification of this desk, or the children and sections that the paths name; and what was sealed
// again in its place.
func (d *Desk) Withdraw(of *Outgoing, method pb.WithdrawalMethod, paths ...string) (*Outgoing, error) {
	d.mu.Lock()
	next := slices.IndexFunc(d.Items, func(o *Outgoing) bool {
		return o.kept.supersedes == of.ID && o.kept.change == pb.ChangeReason_CHANGE_REASON_KEY_CHANGED
	})
	d.mu.Unlock()
	if next >= 0 {
		if _, err := d.Withdraw(d.Items[next], method, paths...); err != nil {
			return nil, err
		}
	}
	return d.withdraw(&pb.Withdrawal{Withdraws: of.ID, Paths: paths, Method: method}, of)
}

// WithdrawBySlip withdraws what another prison sent, by the reference and code on the person's slip.
func (d *Desk) WithdrawBySlip(reference, code string, method pb.WithdrawalMethod, paths ...string) (*Outgoing, error) {
	ref, ok := ReadReference(reference)
	slip, ok2 := ReadSlipCode(code)
	if !ok || !ok2 {
		return nil, errors.New("mistyped")
	}
	return d.withdraw(&pb.Withdrawal{Withdraws: ref, Paths: paths, Method: method, SlipCode: slip}, nil)
}

func (d *Desk) withdraw(w *pb.Withdrawal, of *Outgoing) (*Outgoing, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	k := kept{id: newUUID()}
	m := d.manifest(k.id, nil, d.Now(), 3652*24*time.Hour)
	m.Statement = &pb.Manifest_Withdrawal{Withdrawal: w}
	stop := &pb.StopRequest{NotificationId: w.Withdraws, Paths: w.Paths}
	if of != nil {
		stop.ManifestSha256 = of.SHA256
	}
	s, err := d.Me.Sign(TypeStopRequest, mustMarshal(stop))
	if err != nil {
		return nil, err
	}
	n := &pb.SealedNotification{StopRequest: s}
	if err := d.finish(n, m); err != nil {
		return nil, err
	}
	o, err := d.outgoing(n, k, logpb.Kind_KIND_WITHDRAWN)
	if err != nil {
		return nil, err
	}
	if o.Of = of; of != nil && len(w.Paths) == 0 {
		of.State = Withdrawn
	}
	d.Items = append(d.Items, o)
	return o, nil
}

// Flush submits everything that is due: withdrawals first, and again what the hub may have lost.
func (d *Desk) Flush(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lost()
	var all error
	for _, pass := range []bool{true, false} {
		for _, o := range d.Items {
			withdrawal := o.Kind == logpb.Kind_KIND_WITHDRAWN
			if withdrawal == pass && (o.State == Queued || o.again) && (o.Of == nil || !o.Of.again) {
				all = errors.Join(all, d.submit(ctx, o))
			}
		}
	}
	for _, o := range d.Items { // the withdrawals of what was submitted again come after it
		if o.Of != nil && o.again && !o.Of.again {
			all = errors.Join(all, d.submit(ctx, o))
		}
	}
	return all
}

// lost marks what to submit again to a hub that may have lost it.
func (d *Desk) lost() {
	d.Log.mu.Lock()
	lost := d.Log.Lost
	d.Log.Lost = false
	d.Log.mu.Unlock()
	for _, o := range d.Items {
		settled := o.State == RefusedIt || o.State == Expired || o.State == Withdrawn
		if lost && o.Answered && !settled && o.Kind != logpb.Kind_KIND_RECEPTIONS_COUNTED {
			o.again = true
			if o.Of != nil && o.Of.Answered {
				o.Of.again = true
			}
		}
	}
}

// message is what to send: the same bytes, signed anew when the certificate was renewed.
func (d *Desk) message(o *Outgoing) (*pb.SealedNotification, error) {
	n := &pb.SealedNotification{}
	if err := proto.Unmarshal(o.Message, n); err != nil {
		return nil, err
	}
	for _, s := range []*pb.Signed{n.Manifest, n.StopRequest} {
		if s == nil || bytes.Equal(s.Signatures[0].Certificates[0], d.Me.Chain[0]) {
			continue
		}
		renewed, err := d.Me.Sign(s.PayloadType, s.Payload)
		if err != nil {
			return nil, err
		}
		s.Signatures = renewed.Signatures
	}
	return n, nil
}

func (d *Desk) submit(ctx context.Context, o *Outgoing) error {
	if err := d.Log.check(); err != nil {
		return err
	}
	n, err := d.message(o)
	if err != nil {
		return err
	}
	m := &pb.Manifest{}
	if err := proto.Unmarshal(n.Manifest.Payload, m); err != nil {
		return err
	}
	if !d.Now().Before(m.ExpireTime.AsTime()) {
		o.again = false
		if !o.Answered {
			o.State = Expired
		}
		return nil
	}
	a, err := d.Submitter.Submit(ctx, &pb.SubmitRequest{Notification: n, KnownLogs: d.Log.known(), Resubmitted: o.again})
	if err != nil {
		if reasonOf(err) != "LOG_AHEAD" && final(err) {
			o.State, o.Why, o.again = RefusedIt, err.Error(), false
		}
		return d.Log.heard(err)
	}
	e, err := d.believe(ctx, a.Receipt, a.Consistency)
	if err != nil {
		return err
	}
	if e.Kind != o.Kind || !bytes.Equal(e.Core.ManifestSha256, o.SHA256) ||
		o.Kind != logpb.Kind_KIND_WITHDRAWN && e.Core.Outcome != a.Decision.GetOutcome() {
		return fmt.Errorf("%s: the receipt is of something else", o.Reference)
	}
	o.Answered, o.again = true, false
	if o.Kind != logpb.Kind_KIND_DECIDED {
		o.State, o.Decision = Counted, a.Decision
		return nil
	}
	o.decided(a.Decision)
	return nil
}

// believe takes a receipt of the sent log with the checkpoint it is under.
func (d *Desk) believe(ctx context.Context, r *pb.Receipt, proofs []*pb.ConsistencyProof) (*Event, error) {
	e, err := d.Log.Keys.Receipt(r)
	if err != nil {
		return nil, err
	}
	return e, d.Log.Accept(ctx, e.Checkpoint, proofs)
}

func (o *Outgoing) decided(dec *pb.Decision) {
	o.Decision = dec
	if o.State == Withdrawn {
		return
	}
	switch dec.Outcome {
	case pb.Outcome_OUTCOME_SHARE:
		o.State = Shared
	case pb.Outcome_OUTCOME_WAIT:
		o.State = Waits
	case pb.Outcome_OUTCOME_REFER_TO_PERSON:
		o.State = Referred
	default:
		o.State = Withheld
	}
}
