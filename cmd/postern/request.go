package main

import (
	"context"
	"html/template"

	"github.com/spf13/cobra"

	"postern/internal/desk"
	"postern/internal/plain"
	"postern/internal/section"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
)

// request is what a printed request for support says.
type request struct {
	Reference, Prison, To, Phone, For, Basis, ReplyTo, Until string
	Sections                                                 []requestSection
}

type requestSection struct {
	Name, Source string
	Lines        []plain.Line
}

// deskRequestCommand is `postern desk request`.
func (a *app) deskRequestCommand() *cobra.Command {
	var html bool
	c := &cobra.Command{Use: "request ID", Args: exactly(1), Short: "Print the request for support of the manual route, as text or as a page to print"}
	c.Flags().BoolVar(&html, "html", false, "as an HTML page")
	c.RunE = func(c *cobra.Command, args []string) error {
		return a.casework(c.Context(), func(ctx context.Context, desk localv1.CaseworkServiceClient) error {
			out, err := desk.GetRequestForSupport(ctx, &localv1.GetRequestForSupportRequest{Id: args[0]})
			if err != nil {
				return err
			}
			r, err := newRequest(out)
			switch {
			case err != nil:
				return err
			case a.output == "json":
				return a.printJSON(r)
			case html:
				return requestPage.Execute(a.out, r)
			}
			a.printRequest(r)
			return nil
		})
	}
	return c
}

func newRequest(out *localv1.GetRequestForSupportResponse) (request, error) {
	n, reply := out.GetNotification(), out.GetReplyTo()
	r := request{
		Basis:     words.English.Text(desk.RequestBasis(out.GetRoute()), nil),
		Reference: n.GetReference(), Prison: out.GetPrison(), To: out.GetFrontDoor(), Phone: out.GetPhoneNumber(),
		ReplyTo: reply.GetRole() + ", " + reply.GetPhone() + ", " + reply.GetMailbox(), Until: when(out.GetConsentExpireTime()),
	}
	if c := n.GetChampion(); c != nil {
		r.For = championWords(c)
	}
	if n.GetAuthorityName() != "" {
		r.To = n.GetAuthorityName() + ", " + r.To
	}
	if r.To == "" {
		r.To = "the front door of the authority where the child lives"
	}
	for _, s := range out.GetSections() {
		m, err := section.Read(s.GetPath(), s.GetContent())
		if err != nil {
			return r, err
		}
		one := requestSection{Name: plain.PathWords(s.GetPath()), Source: plain.Provenance(m)}
		for _, l := range plain.Lines(m) {
			one.Lines = append(one.Lines, plain.Line{Label: l.Label, Value: visible(l.Value)})
		}
		r.Sections = append(r.Sections, one)
	}
	return r, nil
}

const (
	requestTitle  = "Request for support for a family with a parent in prison"
	requestNoRisk = "Not a risk assessment. Check your own records first."
)

func (a *app) printRequest(r request) {
	a.line("%s", requestTitle)
	a.line("To: %s %s", r.To, r.Phone)
	if r.For != "" {
		a.line("For: %s", r.For)
	}
	a.line("From: %s   Our reference: %s", r.Prison, r.Reference)
	a.line("%s", requestNoRisk)
	a.line("%s", r.Basis)
	for _, s := range r.Sections {
		a.line("%s (%s)", s.Name, s.Source)
		for _, l := range s.Lines {
			a.line("    %s: %s", l.Label, l.Value)
		}
	}
	if r.Until != "" {
		a.line("Permission until: %s", r.Until)
	}
	a.line("Questions and answers: %s", r.ReplyTo)
}

// requestPage is the same as a page to print. It is made from text alone: html/template escapes all of it.
var requestPage = template.Must(template.New("request").Funcs(template.FuncMap{
	"title": func() string { return requestTitle }, "noRisk": func() string { return requestNoRisk },
}).Parse(`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>Request for support</title>
<style>
body { font: 12pt/1.4 Arial, Helvetica, sans-serif; max-width: 45em; margin: 2em auto; }
h2 { font-size: 12pt; margin: 1.2em 0 .3em; }
dl { display: grid; grid-template-columns: 14em 1fr; margin: 0; }
dd { margin: 0; }
@media print { body { margin: 0; } section { break-inside: avoid; } }
</style>
</head>
<body>
<h1>{{title}}</h1>
<p>To: {{.To}} {{.Phone}}<br>{{with .For}}For: {{.}}<br>{{end}}From: {{.Prison}}<br>Our reference: {{.Reference}}</p>
<p><strong>{{noRisk}}</strong> {{.Basis}}</p>
{{range .Sections}}<section>
<h2>{{.Name}} ({{.Source}})</h2>
<dl>{{range .Lines}}
<dt>{{.Label}}</dt><dd>{{.Value}}</dd>{{end}}
</dl>
</section>
{{end}}{{if .Until}}<p>Permission until: {{.Until}}</p>
{{end}}<p>Questions and answers: {{.ReplyTo}}</p>
</body>
</html>
`))
