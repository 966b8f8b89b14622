package main

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

// inboxOutletsCommand is `postern inbox outlets`.
func (a *app) inboxOutletsCommand() *cobra.Command {
	c := &cobra.Command{Use: "outlets", Args: exactly(0), RunE: a.outlets(a.listParcels),
		Short: "What waits to go on to a mailbox, a folder or a command, and what needs a person"}
	c.AddCommand(&cobra.Command{Use: "test", Short: "Send a test, about nobody, by every way there is", Args: exactly(0),
		RunE: a.outlets(func(ctx context.Context, inbox localv1.OutletServiceClient) error {
			out, err := inbox.SendTest(ctx, &localv1.SendTestRequest{})
			if err != nil {
				return err
			}
			if a.output == "json" {
				return a.printJSON(plain.Map(out))
			}
			a.line("%d on the way; `postern inbox outlets` lists what did not arrive.", out.GetParcels())
			return nil
		})})
	c.AddCommand(a.settleCommand())
	return c
}

func (a *app) outlets(fn func(context.Context, localv1.OutletServiceClient) error) func(*cobra.Command, []string) error {
	return func(c *cobra.Command, _ []string) error {
		return with(c.Context(), a, config.LoadInbox, func(ctx context.Context, conn *grpc.ClientConn) error {
			return fn(ctx, localv1.NewOutletServiceClient(conn))
		})
	}
}

func (a *app) listParcels(ctx context.Context, inbox localv1.OutletServiceClient) error {
	out, err := inbox.ListParcels(ctx, &localv1.ListParcelsRequest{})
	if err != nil {
		return err
	}
	return list(a, out.GetParcels(), func(p *localv1.Parcel) map[string]any { return plain.Map(p) },
		"Nothing waits.", []string{"WAY", "REFERENCE", "KIND", "SINCE", "TRIED", "STATE", "ID"}, func(p *localv1.Parcel) []string {
			state := "waits"
			if p.GetUnclear() {
				state = "UNCLEAR: look, then settle"
			}
			return []string{p.GetWay(), p.GetReference(), p.GetKind(), when(p.GetEnqueueTime()), plainNumber(p.GetAttempts()), state, p.GetId()}
		})
}

func (a *app) settleCommand() *cobra.Command {
	var arrived, again bool
	c := &cobra.Command{Use: "settle ID", Args: exactly(1), Short: "Say what became of a parcel that is unclear, after a look in the case system"}
	c.Flags().BoolVar(&arrived, "arrived", false, "the case system has it")
	c.Flags().BoolVar(&again, "again", false, "it has not: hand it over again")
	c.RunE = func(c *cobra.Command, args []string) error {
		if arrived == again {
			return usage("say either --arrived or --again, after a look in the case system")
		}
		return a.outlets(func(ctx context.Context, inbox localv1.OutletServiceClient) error {
			_, err := inbox.SettleParcel(ctx, &localv1.SettleParcelRequest{Id: args[0], Arrived: arrived})
			if err == nil && a.output != "json" {
				a.line("Settled.")
			}
			return err
		})(c, nil)
	}
	return c
}
