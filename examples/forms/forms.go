// Package forms holds example forms of invented families, one file a story.
//
// The demo submits them, a new user starts from them, and the tests of package form check that each stays valid for
// years: their dates lie in November 2026, their consents last until 2036 and their children are born late enough to
// remain children. Nobody in them exists: postcodes are of the unused area ZZ99, telephone numbers of the ranges that
// Ofcom keeps for drama.
package forms

import "embed"

// Files holds the forms, such as shared_in_full.json.
//
//go:embed *.json
var Files embed.FS
