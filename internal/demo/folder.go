package demo

import (
	"net"
	"os"
	"path/filepath"
	"slices"

	"postern/internal/fault"
)

// folder is the demo's folder: one configuration file and one data folder a party.
type folder struct {
	path      string
	listeners map[string]net.Listener // the ports that setup chose and still holds, by party
	addresses map[string]string       // host:port by party, in a new folder

	sent, received string // the verifier keys of the hub's logs, in a new folder
}

// marker is the file by which a folder is known to be the demo's own: it writes keys and configurations, and where somebody
// else's are, those would be lost.
const marker = ".demo"

// prepare makes the folder with certificates, keys, configurations and forms, or takes it as it is when it was made
// before. One that was left half made is made anew.
func prepare(path string) (*folder, error) {
	f := &folder{path: path, listeners: map[string]net.Listener{}, addresses: map[string]string{}}
	refused := fault.Newf(fault.Precondition, "DEMO_FOLDER", "%s cannot be the demo's folder. Name one that is empty or not there yet, where you may write.", path)
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, refused.Because(err)
	}
	there, err := os.ReadDir(path)
	if err != nil {
		return nil, refused.Because(err)
	}
	if len(there) > 0 && !slices.ContainsFunc(there, func(e os.DirEntry) bool { return e.Name() == marker }) {
		return nil, refused
	}
	if err := os.WriteFile(f.file(marker), nil, 0o600); err != nil {
		return nil, refused.Because(err)
	}
	if _, err := os.Stat(f.file("hub.yaml")); err == nil {
		return f, nil
	}
	// writeConfigs is last, and hub.yaml the last of its files: a folder with it is whole.
	for _, step := range []func() error{f.choosePorts, f.makeCertificates, f.makeKeys, f.writeDirectory, f.writePostcodes, f.writeArrivals, f.copyForms, f.writeConfigs} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return f, nil
}

func (f *folder) file(parts ...string) string {
	return filepath.Join(append([]string{f.path}, parts...)...)
}
