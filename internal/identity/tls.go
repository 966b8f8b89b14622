package identity

import (
	"crypto/tls"
	"errors"
	"time"

	"postern/internal/fault"
)

// ServerTLS is the TLS of a server: version 1.3, a certificate from every client, judged by a at the time of now.
// Which party may do what is decided afterwards, on every call.
func ServerTLS(i *Identity, a *Anchors, now func() time.Time) *tls.Config {
	cfg := baseTLS(i)
	cfg.ClientAuth = tls.RequireAnyClientCert // presence here; everything else in VerifyConnection
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		_, err := verifyConnection(a, cs, now)
		return err
	}
	return cfg
}

// ClientTLS is the TLS of a client that will talk to exactly one party. The handshake fails with fault.Unverified,
// reason PEER_IDENTITY, when the other side does not prove to be it.
func ClientTLS(i *Identity, a *Anchors, want Party, now func() time.Time) *tls.Config {
	cfg := baseTLS(i)
	// crypto/tls would look for a host name, which our certificates do not have. VerifyConnection does the whole
	// verification instead, for every connection: it cannot be skipped, since sessions are never resumed.
	cfg.InsecureSkipVerify = true
	cfg.VerifyConnection = func(cs tls.ConnectionState) error {
		got, err := verifyConnection(a, cs, now)
		if err != nil {
			return errPeer(want, fault.From(err).Message).Because(err)
		}
		if got != want {
			return errPeer(want, "It is "+got.URI()+".")
		}
		return nil
	}
	return cfg
}

// alpn is HTTP/2 (RFC 9113 section 3.2), the one protocol of gRPC.
const alpn = "h2"

func baseTLS(i *Identity) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Asked for at every handshake, so that a renewed certificate is shown without a restart.
		GetCertificate:         func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return i.Certificate(), nil },
		GetClientCertificate:   func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return i.Certificate(), nil },
		NextProtos:             []string{alpn},
		SessionTicketsDisabled: true, // a resumed session would not show its certificates again
	}
}

func verifyConnection(a *Anchors, cs tls.ConnectionState, now func() time.Time) (Party, error) {
	if cs.NegotiatedProtocol != alpn { // crypto/tls lets a client through that offers http/1.1 only
		return Party{}, errCertificate("CERTIFICATE_PROTOCOL", "Only HTTP/2 is spoken here.")
	}
	if cs.DidResume {
		return Party{}, errCertificate("CERTIFICATE_CHAIN", "A session cannot be resumed.").Because(errors.New("resumed TLS session"))
	}
	return a.Verify(cs.PeerCertificates, now())
}

func errPeer(want Party, why string) *fault.Error {
	return fault.New(fault.Unverified, "PEER_IDENTITY", "The other side did not prove to be "+want.URI()+". "+why)
}
