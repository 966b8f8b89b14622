package stranger

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// Hub is a connection to the hub.
type Hub struct {
	Submission posternv1.SubmissionServiceClient
	Directory  posternv1.DirectoryServiceClient
	Mailbox    posternv1.MailboxServiceClient
	Audit      posternv1.AuditServiceClient
	conn       *grpc.ClientConn
}

// Close ends the connection.
func (h *Hub) Close() error { return h.conn.Close() }

// Dial connects to the hub of this URI.
func (t *Trust) Dial(self *Self, address, uri string, clock func() time.Time) (*Hub, error) {
	config := t.tls(self, clock, func(p Party) bool { return p.URI == uri && p.Kind == "hub" })
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		return nil, err
	}
	return &Hub{posternv1.NewSubmissionServiceClient(conn), posternv1.NewDirectoryServiceClient(conn),
		posternv1.NewMailboxServiceClient(conn), posternv1.NewAuditServiceClient(conn), conn}, nil
}

// Desk is a prison's desk that keeps everything in memory.
type Desk struct {
	Self  *Self
	Trust *Trust
	Hub   *Hub
	Log   *Witness // of the sent log
	Clock func() time.Time
	// Staff stands in every manifest; the desk sets its prison.
	Staff *posternv1.Sender

	revision uint64
	keys     uint64                             // the number of the last published key that we saw
	pins     map[string]*posternv1.RecipientKey // by authority
	sent     map[string]*Sent                   // by notification id
	token    string                             // of the updates
}

// Sent is a notification that this desk has made, and what came of it.
type Sent struct {
	ID           string
	Message      *posternv1.SealedNotification
	Authority    string
	SlipCode     string
	Decision     *posternv1.Decision
	Acknowledged bool
	Replies      []posternv1.ReplyCode
}

func (s *Sent) digest() []byte { return hash(s.Message.GetManifest().GetPayload()) }

// follow has the witness remember a checkpoint, and asks for the proofs that did not come with it.
func (d *Desk) follow(ctx context.Context, note string, proofs []*posternv1.ConsistencyProof) error {
	return d.Log.FollowNote(ctx, d.Hub, note, proofs)
}

// FollowNote remembers a signed checkpoint, and asks the hub, where there is one, for the proofs that did not come with it.
func (w *Witness) FollowNote(ctx context.Context, h *Hub, note string, proofs []*posternv1.ConsistencyProof) error {
	c, err := ReadCheckpoint(note, w.Keys)
	if err != nil {
		return err
	}
	if err := w.Follow(c, proofs); err != errUnproven || h == nil {
		return err
	}
	asked := append(w.Known(), &posternv1.KnownLog{Origin: c.Origin, Size: c.Size})
	a, err := h.Audit.GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: c.Origin, KnownLogs: asked})
	if err != nil {
		return err
	}
	newest, err := ReadCheckpoint(a.GetCheckpoint(), w.Keys)
	if err != nil {
		return err
	}
	if newest.Size == c.Size {
		return w.Follow(newest, a.GetProofs())
	}
	// Both what we knew and what came must be the beginning of the newest.
	if err := (&Witness{w.Keys, map[string]*Checkpoint{c.Origin: c}}).Follow(newest, a.GetProofs()); err != nil {
		return err
	}
	return w.Follow(newest, a.GetProofs())
}

// Offer is what a prison wants to tell one authority.
type Offer struct {
	Route     posternv1.Route
	Authority string
	Source    posternv1.DestinationSource
	Consent   *posternv1.Consent
	Basis     *posternv1.LawfulBasis
	Reception *posternv1.Reception
	Notice    string
	Children  []*posternv1.ChildFacts
	Hub       *posternv1.HubFacts
	Sections  map[string]proto.Message // what the route authorises, by path
}

// Compose seals and signs an offer.
func (d *Desk) Compose(id string, o *Offer) (*Sent, error) {
	s := &Sent{ID: id, Authority: o.Authority, SlipCode: NewSlipCode(), Message: &posternv1.SealedNotification{}}
	offer := &posternv1.Offer{Route: o.Route, Authority: o.Authority, DestinationSource: o.Source, Consent: o.Consent, LawfulBasis: o.Basis}
	if k := d.pins[o.Authority]; k != nil && d.Clock().Before(k.GetExpireTime().AsTime()) {
		sealing, encapsulated, err := NewSealing(k.GetPublicKey(), id, d.Self.URI)
		if err != nil {
			return nil, err
		}
		offer.Suite, offer.RecipientKeyId, offer.EncapsulatedKey = 1, k.GetKeyId(), encapsulated
		for _, path := range slices.Sorted(maps.Keys(o.Sections)) {
			sealed, err := sealing.Seal(path, o.Sections[path])
			if err != nil {
				return nil, err
			}
			s.Message.Sections = append(s.Message.Sections, sealed)
			offer.SectionsSha256 = append(offer.SectionsSha256, DigestOfSection(path, sealed.GetCiphertext()))
		}
	}
	o.Hub.SlipCodeSha256 = hash([]byte(s.SlipCode))
	blocks := []*posternv1.FactsBlock{{Salt: salt(), Facts: &posternv1.FactsBlock_Hub{Hub: o.Hub}}}
	for _, c := range o.Children {
		blocks = append(blocks, &posternv1.FactsBlock{Salt: salt(), Facts: &posternv1.FactsBlock_Child{Child: c}})
	}
	m := d.manifest(id, 30*24*time.Hour)
	m.Reception, m.NoticeVersion, m.Statement = o.Reception, o.Notice, &posternv1.Manifest_Offer{Offer: offer}
	for _, block := range blocks {
		b, err := proto.Marshal(block)
		if err != nil {
			return nil, err
		}
		s.Message.Facts, m.FactsSha256 = append(s.Message.Facts, b), append(m.FactsSha256, hash(b))
	}
	slices.SortFunc(m.FactsSha256, bytes.Compare)
	slices.SortFunc(offer.SectionsSha256, bytes.Compare)
	return s, d.sign(s, m)
}

// Declare makes a statement without sections: what came of asking, a consideration that ended in not sharing, or how many
// people came. Only what came of asking has facts for the hub.
func (d *Desk) Declare(id string, reception *posternv1.Reception, facts *posternv1.HubFacts, state func(*posternv1.Manifest)) (*Sent, error) {
	s, m := &Sent{ID: id, Message: &posternv1.SealedNotification{}}, d.manifest(id, 30*24*time.Hour)
	m.Reception = reception
	if state(m); facts != nil {
		b, err := proto.Marshal(&posternv1.FactsBlock{Salt: salt(), Facts: &posternv1.FactsBlock_Hub{Hub: facts}})
		if err != nil {
			return nil, err
		}
		s.Message.Facts, m.FactsSha256 = [][]byte{b}, [][]byte{hash(b)}
	}
	return s, d.sign(s, m)
}

func (d *Desk) manifest(id string, life time.Duration) *posternv1.Manifest {
	sender := proto.CloneOf(d.Staff)
	sender.PrisonId = d.Self.ID
	return &posternv1.Manifest{NotificationId: id, Audience: d.Trust.Domain, Sender: sender,
		CreateTime: timestamppb.New(d.Clock()), ExpireTime: timestamppb.New(d.Clock().Add(life))}
}

// sign signs a manifest and remembers what it is of.
func (d *Desk) sign(s *Sent, m *posternv1.Manifest) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	if s.Message.Manifest, err = d.Self.Sign(manifestType, b); err != nil {
		return err
	}
	if d.sent == nil {
		d.sent = map[string]*Sent{}
	}
	d.sent[s.ID] = s
	return nil
}

// Submit sends a notification or a withdrawal, and believes the answer by its receipt.
func (d *Desk) Submit(ctx context.Context, s *Sent) error {
	m := &posternv1.Manifest{}
	if err := proto.Unmarshal(s.Message.GetManifest().GetPayload(), m); err != nil {
		return err
	}
	kind := logv1.Kind_KIND_DECIDED
	switch m.GetStatement().(type) {
	case *posternv1.Manifest_Withdrawal:
		kind = logv1.Kind_KIND_WITHDRAWN
	case *posternv1.Manifest_Considered:
		kind = logv1.Kind_KIND_CONSIDERED
	case *posternv1.Manifest_Receptions:
		kind = logv1.Kind_KIND_RECEPTIONS_COUNTED
	}
	a, err := d.Hub.Submission.Submit(ctx, &posternv1.SubmitRequest{Notification: s.Message, KnownLogs: d.Log.Known()})
	if err != nil {
		return err
	}
	p, err := ReadReceipt(a.GetReceipt(), d.Log.Keys)
	if err != nil {
		return err
	}
	if err := d.follow(ctx, p.Checkpoint.Note, a.GetConsistency()); err != nil {
		return err
	}
	if p.Kind != kind || !bytes.Equal(p.Core.GetManifestSha256(), s.digest()) || p.Core.GetOutcome() != a.GetDecision().GetOutcome() {
		return errors.New("the receipt is of something else than the answer")
	}
	s.Decision = a.GetDecision()
	return nil
}

// Withdraw makes the withdrawal of a notification, with or without its slip code; no paths are all of it.
func (d *Desk) Withdraw(id, withdraws, slipCode string, method posternv1.WithdrawalMethod, paths ...string) (*Sent, error) {
	stop := &posternv1.StopRequest{NotificationId: withdraws, Paths: paths}
	if earlier := d.sent[withdraws]; earlier != nil {
		stop.ManifestSha256 = earlier.digest()
	}
	b, err := proto.Marshal(stop)
	if err != nil {
		return nil, err
	}
	request, err := d.Self.Sign(stopRequestType, b)
	if err != nil {
		return nil, err
	}
	s := &Sent{ID: id, Message: &posternv1.SealedNotification{StopRequest: request}}
	m := d.manifest(id, 10*365*24*time.Hour)
	m.Statement = &posternv1.Manifest_Withdrawal{Withdrawal: &posternv1.Withdrawal{Withdraws: withdraws, Paths: paths, Method: method, SlipCode: slipCode}}
	return s, d.sign(s, m)
}

// Updates reads what is new.
func (d *Desk) Updates(ctx context.Context) error {
	for {
		a, err := d.Hub.Submission.ListUpdates(ctx, &posternv1.ListUpdatesRequest{PageToken: d.token, KnownLogs: d.Log.Known()})
		if err != nil {
			return err
		}
		if err := d.follow(ctx, a.GetCheckpoint(), a.GetConsistency()); err != nil {
			return err
		}
		for _, u := range a.GetUpdates() {
			if err := d.update(u); err != nil {
				return fmt.Errorf("an update of %s: %w", u.GetNotificationId(), err)
			}
		}
		if d.token = a.GetNextPageToken(); len(a.GetUpdates()) == 0 {
			return nil
		}
	}
}

func (d *Desk) update(u *posternv1.Update) error {
	s := d.sent[u.GetNotificationId()]
	if s == nil {
		return errors.New("we know nothing of it")
	}
	switch {
	case u.GetAcknowledgement() != nil:
		who, err := d.Trust.Signer(u.GetAcknowledgement(), acknowledgementType, d.Clock())
		if err != nil {
			return err
		}
		want := append([]byte{0x0a, 0x20}, s.digest()...)
		if who.Kind != "inbox" || who.ID != s.Authority || !bytes.Equal(u.GetAcknowledgement().GetPayload(), want) {
			return errors.New("an acknowledgement of something else")
		}
		s.Acknowledged = true
	case u.GetDecision() != nil:
		p, err := ReadReceipt(u.GetReceipt(), d.Log.Keys)
		if err != nil {
			return err
		}
		decided := p.Kind == logv1.Kind_KIND_DECIDED && bytes.Equal(p.Core.GetManifestSha256(), s.digest())
		withdrawn := p.Kind == logv1.Kind_KIND_WITHDRAWN && bytes.Equal(p.Core.GetSubjectSha256(), s.digest())
		if !decided && !withdrawn {
			return errors.New("a decision on something else")
		}
		s.Decision = u.GetDecision()
	case u.GetReply() != nil:
		s.Replies = append(s.Replies, u.GetReply().GetCode())
	}
	return nil
}

func salt() []byte {
	b := make([]byte, 32)
	rand.Read(b)
	return b
}
