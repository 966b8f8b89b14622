package engine

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"postern/internal/envelope"
	"postern/internal/fault"
	"postern/internal/identity"
	posternv1 "postern/proto/postern/v1"
)

// SignatureFile is where a bundle's folder keeps what its operators signed: a Signed in JSON, whose payload is a
// PolicyStatement. It lists every other file of the bundle, and any other change of one undoes the signatures.
const SignatureFile = "signatures.json"

// A bundle larger than this is refused before anything reads it.
const (
	maxBundleFiles = 2000
	maxBundleBytes = 3 << 20
)

// belongs reports whether a path is part of a bundle. Other files in its folder are left alone.
func belongs(name string) bool {
	return name == "data.json" || strings.HasSuffix(name, ".rego") || strings.HasPrefix(name, "cases/") && strings.HasSuffix(name, ".yaml")
}

// readWhole reads every file of a bundle, its signatures left out, sorted by path.
func readWhole(source fs.FS) ([]file, error) {
	var files []file
	size := 0
	err := fs.WalkDir(source, ".", func(name string, entry fs.DirEntry, err error) error {
		f := file{path: path.Clean(name)}
		if err != nil || entry.IsDir() || !belongs(f.path) {
			return err
		}
		if f.data, err = fs.ReadFile(source, name); err != nil {
			return err
		}
		files = append(files, f)
		if size += len(f.data); size > maxBundleBytes || len(files) > maxBundleFiles {
			return faulty("the folder is larger than any policy should be.")
		}
		return nil
	})
	slices.SortFunc(files, func(x, y file) int { return strings.Compare(x.path, y.path) })
	var already *fault.Error
	switch {
	case errors.As(err, &already):
		return nil, already
	case err != nil:
		return nil, unreadable(err)
	}
	return files, nil
}

func unreadable(err error) error {
	return fault.New(fault.Invalid, "POLICY_UNREADABLE", "The policy folder cannot be read. Check that it exists and may be read.").Because(err)
}

// Sign adds an operator's signature to those of the bundle in source, and returns the new content of SignatureFile.
// Signatures over other files than are there now are left behind: they were given to another bundle.
func Sign(source fs.FS, operator *identity.Identity, now time.Time) ([]byte, error) {
	if operator.Party().Role != posternv1.Role_ROLE_OPERATOR {
		return nil, fault.New(fault.Denied, "NOT_AN_OPERATOR", "Only an operator's certificate may sign a policy. Use the one issued for /operator/<name>.")
	}
	files, err := readWhole(source)
	if err != nil {
		return nil, err
	}
	signed, err := readSigned(source)
	if err != nil || compareFiles(signed.GetPayload(), files, true) != nil {
		if signed, err = unsigned(source, files, now); err != nil {
			return nil, err
		}
	}
	if err := envelope.AddSignature(signed, operator); err != nil {
		return nil, err
	}
	return protojson.MarshalOptions{Multiline: true}.Marshal(signed)
}

// unsigned is the statement about these files, for a first signature.
func unsigned(source fs.FS, files []file, now time.Time) (*posternv1.Signed, error) {
	revision, err := Revision(source)
	if err != nil {
		return nil, err
	}
	s := &posternv1.PolicyStatement{Revision: revision, CreateTime: timestamppb.New(now.Truncate(time.Second))}
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		s.Files = append(s.Files, &posternv1.PolicyFile{Path: f.path, Sha256: sum[:]})
	}
	payload, err := proto.MarshalOptions{Deterministic: true}.Marshal(s)
	if err != nil {
		return nil, fault.From(err)
	}
	return &posternv1.Signed{Payload: payload, PayloadType: envelope.TypePolicy}, nil
}

// VerifyBundle verifies who signed the bundle in source, before anything in it is parsed: every signature holds, is an
// operator's, and is over exactly the files that are there. It returns what was signed and the signers.
func VerifyBundle(source fs.FS, anchors *identity.Anchors, at time.Time) (*posternv1.Signed, []identity.Party, error) {
	files, err := readWhole(source)
	if err != nil {
		return nil, nil, err
	}
	signed, err := readSigned(source)
	if err != nil {
		return nil, nil, err
	}
	signers, err := verifySigned(signed, anchors, at)
	if err != nil {
		return nil, nil, err
	}
	return signed, signers, compareFiles(signed.GetPayload(), files, true)
}

// OpenServed verifies a bundle as a hub serves it, the files that decide without tests and cases, and returns them to
// compile.
func OpenServed(served *posternv1.GetPolicyResponse, anchors *identity.Anchors, at time.Time) (fs.FS, error) {
	signed := &posternv1.Signed{Payload: served.GetStatement(), PayloadType: envelope.TypePolicy, Signatures: served.GetSignatures()}
	if _, err := verifySigned(signed, anchors, at); err != nil {
		return nil, err
	}
	source, err := Unpack(served.GetBundle())
	if err != nil {
		return nil, err
	}
	files, err := readWhole(source)
	if err != nil {
		return nil, err
	}
	return source, compareFiles(signed.GetPayload(), files, false)
}

func verifySigned(signed *posternv1.Signed, anchors *identity.Anchors, at time.Time) ([]identity.Party, error) {
	signers, err := envelope.VerifySignatures(signed, envelope.TypePolicy, anchors, at)
	if err != nil {
		return nil, err
	}
	for _, p := range signers {
		if p.Role != posternv1.Role_ROLE_OPERATOR {
			return nil, fault.Newf(fault.Unverified, "POLICY_SIGNER", "%s signed this policy and may not: only an operator may.", p.URI())
		}
	}
	return signers, nil
}

// readSigned reads the signatures of a bundle's folder.
func readSigned(source fs.FS) (*posternv1.Signed, error) {
	data, err := fs.ReadFile(source, SignatureFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fault.New(fault.Unverified, "POLICY_UNSIGNED", "Nobody has signed this policy. An operator signs it: postern policy sign DIR.").Because(err)
	}
	if err != nil {
		return nil, unreadable(err)
	}
	signed := &posternv1.Signed{}
	if err := protojson.Unmarshal(data, signed); err != nil {
		return nil, fault.Newf(fault.Unverified, "POLICY_SIGNATURES", "The file %s cannot be read. Sign the policy again.", SignatureFile).Because(err)
	}
	return signed, nil
}

// compareFiles checks that a statement lists these files, and that none is missing: of the whole bundle, or of the files
// that decide.
func compareFiles(statement []byte, files []file, whole bool) error {
	s := &posternv1.PolicyStatement{}
	if err := proto.Unmarshal(statement, s); err != nil {
		return fault.New(fault.Unverified, "POLICY_SIGNATURES", "What was signed cannot be read. Sign the policy again.").Because(err)
	}
	digests := map[string][]byte{}
	for _, f := range s.GetFiles() {
		if (file{path: f.GetPath()}).decides() || whole {
			digests[f.GetPath()] = f.GetSha256()
		}
	}
	var deciding []file
	for _, f := range files {
		sum := sha256.Sum256(f.data)
		if !bytes.Equal(digests[f.path], sum[:]) {
			return fault.Newf(fault.Unverified, "POLICY_CHANGED", "%s is not as it was signed. Sign the policy again, or take back the change.", f.path)
		}
		delete(digests, f.path)
		if f.decides() {
			deciding = append(deciding, f)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(digests)) {
		return fault.Newf(fault.Unverified, "POLICY_CHANGED", "%s was signed and is missing. Sign the policy again, or put it back.", name)
	}
	if (&bundle{files: deciding}).revision() != s.GetRevision() {
		return fault.New(fault.Unverified, "POLICY_CHANGED", "The revision that was signed is another. Sign the policy again.")
	}
	return nil
}

// Pack is the bundle in source, whole with tests, cases and signatures, as a tar.
func Pack(source fs.FS) ([]byte, error) {
	files, err := readWhole(source)
	if err != nil {
		return nil, err
	}
	if data, err := fs.ReadFile(source, SignatureFile); err == nil {
		files = append(files, file{SignatureFile, data})
	}
	return tarOf(files)
}

// Unpack is the folder in a tar that Pack or Tar made, in memory.
func Unpack(archive []byte) (fs.FS, error) {
	bad := func(err error) error {
		return fault.New(fault.Invalid, "POLICY_ARCHIVE", "The policy cannot be unpacked.").Because(err)
	}
	if len(archive) > 2*maxBundleBytes {
		return nil, bad(errors.New("too large"))
	}
	var out bytes.Buffer
	in, folder := tar.NewReader(bytes.NewReader(archive)), zip.NewWriter(&out) // a zip is a folder in memory
	seen := map[string]bool{}
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, bad(err)
		}
		if name := header.Name; header.Typeflag != tar.TypeReg || !fs.ValidPath(name) || seen[name] || name != SignatureFile && !belongs(name) {
			return nil, bad(fmt.Errorf("%q is no file of a bundle, or there twice", name))
		}
		seen[header.Name] = true
		w, err := folder.CreateHeader(&zip.FileHeader{Name: header.Name, Method: zip.Store})
		if err != nil {
			return nil, bad(err)
		}
		if _, err := io.Copy(w, in); err != nil {
			return nil, bad(err)
		}
	}
	if err := folder.Close(); err != nil {
		return nil, bad(err)
	}
	source, err := zip.NewReader(bytes.NewReader(out.Bytes()), int64(out.Len()))
	if err != nil {
		return nil, bad(err)
	}
	return source, nil
}
