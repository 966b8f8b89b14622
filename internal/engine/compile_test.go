package engine

import (
	"fmt"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
)

// TestNoOtherBuiltInCompiles calls every built-in of this OPA that is not on the list; a new one is not on it.
func TestNoOtherBuiltInCompiles(t *testing.T) {
	refused := 0
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		if allowed[b.Name] || strings.HasPrefix(b.Name, "internal.") || b.IsTargetPos(0) || b.Name == "set_diff" {
			continue
		}
		var args []string
		if b.Decl != nil {
			for range b.Decl.FuncArgs().Args {
				args = append(args, "input.now")
			}
		}
		call := fmt.Sprintf("%s(%s)", b.Name, strings.Join(args, ", "))
		err := tryModule("package postern.sharing\n\nimport rego.v2\n\ndecision := x if x := " + call + "\n")
		if err == nil || !strings.Contains(err.Error(), "undefined function "+b.Name) {
			t.Errorf("%s: %v", call, err)
		}
		refused++
	}
	if refused < 80 {
		t.Errorf("only %d built-ins were tried", refused)
	}
}

// TestWhatReachesOutIsNotAllowed names the ones that would end replay or leak facts, whatever OPA calls the rest.
func TestWhatReachesOutIsNotAllowed(t *testing.T) {
	known := map[string]bool{}
	for _, b := range ast.CapabilitiesForThisVersion().Builtins {
		known[b.Name] = true
		if b.IsNondeterministic() && allowed[b.Name] {
			t.Errorf("%s is not a function of its arguments", b.Name)
		}
	}
	for _, name := range []string{"http.send", "net.lookup_ip_addr", "opa.runtime", "rand.intn", "time.now_ns", "uuid.rfc4122", "trace"} {
		if allowed[name] || !known[name] {
			t.Errorf("%s: allowed %v, known %v", name, allowed[name], known[name])
		}
	}
	for name := range allowed {
		if !known[name] {
			t.Errorf("%s is allowed and unknown to this OPA", name)
		}
	}
}

func TestAMisspeltInputPathDoesNotCompile(t *testing.T) {
	for _, path := range []string{
		"input.consent.givn", "input.gaet", "input.children[_].carer_is_adlut", "input.children[_].known.hoem", "input.parent.known.nmae",
		"input.calls[_].reslut", "input.recipient.early_help.fone", "input.consideration.lwa",
	} {
		if err := tryModule("package postern.sharing\n\nimport rego.v2\n\ndecision if " + path + " == \"x\"\n"); err == nil || !strings.Contains(err.Error(), "undefined ref") {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := tryModule("package postern.sharing\n\nimport rego.v2\n\ndecision if input.consent.state == \"GIVEN\"\n"); err != nil {
		t.Error(err)
	}
}

// TestSlipsThatStrictModeFinds: what means nothing was meant to mean something.
func TestSlipsThatStrictModeFinds(t *testing.T) {
	for _, body := range []string{
		"decision if {\n\tunused := input.gate\n}", "import data.other\n\ndecision := 1", "decision if {\n\tinput := 1\n\tinput == 1\n}", "decision if gate_is_open",
	} {
		if err := tryModule("package postern.sharing\n\nimport rego.v2\n\n" + body + "\n"); err == nil {
			t.Errorf("compiles:\n%s", body)
		}
	}
}

func tryModule(source string) error {
	parsed, err := modules([]file{{path: "x.rego", data: []byte(source)}})
	if err != nil {
		return err
	}
	c, err := compiler()
	if err != nil {
		return err
	}
	if c.Compile(parsed); c.Failed() {
		return c.Errors
	}
	return nil
}
