// Package valve shows that a prison cannot tell two worlds apart which agree on what may flow back, and in which hours,
// and differ in everything else that an authority knows, does and says.
//
// A plan says what a desk does and what it is to hear. Each world of the plan comes to that in its own way: other replies
// that read the same, at other minutes and in another order; reports that never flow back; inboxes that are dead, lose
// answers, answer rubbish, start again or lose their disk; auditors who look. The desks' transcripts must be the same to
// the last byte: every request, answer and error, every log line and measure, what its pages show, in order and with the
// time.
//
// It guarantees nothing about TLS, sockets and the time a call takes: the parties meet through testkit's links. What the
// worlds agree on beyond the closed set is stated where it is drawn (plan_test.go): the moment of an acknowledgement. It
// is for tests only; nothing imports it.
package valve
