package envelope

import (
	"io"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// slipSize is the length of a slip code without its hyphen: nine random characters, 45 bits, and a check character.
const slipSize = 10

// NewSlipCode draws the code for a person's slip, such as 7K3F9-2MQXK, in the alphabet of references. Together with
// the reference it is the right to withdraw at any prison, so whoever holds it keeps it as they keep the slip.
func NewSlipCode(rand io.Reader) (string, error) {
	b := make([]byte, slipSize-1)
	if _, err := io.ReadFull(rand, b); err != nil {
		return "", fault.From(err)
	}
	for i := range b {
		b[i] = alphabet[b[i]&31]
	}
	return spellSlip(append(b, check(b))), nil
}

func spellSlip(code []byte) string { return string(code[:5]) + "-" + string(code[5:]) }

// ParseSlipCode returns the one spelling of a slip code as people type it: any case, spaces and hyphens anywhere. A
// wrong check character is an error that says so.
func ParseSlipCode(s string) (string, error) {
	t := strings.NewReplacer(" ", "", "-", "").Replace(strings.ToUpper(strings.TrimSpace(s)))
	bad := fault.New(fault.Invalid, "BAD_SLIP_CODE", "That is not the code of a slip. It has ten characters, such as 7K3F9-2MQXK; check each one.")
	if len(t) != slipSize {
		return "", bad
	}
	for i := range t {
		if strings.IndexByte(alphabet, t[i]) < 0 {
			return "", bad
		}
	}
	if check([]byte(t[:slipSize-1])) != t[slipSize-1] {
		return "", bad
	}
	return spellSlip([]byte(t)), nil
}

// signStopRequest makes the stop request of a withdrawal. It says the same as the withdrawal, without what a team must
// not see: the code, the method and the member of staff.
func signStopRequest(w *posternv1.Withdrawal, manifest []byte, signer *identity.Identity) (*posternv1.Signed, error) {
	payload, err := proto.Marshal(&posternv1.StopRequest{ManifestSha256: manifest, NotificationId: w.GetWithdraws(), Paths: w.GetPaths()})
	if err != nil {
		return nil, fault.From(err)
	}
	return SignStatement(signer, TypeStopRequest, payload)
}

// OpenStopRequest verifies a stop request and returns it with the desk that signed it. Certificates are judged at the
// time `at`. Whether this desk may stop this notification is not in it: the ledger's receipt says so.
func OpenStopRequest(s *posternv1.Signed, a *identity.Anchors, at time.Time) (*posternv1.StopRequest, identity.Party, error) {
	party, err := VerifyStatement(s, TypeStopRequest, a, at)
	if err != nil {
		return nil, party, err
	}
	if party.Role != posternv1.Role_ROLE_DESK {
		return nil, party, fault.New(fault.Denied, "NOT_A_DESK", "Only a prison's desk may ask a team to stop.")
	}
	r := &posternv1.StopRequest{}
	if err := unmarshalStrict(s.GetPayload(), r, "stop request"); err != nil {
		return nil, party, err
	}
	if n := len(r.GetManifestSha256()); n != 0 && n != 32 {
		return nil, party, malformed("BAD_STOP_REQUEST", "The digest in the stop request is not a SHA-256.")
	}
	return r, party, checkScope(r.GetNotificationId(), r.GetPaths())
}

// checkScope checks what is withdrawn: a notification by its id or the one spelling of its reference, and of it all,
// or some children and sections, each once.
func checkScope(withdraws string, paths []string) error {
	if !ValidID(withdraws) {
		if ref, err := ParseReference(withdraws); err != nil || ref != withdraws {
			return malformed("BAD_WITHDRAWAL", "The withdrawal does not name a notification by its id or reference.")
		}
	}
	for i, p := range paths {
		if !section.Scope(p) || slices.Contains(paths[:i], p) {
			return malformed("BAD_WITHDRAWAL", "The withdrawal names something that is neither a child nor a section, or names it twice.")
		}
	}
	return nil
}

// maxScope bounds the paths of a withdrawal: more than all sections of all children there can be.
const maxScope = 512

// checkWithdrawal checks a withdrawal and that its stop request is the same desk's and says the same.
func (v *Verified) checkWithdrawal(w *posternv1.Withdrawal, c VerifyConfig) error {
	if len(w.GetPaths()) > maxScope {
		return malformed("BAD_WITHDRAWAL", "The withdrawal names too much. Withdraw all of it.")
	}
	if err := checkScope(w.GetWithdraws(), w.GetPaths()); err != nil {
		return err
	}
	if code := w.GetSlipCode(); code != "" {
		if spelled, err := ParseSlipCode(code); err != nil || spelled != code {
			return malformed("BAD_WITHDRAWAL", "The slip code is not in its one spelling.")
		}
	} else if !ValidID(w.GetWithdraws()) {
		return malformed("BAD_WITHDRAWAL", "Without the code on the slip, a withdrawal names the notification's id.")
	}
	if w.GetMethod() == posternv1.WithdrawalMethod_WITHDRAWAL_METHOD_UNSPECIFIED || w.GetWithdraws() == v.manifest.GetNotificationId() {
		return malformed("BAD_WITHDRAWAL", "The withdrawal does not say how the person withdrew, or withdraws itself.")
	}
	stop, signer, err := OpenStopRequest(v.notification.GetStopRequest(), c.Anchors, c.At)
	if err != nil {
		return err
	}
	if signer != v.sender || stop.GetNotificationId() != w.GetWithdraws() || !slices.Equal(stop.GetPaths(), w.GetPaths()) {
		return malformed("BAD_STOP_REQUEST", "The stop request does not say what the withdrawal says.")
	}
	return nil
}

// StopRequest returns the stop request that came with a withdrawal; nil with any other statement.
func (v *Verified) StopRequest() *posternv1.Signed { return v.notification.GetStopRequest() }
