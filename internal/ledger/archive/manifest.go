package archive

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io/fs"
	"slices"
	"strings"
	"time"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

const manifestVersion = 1

// manifest is what an auditor signs of a folder. Its JSON has one spelling: what encoding/json writes, with logs in the
// order of their folders and files in the order of their paths.
type manifest struct {
	Version int           `json:"version"`
	Time    string        `json:"time"` // of the signature, RFC 3339 in UTC
	Logs    []manifestLog `json:"logs"`
	Files   []file        `json:"files"`
}

// manifestLog is one log of a folder.
type manifestLog struct {
	Folder     string `json:"folder"`
	Origin     string `json:"origin"`
	Checkpoint string `json:"checkpoint"` // the signed note, the same as in the folder's file
}

// file is one file of a folder.
type file struct {
	Path   string `json:"path"` // from the folder's top, with slashes
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"` // hex
}

// dsse is a DSSE envelope as JSON, with the certificates of each signer beside the signature, in DER, leaf first.
type dsse struct {
	PayloadType string          `json:"payloadType"`
	Payload     []byte          `json:"payload"`
	Signatures  []dsseSignature `json:"signatures"`
}

type dsseSignature struct {
	Sig          []byte   `json:"sig"`
	Certificates [][]byte `json:"certificates"`
}

// seal signs a manifest and returns the bytes of its file.
func (m *manifest) seal(by *identity.Identity) ([]byte, error) {
	payload, err := json.Marshal(m)
	if err != nil {
		return nil, err
	}
	return sign(by, envelope.TypeExport, payload)
}

// sign signs a manifest's bytes and returns those of its file.
func sign(by *identity.Identity, payloadType string, payload []byte) ([]byte, error) {
	s, err := envelope.SignStatement(by, payloadType, payload)
	if err != nil {
		return nil, err
	}
	e := dsse{PayloadType: s.GetPayloadType(), Payload: s.GetPayload()}
	for _, sig := range s.GetSignatures() {
		e.Signatures = append(e.Signatures, dsseSignature{sig.GetSignature(), sig.GetCertificates()})
	}
	return spell(e)
}

func spell(e dsse) ([]byte, error) {
	text, err := json.Marshal(e)
	return append(text, '\n'), err
}

// openManifest reads the manifest's file and checks that an auditor signed it, and that it makes sense.
func openManifest(data []byte, anchors *identity.Anchors) (*manifest, identity.Party, error) {
	payload, _, by, err := signedManifest(manifestName, data, envelope.TypeExport, anchors)
	if err != nil {
		return nil, identity.Party{}, err
	}
	m := new(manifest)
	if err := json.Unmarshal(payload, m); err != nil {
		return nil, identity.Party{}, errMalformed(manifestName)
	}
	if again, err := json.Marshal(m); err != nil || !bytes.Equal(again, payload) {
		return nil, identity.Party{}, errMalformed(manifestName)
	}
	return m, by, m.check()
}

func errMalformed(name string) error {
	return wrong("MANIFEST_MALFORMED", "%s is damaged or is not what an auditor signs.", name)
}

// signedManifest reads the file of a manifest, and checks that it has its one spelling and that an auditor signed it at
// the time that it says.
func signedManifest(name string, data []byte, payloadType string, anchors *identity.Anchors) ([]byte, time.Time, identity.Party, error) {
	var none identity.Party
	refuse := func(err error) ([]byte, time.Time, identity.Party, error) { return nil, time.Time{}, none, err }
	var e dsse
	if err := json.Unmarshal(data, &e); err != nil {
		return refuse(errMalformed(name))
	}
	if again, err := spell(e); err != nil || !bytes.Equal(again, data) {
		return refuse(errMalformed(name))
	}
	s := &posternv1.Signed{Payload: e.Payload, PayloadType: e.PayloadType}
	for _, sig := range e.Signatures {
		s.Signatures = append(s.Signatures, &posternv1.Signature{Signature: sig.Sig, Certificates: sig.Certificates})
	}
	var dated struct {
		Time string `json:"time"`
	}
	if err := json.Unmarshal(e.Payload, &dated); err != nil {
		return refuse(errMalformed(name))
	}
	// The time is the signer's word; it must lie within the certificate, and a certificate ends long before its export
	// is of no more use.
	at, err := time.Parse(time.RFC3339, dated.Time)
	if err != nil {
		return refuse(errMalformed(name))
	}
	by, err := envelope.VerifyStatement(s, payloadType, anchors, at)
	if err != nil {
		return refuse(wrong("MANIFEST_SIGNATURE", "The signature of %s does not hold. %s", name, fault.From(err).Message).Because(err))
	}
	if by.Role != posternv1.Role_ROLE_AUDITOR {
		return refuse(wrong("MANIFEST_SIGNATURE", "%s is signed by %s, who is no auditor.", name, by.URI()))
	}
	return e.Payload, at, by, nil
}

// check refuses a manifest that names one thing twice, or a place outside its folder.
func (m *manifest) check() error {
	malformed := wrong("MANIFEST_MALFORMED", "%s is signed but contradicts itself.", manifestName)
	if m.Version != manifestVersion {
		return wrong("MANIFEST_VERSION", "The export has a version that this program does not know. Update the program.")
	}
	origins := map[string]bool{}
	for i, g := range m.Logs {
		if origins[g.Origin] || !folders.MatchString(g.Folder) || g.Folder == incompleteName || i > 0 && m.Logs[i-1].Folder >= g.Folder {
			return malformed
		}
		origins[g.Origin] = true
	}
	for i, f := range m.Files {
		digest, err := hex.DecodeString(f.SHA256)
		folder, rest, _ := strings.Cut(f.Path, "/")
		in := func(g manifestLog) bool { return g.Folder == folder }
		if err != nil || len(digest) != 32 || f.Size < 0 || f.Size > maxFile || !fs.ValidPath(f.Path) || rest == "" ||
			!slices.ContainsFunc(m.Logs, in) || i > 0 && m.Files[i-1].Path >= f.Path {
			return malformed
		}
	}
	return nil
}
