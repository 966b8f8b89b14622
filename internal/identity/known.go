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
// Whether a chain holds depends on the anchors and their lists, which never change within a trust, on its bytes, which
// are the key, and on the time. What is remembered is therefore not "it holds" but the party and the ways up to an
// anchor, each with when it holds. A moment at which one of them holds would find the same way up again. Any other
// moment says nothing, and is judged afresh: nothing is ever refused from memory.
type known struct {
	mu     sync.RWMutex // guards chains
	chains map[chainKey]vouched
}

// vouched is what the anchors say about one chain.
type vouched struct {
	party Party
	leaf  *x509.Certificate
	ways  []way
}

// way is one way from a leaf up to an anchor: the time in which all of its certificates are valid, both moments included
// (RFC 5280 section 4.1.2.5), and what the revocation lists say of them.
type way struct {
	from, to time.Time
	revoked  time.Time // when the first of its certificates was revoked; zero for never
	current  time.Time // until when that is known; zero where the anchor has no lists
	unlisted bool      // an authority on the way has no list, though its anchor has some
}

// newWay draws together the certificates of a way, leaf first; l is nil where the anchor has no lists.
func newWay(certs []*x509.Certificate, l *lists) way {
	w := way{from: certs[0].NotBefore, to: certs[0].NotAfter}
	for i, issuer := range certs[1:] {
		if issuer.NotBefore.After(w.from) {
			w.from = issuer.NotBefore
		}
		if issuer.NotAfter.Before(w.to) {
			w.to = issuer.NotAfter
		}
		if l != nil {
			w.look(certs[i], issuer, l)
		}
	}
	return w
}

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

// Chain is a chain of certificates, such as that of a connection, with what it is remembered by, which is reckoned once. The
// zero Chain is nobody's.
type Chain struct {
	certs []*x509.Certificate
	key   chainKey
}

// ChainOf makes a Chain of certificates, leaf first, that nobody changes from here on.
func ChainOf(certs []*x509.Certificate) Chain {
	return Chain{certs, keyOf(certs, func(c *x509.Certificate) []byte { return c.Raw })}
}

// Known returns what Verify would for a chain that it has vouched for before, at a time in which that holds, and the
// leaf; without reading the certificates again. False says nothing: the caller asks Verify.
func (a *Anchors) Known(chain [][]byte, at time.Time) (Party, *x509.Certificate, bool) {
	return a.trust.Load().known.find(keyOf(chain, func(der []byte) []byte { return der }), at)
}

func (k *known) find(key chainKey, at time.Time) (Party, *x509.Certificate, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	if v, ok := k.chains[key]; ok {
		for _, w := range v.ways {
			if w.holds(at) == nil {
				return v.party, v.leaf, true
			}
		}
	}
	return Party{}, nil, false
}

// learn remembers a chain.
func (k *known) learn(key chainKey, v vouched) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.chains == nil || len(k.chains) >= maxKnown {
		k.chains = map[chainKey]vouched{} // rare enough to begin again
	}
	k.chains[key] = v
}
