// Package stranger is a second implementation of a Postern desk and inbox, written from docs/formats.md and the
// generated protos alone, by somebody who had not seen any other code of Postern.
package stranger
