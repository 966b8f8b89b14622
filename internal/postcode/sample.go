package postcode

import (
	_ "embed"
	"strings"
	"sync"
)

//go:embed testdata/sample_AUG_2026.csv
var sampleCSV string

var sample = sync.OnceValues(func() (*Table, error) {
	return Build(strings.NewReader(sampleCSV), CSV{Name: "sample_AUG_2026.csv", Synthetic: true})
})

// Sample is a table of some hundred invented postcodes of the unused area ZZ, with real codes, and a few public buildings.
// It is for the demo and for trying things out; testdata/README.md says what is in it.
func Sample() (*Table, error) { return sample() }
