package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"postern/internal/identity/ca"
)

func (a *app) caCommand() *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "A trial certificate authority, for demonstrations and pilots"}
	var domain string
	initCA := &cobra.Command{Use: "init DIR", Short: "Make the four trust anchors of a trust domain", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error { return ca.Init(args[0], ca.Config{Domain: domain}) }}
	initCA.Flags().StringVar(&domain, "domain", "trial.postern.example", "the trust domain")
	var out string
	var days int
	issue := &cobra.Command{Use: "issue DIR URI", Short: "Make a key and certificate for a party, such as spiffe://DOMAIN/prison/BLI/desk", Args: exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			return ca.Issue(args[0], args[1], ca.IssueConfig{OutCert: filepath.Join(out, "cert.pem"), OutKey: filepath.Join(out, "key.pem"), Days: days})
		}}
	issue.Flags().StringVar(&out, "out", ".", "the folder for cert.pem and key.pem")
	issue.Flags().IntVar(&days, "days", 30, "how many days the certificate holds")
	c.AddCommand(initCA, issue)
	return c
}
