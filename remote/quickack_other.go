//go:build !linux

package remote

import "net"

// prompt does nothing where TCP_QUICKACK does not exist.
func prompt(conn net.Conn) net.Conn { return conn }
