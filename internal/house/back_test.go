package house

import (
	"maps"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	posternv1 "postern/proto/postern/v1"
)

// writtenByInboxes are the text and bytes that an inbox writes and that reach a desk: the exceptions, by name. Each is by
// the field in which its message stands.
var writtenByInboxes = map[string]string{
	"postern.v1.Update.acknowledgement/postern.v1.Signed.payload":               "the acknowledgement, which delivery.Valve lets through as the digest of the manifest and nothing else",
	"postern.v1.Update.acknowledgement/postern.v1.Signed.payload_type":          "the acknowledgement's, one constant",
	"postern.v1.Signed.signatures/postern.v1.Signature.signature":               "of the acknowledgement and of recipient keys; Ed25519 leaves no choice, and P-256 is accepted",
	"postern.v1.Signed.signatures/postern.v1.Signature.certificates":            "of the acknowledgement and of recipient keys: only those that an anchor needs",
	"postern.v1.ListKeysResponse.recipient_keys/postern.v1.Signed.payload":      "a recipient key, which is about no family and is published to every desk alike",
	"postern.v1.ListKeysResponse.recipient_keys/postern.v1.Signed.payload_type": "a recipient key's, one constant",
	"postern.v1.Update.reply/postern.v1.Reply.paths":                            "sections of a fixed list, which delivery.Valve puts in one order, each once",
}

// writtenByOthers are the fields of the same messages where somebody else writes them.
var writtenByOthers = map[string]string{
	"postern.v1.ListAuthoritiesResponse.revision/postern.v1.Signed.payload":      "the operator",
	"postern.v1.ListAuthoritiesResponse.revision/postern.v1.Signed.payload_type": "the operator",
	"postern.v1.GetPolicyResponse.signatures/postern.v1.Signature.signature":     "whoever signed the policy",
	"postern.v1.GetPolicyResponse.signatures/postern.v1.Signature.certificates":  "whoever signed the policy",
}

// From the descriptors: no field of text or bytes that a desk can be sent is of a message that an inbox can send, but for
// the exceptions. A new field, or a new way to an old one, is not in the lists and fails here.
func TestNothingThatAnInboxWritesReachesADesk(t *testing.T) {
	inbox := map[protoreflect.FullName]bool{}
	for _, root := range []proto.Message{&posternv1.Report{}, &posternv1.Acknowledgement{}, &posternv1.RecipientKey{}, &posternv1.DeliverResponse{}} {
		reach(root.ProtoReflect().Descriptor(), "", func(_ string, f protoreflect.FieldDescriptor) { inbox[f.FullName()] = true })
	}
	desk := map[string]protoreflect.FullName{}
	methods := 0
	for _, f := range wire() {
		for _, s := range each(f.Services()) {
			for _, m := range each(s.Methods()) {
				roles, _ := proto.GetExtension(m.Options(), posternv1.E_Callers).([]posternv1.Role)
				if slices.Contains(roles, posternv1.Role_ROLE_INBOX) {
					reach(m.Input(), "", func(_ string, f protoreflect.FieldDescriptor) { inbox[f.FullName()] = true })
				}
				if slices.Contains(roles, posternv1.Role_ROLE_DESK) {
					methods++
					reach(m.Output(), string(m.FullName()), func(in string, f protoreflect.FieldDescriptor) { desk[in+"/"+string(f.FullName())] = f.FullName() })
				}
			}
		}
	}
	if methods < 7 || len(desk) < 30 || len(inbox) < 20 {
		t.Fatalf("%d methods, %d fields of theirs, %d of inboxes: something was not looked at", methods, len(desk), len(inbox))
	}
	found := map[string]bool{}
	for _, where := range slices.Sorted(maps.Keys(desk)) {
		if !inbox[desk[where]] {
			continue
		}
		found[where] = true
		if writtenByInboxes[where] == "" && writtenByOthers[where] == "" {
			t.Errorf("%s: an inbox can write this, and a desk can be sent it\n\twhy: nothing flows back to a prison but the closed set. Give the desk's message a type of its own, or say here who writes it", where)
		}
	}
	for _, list := range []map[string]string{writtenByInboxes, writtenByOthers} {
		for where := range list {
			if !found[where] {
				t.Errorf("%s is an exception, and is not there any more", where)
			}
		}
	}
}

// reach visits every field of text or bytes below a message, each with the field or method in which its message stands.
func reach(m protoreflect.MessageDescriptor, in string, visit func(in string, f protoreflect.FieldDescriptor)) {
	seen := map[string]bool{}
	var walk func(m protoreflect.MessageDescriptor, in string)
	walk = func(m protoreflect.MessageDescriptor, in string) {
		if key := in + "/" + string(m.FullName()); seen[key] {
			return
		} else {
			seen[key] = true
		}
		for _, f := range each(m.Fields()) {
			switch {
			case f.Kind() == protoreflect.StringKind || f.Kind() == protoreflect.BytesKind:
				visit(in, f)
			case f.Message() != nil:
				walk(f.Message(), string(f.FullName()))
			}
		}
	}
	walk(m, in)
}
