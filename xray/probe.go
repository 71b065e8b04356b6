package xray

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ed25519"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	utls "github.com/refraction-networking/utls"
)

// What Probe finds that is not well, from the outside in.
var (
	// ErrClosed: nothing accepts a connection at the host and port.
	ErrClosed = errors.New("nothing answers at the port")
	// ErrNoTLS: something accepts, and does not finish a TLS 1.3 handshake. It may be
	// another program, or a node that cannot reach its own cover.
	ErrNoTLS = errors.New("the port answers, but not as a TLS 1.3 server")
	// ErrCover: the node took us for a stranger: public key, short id or clock differ,
	// or it is no node.
	ErrCover = errors.New("the port answers with the cover's own certificate")
	// ErrCoverName: the same, and the certificate shown is for other names than the
	// server name, which therefore is hardly one of the inbound's.
	ErrCoverName = errors.New("the port answers with a certificate for another name")
)

// Probe connects to e as the holder of a link does, up to where VLESS begins, and
// returns nil if the server proved that it holds the private key of e.PublicKey: it
// does so only for a server name and a short id that it knows. Every other end is one
// of the errors above. It is defined for an e that Validate accepts.
func Probe(ctx context.Context, e Endpoint) error {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(e.Host, strconv.Itoa(e.Port)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrClosed, err)
	}
	defer conn.Close()
	return greet(ctx, conn, e)
}

// greet makes the handshake. What the server shows is judged after it, by what is
// signed with the secret that both have if the parameters fit.
func greet(ctx context.Context, conn net.Conn, e Endpoint) error {
	client := utls.UClient(conn, &utls.Config{
		ServerName: e.ServerName, SessionTicketsDisabled: true,
		InsecureSkipVerify: true, // the server proves itself in another way: see proves
	}, utls.HelloChrome_Auto)
	auth, err := seal(client, e, time.Now())
	if err != nil {
		return err
	}
	if err := client.HandshakeContext(ctx); err != nil {
		return fmt.Errorf("%w: %w", ErrNoTLS, err)
	}
	shown := client.ConnectionState().PeerCertificates
	switch {
	case len(shown) > 0 && proves(shown[0], auth):
		return nil
	case len(shown) > 0 && shown[0].VerifyHostname(e.ServerName) != nil:
		return ErrCoverName
	default:
		return ErrCover
	}
}

const (
	// idOffset is where a hello's session id is: after its type, length, version,
	// random bytes and the id's own length.
	idOffset = 1 + 3 + 2 + 32 + 1
	idLength = 32
	// sealedLength is how much of the id is ours to say; the rest is the seal's tag.
	sealedLength = 16
)

// seal puts into the client's hello what makes the server know us: version, time and
// short id as the session id, sealed with a key that only the holder of the private
// key can make of the hello. It returns that key.
func seal(client *utls.UConn, e Endpoint, now time.Time) ([]byte, error) {
	if err := client.BuildHandshakeState(); err != nil {
		return nil, fmt.Errorf("make hello: %w", err)
	}
	hello := client.HandshakeState.Hello
	ephemeral := client.HandshakeState.State13.KeyShareKeys.Ecdhe
	if ephemeral == nil {
		ephemeral = client.HandshakeState.State13.KeyShareKeys.MlkemEcdhe
	}
	if ephemeral == nil || len(hello.Raw) < idOffset+idLength || hello.Raw[idOffset-1] != idLength {
		return nil, errors.New("make hello: it is not one that can be sealed")
	}
	auth, err := authKey(ephemeral, e.PublicKey, hello.Random)
	if err != nil {
		return nil, err
	}
	id := []byte{26, 3, 27, sealedLength - 1: 0}   // the version of Xray that we speak as: a node may refuse old ones
	clear(hello.Raw[idOffset : idOffset+idLength]) // the server checks the seal over a hello without it
	binary.BigEndian.PutUint32(id[4:], uint32(now.Unix()))
	if _, err := hex.Decode(id[8:], []byte(e.ShortID)); err != nil {
		return nil, fmt.Errorf("short id: %w", err)
	}
	block, err := aes.NewCipher(auth)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, fmt.Errorf("seal: %w", err)
	}
	hello.SessionId = aead.Seal(nil, hello.Random[20:], id, hello.Raw)
	copy(hello.Raw[idOffset:], hello.SessionId)
	return auth, nil
}

// authKey is the secret that only we and the holder of the private key can know.
func authKey(ephemeral *ecdh.PrivateKey, publicKey string, random []byte) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(publicKey)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	server, err := ecdh.X25519().NewPublicKey(raw)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	shared, err := ephemeral.ECDH(server)
	if err != nil {
		return nil, fmt.Errorf("public key: %w", err)
	}
	key, err := hkdf.Key(sha256.New, shared, random[:20], "REALITY", sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("derive key: %w", err)
	}
	return key, nil
}

// proves says whether the certificate was made for us: in the place of its signature
// is a sum over its public key that takes the secret to make.
func proves(shown *x509.Certificate, auth []byte) bool {
	public, ok := shown.PublicKey.(ed25519.PublicKey)
	if !ok {
		return false
	}
	mac := hmac.New(sha512.New, auth)
	mac.Write(public)
	return bytes.Equal(mac.Sum(nil), shown.Signature)
}

// Try connects to the node as a customer does, and compares its inbound with what the
// links say. It returns nil if whoever has a link could use it from here. A node that is
// too old to be asked about its inbound, or whose API does not answer, is judged by the
// connection alone.
func (n *Node) Try(ctx context.Context) error {
	place := net.JoinHostPort(n.cfg.Endpoint.Host, strconv.Itoa(n.cfg.Endpoint.Port))
	if differences, err := n.Differences(ctx); err == nil && len(differences) > 0 {
		return fmt.Errorf("links do not fit the node: %w", errors.Join(differences...))
	}
	if err := Probe(ctx, n.cfg.Endpoint); err != nil {
		return fmt.Errorf("%s: %w", place, err)
	}
	return nil
}
