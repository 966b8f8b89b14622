package demo

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"strings"
	"time"

	"postern/examples/forms"
	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// patience is how long a step waits for another party.
const patience = 15 * time.Second

// teller is a story being told: it runs steps until one does not hold.
type teller struct {
	*stage
	ctx   context.Context
	out   io.Writer
	story Story

	prison string                   // whose desk it is told at
	form   []byte                   // as submitted
	all    []*localv1.Notification  // the notifications of the form, as its desk knows them
	sent   *localv1.Notification    // the one that the story goes on with
	seen   *localv1.GetItemResponse // the item, as its inbox shows it
}

// tale is a story: its name and what happens in it.
type tale struct {
	name string
	tell func(*teller)
}

// stop ends a story early; tell recovers it.
type stop struct{}

// tell plays one story. The first step that does not hold ends it.
func (s *stage) tell(ctx context.Context, out io.Writer, t tale) Story {
	fmt.Fprintf(out, "%s\n", t.name)
	teller := &teller{stage: s, prison: hmpBristol, ctx: ctx, out: out, story: Story{Name: t.name, OK: true}}
	func() {
		defer func() {
			if r := recover(); r != nil && r != (stop{}) {
				panic(r)
			}
		}()
		t.tell(teller)
	}()
	fmt.Fprintln(out)
	return teller.story
}

// step checks one thing and tells it. fn returns what to tell.
func (t *teller) step(name string, fn func() (string, error)) {
	detail, err := fn()
	step := Step{Name: name, OK: err == nil, Detail: detail}
	if err != nil {
		step.Detail = fault.From(err).Error()
	}
	t.story.Steps = append(t.story.Steps, step)
	mark := "  ok "
	if !step.OK {
		mark, t.story.OK = "  NO ", false
	}
	fmt.Fprintf(t.out, "%s %s\n", mark, name)
	for line := range strings.SplitSeq(strings.TrimSpace(step.Detail), "\n") {
		if line != "" {
			fmt.Fprintf(t.out, "       %s\n", line)
		}
	}
	if !step.OK {
		panic(stop{})
	}
}

// failed is a step's finding that something does not hold.
func failed(format string, args ...any) error {
	return fault.Newf(fault.Unverified, "NOT_SO", format, args...)
}

// freshForm reads an example form and makes it one that was never sent: with a new id, and of a person with a new number,
// so that the demo can be played again in the same folder. edits change it further.
func (t *teller) freshForm(name string, edits ...func(form map[string]any)) error {
	b, err := forms.Files.ReadFile(name)
	if err != nil {
		return fault.From(err)
	}
	var form map[string]any
	if err := json.Unmarshal(b, &form); err != nil {
		return fault.From(err)
	}
	id, err := envelope.NewID(rand.Reader)
	if err != nil {
		return err
	}
	number, err := rand.Int(rand.Reader, big.NewInt(26*10000*26))
	if err != nil {
		return err
	}
	n := number.Int64()
	form["prison_number"] = fmt.Sprintf("%c%04d%cZ", 'A'+n%26, n/26%10000, 'A'+n/260000)
	t.numbers = append(t.numbers, form["prison_number"].(string))
	form["form_id"] = id
	for _, edit := range edits {
		edit(form)
	}
	t.form, err = json.Marshal(form)
	return err
}

// prisonNames are the prisons as people say them.
var prisonNames = map[string]string{hmpBristol: "HMP Bristol", hmpParc: "HMP Parc"}

// take sends an example form, as `desk submit` does, which makes so many notifications.
func (t *teller) take(name string, notifications int, edits ...func(form map[string]any)) (string, error) {
	if err := t.freshForm(name, edits...); err != nil {
		return "", err
	}
	return t.handIn(notifications)
}

// handIn sends the form as it is.
func (t *teller) handIn(notifications int) (string, error) {
	out, err := t.desk(t.prison).SubmitForm(t.ctx, &localv1.SubmitFormRequest{FormJson: t.form})
	if err != nil {
		return "", err
	}
	if len(out.GetNotifications()) != notifications {
		return "", failed("%d notifications were expected, not %d.", notifications, len(out.GetNotifications()))
	}
	t.all, t.sent = out.GetNotifications(), out.GetNotifications()[0]
	return told(t.all...), nil
}

// told tells notifications: where they go, and why or why not.
func told(all ...*localv1.Notification) string {
	var lines []string
	for _, n := range all {
		to := n.GetAuthorityName()
		if to == "" {
			to = "nobody: it is recorded, and no more"
		}
		lines = append(append(lines, n.GetReference()+" to "+to), plain.Decision(n.GetDecision())...)
	}
	return strings.Join(lines, "\n")
}

// submit sends an example form to one authority and checks what the desk makes of it.
func (t *teller) submit(name string, want localv1.State, edits ...func(form map[string]any)) {
	t.step("Reception at "+prisonNames[t.prison]+" sends the form "+name, func() (string, error) {
		detail, err := t.take(name, 1, edits...)
		if err == nil {
			err = is(t.sent, want)
		}
		return detail, err
	})
}

// is checks a state. The team's acknowledgement may be here already.
func is(n *localv1.Notification, want localv1.State) error {
	if n.GetState() != want && !(want == localv1.State_STATE_ACCEPTED && n.GetState() == localv1.State_STATE_DELIVERED) {
		return failed("The desk says %s, not %s.", plain.Enum(n.GetState()), plain.Enum(want))
	}
	return nil
}

// awaitState waits until the desk knows the notification in a state.
func (t *teller) awaitState(name string, want localv1.State) {
	t.step(name, func() (string, error) {
		err := t.await(func() (bool, error) {
			out, err := t.desk(t.prison).GetNotification(t.ctx, &localv1.GetNotificationRequest{Id: t.sent.GetId()})
			if err != nil {
				return false, err
			}
			t.sent = out.GetNotification()
			return t.sent.GetState() == want, nil
		})
		return "", err
	})
}

// await asks again until it is so.
func (t *teller) await(so func() (bool, error)) error {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); {
		ok, err := so()
		if ok || err != nil {
			return err
		}
		select {
		case <-t.ctx.Done():
			return t.ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return failed("It did not happen within %v.", patience)
}

// reads checks that the team sees exactly the released sections, and tells what it sees without names.
func (t *teller) reads(code string) {
	t.step("The duty worker in "+t.sent.GetAuthorityName()+" reads it", func() (string, error) {
		out, err := t.inbox(code).GetItem(t.ctx, &localv1.GetItemRequest{Id: t.sent.GetReference()})
		if err != nil {
			return "", err
		}
		t.seen = out
		var paths []string
		for _, s := range out.GetSections() {
			paths = append(paths, s.GetPath())
		}
		if !sameSet(paths, t.sent.GetDecision().GetPaths()) {
			return "", failed("The team sees other sections than were released.")
		}
		if out.GetItem().GetFactsMismatch() {
			return "", failed("Facts and values disagree.")
		}
		return "Sees: " + names(paths) + "\nNot shared: " + names(out.GetNotShared()), nil
	})
}

// once checks that the item is in the list one time only.
func (t *teller) once(code string) {
	t.step("It is in the team's list once", func() (string, error) {
		out, err := t.inbox(code).ListItems(t.ctx, &localv1.ListItemsRequest{})
		if err != nil {
			return "", err
		}
		n := 0
		for _, i := range out.GetItems() {
			if i.GetId() == t.sent.GetId() {
				n++
			}
		}
		if n != 1 {
			return "", failed("It is there %d times.", n)
		}
		return "", nil
	})
}

// audited checks the decision's proof as the auditor does, and the receipt offline.
func (t *teller) audited() {
	t.step("The auditor finds the decision, and the log proves it", func() (string, error) {
		out, err := t.audit().GetEvent(t.ctx, &localv1.GetEventRequest{Id: t.sent.GetReference()})
		if err != nil {
			return "", err
		}
		if out.GetFault() != "" {
			return "", failed("%s", out.GetFault())
		}
		e := out.GetResponse().GetEvent()
		if e.GetDecision().GetOutcome() != t.sent.GetDecision().GetOutcome() {
			return "", failed("The log holds another outcome than the desk was told.")
		}
		return fmt.Sprintf("%s, number %d in %s, policy %.12s", e.GetKind(), e.GetIndex(), e.GetOrigin(), e.GetDecision().GetPolicyRevision()), nil
	})
	t.step("The desk's receipt verifies offline", t.verifyReceipt)
}

func sameSet(a, b []string) bool {
	in := map[string]bool{}
	for _, s := range a {
		in[s] = true
	}
	for _, s := range b {
		if !in[s] {
			return false
		}
	}
	return len(a) == len(b)
}

func names(paths []string) string {
	if len(paths) == 0 {
		return "nothing"
	}
	words := make([]string, len(paths))
	for i, p := range paths {
		words[i] = plain.PathWords(p)
	}
	return strings.Join(words, ", ")
}

// has reports whether a decision carries an obligation of a kind, with a telephone number.
func has(d *posternv1.Decision, kind posternv1.ObligationKind) (phone string, ok bool) {
	for _, o := range d.GetObligations() {
		if o.GetKind() == kind {
			return o.GetPhoneNumber(), true
		}
	}
	return "", false
}
