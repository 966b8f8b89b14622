//go:build nosync

package bolt

// noSync makes the control of the power cuts of package crash: a store that believes the page cache, and must lose.
const noSync = true
