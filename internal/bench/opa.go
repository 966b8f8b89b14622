package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"postern/internal/engine"
	"postern/policy"
)

// setsRego turns the lists of a JSON input into the sets that the policy takes.
//
//go:embed sets.rego
var setsRego string

// opaPeer is OPA's own server with our policy, asked over plain HTTP.
type opaPeer struct {
	*process
	url    string
	client *http.Client
}

// opaTool is the path of the pinned OPA, built when it is not yet.
func (b *bench) opaTool() (string, error) {
	b.say("building opa, the first time for some minutes")
	cmd := exec.CommandContext(b.ctx, "go", "tool", "-modfile=tools/opa/go.mod", "-n", "opa")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	return strings.TrimSpace(string(out)), err
}

// bundleFolder writes what decides to a folder; tests, cases and schema are none of the server's business.
func (b *bench) bundleFolder() (string, error) {
	folder := filepath.Join(b.dir, "bundle")
	if err := errors.Join(os.MkdirAll(folder, 0o755), os.WriteFile(filepath.Join(folder, "sets.rego"), []byte(setsRego), 0o644)); err != nil {
		return "", err
	}
	return folder, fs.WalkDir(policy.Bundle, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, "_test.rego") || (name != "data.json" && !strings.HasSuffix(name, ".rego")) {
			return err
		}
		data, err := fs.ReadFile(policy.Bundle, name)
		if err != nil {
			return err
		}
		to := filepath.Join(folder, name)
		return errors.Join(os.MkdirAll(filepath.Dir(to), 0o755), os.WriteFile(to, data, 0o644))
	})
}

// startOPA runs the server, which writes its decision log to its output, or none. It says nothing else.
func (b *bench) startOPA(opa, bundle string, decisionLog bool) (*opaPeer, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	p, err := b.start(opa, "run", "--server", "--addr", address, "--log-level", "error", "--skip-version-check",
		"--set", fmt.Sprintf("decision_logs.console=%v", decisionLog), bundle)
	if err != nil {
		return nil, err
	}
	o := &opaPeer{p, "http://" + address, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: clients}, Timeout: 30 * time.Second}}
	return o, p.ready(b.ctx, func() error {
		r, err := o.client.Get(o.url + "/health")
		if err != nil {
			return err
		}
		return r.Body.Close()
	})
}

// decide asks for one decision and looks at its outcome.
func (o *opaPeer) decide(ctx context.Context, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.url+"/v1/data/bench/decision", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	r, err := o.client.Do(req)
	if err != nil {
		return err
	}
	answer, err := io.ReadAll(r.Body)
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return err
	}
	if r.StatusCode != http.StatusOK || !bytes.Contains(answer, []byte(`"outcome":"SHARE"`)) {
		return fmt.Errorf("opa answered %s: %.300s", r.Status, answer)
	}
	return nil
}

// input is what the hub asks its engine about a notification.
func (m message) input(now time.Time) *engine.Input {
	return engine.NewInput(engine.Facts{
		Manifest: m.manifest, Children: m.children, Hub: m.hub, OfferedPaths: m.paths, CallerPrison: prison, PrisonKnown: true,
		PrisonJurisdiction: "GB-ENG", Now: now, Agreement: agreement(),
		Recipient: engine.Recipient{Authority: authority, Known: true, Enrolled: true, Jurisdiction: "GB-ENG", AgeLimit: 18,
			EarlyHelp:    engine.FrontDoor{Name: "First Response", PhoneNow: "01632 960201", InHours: true},
			Safeguarding: engine.FrontDoor{Name: "First Response", PhoneNow: "01632 960203", InHours: true}},
	})
}

// requests are the bodies of the questions about the notifications.
func requests(e *engine.Engine, all []message, now time.Time) ([][]byte, error) {
	var out [][]byte
	for _, m := range all {
		_, input := e.Decide(context.Background(), m.input(now))
		body, err := json.Marshal(map[string]json.RawMessage{"input": input})
		if err != nil {
			return nil, err
		}
		out = append(out, body)
	}
	return out, nil
}
