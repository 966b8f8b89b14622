package testkit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"postern/internal/desk"
	"postern/internal/form/formtest"
	"postern/internal/postcode"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// What can be exchanged between two authorities, by mistake or by somebody's will.
const (
	swapEndpoint    = 1 << iota // the directory has Lancashire's address for Bristol
	swapKey                     // Bristol's key statement, which Bristol signed, is of the key that Lancashire holds
	swapCode                    // staff chose Lancashire for a child who lives in Bristol
	swapRow                     // the rows of the directory are exchanged, with address and key
	swapCertificate             // the machines at the two addresses have each other's certificates
	swaps
)

func namesOf(mask int) string {
	var all []string
	for i, name := range []string{"endpoint", "key", "code", "row", "certificate"} {
		if mask&(1<<i) != 0 {
			all = append(all, name)
		}
	}
	return strings.Join(all, "+")
}

// stopped is how a swapped world ends before anything is sent: the operator or a member of staff is refused, and so must decide.
type stopped struct{ testing.TB }

type refusal string

func (s stopped) Fatal(args ...any) { panic(refusal(fmt.Sprint(args...))) }

// Exchange endpoint, key, code, row and certificate of two authorities in every combination: neither team is shown
// anything, and a person decides. The machines meet over TLS.
func TestNothingIsDeliveredToTheWrongAuthority(t *testing.T) {
	ends := map[string]int{}
	for mask := range swaps {
		t.Run(namesOf(mask), func(t *testing.T) {
			shown, state, refused := swapped(t, mask)
			switch {
			case mask == 0: // the control: as it should be, it is delivered
				if shown != 1 || state != localv1.State_STATE_DELIVERED || refused != "" {
					t.Errorf("%d shown, the desk shows %v, %s", shown, state, refused)
				}
				return
			case shown > 0:
				t.Errorf("%d were shown to a team", shown)
			}
			end := state.String()
			if refused != "" {
				end = "refused: " + refused
			} else if state != localv1.State_STATE_REFERRED && state != localv1.State_STATE_UNDELIVERED {
				t.Errorf("the desk shows %v: nobody decides", state)
			}
			ends[end]++
			t.Log(end)
		})
	}
	t.Logf("%d combinations: %v", swaps-1, ends)
}

// swapped plays one combination: what both teams see in the end, and what the desk shows; or with what words the
// operator, or the member of staff, was refused.
func swapped(t *testing.T, mask int) (shown int, state localv1.State, refused string) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case refusal:
			refused, _, _ = strings.Cut(string(r), "\n")
		default:
			panic(r)
		}
	}()
	x := NewOverTLS(t, func(c *Config) { c.NoDirectory = true })
	listeners := map[string]string{}
	for _, code := range []string{Bristol, Lancashire} {
		l := x.Listen()
		listeners[code] = l.Addr().String()
		in := x.Exchange.Inbox(code)
		certified := code
		if mask&swapCertificate != 0 {
			certified = other(code)
		}
		x.serve(x.Identity(inboxPath(certified)), l, func(r grpc.ServiceRegistrar) { posternv1.RegisterInboxServiceServer(r, in.Inbox) })
	}
	r := Register{Address: map[string]string{}, Keys: map[string]*posternv1.Signed{}}
	for _, code := range []string{Bristol, Lancashire} {
		at, key := code, code
		if code == Bristol && mask&swapEndpoint != 0 {
			at = other(at)
		}
		signer := key
		if code == Bristol && mask&swapKey != 0 {
			key = other(key)
		}
		if mask&swapRow != 0 {
			at, key, signer = other(at), other(key), other(signer)
		}
		r.Address[code] = listeners[at]
		r.Keys[code] = value(x.cast.recipients[key].Publish(x.Identity(inboxPath(signer)), 1, enrolled(), x.keyEnd(code)))(t)
	}
	x.t = stopped{t}
	x.LoadDirectory(1, r)
	d := x.Exchange.Desk(HMPParc)
	d.Restart(func(c *desk.Config) { c.Postcodes = value(postcode.Sample())(t) })
	value(d.StepDirectory(t.Context()))(t)
	f := formtest.New(Bristol)
	f.Children[0].Home.Postcode = "ZZ89 1DS" // of Bristol, in the sample
	if mask&swapCode != 0 {
		f.Children[0].Authority = Lancashire
		f.Consent.Authorities = nil
	}
	ids := d.Take(f)
	x.t = t
	for range 30 { // past every patience, and the hour in which a desk hears
		x.Settle()
		x.Clock.Advance(time.Hour)
	}
	x.Settle()
	for _, code := range []string{Bristol, Lancashire} {
		shown += len(x.Exchange.Inbox(code).Items())
	}
	return shown, d.State(ids[0]), ""
}

func other(code string) string {
	if code == Bristol {
		return Lancashire
	}
	return Bristol
}
