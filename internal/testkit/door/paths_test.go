package door_test

import (
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/http2/hpack"

	"postern/internal/rpc"
	"postern/internal/testkit/flood"
	logv1 "postern/proto/postern/log/v1"
	posternv1 "postern/proto/postern/v1"
)

// spellings are a path as somebody would write it who hopes that who checks it and who acts on it read it differently.
func spellings(path string) []string {
	service, method, _ := strings.Cut(path[1:], "/")
	return []string{
		path[1:], "", "/", "//", service, "/" + service, method, "*",
		"/" + path, "//" + path, "/" + service + "//" + method, path + "/", path + "//", "/x" + path, "/x/.." + path, "/./" + path[1:],
		"/" + service + "/./" + method, "/" + service + "/../" + service + "/" + method, "/" + service + "/x/../" + method,
		strings.ToLower(path), strings.ToUpper(path), "/" + strings.ToUpper(service) + "/" + method, "/" + service + "/" + strings.ToLower(method),
		"/" + service + "%2f" + method, "/" + service + "%2F" + method, "/" + service + "/%2f" + method, "%2f" + service + "/" + method, "/" + url.PathEscape(path),
		"/" + service + "/" + strings.Replace(method, "i", "%69", 1), "/%70ostern" + strings.TrimPrefix(path, "/postern"),
		path + "\x00", "/" + service + "\x00/" + method, "\x00" + path, "/" + service + "/\x00" + method, path + "%00",
		path + " ", " " + path, path + "\t", path + "\r\n", path + "?x=1", path + "#x", path + ";x", "/" + service + "\\" + method, "\\" + service + "\\" + method,
		"https://postern" + path, "//postern" + path, "/" + service + "/" + method + "/" + method, "/" + service + "./" + method, "/." + service + "/" + method,
		strings.Replace(path, "o", "\u043e", 1), strings.Replace(path, ".", "\u3002", 1), "/" + service + "\u2215" + method, "/" + service + "/" + method + "\u200b",
		strings.Replace(path, "v1", "v2", 1), strings.Replace(path, "v1", "v01", 1), "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
		"/" + strings.Repeat("a", 8000) + path,
	}
}

// No other spelling of a path is a path: from a desk that may call Submit, with a message that Submit would record, and
// from a hub that may deliver. It is refused with one code, nothing is done, and the refusal of a path that could be one
// is a leaf.
func TestAPathHasOneSpelling(t *testing.T) {
	d := openDoors(t, rpc.Limits{CallsPerSecond: 1e6})
	n := 0
	for _, door := range []struct {
		path, method, address string
		message               []byte
	}{
		{deskBLI, "/" + posternv1.SubmissionService_ServiceDesc.ServiceName + "/Submit", d.hub, d.marshal(&posternv1.SubmitRequest{Notification: d.considered(deskBLI, newID(t))})},
		{hubPath, "/" + posternv1.InboxService_ServiceDesc.ServiceName + "/Deliver", d.inbox, nil},
	} {
		for _, spelled := range spellings(door.method) {
			if spelled == door.method {
				t.Fatalf("%q is the path itself", spelled)
			}
			c := must(flood.Dial(soon(t), d.target(door.path, door.address)))(t) // some end the connection
			got, err := c.Ask(spelled, door.message, 0)
			c.Close()
			n++
			// gRPC ends the connection of a header that is none, and answers a path without two slashes itself.
			if err == nil && got.Code != 12 && got.HTTP != "400" && got.Code != -1 {
				t.Errorf("%q is answered %+v", spelled, got)
			}
			if err == nil && got.Code == 12 && reason(got) != "UNKNOWN_METHOD" && !strings.HasPrefix(got.Message, "malformed method name") {
				t.Errorf("%q is refused in other words: %+v", spelled, got)
			}
		}
	}
	if done := d.events(logv1.Kind_KIND_CONSIDERED); len(done) != 0 {
		t.Errorf("%d were done", len(done))
	}
	refused := d.events(logv1.Kind_KIND_REFUSED)
	if len(refused) < 40 {
		t.Errorf("only %d refusals are on record", len(refused))
	}
	for _, e := range refused {
		if e.Details.GetRefusal() != "UNKNOWN_METHOD" {
			t.Errorf("recorded as %s", e.Details.GetRefusal())
		}
	}
	// The control: as it is written it is taken.
	c := must(flood.Dial(soon(t), d.target(deskBLI, d.hub)))(t)
	defer c.Close()
	if got, err := c.Ask("/postern.v1.SubmissionService/Submit", d.marshal(&posternv1.SubmitRequest{Notification: d.considered(deskBLI, newID(t))}), 0); err != nil || got.Code != 0 {
		t.Errorf("%+v, %v", got, err)
	}
	t.Logf("%d spellings, %d on record", n, len(refused))
}

// A message may not come packed, whatever it unpacks to; and who sends one is on record, though gRPC itself refuses it.
func TestNothingIsUnpacked(t *testing.T) {
	d := openDoors(t, rpc.Limits{CallsPerSecond: 1e6})
	packings := []string{"gzip", "deflate", "snappy", "zstd", "GZIP", "gzip,identity"}
	paths := []string{"/postern.v1.SubmissionService/Submit", "/postern.v1.AuditService/ExportLog", "/postern.v1.NoService/NoMethod"}
	for _, packing := range packings {
		for _, path := range paths {
			c := must(flood.Dial(soon(t), d.target(deskBLI, d.hub)))(t)
			got, err := c.Ask(path, nil, 0, hpack.HeaderField{Name: "grpc-encoding", Value: packing})
			c.Close()
			if err != nil || got.Code != 12 {
				t.Errorf("%s, %s: %+v, %v", path, packing, got, err)
			}
		}
	}
	if refused := d.events(logv1.Kind_KIND_REFUSED); len(refused) != len(packings)*len(paths) {
		t.Errorf("%d refusals are on record", len(refused))
	} else {
		for _, e := range refused {
			if e.Details.GetRefusal() != "PACKED" || !strings.HasSuffix(e.Details.GetCaller(), deskBLI) {
				t.Errorf("recorded as %s of %s", e.Details.GetRefusal(), e.Details.GetCaller())
			}
		}
	}
	// The control: what says that it is not packed is taken.
	c := must(flood.Dial(soon(t), d.target(deskBLI, d.hub)))(t)
	defer c.Close()
	message := d.marshal(&posternv1.SubmitRequest{Notification: d.considered(deskBLI, newID(t))})
	if got, err := c.Ask(paths[0], message, 0, hpack.HeaderField{Name: "grpc-encoding", Value: "identity"}); err != nil || got.Code != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}
