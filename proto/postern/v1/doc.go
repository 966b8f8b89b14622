// Package posternv1 is what the four parties say to one another. The .proto files are the contract and the
// data dictionary; every field says what it means. Generated code is committed beside them and nothing here is
// written by hand but this page.
package posternv1
