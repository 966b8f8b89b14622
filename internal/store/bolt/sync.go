//go:build !nosync

package bolt

// noSync is never set in a program that anybody uses: a commit is on the disk when it returns.
const noSync = false
