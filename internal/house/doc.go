// Package house holds the rules of this repository as ordinary Go tests: who may import whom, which library lives
// where, what must be documented, what may not be written.
//
// A rule is a pure function from a tree of files to findings, and says why it exists. It guarantees that a finding names
// the file, the line and the reason; and every rule comes with small broken trees that it must report, so a rule that
// has gone blind fails. It judges form only: whether the code is right is for the other packages' tests.
package house
