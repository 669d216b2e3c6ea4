// Package outside owns the one way out of a cluster: connections to a few
// well-known names are handed, each name's to a Unix socket of its own, to
// whoever listens there on the machine. Nobody listens unless a demo with the
// real services runs, so the way is shut. It dials nothing but those sockets.
package outside

import (
	"fmt"
	"io"
	"net"
	"path/filepath"
)

// Port is the only one that is carried: TLS.
const Port = "443"

// Name is a host outside and the address that stands for it inside.
type Name struct{ Host, Address string }

// Names are the model endpoint and Telegram's servers. The addresses are of a
// range that is reserved for documentation, so they hide nobody.
var Names = []Name{
	{Host: "api.anthropic.com", Address: "192.0.2.1"},
	{Host: "api.telegram.org", Address: "192.0.2.2"},
}

// Serve listens at every address. It is called in the cluster's network
// namespace, where the addresses already stand; sockets are looked for in
// folder at every connection.
func Serve(folder string) error {
	for _, name := range Names {
		listener, err := net.Listen("tcp", net.JoinHostPort(name.Address, Port))
		if err != nil {
			return fmt.Errorf("the way to %s: %w", name.Host, err)
		}
		socket := filepath.Join(folder, name.Host)
		go Join(listener, func() (net.Conn, error) { return net.Dial("unix", socket) })
	}
	return nil
}

// Join carries every connection of a listener to one that dial makes. When
// dial fails the connection is closed, which is how its user learns of it.
func Join(listener net.Listener, dial func() (net.Conn, error)) {
	for {
		from, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := dial()
			if err != nil {
				return
			}
			defer to.Close()
			carry(from, to)
		}()
	}
}

// carry copies both ways until both sides have said all they have to say.
func carry(from, to net.Conn) {
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{from, to}, {to, from}} {
		go func() {
			_, _ = io.Copy(way[1], way[0])
			if half, ok := way[1].(interface{ CloseWrite() error }); ok {
				_ = half.CloseWrite()
			}
			done <- struct{}{}
		}()
	}
	<-done
	<-done
}
