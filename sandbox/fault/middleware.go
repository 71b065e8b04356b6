package fault

import (
	"bytes"
	"io"
	"net/http"
)

// maxHeld bounds the body of a request that is held.
const maxHeld = 16 << 20

// badGateway is what the front proxies of real services answer in their stead.
const badGateway = `<html>
<head><title>502 Bad Gateway</title></head>
<body>
<center><h1>502 Bad Gateway</h1></center>
<hr><center>nginx</center>
</body>
</html>
`

// Middleware puts the fault before an HTTP handler.
//
// Down closes the connection without an answer. Hung holds the request until
// the fault ends and then serves it. Slow holds it for the latency. A request
// whose client has gone while it was held is never served. Error answers 502
// with an HTML page.
func (s *Switch) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, on := s.Current(); on {
			s.hold(w, r)
		}
		mode, err := s.pass(r.Context())
		switch {
		case err != nil || mode == Down:
			panic(http.ErrAbortHandler)
		case mode == Error:
			refuse(w)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// hold reads the body before the wait: only then does the server watch the
// connection, so that a client which leaves is noticed.
func (s *Switch) hold(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHeld))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
}

func refuse(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "text/html")
	w.Header().Set("Server", "nginx")
	w.WriteHeader(http.StatusBadGateway)
	_, _ = io.WriteString(w, badGateway) // The client may have gone.
}
