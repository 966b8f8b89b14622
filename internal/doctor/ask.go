package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/directory"
	"postern/internal/fault"
	"postern/internal/identity"
	"postern/internal/inbox"
	"postern/internal/ledger/verify"
	"postern/internal/ops"
	"postern/internal/rpc"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// How far two clocks may differ. Statements from more than five minutes ahead are refused.
const (
	skewNoticed = 5 * time.Second
	skewTooMuch = time.Minute
)

// probe asks another party whether it serves, and compares clocks.
func (e *examination) probe(ctx context.Context, check string, to identity.Party, address string) ([]*localv1.Finding, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	p, err := rpc.Probe(ctx, rpc.ClientConfig{Address: address, Identity: e.identity, Anchors: e.anchors, Want: to, Log: e.Log, Clock: e.Clock})
	switch fault.KindOf(err) {
	case fault.Unavailable, fault.Deadline:
		return []*localv1.Finding{ops.Problem(check, to.URI()+" does not answer at "+address+".",
			"Check the address and the network between here and there; then telephone whoever runs it. What is queued is safe and goes by itself.")}, err
	case fault.Unverified:
		return []*localv1.Finding{ops.Problem(check, fault.From(err).Message, "Somebody else answers at "+address+", or one of the two has wrong or old certificates. Do not work around it.")}, err
	}
	if err != nil {
		return ops.Faults(check, err), err
	}
	found := []*localv1.Finding{ops.OK(check, to.URI()+" answers and proved who it is")}
	if !p.Serving {
		found[0] = ops.Warning(check, to.URI()+" answers, but is stopping.", "Ask again in a minute.")
	}
	return append(found, clock(to, p)), nil
}

// clock is the finding about two clocks.
func clock(with identity.Party, p rpc.Probed) *localv1.Finding {
	apart := max(p.Ahead.Abs()-p.Within, 0)
	words := fmt.Sprintf("The clock here and that of %s differ by %s.", with.URI(), apart.Round(100*time.Millisecond))
	const fix = "Find out which of the two is wrong, and let it follow a time server."
	switch {
	case apart > skewTooMuch:
		return ops.Problem("clock", words, fix)
	case apart > skewNoticed:
		return ops.Warning("clock", words, fix)
	}
	return ops.OK("clock", fmt.Sprintf("agrees with %s to %s", with.URI(), (apart+p.Within).Round(time.Millisecond)))
}

// inside asks the party itself.
func (e *examination) inside(ctx context.Context) {
	conn, done, err := e.open(ctx)
	if err != nil {
		e.add(ops.Faults("database", err)...)
		return
	}
	if conn == nil {
		return
	}
	defer done()
	answer, err := localv1.NewOperationsServiceClient(conn).Examine(ctx, &localv1.ExamineRequest{})
	if err != nil {
		e.add(ops.Faults("party", err)...)
		return
	}
	e.add(answer.GetFindings()...)
	e.peers(ctx, answer.GetPeers())
}

// open connects to the party that serves, or builds it in this process; nil for one that was never started, or that cannot start with the certificate it has.
func (e *examination) open(ctx context.Context) (*grpc.ClientConn, func(), error) {
	conn, err := rpc.DialLocal(e.Socket())
	if err == nil {
		e.add(ops.OK("process", "serves"))
		return conn, func() { conn.Close() }, nil
	}
	if fault.KindOf(err) != fault.Unavailable {
		return nil, nil, err
	}
	start := "postern " + e.Kind() + " serve --config " + e.Config
	if _, err := os.Stat(e.Database()); e.Database() != "" && errors.Is(err, fs.ErrNotExist) {
		e.add(ops.Warning("process", "The party does not serve, and has no database yet.", start))
		return nil, nil, nil
	}
	e.add(ops.Warning("process", "The party does not serve.", start))
	if e.identity == nil {
		return nil, nil, nil // it cannot be built, and was said why
	}
	s, err := e.Build(ctx, config.NewRuntime(e.Log))
	if err != nil {
		return nil, nil, err
	}
	conn, stop, err := rpc.InProcess(rpc.LocalConfig{Log: e.Log}, s.Local)
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	return conn, func() { stop(); s.Close() }, nil
}

// logKeys holds the newest generation of each log that the configuration has a verifier key for against what the hub signs:
// a key that was mistyped, or is another hub's, looks like any other until then.
func (e *examination) logKeys(ctx context.Context, up config.Upstream) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	conn, err := e.dial(up)
	if err != nil {
		e.add(ops.Faults(logKey, err)...)
		return
	}
	defer conn.Close()
	origins := up.LogKeys.Origins()
	for _, origin := range origins {
		if slices.ContainsFunc(origins, func(next string) bool { return verify.Succeeds(origin, next) }) {
			continue
		}
		out, err := posternv1.NewAuditServiceClient(conn).GetCheckpoint(ctx, &posternv1.GetCheckpointRequest{Origin: origin})
		if fault.KindOf(err) == fault.NotFound {
			e.add(ops.Problem(logKey, "The hub has no log "+origin+" for this party, and there is a verifier key of it.", logKeyFix))
			continue
		}
		if err == nil {
			_, err = verify.Checkpoint(out.GetCheckpoint(), up.LogKeys)
		}
		switch f := fault.From(err); {
		case err == nil:
			e.add(ops.OK(logKey, "the hub signs "+origin+" with one that is here"))
		case f.Kind == fault.Unverified:
			e.add(ops.Problem(logKey, f.Message, logKeyFix))
		default:
			e.add(ops.Faults(logKey, err)...)
		}
	}
}

// logKey names the findings about the verifier keys of the hub's logs.
const (
	logKey    = "log key"
	logKeyFix = "The hub's operator has them in the .vkey files: that of the sent log for hub.log_keys, that of the received log for an inbox's hub.received_keys; an auditor has both under hub.log_keys."
)

// enrolment holds the directory of the hub against what this inbox has.
func (e *examination) enrolment(ctx context.Context, c *config.Inbox, up config.Upstream) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	d, err := e.directory(ctx, up)
	if err != nil {
		e.add(ops.Faults("directory", err)...)
		return
	}
	me, now := e.identity.Party().ID, e.Clock()
	a, ok := d.Authority(me)
	if !ok {
		e.add(ops.Problem("directory", "The hub's directory does not name this authority, so nothing comes.", "Ask the hub's operator to load a directory with "+me+" in it."))
		return
	}
	e.add(ops.OK("directory", fmt.Sprintf("revision %d names %s", d.Number(), a.GetName())))
	key, ok := d.RecipientKey(me)
	if !ok {
		e.add(ops.Problem("recipient key", "The directory has no recipient key of this authority, so nothing can be sealed to it.", "Give the hub's operator its signed statement, the .signed file in the key folder, for recipient_key_file. Where there is none: postern inbox new-key."))
		return
	}
	keys, err := inbox.LoadKeys(c.KeyDir())
	if err != nil {
		e.add(ops.Faults("recipient key", err)...)
		return
	}
	if _, ok := keys[key.GetKeyId()]; !ok {
		e.add(ops.Problem("recipient key", "Desks seal to a recipient key whose private part is not in the key folder.", "Restore the key folder from its backup. Until then no delivery can be opened; they wait at the hub."))
		return
	}
	e.add(ops.Expiry("recipient key", "The recipient key that desks seal to", key.GetExpireTime().AsTime(), now,
		"The inbox makes and publishes the next one by itself while it serves; now: postern inbox rotate-key."))
	for _, u := range d.Unsigned() {
		if slices.Contains(u.GetAuthorities(), me) {
			e.add(ops.Warning("agreement "+u.GetId(), u.Words(), u.Fix()))
		}
	}
	for _, ending := range d.Ending(now, 60) {
		if ending.Authority == me {
			e.add(ops.Warning("agreement "+ending.GetId(), fmt.Sprintf("The agreement with %s ends on %s, and nothing goes on.", ending.Prison, ending.GetEndDate()), "Sign the next one with the prison; the hub's operator loads it."))
		}
	}
}

func (e *examination) dial(up config.Upstream) (*rpc.Conn, error) {
	return rpc.Dial(rpc.ClientConfig{Address: up.Address, Identity: e.identity, Anchors: e.anchors, Want: up.Party, Log: e.Log, Clock: e.Clock})
}

// directory fetches the hub's directory whole and verifies it.
func (e *examination) directory(ctx context.Context, up config.Upstream) (*directory.Directory, error) {
	conn, err := e.dial(up)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	req := &posternv1.ListAuthoritiesRequest{}
	var entries [][]byte
	first := true
	for {
		page, err := posternv1.NewDirectoryServiceClient(conn).ListAuthorities(ctx, req)
		if err != nil {
			return nil, err
		}
		if h, err := verify.Checkpoint(page.GetCheckpoint(), up.LogKeys); first && err == nil { // or it is said already
			if _, err = verify.Checkpoint(page.GetCheckpoint(), up.Sent); err != nil {
				e.add(ops.Problem(logKey, "The verifier key of "+h.Origin+", the sent log, is not under hub.log_keys.", logKeyFix))
			}
		}
		first = false
		if page.GetRevision() == nil {
			return directory.Empty(), nil
		}
		entries = append(entries, page.GetEntries()...)
		if req.PageToken = page.GetNextPageToken(); req.PageToken == "" {
			return directory.Open(page.GetRevision(), entries, e.anchors, e.Clock())
		}
	}
}
