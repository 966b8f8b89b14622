package main

import (
	"crypto/rand"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/config"
)

// The commands that make what a new party has for itself. None replaces anything.

func (a *app) hubNewKeysCommand() *cobra.Command {
	return &cobra.Command{Use: "new-keys", Short: "Make the first keys of both logs, where the configuration names them", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load(a, config.LoadHub)
			if err != nil {
				return err
			}
			sent, received, err := cfg.NewKeys(rand.Reader)
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"log_key": map[string]any{"sent": cfg.LogKey.Sent, "received": cfg.LogKey.Received}, "verifier_keys": []string{sent, received}})
			}
			a.line("The private keys are in %s and %s. They never leave this machine but for a copy that is kept locked away.", cfg.LogKey.Sent, cfg.LogKey.Received)
			a.line("Give the verifier keys, also in the .vkey files beside them, to the other parties.")
			a.line("Of the sent log, for hub.log_keys of everybody:\n%s", sent)
			a.line("Of the received log, for hub.received_keys of inboxes and hub.log_keys of auditors:\n%s", received)
			return nil
		}}
}

func (a *app) deskNewKeyCommand() *cobra.Command {
	return &cobra.Command{Use: "new-key", Short: "Make the desk's reference key, where the configuration names it", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load(a, config.LoadDesk)
			if err != nil {
				return err
			}
			if err := cfg.NewKey(rand.Reader); err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"reference_key": cfg.Reference})
			}
			a.line("The reference key is in %s. Keep a copy locked away: without it the desk does not find people entered before.", cfg.Reference)
			return nil
		}}
}

func (a *app) inboxNewKeyCommand() *cobra.Command {
	var version uint32
	c := &cobra.Command{Use: "new-key", Short: "Make a first recipient key, signed by the inbox's certificate; rotate-key makes those after it", Args: exactly(0),
		RunE: func(*cobra.Command, []string) error {
			cfg, err := load(a, config.LoadInbox)
			if err != nil {
				return err
			}
			statement, err := cfg.NewKey(version, time.Now())
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"statement": statement, "version": version})
			}
			a.line("The private key is in %s and never leaves it but for a copy that is kept locked away.", cfg.RecipientKeys)
			a.line("Give the hub's operator, for recipient_key_file in the directory:\n%s", statement)
			return nil
		}}
	c.Flags().Uint32Var(&version, "version", 1, "one above the last, where the folder with the keys was lost")
	return c
}
