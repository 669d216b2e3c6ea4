package pki

import (
	"crypto/x509"
	"os"
	"testing"

	"longshore.dev/cluster/internal/layout"
)

func TestCredentialsAreKeptAndTrusted(t *testing.T) {
	state := layout.State{Dir: t.TempDir()}
	if err := os.Mkdir(state.Path("conf"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(state); err != nil {
		t.Fatal(err)
	}
	first, err := os.ReadFile(state.ComponentKubeconfig("admin"))
	if err != nil {
		t.Fatal(err)
	}
	if err := Prepare(state); err != nil {
		t.Fatal(err)
	}
	if second, err := os.ReadFile(state.ComponentKubeconfig("admin")); err != nil || string(second) != string(first) {
		t.Error("a second start has changed the credentials:", err)
	}
	if info, err := os.Stat(state.ComponentKubeconfig("admin")); err != nil || info.Mode().Perm() != 0o600 {
		t.Error("others can read a kubeconfig:", info, err)
	}

	ca, err := readCertificate(state.PKI("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(ca)
	for _, name := range []string{"127.0.0.1", layout.NodeIP, layout.ServiceIP, "kubernetes.default.svc"} {
		server, err := readCertificate(state.PKI("apiserver.crt"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := server.Verify(x509.VerifyOptions{DNSName: name, Roots: roots}); err != nil {
			t.Errorf("the API server is not trusted as %s: %v", name, err)
		}
	}
	node, err := readCertificate(state.PKI("kubelet.crt"))
	if err != nil || node.Subject.CommonName != "system:node:node" || node.Subject.Organization[0] != "system:nodes" {
		t.Errorf("the node is %v %v", node.Subject, err)
	}
}
