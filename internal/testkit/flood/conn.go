// Package flood is a hostile HTTP/2 client: it writes the frames that a peer of good will never writes, as fast as the
// line takes them, over a connection with a good certificate. It is for the tests and the benchmark, which look at what
// becomes of everybody else meanwhile.
//
// It guarantees nothing to whom it calls. It stops with its context, opens a new connection when one is taken from it,
// and counts what it sent. It knows no message of Postern: what is sent in calls is the caller's.
package flood

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Target is whom to attack, and as whom.
type Target struct {
	Address string
	From    net.IP      // an address of this machine to come from; nil for any
	TLS     *tls.Config // of a party with a good certificate: stolen, say
	Method  string      // a method that this party may call, /package.Service/Method
	Message []byte      // a message for it that is understood and refused
}

// Conn is one connection, after its preface and with its settings sent.
type Conn struct {
	tls    *tls.Conn
	fr     *http2.Framer
	block  bytes.Buffer // what enc writes
	enc    *hpack.Encoder
	stream uint32
}

// Dial opens a connection. The first settings say that the server may send as much as it likes.
func Dial(ctx context.Context, t Target, settings ...http2.Setting) (*Conn, error) {
	d := tls.Dialer{Config: t.TLS, NetDialer: t.dialer()}
	raw, err := d.DialContext(ctx, "tcp", t.Address)
	if err != nil {
		return nil, err
	}
	c := &Conn{tls: raw.(*tls.Conn), stream: 1}
	c.fr = http2.NewFramer(c.tls, c.tls)
	c.fr.AllowIllegalWrites = true
	c.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.enc = hpack.NewEncoder(&c.block)
	if _, err := io.WriteString(c.tls, http2.ClientPreface); err != nil {
		return nil, errClosing(err, c)
	}
	if err := c.fr.WriteSettings(settings...); err != nil {
		return nil, errClosing(err, c)
	}
	return c, nil
}

func errClosing(err error, c *Conn) error {
	c.Close()
	return err
}

// Close ends the connection. Whoever attacks does not ask how it went.
func (c *Conn) Close() { _ = c.tls.Close() }

// headers is the header block of a call to a path, with what is given beside the usual.
func (c *Conn) headers(path string, extra ...hpack.HeaderField) []byte {
	c.block.Reset()
	for _, f := range append([]hpack.HeaderField{
		{Name: ":method", Value: "POST"}, {Name: ":scheme", Value: "https"}, {Name: ":path", Value: path}, {Name: ":authority", Value: "postern"},
		{Name: "content-type", Value: "application/grpc"}, {Name: "te", Value: "trailers"}, {Name: "grpc-timeout", Value: "20S"},
	}, extra...) {
		_ = c.enc.WriteField(f) // into memory
	}
	return c.block.Bytes()
}

// begin sends the headers of a call, to which more comes, and returns its stream.
func (c *Conn) begin(path string, extra ...hpack.HeaderField) (uint32, error) {
	id := c.stream
	c.stream += 2
	return id, c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.headers(path, extra...), EndHeaders: true})
}

// framed is a message as gRPC carries it.
func framed(message []byte, compressed byte) []byte {
	n := len(message)
	return append([]byte{compressed, byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, message...)
}

// body sends a whole message in frames that a server takes, and ends the call.
func (c *Conn) body(stream uint32, b []byte) error {
	for len(b) > 16<<10 {
		if err := c.fr.WriteData(stream, false, b[:16<<10]); err != nil {
			return err
		}
		b = b[16<<10:]
	}
	return c.fr.WriteData(stream, true, b)
}

// Answer is what came back to a call.
type Answer struct {
	HTTP    string // the HTTP status
	Code    int    // the gRPC status; -1 when the stream or the connection was ended instead
	Message string
	Details string // grpc-status-details-bin, as it came
	Body    []byte // the messages, framed as they came
}

// Ask makes one call with the given path, as nobody's library would let you, and waits for its answer; of a stream, for
// its first `parts` messages, or all for 0.
func (c *Conn) Ask(path string, message []byte, parts int, extra ...hpack.HeaderField) (Answer, error) {
	id, err := c.begin(path, extra...)
	if err != nil {
		return Answer{Code: -1}, err
	}
	if err := c.body(id, framed(message, 0)); err != nil {
		return Answer{Code: -1}, err
	}
	a := Answer{Code: -1}
	for {
		f, err := c.fr.ReadFrame()
		if err != nil {
			return a, err
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				err = c.fr.WriteSettingsAck()
			}
		case *http2.PingFrame:
			if !f.IsAck() {
				err = c.fr.WritePing(true, f.Data)
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == id {
				return a, nil
			}
		case *http2.DataFrame:
			if f.StreamID != id {
				continue
			}
			a.Body = append(a.Body, f.Data()...)
			if n := len(f.Data()); n > 0 {
				err = errors.Join(c.fr.WriteWindowUpdate(0, uint32(n)), c.fr.WriteWindowUpdate(id, uint32(n)))
			}
			if parts > 0 && len(a.Messages()) >= parts {
				a.Code = 0
				return a, c.fr.WriteRSTStream(id, http2.ErrCodeCancel)
			}
		case *http2.GoAwayFrame:
			return a, fmt.Errorf("the connection was ended: %v", f.ErrCode)
		case *http2.MetaHeadersFrame:
			if f.StreamID != id {
				continue
			}
			a.take(f)
			if f.StreamEnded() {
				return a, nil
			}
		}
		if err != nil {
			return a, err
		}
	}
}

// Messages are the messages of the answer that came whole.
func (a *Answer) Messages() (all [][]byte) {
	for b := a.Body; len(b) >= 5; {
		n := int(b[1])<<24 | int(b[2])<<16 | int(b[3])<<8 | int(b[4])
		if len(b) < 5+n {
			return all
		}
		all, b = append(all, b[5:5+n]), b[5+n:]
	}
	return all
}

func (a *Answer) take(f *http2.MetaHeadersFrame) {
	for _, h := range f.Fields {
		switch h.Name {
		case ":status":
			a.HTTP = h.Value
		case "grpc-status":
			if n, err := strconv.Atoi(h.Value); err == nil {
				a.Code = n
			}
		case "grpc-message":
			a.Message = h.Value
		case "grpc-status-details-bin":
			a.Details = h.Value
		}
	}
}

// silent opens a TCP connection and says nothing.
func silent(ctx context.Context, t Target) (net.Conn, error) {
	return t.dialer().DialContext(ctx, "tcp", t.Address)
}

func (t Target) dialer() *net.Dialer {
	if t.From == nil {
		return &net.Dialer{}
	}
	return &net.Dialer{LocalAddr: &net.TCPAddr{IP: t.From}}
}
