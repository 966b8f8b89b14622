//go:build !failpoint

package failpoint

// Hit does nothing and returns nil.
func Hit(Point) error { return nil }
