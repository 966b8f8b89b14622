package main

import (
	"cmp"
	"context"
	"os"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/plain"
	"postern/internal/words"
	localv1 "postern/proto/postern/local/v1"
)

// language is the language of what people read: of --lang, else of the environment, else English.
func (a *app) language() words.Language {
	lang, _ := words.Parse(cmp.Or(a.lang, os.Getenv("LC_ALL"), os.Getenv("LC_MESSAGES"), os.Getenv("LANG")))
	return lang
}

func (a *app) deskTonightCommand() *cobra.Command {
	return &cobra.Command{Use: "tonight [AUTHORITY]...", Short: "Whom to telephone at this hour when a child may be alone; works without the hub",
		RunE: func(c *cobra.Command, args []string) error {
			return a.deskConn(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
				out, err := localv1.NewCounterServiceClient(conn).Tonight(ctx, &localv1.TonightRequest{Authorities: args})
				if err != nil {
					return err
				}
				if a.output == "json" {
					return a.printJSON(tonightJSON(out))
				}
				a.printNumbers(out)
				return nil
			})
		}}
}

// tonightOf asks for the numbers of a form and, on a terminal, prints them at once.
func (a *app) tonightOf(ctx context.Context, conn *grpc.ClientConn, form []byte) (*localv1.TonightResponse, error) {
	out, err := localv1.NewCounterServiceClient(conn).Tonight(ctx, &localv1.TonightRequest{FormJson: form})
	if err == nil && showsTonight(out) && a.output != "json" {
		a.printNumbers(out)
	}
	return out, err
}

func showsTonight(t *localv1.TonightResponse) bool {
	answer := plain.Enum(t.GetAnswer())
	return answer == "YES" || answer == "NOT_SURE"
}

func (a *app) printNumbers(t *localv1.TonightResponse) {
	lang := a.language()
	a.line("%s", lang.Text("phones.title", nil))
	a.line("  %s", lang.Text("phones.danger", nil))
	for _, n := range t.GetNumbers() {
		name := n.GetName()
		if lang == words.Welsh && n.GetNameCy() != "" {
			name = n.GetNameCy()
		}
		id := "phones.number"
		switch {
		case n.GetPhone() == "":
			id = "phones.no_number"
		case !n.GetInHours():
			id = "phones.out_of_hours"
		}
		a.line("  %s", visible(lang.Text(id, words.Args{"phone": n.GetPhone(), "team": n.GetTeam(), "authority": name})))
	}
	if len(t.GetNumbers()) == 0 {
		a.line("  %s", lang.Text("phones.no_directory", nil))
	}
	a.line("%s", lang.Text("phones.no_consent", nil))
	a.line("")
}

// withTonight puts the numbers into what a script reads, where the first question was answered YES or NOT_SURE.
func withTonight(out map[string]any, t *localv1.TonightResponse) map[string]any {
	if showsTonight(t) {
		out["tonight"] = tonightJSON(t)
	}
	return out
}

func tonightJSON(t *localv1.TonightResponse) map[string]any {
	numbers := []map[string]any{}
	for _, n := range t.GetNumbers() {
		m := plain.Map(n)
		m["id"] = n.GetAuthority()
		numbers = append(numbers, m)
	}
	return map[string]any{"answer": plain.Enum(t.GetAnswer()), "emergency": "999", "numbers": numbers}
}

// printTonightAlone gives a script the numbers of a form that was not taken; on a terminal they stand there already.
func (a *app) printTonightAlone(t *localv1.TonightResponse) error {
	if a.output != "json" || !showsTonight(t) {
		return nil
	}
	return a.printJSON(withTonight(map[string]any{"form_id": "", "notifications": []any{}}, t))
}

func (a *app) deskSlipCommand() *cobra.Command {
	var format string
	c := &cobra.Command{Use: "slip ID", Short: "Print the person's own paper copy of a notification, by its id or reference", Args: exactly(1)}
	c.Flags().StringVar(&format, "format", "text", "text, or html: a page to print")
	c.RunE = func(c *cobra.Command, args []string) error {
		if format != "text" && format != "html" {
			return usage("--format is text or html")
		}
		return a.deskConn(c.Context(), func(ctx context.Context, conn *grpc.ClientConn) error {
			out, err := localv1.NewCounterServiceClient(conn).GetSlip(ctx,
				&localv1.GetSlipRequest{Id: args[0], Language: string(a.language()), Html: format == "html"})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(map[string]any{"id": args[0], "language": a.language(), "format": format, "content": string(out.GetContent())})
			}
			_, err = a.out.Write(out.GetContent())
			return err
		})
	}
	return c
}
