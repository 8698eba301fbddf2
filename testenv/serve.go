package testenv

import (
	"fmt"
	"net"
	"net/http"
	"time"
)

// serveHTTP answers every request with what this host saw of it: its own name,
// and both ends of the connection.
func serveHTTP(l net.Listener, host string) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		destination := r.Context().Value(http.LocalAddrContextKey)
		_, _ = fmt.Fprintf(w, "%s source %s destination %s\n", host, r.RemoteAddr, destination)
	})
	server := &http.Server{Handler: page, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	_ = server.Serve(l) // until the host ends
}
