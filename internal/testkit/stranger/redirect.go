package stranger

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

const redirectType = "redirect.v1"

// PassOn passes a notification on to the authority of a key, with the sections of all children or of some, and returns
// what the hub decided about it.
func (i *Inbox) PassOn(ctx context.Context, it *Item, to *posternv1.RecipientKey, children ...int) (*posternv1.Decision, error) {
	i.mu.Lock()
	n, err := i.redirected(it, to, children)
	i.mu.Unlock()
	if err != nil {
		return nil, err
	}
	redirect := &posternv1.Redirect{}
	if err := proto.Unmarshal(n.GetRedirections()[0].GetRedirect().GetPayload(), redirect); err != nil {
		return nil, err
	}
	signed, err := i.report(&posternv1.Report{DeliveryId: it.Delivery, ManifestSha256: it.Digest, Report: &posternv1.Report_Redirect{Redirect: redirect}})
	if err != nil {
		return nil, err
	}
	a, err := i.send(ctx, &posternv1.ReportRequest{Signed: signed, Redirected: n})
	return a.GetDecision(), err
}

// redirected is a notification as it came, or what of it is about some children, with the keys of its sections.
func (i *Inbox) redirected(it *Item, to *posternv1.RecipientKey, children []int) (*posternv1.SealedNotification, error) {
	n := proto.CloneOf(it.Sealed)
	n.Sections = slices.DeleteFunc(n.Sections, func(s *posternv1.SealedSection) bool {
		_, child, err := lookup(s.GetPath())
		return err != nil || child > 0 && len(children) > 0 && !slices.Contains(children, child)
	})
	n.Facts = slices.DeleteFunc(n.Facts, func(b []byte) bool {
		f := &posternv1.FactsBlock{}
		return proto.Unmarshal(b, f) != nil || len(children) > 0 && !slices.Contains(children, int(f.GetChild().GetNumber()))
	})
	offer, id := it.Manifest.GetOffer(), it.NotificationID
	ours, err := Unsealing(i.seeds[offer.GetRecipientKeyId()], offer.GetEncapsulatedKey(), id, it.Sender.URI, offer.GetRecipientKeyId())
	if err != nil {
		return nil, err
	}
	theirs, encapsulated, err := NewSealing(to.GetPublicKey(), id, i.Self.URI)
	if err != nil {
		return nil, err
	}
	payload, err := proto.Marshal(&posternv1.Redirect{ManifestSha256: it.Digest, Authority: to.GetAuthority(), RecipientKeyId: to.GetKeyId()})
	if err != nil {
		return nil, err
	}
	r := &posternv1.Redirection{EncapsulatedKey: encapsulated}
	if r.Redirect, err = i.Self.Sign(redirectType, payload); err != nil {
		return nil, err
	}
	for _, s := range n.GetSections() {
		key, err := ours.Key(s.GetPath())
		if err != nil {
			return nil, err
		}
		wrapped, err := theirs.SealPlaintext(s.GetPath(), key)
		if err != nil {
			return nil, err
		}
		r.SectionKeys = append(r.SectionKeys, wrapped)
	}
	n.Redirections = []*posternv1.Redirection{r}
	return n, nil
}

// passed is who passed a delivery on, and to whom; nil for one that came from the prison.
type passed struct {
	by Party
	*posternv1.Redirect
	*posternv1.Redirection
}

// readRedirect checks the one redirection of a notification, as it was when the hub decided about it.
func (t *Trust) readRedirect(n *posternv1.SealedNotification, at time.Time) (*passed, error) {
	all := n.GetRedirections()
	if len(all) != 1 {
		return nil, errors.New("not passed on once")
	}
	by, err := t.Signer(all[0].GetRedirect(), redirectType, at)
	if err != nil {
		return nil, err
	}
	p := &passed{by, &posternv1.Redirect{}, all[0]}
	if err := read(all[0].GetRedirect().GetPayload(), p.Redirect); err != nil {
		return nil, err
	}
	var of, keyed []string
	for _, s := range n.GetSections() {
		of = append(of, s.GetPath())
	}
	for _, s := range all[0].GetSectionKeys() {
		keyed = append(keyed, s.GetPath())
	}
	slices.Sort(of)
	slices.Sort(keyed)
	if by.Kind != "inbox" || !bytes.Equal(p.GetManifestSha256(), hash(n.GetManifest().GetPayload())) || !slices.Equal(of, keyed) {
		return nil, errors.New("not the redirect of this notification, with a key for each section")
	}
	return p, nil
}

// open opens the sections of what was passed on, with our own key.
func (p *passed) open(seed []byte, id string, sections []*posternv1.SealedSection) (map[string]proto.Message, error) {
	s, err := Unsealing(seed, p.GetEncapsulatedKey(), id, p.by.URI, p.GetRecipientKeyId())
	if err != nil {
		return nil, err
	}
	keys := map[string][]byte{}
	for _, wrapped := range p.GetSectionKeys() {
		if keys[wrapped.GetPath()], err = s.OpenPlaintext(wrapped); err != nil || len(keys[wrapped.GetPath()]) != 32 {
			return nil, errors.Join(err, errors.New("no key of a section"))
		}
	}
	// The keys that were handed over stand in the place of those that the desk's context would give.
	desks := &Sealing{id: id, export: func(context string, _ int) ([]byte, error) {
		for path, key := range keys {
			if string(Frame(path)) == context {
				return key, nil
			}
		}
		return nil, errors.New("no key for this section")
	}}
	out := map[string]proto.Message{}
	for _, sealed := range sections {
		if out[sealed.GetPath()], err = desks.Open(sealed); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// first holds a delivery that was passed on against the decision by which the team that did so got it.
func (i *Inbox) first(d *posternv1.Delivery, p *Proven) (*Proven, error) {
	f, err := ReadReceipt(d.GetFirstReceipt(), i.Sent)
	if err != nil {
		return nil, err
	}
	among := !slices.ContainsFunc(p.Core.GetSectionsSha256(), func(s []byte) bool {
		return !slices.ContainsFunc(f.Core.GetSectionsSha256(), func(o []byte) bool { return bytes.Equal(s, o) })
	})
	if f.Kind != logv1.Kind_KIND_DECIDED || f.Core.GetOutcome() != posternv1.Outcome_OUTCOME_SHARE || !among ||
		!bytes.Equal(f.EventID, p.Core.GetFollowsEvent()) || !bytes.Equal(f.Core.GetManifestSha256(), p.Core.GetManifestSha256()) {
		return nil, errors.New("not what follows from the first decision")
	}
	return f, nil
}
