package identity

import (
	"crypto/x509"
	"encoding/binary"
	"math/big"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A way holds at a moment exactly when each of its certificates does: it is valid then, and the list of who signed it is
// there, is current and has not revoked it by then.
func TestAWayHoldsWhenAllOfItDoes(t *testing.T) {
	start := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	rapid.Check(t, func(t *rapid.T) {
		second := func(what string, from, to int) time.Time {
			return start.Add(time.Duration(rapid.IntRange(from, to).Draw(t, what)) * time.Second)
		}
		certs := make([]*x509.Certificate, rapid.IntRange(2, 4).Draw(t, "certificates"))
		l := &lists{by: map[string]list{}}
		for i := range certs {
			key := strconv.Itoa(i)
			certs[i] = &x509.Certificate{RawSubjectPublicKeyInfo: []byte(key), SerialNumber: big.NewInt(int64(i)),
				NotBefore: second("from", 0, 8), NotAfter: second("to", 10, 30)}
			if rapid.IntRange(0, 9).Draw(t, "has a list") > 0 {
				of := list{until: second("until", 8, 30), revoked: map[string]time.Time{}}
				for n := range certs {
					if rapid.IntRange(0, 3).Draw(t, "revokes") == 0 {
						of.revoked[strconv.Itoa(n)] = second("revoked", 0, 30)
					}
				}
				l.by[key] = of
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "without lists") == 0 {
			l = nil
		}
		w := newWay(certs, l)
		for at := start; at.Before(start.Add(32 * time.Second)); at = at.Add(time.Second) {
			want := true
			for i, c := range certs {
				want = want && !at.Before(c.NotBefore) && !at.After(c.NotAfter)
				if l == nil || i == len(certs)-1 {
					continue
				}
				of, ok := l.by[string(certs[i+1].RawSubjectPublicKeyInfo)]
				revoked, is := of.revoked[c.SerialNumber.String()]
				want = want && ok && !at.After(of.until) && !(is && !at.Before(revoked))
			}
			if got := w.holds(at); (got == nil) != want {
				t.Fatalf("at %v: %v, want %v of %+v", at, got, want, w)
			}
		}
	})
}

// What is remembered is bounded, and what comes does not drive out what is there before that.
func TestWhatIsRememberedIsBounded(t *testing.T) {
	var k known
	moment := time.Unix(1, 0)
	key := func(i int) (c chainKey) {
		binary.BigEndian.PutUint64(c[:], uint64(i))
		return c
	}
	for i := range 2*maxKnown + 5 {
		k.learn(key(i), vouched{ways: []way{{from: moment, to: moment}}})
		if len(k.chains) > maxKnown {
			t.Fatalf("%d are remembered", len(k.chains))
		}
		if _, _, ok := k.find(key(i-i%maxKnown), moment); !ok {
			t.Fatalf("after %d the first is forgotten", i)
		}
	}
}
