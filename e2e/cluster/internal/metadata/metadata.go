// Package metadata owns what stands at the address where clouds offer machines
// their credentials. There are none here: it is there so that a policy which
// shuts that address can be told from a network in which nothing has it.
package metadata

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"time"
)

// Address and Port are those of all large clouds.
const (
	Address = "169.254.169.254"
	Port    = "80"
)

// Word is the answer to everybody.
const Word = "no credentials here\n"

// Serve listens. It is called in the cluster's network namespace, where the
// address already stands.
func Serve() error {
	listener, err := net.Listen("tcp", net.JoinHostPort(Address, Port))
	if err != nil {
		return fmt.Errorf("the metadata address: %w", err)
	}
	go serve(listener)
	return nil
}

func serve(listener net.Listener) {
	answer := func(to http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(to, Word) }
	server := http.Server{Handler: http.HandlerFunc(answer), ReadHeaderTimeout: 10 * time.Second}
	_ = server.Serve(listener) // ends with the process
}
