package delivery

import (
	"bytes"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/section"
	posternv1 "postern/proto/postern/v1"
)

// Cause is who made happen what a desk is to be told.
type Cause byte

// The causes.
const (
	ByTeam  Cause = 1 + iota // a team's report
	ByInbox                  // an inbox's answer to a delivery, or its silence
	ByHub                    // a desk's own statement, an operator, or the hub's clock and policy
)

// Valve is the one-way valve in the prison's wall. Every update that a desk is ever told passes through it and through
// nothing else (Tell calls it), and what it returns is made anew from the closed set of what may flow back:
//
//   - a team's reply: accepted for contact, or needs detail of a fixed list of sections. "Not our area", "cannot trace"
//     and "already known" come out as accepted for contact;
//   - an inbox's signed acknowledgement, which has room for the digest of the manifest and nothing else; or undelivered,
//     whether it refused or was silent;
//   - of the hub's own: a decision made again, undelivered, stop asked, and closed.
//
// Anything else is refused. When a desk hears of it is Tell's to say.
func Valve(by Cause, u *posternv1.Update) (*posternv1.Update, error) {
	out := &posternv1.Update{NotificationId: u.GetNotificationId()}
	switch said := u.GetUpdate().(type) {
	case *posternv1.Update_Reply:
		reply, err := replyBack(by, said.Reply)
		out.Update = &posternv1.Update_Reply{Reply: reply}
		return out, err
	case *posternv1.Update_Acknowledgement:
		if a := said.Acknowledgement; by == ByInbox && onlyDigest(a) {
			out.Update = &posternv1.Update_Acknowledgement{Acknowledgement: proto.CloneOf(a)}
			return out, nil
		}
	case *posternv1.Update_Decision:
		if by == ByHub {
			out.EventId = bytes.Clone(u.GetEventId())
			out.Update = &posternv1.Update_Decision{Decision: proto.CloneOf(said.Decision)}
			return out, nil
		}
	}
	return nil, errShut
}

var errShut = fault.New(fault.Internal, "VALVE_SHUT", "That does not flow back to a prison.")

func replyBack(by Cause, r *posternv1.Reply) (*posternv1.Reply, error) {
	switch code := r.GetCode(); {
	case by == ByTeam && (code == posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT || code == posternv1.ReplyCode_REPLY_CODE_NOT_OUR_AREA ||
		code == posternv1.ReplyCode_REPLY_CODE_CANNOT_TRACE || code == posternv1.ReplyCode_REPLY_CODE_ALREADY_KNOWN):
		return &posternv1.Reply{Code: posternv1.ReplyCode_REPLY_CODE_ACCEPTED_FOR_CONTACT}, nil
	case by == ByTeam && code == posternv1.ReplyCode_REPLY_CODE_NEEDS_DETAIL:
		paths, err := asked(r.GetPaths())
		return &posternv1.Reply{Code: code, Paths: paths}, err
	case (by == ByInbox || by == ByHub) && code == posternv1.ReplyCode_REPLY_CODE_UNDELIVERED, by == ByHub && code == posternv1.ReplyCode_REPLY_CODE_CLOSED:
		return &posternv1.Reply{Code: code}, nil
	case by == ByHub && code == posternv1.ReplyCode_REPLY_CODE_STOP_ASKED:
		return &posternv1.Reply{Code: code, Paths: slices.Clone(r.GetPaths())}, nil // as a desk wrote them
	case by == ByTeam:
		return nil, fault.New(fault.Invalid, "REPLY_CODE", "That is not a reply a team can give.")
	}
	return nil, errShut
}

// neverAsked are the sections that no inbox may ask a prison for: the answer could tell where a family lives, and the
// question that it was looked for.
var neverAsked = []string{"/home", "/carer", "/safety", "/phone"}

// asked are the sections that a team asks for, in one order and each once, so that the list says nothing but what it names.
func asked(paths []string) ([]string, error) {
	for _, p := range paths {
		if s, ok := section.Lookup(p); !ok || s.Class == posternv1.SectionClass_SECTION_CLASS_URGENT {
			return nil, fault.New(fault.Invalid, "UNKNOWN_SECTION", "A team asks for sections by their path, such as child/1/school.")
		}
		for _, never := range neverAsked {
			if strings.HasSuffix(p, never) {
				return nil, fault.New(fault.Invalid, "NEVER_ASKED", "A team may not ask a prison for home, carer, safety or phone.")
			}
		}
	}
	return slices.Compact(slices.Sorted(slices.Values(paths))), nil
}

// onlyDigest reports whether an acknowledgement is nothing but the digest of what it is about, under its signature: an
// unknown field or another spelling of the same message would be room for more.
func onlyDigest(s *posternv1.Signed) bool {
	ack := &posternv1.Acknowledgement{}
	if s.GetPayloadType() != envelope.TypeAcknowledgement || hasUnknown(s) || len(s.GetSignatures()) != 1 || proto.Unmarshal(s.GetPayload(), ack) != nil {
		return false
	}
	again, err := proto.Marshal(&posternv1.Acknowledgement{ManifestSha256: ack.GetManifestSha256()})
	return err == nil && len(ack.GetManifestSha256()) == 32 && bytes.Equal(again, s.GetPayload())
}
