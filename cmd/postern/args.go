package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"postern/internal/plain"
)

// exactly takes exactly n arguments; another number is a usage error.
func exactly(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != n {
			return usage(fmt.Sprintf("%s takes %d argument(s), not %d: postern %s", c.CommandPath(), n, len(args), strings.TrimPrefix(c.UseLine(), "postern ")))
		}
		return nil
	}
}

// atMost takes up to n arguments; more is a usage error.
func atMost(n int) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) > n {
			return usage(fmt.Sprintf("%s takes at most %d argument(s), not %d: postern %s", c.CommandPath(), n, len(args), strings.TrimPrefix(c.UseLine(), "postern ")))
		}
		return nil
	}
}

// needsCommand makes every command that only has further ones refuse to run without: cobra itself prints the help and
// ends with success, and a script with a slip in it would go on.
func needsCommand(c *cobra.Command) {
	for _, sub := range c.Commands() {
		needsCommand(sub)
	}
	if !c.HasSubCommands() || c.Runnable() {
		return
	}
	c.Use, c.DisableFlagsInUseLine, c.Args = c.Use+" COMMAND", true, cobra.ArbitraryArgs
	c.RunE = func(c *cobra.Command, args []string) error {
		var names []string
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() {
				names = append(names, sub.Name())
			}
		}
		if len(args) > 0 {
			return usage(fmt.Sprintf("%s has no command %q; it has: %s", c.CommandPath(), args[0], strings.Join(names, ", ")))
		}
		return usage(fmt.Sprintf("%s needs a command: %s", c.CommandPath(), strings.Join(names, ", ")))
	}
}

// isCobraUsage recognises the command-line errors that the library makes itself.
func isCobraUsage(err error) bool {
	return strings.HasPrefix(err.Error(), "unknown command") || strings.HasPrefix(err.Error(), "unknown flag") ||
		strings.HasPrefix(err.Error(), "required flag")
}

// visible shows a value on a terminal without letting it act there.
func visible(s string) string { return plain.Visible(s) }
