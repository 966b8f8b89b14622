package world

import (
	"crypto/x509"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"postern/internal/fault"
	hubledger "postern/internal/ledger"
	"postern/internal/schema"
	"postern/internal/section"
	"postern/internal/testkit"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// passedOn is what a team passed on to an authority, or began to.
type passedOn struct {
	asked     bool     // somebody passed it on there, whatever came of that
	all       bool     // all children
	children  []uint32 // or these
	delivered map[[32]byte]bool
	shown     [32]byte
	stopped   []scope // stop requests that the inbox there acknowledged
}

func (n *notification) copyAt(authority string) *passedOn {
	if n.copies[authority] == nil {
		n.copies[authority] = &passedOn{delivered: map[[32]byte]bool{}}
	}
	return n.copies[authority]
}

func (w *World) stepRedirects() {
	code := pick(w, authorities)
	w.alone("inbox-"+code, "redirects", w.Inbox(code).StepRedirects)
}

// passOn is a team that finds a child in another area.
func (w *World) passOn() {
	code, which, few := pick(w, authorities), w.rand.IntN(1<<20), w.rand.IntN(3) == 0
	to := pick(w, []string{testkit.Bristol, testkit.Lancashire})
	if to == code {
		to = testkit.Wrexham
		if w.rand.IntN(6) > 0 {
			to = map[string]string{testkit.Bristol: testkit.Lancashire, testkit.Lancashire: testkit.Bristol}[code]
		}
	}
	if !w.runs("inbox-" + code) {
		return
	}
	items := slices.DeleteFunc(w.Inbox(code).Items(), func(i *localv1.Item) bool { return len(i.GetPaths()) == 0 })
	if len(items) == 0 {
		return
	}
	item := items[which%len(items)]
	n := w.ledger.notifications[item.GetId()]
	req := &localv1.RedirectItemRequest{Id: item.GetId(), Authority: to}
	for _, p := range item.GetPaths() {
		if number, ok := section.ChildOf(p); few && ok {
			req.Children = []uint32{uint32(number)}
		}
	}
	if n.authority == code {
		c := n.copyAt(to)
		c.asked, c.all = true, c.all || len(req.Children) == 0
		c.children = append(c.children, req.Children...)
	}
	out, err := w.Inbox(code).RedirectItem(w.ctx(), req)
	w.say("inbox-%s passes %s on to %s %v: %v %s", code, n.id[:8], to, req.Children, out.GetDecision().GetOutcome(), reason(err))
	switch {
	case err == nil && n.authority != code:
		w.fails("inbox-%s passes on %s, which was passed on to it", code, n.id)
	case err == nil && out.GetDecision().GetOutcome() == posternv1.Outcome_OUTCOME_SHARE:
		w.count("passed on")
	case err == nil:
		w.count("not passed on")
	case (fault.KindOf(err) == fault.Unverified || fault.KindOf(err) == fault.Invalid) && w.swarm.skew == 0 && reason(err) != "CERTIFICATE_TIME":
		w.fails("inbox-%s cannot pass on %s: %v", code, n.id, err)
	default:
		w.count("cannot be passed on: " + reason(err))
	}
}

// mayPassOn judges what the hub sends to a team to which another passed it on.
func (w *World) mayPassOn(to string, n *notification, sealed *posternv1.SealedNotification) {
	c := n.copyAt(to)
	form := w.ledger.forms[n.form].form
	switch {
	case !c.asked || to == n.authority:
		w.fails("%s is sent to %s, and nobody passed it on there", n.id, to)
	case n.standard && !form.GetConsent().GetFollowsChild():
		w.fails("%s is passed on to %s, and the person named who may be told", n.id, to)
	}
	for _, s := range sealed.GetSections() {
		if number, ok := section.ChildOf(s.GetPath()); ok && !c.all && !slices.Contains(c.children, uint32(number)) {
			w.fails("child %d of %s, who was not found there, is passed on to %s", number, n.id, to)
		}
	}
}

// lookAtCopy judges what a team sees that another passed on to it.
func (w *World) lookAtCopy(code string, n *notification, item *localv1.Item) {
	if c := n.copyAt(code); !c.asked || item.GetPassedOnBy() != n.authority {
		w.fails("inbox-%s shows %s, passed on by %q", code, n.id, item.GetPassedOnBy())
	}
	for _, p := range item.GetPaths() {
		if !n.sent[p] {
			w.fails("inbox-%s shows %s of %s, which its team was never sent", code, p, n.id)
		}
	}
}

// judgeCopy looks, in the end, whether a team that passed something on knows what became of it.
func (w *World) judgeCopy(code string, n *notification, opened *localv1.GetItemResponse) {
	if n.authority != code {
		return
	}
	for _, p := range opened.GetItem().GetPassedOn() {
		switch {
		case p.GetState() == posternv1.RedirectState_REDIRECT_STATE_SENT:
			w.fails("inbox-%s never hears what became of %s, which it passed on to %s", code, n.id, p.GetAuthority())
		case p.GetState() == posternv1.RedirectState_REDIRECT_STATE_DELIVERED && len(n.copyAt(p.GetAuthority()).delivered) == 0:
			w.fails("inbox-%s hears that %s arrived, which it passed on, and it did not", code, n.id)
		}
	}
}

// hears judges what a prison is told: only what its own authority's team says, and nothing of another to which that
// passed it on.
func (w *World) hears(prison string, updates []*posternv1.Update) {
	for _, u := range updates {
		n := w.ledger.notifications[u.GetNotificationId()]
		if n == nil || n.authority == "" {
			continue
		}
		if a := u.GetAcknowledgement(); a != nil {
			if by := signer(a); by != "/authority/"+n.authority+"/inbox" {
				w.fails("desk-%s is told that %s took %s", prison, by, n.id)
			}
		}
		switch u.GetReply().GetCode() {
		case posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT, posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL:
			if !n.replied {
				w.fails("desk-%s hears %v of %s, and its team said nothing", prison, u.GetReply().GetCode(), n.id)
			}
		}
		if r := u.GetReceipt(); r != nil {
			if event := w.ledger.holds(r); event != nil && event.Kind == logv1.Kind_KIND_REDIRECTED {
				w.fails("desk-%s is given the receipt of a redirect", prison)
			}
		}
	}
}

// signer is the path of the certificate that a statement was signed with.
func signer(s *posternv1.Signed) string {
	for _, sig := range s.GetSignatures() {
		for _, der := range sig.GetCertificates() {
			if c, err := x509.ParseCertificate(der); err == nil && len(c.URIs) > 0 {
				return c.URIs[0].Path
			}
		}
	}
	return ""
}

// judgeSent looks at all that prisons could see: nothing in their log, and in what they are told, has its cause at a team
// beyond what may flow back.
func (w *World) judgeSent() {
	origin := w.Ledger.Origin(hubledger.Sent)
	size, _, _ := w.Ledger.Head(hubledger.Sent)
	err := w.Ledger.Range(w.ctx(), origin, 0, size, func(e hubledger.Logged) (bool, error) {
		n := w.ledger.notifications[e.Details.GetNotificationId()]
		switch kind := e.Leaf.Kind; kind {
		case logv1.Kind_KIND_DELIVERED, logv1.Kind_KIND_DELIVERY_REFUSED, logv1.Kind_KIND_REPLIED, logv1.Kind_KIND_STOP_ANSWERED,
			logv1.Kind_KIND_REDIRECTED, logv1.Kind_KIND_UNDELIVERED, logv1.Kind_KIND_ERASED, logv1.Kind_KIND_DISCLOSED_TO_AUDITOR:
			w.fails("%v stands in the log that prisons see", kind)
		case logv1.Kind_KIND_STOP_ASKED:
			if n != nil && e.Details.GetAuthority() != n.authority {
				w.fails("that another team was asked to stop stands in the log that prisons see")
			}
		}
		return true, nil
	})
	if err != nil {
		w.fails("the log cannot be read: %v", err)
	}
	took := map[string]time.Time{}
	w.scan(schema.HubUpdate, func(_, row []byte) {
		u := &posternv1.Update{}
		if err := proto.Unmarshal(row, u); err != nil {
			w.fails("an update cannot be read: %v", err)
		}
		at, before := u.GetUpdateTime().AsTime(), took[u.GetNotificationId()]
		switch {
		case u.GetAcknowledgement() != nil:
			took[u.GetNotificationId()] = at
		case u.GetReply().GetCode() == posternv1.ReplyCode_REPLY_CODE_UNDELIVERED && !before.IsZero() && at.After(before) && w.swarm.skew == 0:
			w.fails("a desk is told that %s was not delivered, an hour after its team took it", u.GetNotificationId())
		}
	})
}
