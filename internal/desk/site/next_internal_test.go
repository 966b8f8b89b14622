package site

import (
	"testing"

	localv1 "postern/proto/postern/local/v1"
)

// What was sealed again goes under another reference, and nobody is to telephone about it or print it.
func TestWhatWasSealedAgainIsNotSentByHand(t *testing.T) {
	n := &localv1.Notification{State: localv1.State_STATE_UNDELIVERED}
	if got := nextWords(n); got != "case.next_undelivered" {
		t.Errorf("not sealed again: %s", got)
	}
	n.ResealedBy = "0d3e8a52-6f1b-4c7d-9a20-5b8c1e4f7a36"
	if got := nextWords(n); got != "case.next_resealed" {
		t.Errorf("sealed again: %s", got)
	}
}

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
