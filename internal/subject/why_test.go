package subject_test

import (
	"bytes"
	"strings"
	"testing"

	"postern/internal/subject"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

// A team's reply tells the person what becomes of what they asked for, not where the family is or who knows it.
func TestWhatAReplyTellsOfOthersIsHeldBack(t *testing.T) {
	for n := range int32(len(posternv1.ReplyCode_name)) {
		code := posternv1.ReplyCode(n)
		about := &localv1.Notification{Id: "3d61416c-bca7-4f1b-b7d9-2eb2186a29bb", Reply: &posternv1.Reply{Code: code}}
		files, _, err := subject.Held{Notifications: []subject.Notification{{Full: about, Seen: about}}}.Files(words.English)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			told := bytes.Contains(f.Content, []byte("The team’s reply"))
			of := strings.Contains("NOT_OUR_AREA CANNOT_TRACE ALREADY_KNOWN", strings.TrimPrefix(code.String(), "REPLY_CODE_"))
			if f.Name == subject.Data && n > 0 && told == of {
				t.Errorf("%v is in the copy: %v", code, told)
			}
			if f.Name == subject.Officer && n > 0 && !told {
				t.Errorf("%v is not on the officer's page", code)
			}
		}
	}
}
