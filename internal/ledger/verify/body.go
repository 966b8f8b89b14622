package verify

import (
	"crypto/sha256"
	"crypto/subtle"

	"google.golang.org/protobuf/proto"

	logv1 "postern/proto/postern/log/v1"
)

// Body checks that an opening, a core and details are what a leaf commits to, as Open does for a receipt. It is for
// many at a time.
func Body(leaf Leaf, opening, core, details []byte) error {
	if len(opening) != OpeningSize {
		return refuse("OPENING_MALFORMED", "The opening has the wrong length.")
	}
	c := Commitment([OpeningSize]byte(opening), sha256.Sum256(core), sha256.Sum256(details))
	if subtle.ConstantTimeCompare(c[:], leaf.Commitment[:]) != 1 {
		return refuse("COMMITMENT_WRONG", "The event shown is not the one that the log holds.")
	}
	var m logv1.Core
	if proto.Unmarshal(core, &m) != nil {
		return refuse("CORE_MALFORMED", "The core of the event cannot be read.")
	}
	if hour, ok := HourOf(m.GetEventTime().AsTime()); !ok || hour != leaf.Hour {
		return refuse("HOUR_WRONG", "The leaf and the event name different hours.")
	}
	return nil
}
