package demo

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// goOnWith goes on with the notification of one authority.
func (t *teller) goOnWith(code string) {
	for _, n := range t.all {
		if n.GetAuthority() == code {
			t.sent = n
		}
	}
}

// mustDo checks that a person is told what to do, with a number and a time where they help.
func (t *teller) mustDo(name string, kind posternv1.ObligationKind) {
	t.step(name, func() (string, error) {
		i := slices.IndexFunc(t.sent.GetTasks(), func(task *localv1.Task) bool { return task.GetKind() == kind })
		if i < 0 {
			return "", failed("Nobody is told to %s.", plain.Words(plain.Enum(kind)))
		}
		task := t.sent.GetTasks()[i]
		byTelephone := kind == posternv1.ObligationKind_OBLIGATION_KIND_PHONE_FRONT_DOOR || kind == posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE ||
			kind == posternv1.ObligationKind_OBLIGATION_KIND_CALL_POLICE
		if byTelephone && task.GetPhoneNumber() == "" {
			return "", failed("There is no number to telephone.")
		}
		detail := capitalised(plain.Words(plain.Enum(kind)))
		if task.GetPhoneNumber() != "" {
			detail += ": " + strings.TrimSpace(task.GetName()+" "+task.GetPhoneNumber())
		}
		if task.GetDueTime() != nil {
			detail += ", by " + plain.Time(task.GetDueTime().AsTime())
		}
		return detail, nil
	})
}

func capitalised(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// queued checks that the notification stands in a queue, with a due time, and that what is due first stands first.
func (t *teller) queued(name string, req *localv1.ListNotificationsRequest) {
	t.step(name, func() (string, error) {
		out, err := t.desk(t.prison).ListNotifications(t.ctx, req)
		if err != nil {
			return "", err
		}
		if !slices.IsSortedFunc(out.GetNotifications(), func(a, b *localv1.Notification) int {
			return a.GetDueTime().AsTime().Compare(b.GetDueTime().AsTime())
		}) {
			return "", failed("The queue is not in the order in which things are due.")
		}
		for _, n := range out.GetNotifications() {
			if n.GetId() == t.sent.GetId() && n.GetDueTime() != nil {
				return "Due " + plain.Time(n.GetDueTime().AsTime()), nil
			}
		}
		return "", failed("It is not in the queue.")
	})
}

// calls records a call, as `desk call` does.
func (t *teller) calls(name string, result posternv1.CallResult, want localv1.State) {
	t.step(name, func() (string, error) {
		out, err := t.cases(t.prison).RecordCall(t.ctx, &localv1.RecordCallRequest{Id: t.sent.GetReference(), Result: result, Who: "Duty worker"})
		if err != nil {
			return "", err
		}
		t.sent = out.GetNotifications()[0]
		return told(t.sent), is(t.sent, want)
	})
}

// checked sets the public-protection check, as `desk gate` does; the same again changes nothing.
func (t *teller) checked(name string, gate posternv1.Gate, want localv1.State) {
	t.step(name, func() (string, error) {
		for range 2 {
			out, err := t.cases(t.prison).SetGate(t.ctx, &localv1.SetGateRequest{Id: t.sent.GetReference(), Gate: gate})
			if err != nil {
				return "", err
			}
			t.sent = out.GetNotifications()[0]
			if err := is(t.sent, want); err != nil {
				return "", err
			}
		}
		return told(t.sent), nil
	})
}

// considers records what the safeguarding lead decided, as `desk consider` does.
func (t *teller) considers(name string, req *localv1.ConsiderRequest, want localv1.State) {
	t.step(name, func() (string, error) {
		req = proto.CloneOf(req)
		req.Id = t.sent.GetId()
		out, err := t.cases(t.prison).Consider(t.ctx, req)
		if err != nil {
			return "", err
		}
		t.sent = out.GetNotifications()[0]
		if len(t.sent.GetConsiderations()) != 1 || t.sent.GetConsiderations()[0].GetReasons() != req.GetReasons() {
			return "", failed("The desk did not keep what was decided, and why.")
		}
		detail := "Recorded. Why stays in the prison."
		if req.GetShare() {
			detail = told(t.sent)
		}
		return detail, is(t.sent, want)
	})
}

// absent checks that the notification is not in a team's list.
func (t *teller) absent(code string) {
	t.step("Nothing of it reached the team", func() (string, error) {
		out, err := t.inbox(code).ListItems(t.ctx, &localv1.ListItemsRequest{})
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(out.GetItems(), func(i *localv1.Item) bool { return i.GetId() == t.sent.GetId() }) {
			return "", failed("The team has it.")
		}
		return "", nil
	})
}

// lastEvent checks that the newest event of a kind is in the log as the auditor sees it, and that it does not hold words.
func (t *teller) lastEvent(kind, words string) (string, error) {
	out, err := t.audit().ListEvents(t.ctx, &localv1.ListEventsRequest{})
	if err != nil {
		return "", err
	}
	for _, e := range out.GetResponse().GetEvents() {
		if e.GetKind() != kind || e.GetNotificationId() != t.sent.GetId() {
			continue
		}
		b, err := proto.Marshal(e)
		if err != nil {
			return "", err
		}
		if bytes.Contains(b, []byte(words)) {
			return "", failed("The log holds why.")
		}
		return kind + ", number " + strconv.FormatUint(e.GetIndex(), 10) + " in " + e.GetOrigin(), nil
	}
	return "", failed("The log has no event %s of this notification.", kind)
}

// edited changes a form.
func edited(form []byte, edit func(map[string]any)) ([]byte, error) {
	var f map[string]any
	if err := json.Unmarshal(form, &f); err != nil {
		return nil, err
	}
	edit(f)
	return json.Marshal(f)
}
