package stranger

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	logpb "postern/proto/postern/log/v1"
	pb "postern/proto/postern/v1"
)

// Event is a receipt that holds.
type Event struct {
	ID         []byte
	Kind       logpb.Kind
	Core       *logpb.Core
	Index      uint64
	Checkpoint *Checkpoint
}

// Receipt checks everything about a receipt but what the event is about.
func (k Keys) Receipt(r *pb.Receipt) (*Event, error) {
	leaf := r.GetLeaf()
	if len(leaf) != 54 || leaf[0] != 1 || leaf[17] == 0 || len(r.DetailsSha256) != 32 || len(r.Opening) != 32 {
		return nil, errors.New("no leaf")
	}
	mac := hmac.New(sha256.New, r.Opening)
	mac.Write(digest(r.Core))
	mac.Write(r.DetailsSha256)
	if !bytes.Equal(mac.Sum(nil), leaf[22:]) {
		return nil, errors.New("the commitment does not open")
	}
	e := &Event{ID: leaf[1:17], Kind: logpb.Kind(leaf[17]), Core: &logpb.Core{}}
	if err := proto.Unmarshal(r.Core, e.Core); err != nil {
		return nil, err
	}
	if e.Core.EventTime.CheckValid() != nil || e.Core.EventTime.Seconds/3600 != int64(binary.BigEndian.Uint32(leaf[18:])) {
		return nil, errors.New("another hour")
	}
	path, index, cp, err := k.proof(r.TlogProof)
	if err != nil {
		return nil, err
	}
	e.Index, e.Checkpoint = index, cp
	return e, included(leafHash(leaf), index, path, cp)
}

// proof reads a tlog-proof without an extra line.
func (k Keys) proof(text string) ([]Hash, uint64, *Checkpoint, error) {
	fail := func(format string, args ...any) ([]Hash, uint64, *Checkpoint, error) {
		return nil, 0, nil, fmt.Errorf("proof: "+format, args...)
	}
	head, signed, ok := strings.Cut(text, "\n\n")
	lines := strings.Split(head, "\n")
	if !ok || len(lines) < 2 || len(lines) > 66 || lines[0] != "c2sp.org/tlog-proof@v1" {
		return fail("not in its form")
	}
	number, ok := strings.CutPrefix(lines[1], "index ")
	index, err := decimal(number)
	if !ok || err != nil {
		return fail("no index")
	}
	var path []Hash
	for _, l := range lines[2:] {
		h, err := readHash(l)
		if err != nil {
			return fail("%v", err)
		}
		path = append(path, h)
	}
	cp, err := k.Checkpoint(signed)
	if err != nil {
		return fail("%w", err)
	}
	return path, index, cp, nil
}

// continues checks that one tree continues another.
func continues(p *pb.ConsistencyProof, old, now *Checkpoint) error {
	if p.GetOrigin() != now.Origin || p.GetOldSize() != old.Size || p.GetNewSize() != now.Size {
		return errors.New("the proof is about something else")
	}
	if old.Size == now.Size {
		if old.Root != now.Root {
			return errors.New("two roots of one size")
		}
		return nil
	}
	if old.Size == 0 {
		return nil
	}
	var path []Hash
	for _, h := range p.Hashes {
		if len(h) != 32 {
			return errors.New("no hash")
		}
		path = append(path, Hash(h))
	}
	return consistent(path, old, now)
}

// find takes the proof between two sizes of one log.
func find(proofs []*pb.ConsistencyProof, old, now *Checkpoint) *pb.ConsistencyProof {
	for _, p := range proofs {
		if p.Origin == now.Origin && p.OldSize == old.Size && p.NewSize == now.Size {
			return p
		}
	}
	return nil
}
