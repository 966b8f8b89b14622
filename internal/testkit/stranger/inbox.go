package stranger

import (
	"crypto/ed25519"
	"crypto/hpke"
	"slices"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "postern/proto/postern/v1"
)

// Item is a notification as a team sees it.
type Item struct {
	ID, DeliveryID string
	Sender         Party
	Manifest       *pb.Manifest
	SHA256         []byte
	Facts          map[int]*pb.ChildFacts
	Sections       map[string]proto.Message
	Mismatch       []string // the sections that contradict the facts
	Hidden         bool     // another one, sealed to another key, is shown in its place
	PassedOnBy     string   // the URI of the team that passed it on, if one did

	raw  *pb.SealedNotification
	keys map[string][]byte // of the sections, for passing them on

	generation, index uint64 // of the leaf that let it go
}

// Stop is a request to stop.
type Stop struct {
	DeliveryID   string
	Notification string // its id; where nothing of it had come, what the request names it by
	Manifest     []byte // SHA-256 of what it is about
	Paths        []string
	Found        bool // whether anything of it had come
}

// gone is what was withdrawn of a manifest, remembered for ever.
type gone struct {
	All   bool
	Paths []string
}

// Inbox is an early help team's endpoint.
type Inbox struct {
	pb.UnimplementedInboxServiceServer
	Me             *Self
	Trust          *Trust
	Hub            string // the URI of the hub
	Now            func() time.Time
	Sent, Received *Follower
	Mailbox        pb.MailboxServiceClient

	mu        sync.Mutex            // owns what follows
	items     map[string]*Item      // by manifest digest in hex
	order     []*Item               // the same, oldest first
	done      map[string]*pb.Signed // what was acknowledged, by delivery id
	gone      map[string]*gone      // by manifest digest in hex
	asked     []*Stop
	numbers   map[string]uint64 // the highest up to which nothing is missing, by origin
	counting  string            // the origin in which the last delivery was counted
	pending   []*pb.ReportRequest
	keys      map[string][]byte // seeds by their ids
	current   *pb.RecipientKey
	signedKey *pb.Signed
	follow    ed25519.PrivateKey
}

// NewInbox is an inbox that holds nothing yet.
func NewInbox(me *Self, t *Trust, hub string, conn grpc.ClientConnInterface, sent, received *Follower, now func() time.Time) *Inbox {
	sent.Ask, received.Ask = asking(conn), asking(conn)
	return &Inbox{Me: me, Trust: t, Hub: hub, Mailbox: pb.NewMailboxServiceClient(conn), Sent: sent, Received: received, Now: now,
		items: map[string]*Item{}, done: map[string]*pb.Signed{}, gone: map[string]*gone{},
		numbers: map[string]uint64{}, keys: map[string][]byte{}}
}

// AddKey adds a private key, as its seed of 32 bytes, that something may still be sealed to.
func (x *Inbox) AddKey(seed []byte) (string, error) {
	k, err := hpke.MLKEM768X25519().NewPrivateKey(seed)
	if err != nil {
		return "", err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	id := KeyID(k.PublicKey().Bytes())
	x.keys[id] = seed
	return id, nil
}

// NewKey makes the next recipient key and the statement that publishes it.
func (x *Inbox) NewKey(from, until time.Time) (*pb.Signed, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	priv, err := hpke.MLKEM768X25519().GenerateKey()
	if err != nil {
		return nil, err
	}
	public, follow, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	b := priv.PublicKey().Bytes()
	k := &pb.RecipientKey{
		KeyId: KeyID(b), Authority: x.Me.ID, Version: x.current.GetVersion() + 1, Suite: 1, PublicKey: b, ContinuityKey: public,
		CreateTime: timestamppb.New(from), ExpireTime: timestamppb.New(until),
	}
	s, err := x.Me.Sign(TypeRecipientKey, mustMarshal(k))
	if err != nil {
		return nil, err
	}
	if x.follow != nil {
		sig := ed25519.Sign(x.follow, Encode(s.PayloadType, s.Payload))
		s.Signatures = append(s.Signatures, &pb.Signature{Signature: sig})
	}
	if x.keys[k.KeyId], err = priv.Bytes(); err != nil {
		return nil, err
	}
	x.current, x.signedKey, x.follow = k, s, follow
	return s, nil
}

// Items are what the team sees, oldest first.
func (x *Inbox) Items() []*Item {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(x.order), func(it *Item) bool { return it.Hidden })
}

// Stops are the requests to stop.
func (x *Inbox) Stops() []*Stop {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.asked)
}
