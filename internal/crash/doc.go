// Package crash kills, stops, starves and cuts off real processes: the release build of postern, started from the
// configurations of the demo, with a driver outside that keeps a ledger of its own.
//
// The ledger says what was acknowledged to a person at a counter, what was withdrawn, and what a team was shown. After
// every disturbance all parties run again, what is under way comes to its end, and a judge compares: nothing
// acknowledged is lost, nothing is shown twice or comes back into view, nothing is shown that the logs do not have, and
// the logs verify offline. Each harness has a control that must be found out.
//
// All of it is tests, under the build tag `crash`, because no processor has the time for it under the race detector and
// in every run: scripts/check.sh has the stages, and POSTERN_SOAK=1 the long counts. It needs Linux, and for some of it
// root; it says so and fails where it has not what it needs.
package crash
