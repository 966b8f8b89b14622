package rpc

import (
	"cmp"
	"time"
)

// The limits of a server between parties, each with its reason. The defaults of gRPC are no limits: four billion calls
// at once on a connection, messages of 4 MiB in and 2 GiB out, headers of 16 MiB, two minutes for a handshake, and
// connections without end. A hub whose callers were all hostile holds at most
//
//	maxConnections × (connectionWindow + about 64 KiB of buffers) + CallsAtOnce × maxRequest for each certificate
//
// of what they sent, whatever they send.
const (
	// maxRequest is what a message may hold: a notification of 16 children with every section fits (DESIGN §13).
	maxRequest = 256 << 10
	// maxResponse is the largest answer: a page of the directory, a policy bundle, or a part of an export.
	maxResponse = 1 << 20
	// maxFields is how many fields a message may hold, those of the messages in it included. An empty message is two bytes
	// on the wire and a hundred in memory, so that a quarter of a megabyte could become a dozen. A notification of 16
	// children has about two thousand.
	maxFields = 16 << 10
	// maxDepth is how deep messages may stand in one another: ours are six deep.
	maxDepth = 32
	// maxHeaders is what may stand in front of a call: we send a request id and a deadline.
	maxHeaders = 16 << 10

	// maxStreams is how many calls run at once over one connection: a desk makes one at a time, an inbox two.
	maxStreams = 100
	// streamWindow and connectionWindow are how much may be under way that nobody has read. They are fixed, because gRPC
	// would otherwise let whoever sends fast have 16 MiB on every connection.
	streamWindow     = 64 << 10
	connectionWindow = 256 << 10
	// answerWindow is the same of a client: one largest answer. Fixed for the same reason, and because measuring the way
	// costs a ping an answer.
	answerWindow = 1 << 20
	// workers are calls that find a goroutine waiting, with a stack grown by the calls before; more calls make their own.
	workers = 64

	// handshakeTime is for proving who one is: a connection that proves nothing by then is not a party.
	handshakeTime = 5 * time.Second
	// maxUnproven is how many connections may be about to prove it. When one more comes, the oldest of whichever address
	// has most of them is closed: so nobody keeps others out by connecting and saying nothing.
	maxUnproven = 256
	// maxConnections is what a server holds in all: a desk for each of some 120 prisons and an inbox for each of some 175
	// authorities, twice over while connections are renewed, and as many again.
	maxConnections = 1024
	// maxPartyConnections is what one certificate holds of them, so that one that was stolen does not shut out the rest. A
	// party has one or two; a prison service that runs its desks on many machines behind one certificate has more.
	maxPartyConnections = 96

	// newPerSecond and newBurst are how often one certificate may connect: a handshake costs a millisecond, and who
	// is cut off for what it sends must not be back at once. A party connects every few minutes; all of a service's
	// machines may start together.
	newPerSecond = 10
	newBurst     = 200
	// heldTime is how long a call that is held back keeps its place on its connection, whether or not its caller has given
	// it up: calls made and taken back as fast as the line allows then come no faster than maxStreams in this time.
	heldTime = 500 * time.Millisecond

	// connectionAge is how often certificates are shown again, and connectionEnd how long a running call may then still
	// take: no call lasts longer.
	connectionAge = 3 * time.Minute
	connectionEnd = 30 * time.Second
	// connectionIdle is for a connection that nobody uses and that costs memory; reached only if connectionAge grows.
	connectionIdle = 5 * time.Minute
	// aliveAfter is when a silent peer is asked whether it is there, before a NAT forgets it; aliveWithin is how long it
	// has to answer.
	aliveAfter  = 60 * time.Second
	aliveWithin = 10 * time.Second
	// pingFloor: a client that asks more often than this is a flood, and its connection ends.
	pingFloor = 30 * time.Second

	// maxCall is the longest deadline a caller gets, and minCall the shortest: what cannot be done in time is not begun.
	maxCall = 30 * time.Second
	minCall = 5 * time.Millisecond
	// absentBucket: "there is nothing here for you" leaves at a multiple of this after the call began, so that its time does
	// not tell whether there is something for somebody else. A refusal is a leaf first, which takes most of it.
	absentBucket = 100 * time.Millisecond
	// refusalTime is how long recording a refusal may take: its caller may be gone, and the leaf is written all the same.
	refusalTime = 5 * time.Second
	// drainTime is how long running calls may take when a server stops; the process ends within 20 s of SIGTERM.
	drainTime = 15 * time.Second
)

// Limits are those of what one party, by its certificate, may ask of a server. Zero is the default.
type Limits struct {
	// CallsPerSecond is how many calls one party may make in the long run: 200. Whoever makes one at a time cannot make
	// more, since each waits for a disk; and it is a hundred times what the busiest prison needs.
	CallsPerSecond float64
	// CallsBurst is how many it may make at once after a rest: 1000, a day's queue after an outage.
	CallsBurst int
	// CallsAtOnce is how many of them may run at the same time, over all its connections: 128. Each can hold a message of
	// 256 KiB in memory, so a stolen certificate can hold 32 MiB.
	CallsAtOnce int
	// BytesPerSecond is how much of what it sends is read in the long run, calls or not: 2 MiB. Frames that are no calls
	// cost the more the smaller they are; and 200 notifications of 12 KB are as much.
	BytesPerSecond int
	// BytesBurst is how much is read at once after a rest: 16 MiB, a day's queue.
	BytesBurst int
}

func (l Limits) orDefaults() Limits {
	return Limits{cmp.Or(l.CallsPerSecond, 200), cmp.Or(l.CallsBurst, 1000), cmp.Or(l.CallsAtOnce, 128),
		cmp.Or(l.BytesPerSecond, 2<<20), cmp.Or(l.BytesBurst, 16<<20)}
}
