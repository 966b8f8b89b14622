package demo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/ledger/verify"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// stories are told in this order, then the families, those of another hour, and last that nobody's name is at the hub.
var stories = []tale{
	{"Shared in full: a mother agrees to everything", sharedInFull},
	{"Shared in part: a father agrees to some of it", sharedInPart},
	{"No data-sharing agreement: a person takes over", noAgreement},
	{"The team is offline, and comes back", inboxOffline},
}

func sharedInFull(t *teller) {
	t.submit("shared_in_full.json", localv1.State_STATE_ACCEPTED)
	t.awaitState("The team's own signature says that it has it", localv1.State_STATE_DELIVERED)
	t.reads(bristol)
	t.step("The same form again gets the same answer", func() (string, error) {
		out, err := t.desk(t.prison).SubmitForm(t.ctx, &localv1.SubmitFormRequest{FormJson: t.form})
		if err != nil {
			return "", err
		}
		again := out.GetNotifications()
		if len(again) != 1 || again[0].GetId() != t.sent.GetId() || !proto.Equal(again[0].GetDecision(), t.sent.GetDecision()) {
			return "", failed("The answer differs.")
		}
		return again[0].GetReference() + " again", nil
	})
	t.once(bristol)
	t.audited()
}

func sharedInPart(t *teller) {
	t.submit("shared_in_part.json", localv1.State_STATE_ACCEPTED)
	t.awaitState("The team's own signature says that it has it", localv1.State_STATE_DELIVERED)
	t.reads(bristol)
	t.step("What he did not agree to never left the prison", func() (string, error) {
		var held []string
		for _, path := range []string{"parent/birth", "parent/custody", "child/1/phone"} {
			if !slices.Contains(t.seen.GetNotShared(), path) {
				return "", failed("%s was shared.", path)
			}
			held = append(held, path)
		}
		out, err := t.audit().GetEvent(t.ctx, &localv1.GetEventRequest{Id: t.sent.GetReference()})
		if err != nil {
			return "", err
		}
		for _, path := range held {
			if slices.Contains(out.GetResponse().GetEvent().GetOfferedPaths(), path) {
				return "", failed("%s was sealed though he did not agree to it.", path)
			}
		}
		return "On the form, but not even sealed: " + names(held), nil
	})
	t.audited()
}

func noAgreement(t *teller) {
	t.submit("no_agreement.json", localv1.State_STATE_REFERRED)
	t.step("The prison is told what to do instead", func() (string, error) {
		phone, ok := has(t.sent.GetDecision(), posternv1.ObligationKind_OBLIGATION_KIND_MANUAL_ROUTE)
		if !ok || phone == "" {
			return "", failed("There is no manual route with a telephone number.")
		}
		return "Telephone " + phone + " and send a printed request for support", nil
	})
	t.absent(lancashire)
	t.audited()
}

func inboxOffline(t *teller) {
	t.step("Bristol's inbox stops", func() (string, error) { return "", t.end(inboxParty(bristol)) })
	t.submit("inbox_offline.json", localv1.State_STATE_ACCEPTED)
	t.step("The hub keeps it safely and tries again", func() (string, error) {
		return "", t.await(func() (bool, error) {
			status, err := localv1.NewHubServiceClient(t.parties["hub"].conn).GetStatus(t.ctx, &localv1.GetStatusRequest{})
			if err != nil {
				return false, err
			}
			return slices.ContainsFunc(status.GetQueues(), func(q *localv1.QueueStatus) bool {
				return q.GetAuthority() == bristol && q.GetWaiting() == 1
			}), nil
		})
	})
	t.step("Bristol's inbox starts again", func() (string, error) { return "", t.start(t.ctx, inboxParty(bristol)) })
	t.awaitState("The team's own signature says that it has it", localv1.State_STATE_DELIVERED)
	t.reads(bristol)
	t.once(bristol)
	t.audited()
}

// verifyReceipt writes the desk's receipt as a file would be written and checks it with the log keys alone.
func (t *teller) verifyReceipt() (string, error) {
	out, err := t.desk(t.prison).GetNotification(t.ctx, &localv1.GetNotificationRequest{Id: t.sent.GetId()})
	if err != nil {
		return "", err
	}
	receipt, err := verify.UnmarshalFile(verify.MarshalFile(out.GetReceipt()))
	if err != nil {
		return "", err
	}
	keys, err := t.auditor.LogKeys()
	if err != nil {
		return "", err
	}
	event, err := verify.Receipt(receipt, keys)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("number %d of %d, outcome: %s", event.Index, event.Size, plain.Outcome(event.Core.GetOutcome())), nil
}

// nobodysName looks for everything personal that the stories' forms say in every byte that the hub keeps.
func nobodysName(t *teller) {
	t.step("The hub's files hold no name, birth date, address or number of anybody", func() (string, error) {
		words, err := personal(t.file("forms"))
		if err != nil {
			return "", err
		}
		words = append(words, t.numbers...)
		files, size := 0, 0
		err = filepath.WalkDir(t.file("hub"), func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			files, size = files+1, size+len(b)
			for _, w := range words {
				if bytes.Contains(b, []byte(w)) {
					return failed("A value of a form is in the hub's file %s.", filepath.Base(path))
				}
			}
			return nil
		})
		return fmt.Sprintf("%d values looked for in %d files, %d KiB", len(words), files, size>>10), err
	})
}

// personalFields are the fields of a form whose values identify somebody.
var personalFields = []string{"given_name", "family_name", "known_as", "date_of_birth", "address_lines", "name", "carer_phone", "postcode",
	"prison_number", "setting_name", "safe_manner", "communication_needs", "team_name"}

// personal lists the values of personal fields in all forms of a folder, of four letters or more: shorter ones stand in
// random bytes by chance.
func personal(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(paths) == 0 {
		return nil, failed("There are no forms to look for.")
	}
	var words []string
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		var form any
		if err := json.Unmarshal(b, &form); err != nil {
			return nil, err
		}
		collect(form, false, &words)
	}
	slices.Sort(words)
	return slices.Compact(words), nil
}

func collect(v any, wanted bool, words *[]string) {
	switch v := v.(type) {
	case map[string]any:
		for k, inner := range v {
			collect(inner, slices.Contains(personalFields, k), words)
		}
	case []any:
		for _, inner := range v {
			collect(inner, wanted, words)
		}
	case string:
		if wanted && len(strings.TrimSpace(v)) >= 4 {
			*words = append(*words, v)
		}
	}
}
