package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"postern/internal/config"
	"postern/internal/fault"
	"postern/internal/ledger/verify"
	"postern/internal/plain"
	localv1 "postern/proto/postern/local/v1"
	logv1 "postern/proto/postern/log/v1"
)

func (a *app) auditCommand() *cobra.Command {
	c := a.configFlag(&cobra.Command{Use: "audit", Short: "Check what was decided, why, and that the log proves it"})
	c.AddCommand(serveCommand(a, "Serve the auditor's control socket", config.LoadAuditor),
		a.auditListCommand(),
		&cobra.Command{Use: "show ID", Short: "Show one event with its proof, by event id, notification id or reference", Args: exactly(1), RunE: a.auditShow},
		&cobra.Command{Use: "prove ID", Short: "Print the receipt of an event, cut to the newest checkpoint: a file for anybody to verify", Args: exactly(1), RunE: a.auditProve},
		&cobra.Command{Use: "export DIR", Short: "Bring a folder up to date with both logs, in open formats, and sign what it holds", Args: exactly(1), RunE: a.auditExport},
		a.auditVerifyCommand(),
		&cobra.Command{Use: "witness", Short: "See that the hub's logs go on from what was seen of them, and print their newest checkpoints", Args: exactly(0), RunE: a.auditWitness},
		a.auditReplayCommand(),
		a.auditWhatIfCommand(),
		a.auditStatsCommand(),
		a.auditEvidenceCommand())
	c.AddCommand(logCommands(a, config.LoadAuditor)...)
	return c
}

func (a *app) auditor(ctx context.Context, fn func(context.Context, localv1.AuditorServiceClient) error) error {
	return with(ctx, a, config.LoadAuditor, func(ctx context.Context, conn *grpc.ClientConn) error {
		return fn(ctx, localv1.NewAuditorServiceClient(conn))
	})
}

func (a *app) auditShow(c *cobra.Command, args []string) error {
	return a.auditor(c.Context(), func(ctx context.Context, auditor localv1.AuditorServiceClient) error {
		out, err := auditor.GetEvent(ctx, &localv1.GetEventRequest{Id: args[0]})
		if err != nil {
			return err
		}
		if err := a.printEvent(out); err != nil {
			return err
		}
		if out.GetFault() != "" {
			return exitCode(3)
		}
		return nil
	})
}

func (a *app) printEvent(out *localv1.GetEventResponse) error {
	e, d := out.GetResponse().GetEvent(), &logv1.Details{}
	if err := proto.Unmarshal(out.GetResponse().GetDetails(), d); err != nil {
		return fault.From(err)
	}
	if a.output == "json" {
		m := eventMap(e)
		m["verified"], m["fault"] = out.GetFault() == "", out.GetFault()
		m["input"] = json.RawMessage("null")
		if len(d.GetInput()) > 0 {
			m["input"] = json.RawMessage(d.GetInput())
		}
		m["receipt"] = plain.Map(out.GetResponse().GetReceipt())
		return a.printJSON(m)
	}
	a.line("Event %s, %s, %s", e.GetEventId(), e.GetKind(), when(e.GetRecordTime()))
	a.line("  Log %s, number %d", e.GetOrigin(), e.GetIndex())
	if e.GetReference() != "" {
		a.line("  Notification %s (%s), prison %s, to %s", e.GetReference(), e.GetNotificationId(), orNone(e.GetPrisonId()), orNone(e.GetAuthority()))
	}
	if e.GetDecision() != nil {
		a.indented(plain.Decision(e.GetDecision()))
		a.line("  Sections offered: %s", pathList(e.GetOfferedPaths()))
		a.line("  Sections released: %s", pathList(e.GetDecision().GetPaths()))
		a.line("  Policy %s, engine %s", e.GetDecision().GetPolicyRevision(), e.GetDecision().GetEngineVersion())
	}
	if d.GetQuestion() != "" {
		a.line("  Asked: %s", visible(d.GetQuestion()))
	}
	if d.GetRefusal() != "" {
		a.line("  What: %s", d.GetRefusal())
	}
	if out.GetFault() != "" {
		a.line("  Proof: NOT VERIFIED. %s", out.GetFault())
		return nil
	}
	a.line("  Proof: verified against the signed log")
	return nil
}

// verifyReceipt checks a receipt file with the log keys of the configuration, and nothing else: no network.
func (a *app) verifyReceipt(name string, keys verify.Keys) error {
	data, err := a.readForeign(name)
	if err != nil {
		return err
	}
	receipt, err := verify.UnmarshalFile(data)
	if err != nil {
		return fault.Newf(fault.Unverified, "NOT_A_RECEIPT", "This file is not a receipt. %s", fault.From(err).Message).Because(err)
	}
	event, err := verify.Receipt(receipt, keys)
	if err != nil {
		return err
	}
	if a.output == "json" {
		return a.printJSON(map[string]any{"verified": true, "origin": event.Origin, "index": event.Index, "size": event.Size,
			"event_id": fmt.Sprintf("%x", event.EventID), "kind": strings.ToLower(plain.Enum(event.Kind)), "core": plain.Map(event.Core)})
	}
	a.line("Verified: number %d of %d in the log %s", event.Index, event.Size, event.Origin)
	a.line("  Event %x, %s, in the hour of %s", event.EventID, strings.ToLower(plain.Enum(event.Kind)), plain.Time(event.Hour))
	a.line("  Outcome: %s; %d sections released; policy %s", plain.Outcome(event.Core.GetOutcome()), len(event.Core.GetSectionsSha256()), event.Core.GetPolicyRevision())
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

func plainNumber(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
