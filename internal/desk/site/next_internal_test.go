package site

import (
	"testing"

	localv1 "postern/proto/postern/local/v1"
)

// The hub's word that nothing was sent is no word about a hub before it, whose records are lost.
func TestWhatALostHubMayHaveSentIsNotSaidToBeUnsent(t *testing.T) {
	n := &localv1.Notification{State: localv1.State_STATE_WITHDRAWN}
	if got := nextWords(n); got != "case.next_withdrawn" {
		t.Errorf("nobody sent it: %s", got)
	}
	n.MaybeSentSha256 = [][]byte{make([]byte, 32)}
	if got := nextWords(n); got != "case.next_withdrawn_maybe" {
		t.Errorf("a lost hub may have: %s", got)
	}
}
