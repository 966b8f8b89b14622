package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"sync"
	"time"
)

// maxKnown bounds the memory of verified chains. Only chains that an anchor vouches for are remembered, so no stranger
// can fill it; a trust domain has a few hundred parties.
const maxKnown = 4096

// known remembers which chains the anchors vouch for, so that a party's tenth call does not check the same signatures
// of the same authorities again.
//
// Whether a chain holds depends on the anchors, which never change, on its bytes, which are the key, and on the time.
// What is remembered is therefore not "it holds" but the party and the spans of time in which it does: for each way up
// to an anchor, the time in which all of its certificates are valid. A moment in one of these spans would find the same
// way up again. A moment outside of all says nothing, and is judged afresh: nothing is ever refused from memory.
//
// Revocation is no part of it: whoever asks whether a certificate was revoked asks every time.
type known struct {
	mu     sync.RWMutex // guards chains
	chains map[chainKey]vouched
}

// vouched is what the anchors say about one chain.
type vouched struct {
	party Party
	leaf  *x509.Certificate
	spans []span
}

// span is a time from one moment to another, both included (RFC 5280 section 4.1.2.5).
type span struct{ from, to time.Time }

func (s span) holds(at time.Time) bool { return !at.Before(s.from) && !at.After(s.to) }

// chainKey identifies a chain by every byte of every certificate, in order.
type chainKey [sha256.Size]byte

func keyOf[C any](chain []C, der func(C) []byte) chainKey {
	h := sha256.New()
	for _, c := range chain {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(der(c)))))
		h.Write(der(c))
	}
	return chainKey(h.Sum(nil))
}

// Known returns what Verify would for a chain that it has vouched for before, at a time in which that holds, and the
// leaf; without reading the certificates again. False says nothing: the caller asks Verify.
func (a *Anchors) Known(chain [][]byte, at time.Time) (Party, *x509.Certificate, bool) {
	return a.known.find(keyOf(chain, func(der []byte) []byte { return der }), at)
}

func (k *known) find(key chainKey, at time.Time) (Party, *x509.Certificate, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if v, ok := k.chains[key]; ok {
		for _, s := range v.spans {
			if s.holds(at) {
				return v.party, v.leaf, true
			}
		}
	}
	return Party{}, nil, false
}

// learn remembers the ways up that crypto/x509 found for a chain.
func (k *known) learn(key chainKey, party Party, ways [][]*x509.Certificate) {
	v := vouched{party: party, leaf: ways[0][0]}
	for _, way := range ways {
		s := span{way[0].NotBefore, way[0].NotAfter}
		for _, c := range way[1:] {
			if c.NotBefore.After(s.from) {
				s.from = c.NotBefore
			}
			if c.NotAfter.Before(s.to) {
				s.to = c.NotAfter
			}
		}
		v.spans = append(v.spans, s)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.chains == nil || len(k.chains) >= maxKnown {
		k.chains = map[chainKey]vouched{} // rare enough to begin again
	}
	k.chains[key] = v
}
