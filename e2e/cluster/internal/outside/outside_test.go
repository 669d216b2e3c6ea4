package outside

import (
	"io"
	"net"
	"path/filepath"
	"testing"
)

func TestAConnectionIsCarriedToTheSocketAndShutWithoutOne(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "name")
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go Join(listener, func() (net.Conn, error) { return net.Dial("unix", socket) })

	if got := ask(t, listener.Addr().String()); got != "" {
		t.Fatalf("nobody listens, and yet came %q", got)
	}
	server, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	go func() {
		if connection, err := server.Accept(); err == nil {
			word, _ := io.ReadAll(connection)
			_, _ = connection.Write(append([]byte("heard "), word...))
			connection.Close()
		}
	}()
	if got := ask(t, listener.Addr().String()); got != "heard ping" {
		t.Fatalf("got %q", got)
	}
}

func ask(t *testing.T, address string) string {
	t.Helper()
	connection, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer connection.Close()
	_, _ = connection.Write([]byte("ping"))
	_ = connection.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(connection)
	return string(answer)
}
