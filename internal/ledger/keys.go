package ledger

import (
	"crypto/ed25519"
	"encoding/base64"
	"io"
	"slices"
	"strings"

	"golang.org/x/mod/sumdb/note"

	"postern/internal/fault"
	"postern/internal/ledger/verify"
)

// Keys are the signer keys of the logs, in the note format (PRIVATE+KEY+name+hash+key). The name of a key is the
// origin of its log.
//
// While a log changes its key, the next one is given too: every checkpoint then carries both signatures, so whoever
// trusts either key goes on. Opening the ledger signs the newest checkpoint with what it lacks, so that the next key
// may become the only one at any later start, with or without new events.
type Keys struct {
	Sent         string
	Received     string
	NextSent     string // empty when the key does not change
	NextReceived string
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

func (l *Ledger) useKeys(k Keys, earlier []string) error {
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
	trusted := l.vkeys[:]
	for _, g := range logs {
		skey := strings.TrimSpace(map[Log]string{Sent: k.NextSent, Received: k.NextReceived}[g])
		if skey == "" {
			continue
		}
		vkey, err := VerifierKey(skey)
		if err != nil {
			return err
		}
		next, err := note.NewSigner(skey)
		if err != nil {
			return err
		}
		if next.Name() != (*l.signers.of(g)).Name() {
			return fault.Newf(fault.Invalid, "LEDGER_ORIGIN", "The next key of the %s log must have the name of its present one.", g)
		}
		*l.next.of(g), trusted = next, append(trusted, vkey)
	}
	var err error
	if l.keys, err = verify.NewKeys(trusted...); err != nil {
		return err
	}
	seenBy := slices.Concat(trusted, earlier)
	slices.Sort(seenBy)
	l.seenBy, err = verify.NewKeys(slices.Compact(seenBy)...) // an earlier one may be in use still
	return err
}

// with are those who sign the checkpoints of a log.
func (l *Ledger) with(g Log) []note.Signer {
	signers := []note.Signer{*l.signers.of(g)}
	if next := *l.next.of(g); next != nil {
		signers = append(signers, next)
	}
	return signers
}

// complete returns a checkpoint with all our signatures: the same, or signed again when it lacks one, as when a key is
// about to change. The head stays what it is: this shows nobody anything new.
func (l *Ledger) complete(g Log, p published) (checkpoint string, err error) {
	n, err := note.Open([]byte(p.checkpoint), l.keys.Verifiers(p.Origin))
	if err != nil {
		return "", err
	}
	for _, s := range l.with(g) {
		if !slices.ContainsFunc(n.Sigs, func(sig note.Signature) bool { return sig.Hash == s.KeyHash() }) {
			again, err := l.sign(g, p.Head)
			return again.checkpoint, err
		}
	}
	return p.checkpoint, nil
}

// sign signs the checkpoint of a head, and checks the signature: one computed wrongly would be public evidence against
// an honest log.
func (l *Ledger) sign(g Log, h verify.Head) (published, error) {
	signed, err := note.Sign(&note.Note{Text: h.Text()}, l.with(g)...)
	if err != nil {
		return published{}, err
	}
	if got, err := verify.Checkpoint(string(signed), l.keys); err != nil || got != h {
		return published{}, selfCheck(g, "the new checkpoint")
	}
	return published{Head: h, checkpoint: string(signed)}, nil
}
