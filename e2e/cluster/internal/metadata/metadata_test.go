package metadata

import (
	"io"
	"net"
	"net/http"
	"testing"
)

func TestEverybodyIsAnsweredAndGetsNoCredentials(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go serve(listener)
	answer, err := http.Get("http://" + listener.Addr().String() + "/latest/meta-data/iam/security-credentials/")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); err != nil || string(body) != Word {
		t.Fatalf("got %q %v", body, err)
	}
}
