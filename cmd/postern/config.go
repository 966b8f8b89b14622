package main

import (
	"os"

	"github.com/spf13/cobra"

	"postern/internal/config"
	"postern/internal/fault"
)

func (a *app) configCommand() *cobra.Command {
	c := &cobra.Command{Use: "config", Short: "Configuration files"}
	c.AddCommand(&cobra.Command{Use: "check FILE", Short: "Check a configuration file of any party", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			kind, err := checkConfig(args[0])
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"ok": true, "party": kind})
			}
			a.line("%s is a good configuration for `postern %s`.", args[0], kind)
			return nil
		}})
	return c
}

// checkConfig finds out whose configuration a file is by the keys that only one kind of party has.
func checkConfig(file string) (string, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return "", fault.Newf(fault.NotFound, "NO_FILE", "The file %s cannot be read. Check its name.", file).Because(err)
	}
	kind := config.KindOf(data)
	switch kind {
	case "hub":
		_, err = config.LoadHub(file)
	case "desk":
		_, err = config.LoadDesk(file)
	case "inbox":
		_, err = config.LoadInbox(file)
	default:
		kind = "audit"
		_, err = config.LoadAuditor(file)
	}
	return kind, err
}
