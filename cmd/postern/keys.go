package main

import (
	"context"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"

	"postern/internal/config"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
)

// inboxKeyCommands are the commands about an inbox's recipient keys.
func (a *app) inboxKeyCommands() []*cobra.Command {
	return []*cobra.Command{
		{Use: "keys", Short: "List the recipient keys that this inbox has, newest first", Args: exactly(0), RunE: a.inboxKeys},
		{Use: "rotate-key", Short: "Make the next recipient key now, signed by the one before, and publish it", Args: exactly(0), RunE: a.inboxRotateKey},
	}
}

func (a *app) inboxKeys(c *cobra.Command, _ []string) error {
	return with(c.Context(), a, config.LoadInbox, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewRingServiceClient(conn).ListRing(ctx, &localv1.ListRingRequest{})
		if err != nil {
			return err
		}
		return list(a, out.GetKeys(), ringJSON, "There is no key with a statement.", []string{"ID", "VERSION", "SEALED TO UNTIL", "KEPT UNTIL"}, func(k *localv1.RingKey) []string {
			return []string{k.GetKeyId(), plainNumber(k.GetVersion()), when(k.GetExpireTime()), when(k.GetForgetTime())}
		})
	})
}

func (a *app) inboxRotateKey(c *cobra.Command, _ []string) error {
	return with(c.Context(), a, config.LoadInbox, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewRingServiceClient(conn).Rotate(ctx, &localv1.RotateRequest{})
		if err != nil {
			return err
		}
		k := out.GetKey()
		if a.output == "json" {
			return a.printJSON(ringJSON(k))
		}
		a.line("Key %s, version %d, is made. Back up the key folder now: what is sealed to it only its private part opens.", k.GetKeyId(), k.GetVersion())
		if k.GetPublished() {
			a.line("The hub has it; desks learn of it by themselves.")
		} else {
			a.line("The hub does not have it yet. The serving inbox publishes it by itself when the hub answers.")
		}
		return nil
	})
}

func ringJSON(k *localv1.RingKey) map[string]any {
	m := plain.Map(k)
	m["id"] = k.GetKeyId()
	return m
}

// deskKeyCommands are the commands about the recipient keys that a desk seals to.
func (a *app) deskKeyCommands() []*cobra.Command {
	return []*cobra.Command{
		{Use: "keys", Short: "List the recipient key pinned for each authority, and any that waits for a person", Args: exactly(0), RunE: a.deskKeys},
		{Use: "confirm-key AUTHORITY KEY_ID", Short: "Use a recipient key that the one before it did not sign, after comparing its id by telephone",
			Args: exactly(2), RunE: a.deskConfirmKey},
	}
}

func (a *app) deskKeys(c *cobra.Command, _ []string) error {
	return with(c.Context(), a, config.LoadDesk, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewPinServiceClient(conn).ListPins(ctx, &localv1.ListPinsRequest{})
		if err != nil {
			return err
		}
		return list(a, out.GetPins(), pinJSON, "No recipient key is pinned yet: they come with the directory.",
			[]string{"AUTHORITY", "KEY", "VERSION", "UNTIL", "WAITS TO BE CONFIRMED"}, func(p *localv1.Pin) []string {
				return []string{p.GetAuthority(), p.GetKeyId(), plainNumber(p.GetVersion()), when(p.GetExpireTime()), p.GetWaitingKeyId()}
			})
	})
}

func (a *app) deskConfirmKey(c *cobra.Command, args []string) error {
	return with(c.Context(), a, config.LoadDesk, func(ctx context.Context, conn *grpc.ClientConn) error {
		out, err := localv1.NewPinServiceClient(conn).ConfirmKey(ctx, &localv1.ConfirmKeyRequest{Authority: args[0], KeyId: args[1]})
		if err != nil {
			return err
		}
		if a.output == "json" {
			return a.printJSON(pinJSON(out.GetPin()))
		}
		a.line("From now on this desk seals to key %s, version %d, of %s.", out.GetPin().GetKeyId(), out.GetPin().GetVersion(), args[0])
		return nil
	})
}

func pinJSON(p *localv1.Pin) map[string]any {
	m := plain.Map(p)
	m["id"] = p.GetAuthority()
	return m
}
