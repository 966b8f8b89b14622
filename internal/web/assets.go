package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed assets/dist
var built embed.FS

// assetPath is where assets are.
const assetPath = "/assets/"

// asset is a file that pages load.
type asset struct {
	body, zipped []byte
	kind         string
}

// assets are the files that pages load, and their addresses: an address has the hash of the bytes in it, so what it
// leads to never changes and a browser may keep it for ever.
type assets struct {
	address map[string]string // by name: app.css
	files   map[string]asset  // by address
}

// builtAssets are those that every site has. They are compressed once for a process, which may have three sites.
var builtAssets = sync.OnceValues(func() (assets, error) {
	a := assets{map[string]string{}, map[string]asset{}}
	err := fs.WalkDir(built, "assets/dist", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := built.ReadFile(p)
		if err != nil {
			return err
		}
		return a.add(path.Base(p), data)
	})
	return a, err
})

func newAssets(b Brand) (assets, error) {
	shared, err := builtAssets()
	if err != nil {
		return shared, err
	}
	a := assets{maps.Clone(shared.address), maps.Clone(shared.files)}
	if err := readable(b.Colour); err != nil {
		return a, err
	}
	css := fmt.Sprintf(":root{--govuk-brand-colour:%s}@media screen{.govuk-generic-header{background:%[1]s}}\n", b.Colour)
	if err := a.add("brand.css", []byte(css)); err != nil {
		return a, err
	}
	switch {
	case len(b.Logo) == 0:
	case bytes.HasPrefix(b.Logo, []byte("\x89PNG")):
		err = a.add("logo.png", b.Logo)
	case bytes.Contains(b.Logo[:min(len(b.Logo), 1024)], []byte("<svg")):
		err = a.add("logo.svg", b.Logo)
	default:
		err = errors.New("web: the logo is neither an SVG nor a PNG")
	}
	return a, err
}

var kinds = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".png": "image/png", ".txt": "text/plain; charset=utf-8"}

func (a assets) add(name string, body []byte) error {
	ext := path.Ext(name)
	sum := sha256.Sum256(body)
	address := assetPath + strings.TrimSuffix(name, ext) + "." + hex.EncodeToString(sum[:8]) + ext
	var zipped bytes.Buffer
	w, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := w.Write(body); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	a.address[name], a.files[address] = address, asset{body, zipped.Bytes(), kinds[ext]}
	return nil
}

// serve answers a request for an asset. Only assets are compressed: a page that says back what somebody wrote beside
// what is secret would tell its secret by its length.
func (a assets) serve(w http.ResponseWriter, r *http.Request) {
	f, ok := a.files[r.URL.Path]
	if !ok || r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	body := f.body
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("Cache-Control", "public, max-age=31536000, immutable")
	h.Set("Vary", "Accept-Encoding")
	if strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && len(f.zipped) < len(f.body) {
		body = f.zipped
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	if r.Method == http.MethodGet {
		_, _ = w.Write(body) // a browser that has gone away is nobody's fault
	}
}

// readable reports a colour on which white text cannot be read: WCAG asks for a contrast of 4.5.
func readable(colour string) error {
	rgb, err := hex.DecodeString(strings.TrimPrefix(colour, "#"))
	if err != nil || len(rgb) != 3 || !strings.HasPrefix(colour, "#") {
		return fmt.Errorf("web: the colour %q is not like #0b3c49", colour)
	}
	light := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(rgb[i]) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		light += weight * c
	}
	if contrast := 1.05 / (light + 0.05); contrast < 4.5 {
		return fmt.Errorf("web: white text on the colour %s has a contrast of %.1f; choose a darker one, with at least 4.5", colour, contrast)
	}
	return nil
}
