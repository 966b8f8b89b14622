package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
)

// Keys are the signer keys of the logs, in the note format (PRIVATE+KEY+name+hash+key). The name of a key is the
// origin of its log.
type Keys struct {
	Sent     string
	Received string
}

// GenerateKey makes an Ed25519 key for the log with an origin, such as hub.example/sent: skey signs and is kept secret
// by the hub, vkey is given to all who verify. An origin has no spaces and no plus.
func GenerateKey(rand io.Reader, origin string) (skey, vkey string, err error) {
	if skey, vkey, err = note.GenerateKey(rand, origin); err != nil {
		return "", "", fault.New(fault.Internal, "LEDGER_KEY", "No key could be made for the log.").Because(err)
	}
	if _, err := note.NewVerifier(vkey); err != nil {
		return "", "", fault.Newf(fault.Invalid, "LEDGER_ORIGIN", "%.100q cannot name a log: leave out spaces and plus signs.", origin)
	}
	return skey, vkey, nil
}

// VerifierKey derives the verifier key from a signer key.
func VerifierKey(skey string) (vkey string, err error) {
	malformed := fault.New(fault.Invalid, "LEDGER_KEY_MALFORMED",
		"A signer key of the ledger is malformed. Copy the whole line: PRIVATE+KEY+name+hash+key.")
	skey = strings.TrimSpace(skey)
	s, err := note.NewSigner(skey)
	if err != nil {
		return "", malformed // not because of err: it may quote the key
	}
	// NewSigner has checked that there are five parts; the last is one byte of algorithm and 32 of seed, in base64,
	// which may hold a plus of its own.
	seed, err := base64.StdEncoding.DecodeString(strings.SplitN(skey, "+", 5)[4])
	if err != nil || len(seed) != 1+ed25519.SeedSize {
		return "", malformed
	}
	public := ed25519.NewKeyFromSeed(seed[1:]).Public().(ed25519.PublicKey)
	return note.NewEd25519VerifierKey(s.Name(), public)
}

func (l *Ledger) useKeys(k Keys) error {
	for _, g := range logs {
		skey := strings.TrimSpace(map[Log]string{Sent: k.Sent, Received: k.Received}[g])
		vkey, err := VerifierKey(skey)
		if err != nil {
			return err
		}
		*l.vkeys.of(g) = vkey
		if *l.signers.of(g), err = note.NewSigner(skey); err != nil {
			return err
		}
	}
	if l.signers[0].Name() == l.signers[1].Name() {
		return fault.New(fault.Invalid, "LEDGER_ORIGIN", "The two logs need two origins.")
	}
	var err error
	l.keys, err = verify.NewKeys(l.vkeys[:]...)
	return err
}

// sign signs the checkpoint of a head, and checks the signature: one computed wrongly would be public evidence against
// an honest log.
func (l *Ledger) sign(g Log, h verify.Head) (published, error) {
	signed, err := note.Sign(&note.Note{Text: h.Text()}, *l.signers.of(g))
	if err != nil {
		return published{}, err
	}
	if got, err := verify.Checkpoint(string(signed), l.keys); err != nil || got != h {
		return published{}, selfCheck(g, "the new checkpoint")
	}
	return published{Head: h, checkpoint: string(signed)}, nil
}
