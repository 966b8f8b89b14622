// Package stranger is a desk and an inbox by another hand: written by somebody who had docs/formats.md, the protos and the
// committed vectors, and had seen nothing else of this repository. Tests have it meet the program, so that the page is
// known to be enough.
//
// It guarantees that it shares no code with the program but what is generated from the protos; a house rule holds it to
// that. It keeps everything in memory, and does what the page says and no more: what a real desk or inbox owes its users,
// such as durable storage, pages, clocks and the check of a form, it does not do. It is for tests only.
package stranger
