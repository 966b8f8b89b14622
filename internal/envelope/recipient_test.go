package envelope_test

import (
	"bytes"
	"slices"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/identity"
	"postern/internal/identity/ca"
	posternv1 "postern/proto/postern/v1"
)

// TestKeyFiles: a key file that is read back opens what was sealed to it.
func TestKeyFiles(t *testing.T) {
	w := newWorld(t)
	file := value(w.key.MarshalPEM())(t)
	again := value(envelope.ParseRecipient(file))(t)
	if again.KeyID() != w.key.KeyID() || !bytes.Equal(value(again.MarshalPEM())(t), file) {
		t.Error("another key")
	}
	v := w.verify(t, w.seal(t, family(t)))
	if !samePlains(value(v.Open(again))(t), value(v.Open(w.key))(t)) {
		t.Error("another content")
	}
}

// TestADamagedKeyFileIsRefused, or is the same key: an inbox that starts with another key than it published would
// refuse every family until somebody found out why.
func TestADamagedKeyFileIsRefused(t *testing.T) {
	key := value(envelope.GenerateRecipient())(t)
	file := value(key.MarshalPEM())(t)
	r := newRand(1)
	try := func(what string, damaged []byte) {
		t.Helper()
		got, err := envelope.ParseRecipient(damaged)
		if err != nil {
			refusedAs(t, err, "BAD_RECIPIENT_KEY")
			return
		}
		if !bytes.Equal(value(got.MarshalPEM())(t), file) {
			t.Errorf("%s gives another key", what)
		}
	}
	for i := range file {
		for _, b := range []byte{file[i] ^ byte(1+r.IntN(127)), 'A', 'B', '\n', ' '} {
			damaged := bytes.Clone(file)
			damaged[i] = b
			try("a changed byte", damaged)
		}
		try("a lost byte", slices.Delete(bytes.Clone(file), i, i+1))
		try("a doubled byte", slices.Insert(bytes.Clone(file), i, file[i]))
		if i < len(file)-1 { // the last newline may go
			if _, err := envelope.ParseRecipient(file[:i]); err == nil {
				t.Fatalf("the first %d of %d bytes are read as a key", i, len(file))
			}
		}
	}
	other := value(value(envelope.GenerateRecipient())(t).MarshalPEM())(t)
	for what, damaged := range map[string][]byte{"nothing": nil, "a certificate": []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
		"only the second half": file[bytes.LastIndex(file, []byte("-----BEGIN")):], "the first half twice": slices.Concat(file[:bytes.LastIndex(file, []byte("-----BEGIN"))], file)} {
		if _, err := envelope.ParseRecipient(damaged); err == nil {
			t.Errorf("%s is read as a key", what)
		}
	}
	try("two files, one after the other", slices.Concat(file, other))
}

// TestRecipientKeys: the statement says whose key it is, and only that inbox can say so.
func TestRecipientKeys(t *testing.T) {
	w := newWorld(t)
	p256 := w.issue(t, inboxURI, ca.IssueConfig{P256: true})
	good := func(k *posternv1.RecipientKey) {}
	cases := map[string]struct {
		by     *identity.Identity
		as     string
		change func(*posternv1.RecipientKey)
		want   string
	}{
		"its own":                 {w.inbox, envelope.TypeRecipientKey, good, ""},
		"its own, with P-256":     {p256, envelope.TypeRecipientKey, good, ""},
		"expired":                 {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.ExpireTime = timestamppb.New(now) }, ""},
		"by another authority":    {w.away, envelope.TypeRecipientKey, good, "KEY_OF_ANOTHER"},
		"for another authority":   {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.Authority = lancs }, "KEY_OF_ANOTHER"},
		"for nobody":              {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.Authority = "" }, "KEY_OF_ANOTHER"},
		"by a desk":               {w.desk, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.Authority = "BLI" }, "KEY_OF_ANOTHER"},
		"by a hub":                {w.issue(t, "spiffe://postern.example/hub/e06000023", ca.IssueConfig{}), envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.Authority = "e06000023" }, "KEY_OF_ANOTHER"},
		"as another statement":    {w.inbox, envelope.TypeAcknowledgement, good, "WRONG_PAYLOAD_TYPE"},
		"another id":              {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.KeyId = "0123456789abcdef" }, "BAD_KEY"},
		"no id":                   {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.KeyId = "" }, "BAD_KEY"},
		"another suite":           {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.Suite = 2 }, "BAD_KEY"},
		"no suite":                {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.Suite = 0 }, "BAD_KEY"},
		"no continuity key":       {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.ContinuityKey = nil }, "BAD_KEY"},
		"a short continuity key":  {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.ContinuityKey = k.ContinuityKey[1:] }, "BAD_KEY"},
		"a changed key":           {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.PublicKey[7] ^= 1 }, "BAD_KEY"},
		"a short key with its id": {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { setKey(k, k.PublicKey[1:]) }, "BAD_KEY"},
		"no key with its id":      {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { setKey(k, nil) }, "BAD_KEY"},
		"a field to come":         {w.inbox, envelope.TypeRecipientKey, func(k *posternv1.RecipientKey) { k.ProtoReflect().SetUnknown(laterField) }, "UNKNOWN_CONTENT"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			k := proto.CloneOf(w.public)
			c.change(k)
			s := value(envelope.SignStatement(c.by, c.as, value(proto.Marshal(k))(t)))(t)
			got, err := envelope.VerifyRecipientKey(s, w.anchors, now)
			if c.want == "" {
				check(t, err)
				if !proto.Equal(got, k) {
					t.Errorf("verified %v, signed %v", got, k)
				}
				return
			}
			refusedAs(t, err, c.want)
		})
	}
	t.Run("after the certificate", func(t *testing.T) {
		s := value(w.key.Publish(w.inbox, 1, now, now.AddDate(1, 0, 0)))(t)
		_, err := envelope.VerifyRecipientKey(s, w.anchors, now.AddDate(0, 0, 31))
		refusedAs(t, err, "CERTIFICATE_TIME")
	})
}

func setKey(k *posternv1.RecipientKey, public []byte) {
	k.PublicKey, k.KeyId = public, envelope.KeyID(public)
}

func TestAPublishedKeySaysWhatItIs(t *testing.T) {
	w := newWorld(t)
	end := now.AddDate(0, 6, 0)
	k := value(envelope.VerifyRecipientKey(value(w.key.Publish(w.inbox, 3, now, end))(t), w.anchors, now))(t)
	if k.GetKeyId() != w.key.KeyID() || k.GetAuthority() != bristol || k.GetVersion() != 3 || k.GetSuite() != envelope.SuiteHybrid ||
		len(k.GetPublicKey()) != 1216 || !k.GetCreateTime().AsTime().Equal(now) || !k.GetExpireTime().AsTime().Equal(end) {
		t.Errorf("published %v", k)
	}
}

// A key follows another one when that one's continuity key signed it too, whatever stands in the directory for either.
func TestWhichKeyFollows(t *testing.T) {
	w := newWorld(t)
	next, end := value(envelope.GenerateRecipient())(t), now.AddDate(1, 0, 0)
	good := value(next.Succeed(w.inbox, w.key, 2, now, end))(t)
	if k := value(envelope.VerifyRecipientKey(good, w.anchors, now))(t); k.GetVersion() != 2 || !envelope.Follows(good, w.public) {
		t.Errorf("the successor, version %d, does not follow", k.GetVersion())
	}
	_, stranger := w.recipient(t, w.inbox)
	short := proto.CloneOf(w.public)
	short.ContinuityKey = short.ContinuityKey[:16]
	twice := proto.CloneOf(good)
	twice.Signatures = append(twice.Signatures, twice.Signatures[1])
	for name, c := range map[string]struct {
		statement   *posternv1.Signed
		predecessor *posternv1.RecipientKey
	}{
		"without the other signature":     {value(next.Publish(w.inbox, 2, now, end))(t), w.public},
		"another predecessor":             {good, stranger},
		"a predecessor that is none":      {good, nil},
		"a predecessor with half its key": {good, short},
		"signed three times":              {twice, w.public},
	} {
		if envelope.Follows(c.statement, c.predecessor) {
			t.Errorf("%s: it follows", name)
		}
	}
	if _, err := envelope.VerifyRecipientKey(twice, w.anchors, now); err == nil {
		t.Error("a statement with three signatures is taken")
	}
}
