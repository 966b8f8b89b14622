package engine

import (
	"testing"

	"postern/policy"
)

// TestBuiltInBundle runs what `postern policy test` runs on the built-in bundle: its checks, its Rego tests with full
// coverage, its cases.
func TestBuiltInBundle(t *testing.T) {
	report, err := Test(t.Context(), policy.Bundle)
	if err != nil {
		t.Fatal(err)
	}
	if !report.OK() {
		t.Error(report)
	}
}
