package main

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"postern/internal/fault"
	"postern/internal/identity/ca"
)

func (a *app) caCommand() *cobra.Command {
	c := &cobra.Command{Use: "ca", Short: "A trial certificate authority, for demonstrations and pilots"}
	var domain string
	initCA := &cobra.Command{Use: "init DIR", Short: "Make the four trust anchors of a trust domain", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := ca.Init(args[0], ca.Config{Domain: domain}); err != nil {
				return err
			}
			return a.lists(args[0], "Made four anchors, each with its ca.pem, ca-key.pem and crl.pem. The keys never leave this machine; ca.pem and crl.pem of all go to every party.")
		}}
	initCA.Flags().StringVar(&domain, "domain", "trial.postern.example", "the trust domain")
	c.AddCommand(initCA, a.caRequest(), a.caIssue(), a.caRevoke(), a.caList(),
		&cobra.Command{Use: "renew DIR", Short: "Make the revocation lists anew, for another 30 days; then copy them to every party", Args: exactly(1),
			RunE: func(_ *cobra.Command, args []string) error {
				if err := ca.Renew(args[0], time.Time{}); err != nil {
					return err
				}
				return a.lists(args[0], "Made the four revocation lists anew. Copy crl.pem of each to every party, which reads it within 15 seconds.")
			}})
	return c
}

func (a *app) caRequest() *cobra.Command {
	var out string
	var p256 bool
	c := &cobra.Command{Use: "request URI", Short: "Make a key that stays here, and a request for its certificate that goes to whoever runs the anchor", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			request := filepath.Join(out, "request.pem")
			if err := ca.Request(args[0], ca.RequestConfig{OutRequest: request, OutKey: filepath.Join(out, "key.pem"), P256: p256}); err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"uri": args[0], "request": request, "key": filepath.Join(out, "key.pem")})
			}
			a.line("Send %s to whoever runs the anchor: postern ca issue DIR %s --request request.pem", request, args[0])
			return nil
		}}
	c.Flags().StringVar(&out, "out", ".", "the folder for request.pem and key.pem")
	c.Flags().BoolVar(&p256, "p256", false, "an ECDSA P-256 key instead of Ed25519, where an authority cannot sign that")
	return c
}

func (a *app) caIssue() *cobra.Command {
	var out, request string
	var days int
	c := &cobra.Command{Use: "issue DIR URI", Short: "Make a certificate for a party, such as spiffe://DOMAIN/prison/BLI/desk, and its key unless --request has one", Args: exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			cfg := ca.IssueConfig{OutCert: filepath.Join(out, "cert.pem"), OutKey: filepath.Join(out, "key.pem"), Days: days}
			if request != "" {
				text, err := os.ReadFile(request)
				if err != nil {
					return fault.Newf(fault.Invalid, "CA_REQUEST", "The request %s cannot be read.", request).Because(err)
				}
				cfg.OutKey, cfg.Request = "", text
			}
			if err := ca.Issue(args[0], args[1], cfg); err != nil {
				return err
			}
			one, err := ca.Read(cfg.OutCert)
			if err != nil {
				return err
			}
			if a.output == "json" {
				v := certificateView(one)
				v["certificate"], v["key"] = cfg.OutCert, cfg.OutKey
				return a.printJSON(v)
			}
			a.line("Issued: %s, serial number %s, until %s, in %s.", one.URI, one.Serial, one.Ends.UTC().Format(time.DateOnly), cfg.OutCert)
			return nil
		}}
	c.Flags().StringVar(&out, "out", ".", "the folder for cert.pem and key.pem")
	c.Flags().StringVar(&request, "request", "", "a certificate signing request in PEM: the key stays where it was made")
	c.Flags().IntVar(&days, "days", 30, "how many days the certificate holds")
	return c
}

// lists prints the four anchors, after a command that made their revocation lists.
func (a *app) lists(dir, words string) error {
	all, err := ca.Lists(dir)
	if err != nil {
		return err
	}
	if a.output != "json" {
		a.line("%s", words)
		a.line("Before %s: postern ca renew %s", all[0].Ends.UTC().Format(time.DateOnly), dir)
		return nil
	}
	return list(a, all, func(l ca.Revocations) map[string]any {
		return map[string]any{"id": l.Anchor, "certificate": filepath.Join(dir, l.Anchor, "ca.pem"), "revocation": filepath.Join(dir, l.Anchor, "crl.pem"), "revoked": l.Revoked,
			"end_time": l.Ends.UTC().Format(time.RFC3339)}
	}, "", nil, nil)
}

func (a *app) caRevoke() *cobra.Command {
	return &cobra.Command{Use: "revoke DIR SERIAL", Short: "Put a certificate on its anchor's revocation list; then copy crl.pem to every party", Args: exactly(2),
		RunE: func(_ *cobra.Command, args []string) error {
			one, err := ca.Revoke(args[0], args[1], time.Time{})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(certificateView(one))
			}
			a.line("Revoked: %s, from %s.", one.URI, one.Revoked.UTC().Format(time.RFC3339))
			a.line("Copy %s to every party: each reads it within 15 seconds.", filepath.Join(args[0], one.Anchor, "crl.pem"))
			return nil
		}}
}

func (a *app) caList() *cobra.Command {
	return &cobra.Command{Use: "list DIR", Short: "List every certificate that was issued, and which are revoked", Args: exactly(1),
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := ca.List(args[0])
			if err != nil {
				return err
			}
			return list(a, all, certificateView, "No certificate was issued here.", []string{"SERIAL", "PARTY", "STATE"}, func(c ca.Issued) []string {
				state := "holds until " + c.Ends.UTC().Format(time.DateOnly)
				if !c.Revoked.IsZero() {
					state = "revoked " + c.Revoked.UTC().Format(time.RFC3339)
				}
				return []string{c.Serial, c.URI, state}
			})
		}}
}

func certificateView(c ca.Issued) map[string]any {
	v := map[string]any{"id": c.Serial, "uri": c.URI, "anchor": c.Anchor, "start_time": c.Starts.UTC().Format(time.RFC3339), "end_time": c.Ends.UTC().Format(time.RFC3339)}
	if !c.Revoked.IsZero() {
		v["revoke_time"] = c.Revoked.UTC().Format(time.RFC3339)
	}
	return v
}
