package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"postern/internal/engine"
	"postern/policy"
)

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version, the Go it was built with and the built-in policy's revision", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			version := "devel"
			if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
				version = info.Main.Version
			}
			revision, err := engine.Revision(policy.Bundle)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"version": version, "go": runtime.Version(), "policy_revision": revision})
			}
			a.line("postern %s, %s, policy %s", version, runtime.Version(), revision)
			return nil
		}}
}
