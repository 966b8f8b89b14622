package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary be `postern` too: every command in a script is a process of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"postern": main})
}

// TestScripts runs the stories in testdata, each in a folder of its own. What the words of a script mean beside those of
// testscript is told at the functions named here.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("GORACE", "atexit_sleep_ms=0") // a found race still fails: exit code 66
			e.Setenv("bristol", "E06000023")
			e.Setenv("lancashire", "E10000017")
			searched(e)
			return newParties(e)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":      start,
			"end":        end,
			"crash":      crash,
			"await":      await,
			"exits":      exits,
			"get":        get,
			"becomes":    becomes,
			"edit":       edit,
			"flip":       flip,
			"json":       jsonValue,
			"bind":       bind,
			"shape":      shape,
			"canary":     canary,
			"canaryform": canaryform,
			"dump":       dump,
		},
	})
}
