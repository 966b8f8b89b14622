//go:build !race

package door_test

const raced = false
