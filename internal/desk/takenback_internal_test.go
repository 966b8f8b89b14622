package desk

import (
	"slices"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"postern/internal/consent"
	localv1 "postern/proto/postern/local/v1"
	posternv1 "postern/proto/postern/v1"
)

var scopes = []string{"child/1", "child/2", "child/1/home", "child/2/phone", "parent/name"}

func drawPaths(t *rapid.T, what string) []string {
	return rapid.SliceOfNDistinct(rapid.SampledFrom(scopes), 0, 3, rapid.ID[string]).Draw(t, what)
}

// drawTakenBack is a notification of which this and that was taken back, here and elsewhere.
func drawTakenBack(t *rapid.T) *localv1.Notification {
	n := &localv1.Notification{
		Route:              posternv1.Route(rapid.IntRange(0, 3).Draw(t, "route")),
		State:              rapid.SampledFrom([]localv1.State{stateQueued, stateDelivered, stateDelivered, stateWithdrawn, stateStopAsked}).Draw(t, "state"),
		TakenBackElsewhere: rapid.IntRange(0, 4).Draw(t, "elsewhere") == 0,
		LeftOutPaths:       drawPaths(t, "left out"),
	}
	for range rapid.IntRange(0, 3).Draw(t, "withdrawals") {
		w := &localv1.TakenWithdrawal{Paths: drawPaths(t, "paths"), Objection: rapid.Bool().Draw(t, "objection"), Carried: rapid.Bool().Draw(t, "carried"),
			TakeTime: timestamppb.New(time.Unix(rapid.Int64Range(1, 9).Draw(t, "at"), 0))}
		if rapid.IntRange(0, 3).Draw(t, "refused") == 0 {
			w.Answer = &posternv1.Decision{Reasons: []*posternv1.Reason{{RuleId: ruleRefused}}}
		}
		n.Withdrawals = append(n.Withdrawals, w)
	}
	return n
}

// The desk says of another form that the same was taken back there only where each part of it was, or never was in it, and
// all where it was all: else whoever reads it would telephone nobody.
func TestWhatIsSaidToBeTakenBackThere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, paths := drawTakenBack(t), drawPaths(t, "asked")
		whole := n.GetTakenBackElsewhere() || n.GetState() == stateWithdrawn || n.GetState() == stateStopAsked
		held := func(p string) bool {
			return len(n.GetLeftOutPaths()) == 0 || !consent.Withdrawn(n.GetLeftOutPaths(), p)
		}
		for _, w := range n.GetWithdrawals() {
			refused, before := w.GetAnswer() != nil, held
			if len(w.GetPaths()) == 0 {
				whole = whole || !refused || !w.GetObjection()
			} else if !refused {
				held = func(p string) bool { return before(p) && !consent.Withdrawn(w.GetPaths(), p) }
			}
		}
		want := n.GetRoute() <= posternv1.Route_ROUTE_STANDARD && (whole || len(paths) > 0 && !slices.ContainsFunc(paths, held))
		if got := withdrawnThere(n, paths); got != want {
			t.Fatalf("%v of %v is taken back: %v", paths, n, got)
		}
	})
}

// When a person last took anything back counts what they said here of this one and what is known from elsewhere, in whatever
// order it came, and nothing that was carried over or takes nothing back.
func TestWhenThePersonLastTookBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := drawTakenBack(t)
		want := time.Unix(0, 0)
		if rapid.Bool().Draw(t, "known") {
			want = time.Unix(rapid.Int64Range(1, 9).Draw(t, "elsewhere"), 0)
			n.TakenBackElsewhereTime = timestamppb.New(want)
		}
		for _, w := range n.GetWithdrawals() {
			if at := w.GetTakeTime().AsTime(); !w.GetObjection() && !w.GetCarried() && at.After(want) {
				want = at
			}
		}
		if got := lastTakenBack(n); !got.Equal(want) {
			t.Fatalf("%v, want %v of %v", got, want, n)
		}
	})
}

// A person agreed after they took something back where they said yes later, whenever the form was typed; what goes without
// asking them goes on where it was made later, whatever they had agreed to. In the very moment is not after.
func TestWhoAgreedAfter(t *testing.T) {
	at := time.Unix(5, 0)
	rapid.Check(t, func(t *rapid.T) {
		given, made := rapid.Int64Range(3, 7).Draw(t, "given"), rapid.Int64Range(3, 7).Draw(t, "made")
		l := link{&localv1.Notification{Route: posternv1.Route(rapid.IntRange(0, 3).Draw(t, "route")), CreateTime: timestamppb.New(time.Unix(made, 0))}, &posternv1.Form{}}
		asked := rapid.Bool().Draw(t, "asked")
		if asked {
			l.form.Consent = &posternv1.Consent{GiveTime: timestamppb.New(time.Unix(given, 0))}
		}
		want := made > 5
		if asked && l.GetRoute() != posternv1.Route_ROUTE_URGENT && l.GetRoute() != posternv1.Route_ROUTE_DUTY {
			want = given > 5
		}
		if agreedAfter(l, at) != want {
			t.Fatalf("given %d (%v), made %d, by %v: %v", given, asked, made, l.GetRoute(), !want)
		}
	})
}
