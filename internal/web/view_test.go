package web_test

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"golang.org/x/net/html"

	"postern/internal/web"
	"postern/internal/web/webtest"
)

// loads returns the addresses of everything a page loads.
func loads(p *webtest.Page) []string {
	var all []string
	for _, n := range p.Elements(func(n *html.Node) bool { return n.Data == "script" || n.Data == "img" || n.Data == "link" }) {
		all = append(all, webtest.Attribute(n, "src")+webtest.Attribute(n, "href"))
	}
	return all
}

// TestTheFirstPageIsSmall counts every byte that a browser fetches for its first page: under 60 KB, and from nobody else.
func TestTheFirstPageIsSmall(t *testing.T) {
	b := newBench(t, func(c *web.Config) {
		c.Brand = web.Brand{Organisation: "HMP Bristol", Colour: "#0b3c49", Logo: []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`)}
	})
	in := b.browser(t).signIn("LEAD")
	in.Header.Set("Accept-Encoding", "gzip, br")
	first := in.Get("/")
	total := len(first.Body)
	assets := loads(first)
	if len(assets) != 6 {
		t.Errorf("the page loads %q", assets)
	}
	for _, address := range assets {
		w := in.Get(address)
		if w.Status != 200 || !strings.HasPrefix(address, "/assets/") {
			t.Fatalf("%s is answered by %d", address, w.Status)
		}
		total += len(w.Body)
	}
	t.Logf("%d bytes, %d of them the page", total, len(first.Body))
	if total > 60_000 {
		t.Errorf("the first page has %d bytes", total)
	}
}

func TestAssetsAreWhatTheirAddressSays(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	for _, address := range loads(in.Get("/")) {
		in.Header.Del("Accept-Encoding")
		w := in.Get(address)
		sum := sha256.Sum256([]byte(w.Body))
		if !strings.Contains(address, "."+hex.EncodeToString(sum[:8])+".") || w.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" {
			t.Errorf("%s has the hash %x and %q", address, sum[:8], w.Header.Get("Cache-Control"))
		}
		in.Header.Set("Accept-Encoding", "gzip")
		zipped := in.Get(address)
		if zipped.Header.Get("Content-Encoding") == "gzip" {
			r, err := gzip.NewReader(strings.NewReader(zipped.Body))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(r)
			if err != nil || string(plain) != w.Body {
				t.Errorf("%s differs when it is compressed", address)
			}
		}
		if head := in.Do("HEAD", address, nil); len(head.Body) != 0 || head.Status != 200 {
			t.Errorf("HEAD of %s is answered by %d with %d bytes", address, head.Status, len(head.Body))
		}
	}
	for _, address := range []string{"/assets/", "/assets/app.css", "/assets/../web.go", "/assets/app.0000000000000000.css"} {
		if in.Get(address).Status == 200 {
			t.Errorf("%s is there", address)
		}
	}
}

// The fonts, the crown and the blue of GOV.UK are not ours to use.
func TestNothingOfGOVUKsBrand(t *testing.T) {
	b := newBench(t)
	in := b.browser(t).signIn()
	first := in.Get("/")
	page := first.Body
	if strings.Contains(page, "https://") || strings.Contains(page, "http://") {
		t.Error("the page leads somewhere else")
	}
	for _, address := range loads(first) {
		page += in.Get(address).Body
	}
	for _, word := range []string{"GDS Transport", "@font-face", "govuk-logotype", "Crown copyright", "open-government-licence"} {
		if strings.Contains(page, word) {
			t.Errorf("the page or what it loads has %q", word)
		}
	}
}

func TestBrands(t *testing.T) {
	for colour, wrong := range map[string]string{"#0b3c49": "", "#000000": "", "#ffff00": "contrast", "#777777": "contrast", "red": "not like", "#fff": "not like", "#12345g": "not like"} {
		b := newBench(t)
		_, err := web.New(web.Config{Name: "x", Service: "web.service", Now: b.clock, Log: quiet(), Brand: web.Brand{Colour: colour}})
		if wrong == "" && err != nil || wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%s: %v", colour, err)
		}
	}
	b := newBench(t, func(c *web.Config) { c.Brand = web.Brand{Organisation: "A <b>", Logo: []byte("\x89PNG x")} })
	page := b.browser(t).Get("/open").Body
	if !strings.Contains(page, `alt="A &lt;b&gt;"`) {
		t.Error("the logo has no name")
	}
}

func TestMistakesAreFoundAtTheStart(t *testing.T) {
	page := web.Page{Path: "/x", Name: "web.home", Open: true, Get: show(web.View{})}
	closed := page
	closed.Open = false
	other := page
	other.Path = "/y"
	same := page
	same.Name = "web.menu"
	for what, c := range map[string]struct {
		cfg  web.Config
		want string
	}{
		"no clock":             {web.Config{}, "lacks Now"},
		"no name":              {web.Config{Pages: []web.Page{{Path: "/x", Open: true, Get: page.Get}}}, "no name"},
		"a name twice":         {web.Config{Pages: []web.Page{page, other}}, "no name of its own"},
		"a path twice":         {web.Config{Pages: []web.Page{page, same}}, "conflicts"},
		"nothing":              {web.Config{Pages: []web.Page{{Path: "/x", Name: "web.home"}}}, "does nothing"},
		"no way in":            {web.Config{Pages: []web.Page{closed}}, "nothing signs them in"},
		"a broken template":    {web.Config{Templates: fstest.MapFS{"a.html": {Data: []byte("{{")}}}, "a.html"},
		"an empty template":    {web.Config{Templates: fstest.MapFS{"a.html": {Data: []byte("x")}}}, "does not define content"},
		"a template of ours":   {web.Config{Templates: fstest.MapFS{"problem.html": {Data: []byte(`{{define "content"}}{{end}}`)}}}, "there twice"},
		"a logo of no picture": {web.Config{Brand: web.Brand{Logo: []byte("x")}}, "neither"},
	} {
		if what != "no clock" {
			c.cfg.Now, c.cfg.Log = newBench(t).clock, quiet()
		}
		if _, err := web.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Every page of ours is whole in both languages: no id shows, and nothing is left to fill in.
func TestNoWordIsMissing(t *testing.T) {
	missing := regexp.MustCompile(`\[[a-z]+\.[a-z_.]+\]|\{[a-z]+\}`)
	for _, lang := range []string{"en", "cy"} {
		b := newBench(t, func(c *web.Config) { c.Banner = "web.practice" })
		in := b.browser(t).signIn("LEAD")
		in.Get("/?lang=" + lang)
		for _, target := range []string{"/", "/open", "/lead", "/name", "/nothing", "/broken/panic", "/broken/unavailable", "/broken/exists", "/session/ended", "/session/extend"} {
			page := in.Get(target).Body
			if id := missing.FindString(page); id != "" || !strings.Contains(page, `lang="`+lang+`"`) {
				t.Errorf("%s in %s shows %q", target, lang, id)
			}
		}
	}
}

func TestNavigation(t *testing.T) {
	b := newBench(t)
	if page := b.browser(t).signIn().Get("/").Body; strings.Contains(page, `href="/lead"`) {
		t.Error("a way to a page of another role is shown")
	}
	current := b.browser(t).signIn("LEAD").Get("/lead").Texts(func(n *html.Node) bool { return webtest.Attribute(n, "aria-current") == "page" })
	if len(current) != 1 || current[0] != "Menu" {
		t.Errorf("the current part is %q", current)
	}
}
