package site

import (
	"crypto/sha256"
	"encoding/hex"
	"testing"

	"postern/internal/words"
	posternv1 "postern/proto/postern/v1"
)

// A record of permission names the version of the notice and its digest. Whoever changes a word of what is read aloud gives
// it another version, or two people who agreed to different words would have agreed to one version.
func TestAChangedNoticeHasAnotherVersion(t *testing.T) {
	const version, digest = "2026-11", "273b82e968e45111"
	var all []byte
	for _, l := range []words.Language{words.English, words.Welsh} {
		for _, law := range []string{"GB-ENG", "GB-WLS"} {
			sum := sha256.Sum256([]byte(notice(l, &posternv1.Prison{Name: "HMP Example", NameCy: "CEF Enghraifft", Jurisdiction: law})))
			all = append(all, sum[:]...)
		}
	}
	sum := sha256.Sum256(all)
	if got := hex.EncodeToString(sum[:8]); noticeVersion != version || got != digest {
		t.Errorf("version %s of the notice has the digest %s; give changed words a new version, and put both here", noticeVersion, got)
	}
}
