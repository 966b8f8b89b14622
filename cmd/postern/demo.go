package main

import (
	"log/slog"

	"github.com/spf13/cobra"

	"postern/internal/demo"
)

func (a *app) demoCommand() *cobra.Command {
	o := demo.Options{}
	c := &cobra.Command{Use: "demo", Short: "Play all parties on this machine with invented families", Args: exactly(0)}
	c.Flags().BoolVar(&o.Once, "once", false, "play the stories and end; exit 0 only if every step held")
	c.Flags().StringVar(&o.Dir, "dir", "", "keep everything in this folder: one configuration and one data folder a party")
	c.Flags().BoolVar(&o.Open, "open", false, "begin the guided tour in your browser")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.Out, o.JSON = a.out, a.output == "json"
		o.Log = slog.New(slog.DiscardHandler)
		if a.verbose {
			o.Log = a.serveLog()
		}
		return demo.Run(c.Context(), o)
	}
	return c
}
