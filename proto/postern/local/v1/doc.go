// Package localv1 is what a command says to its own party's server over control.sock. It is not a contract
// between organisations.
package localv1
