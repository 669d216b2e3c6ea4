package pki

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
)

// WriteKubeconfig writes a kubeconfig with everything inline, so that the file
// can be copied away from the state directory. It is readable by its owner only.
func WriteKubeconfig(file, context, server, dir, authority, client string) error {
	encoded := func(name string) (string, error) {
		body, err := os.ReadFile(filepath.Join(dir, name))
		return base64.StdEncoding.EncodeToString(body), err
	}
	ca, err := encoded(authority + ".crt")
	if err != nil {
		return err
	}
	cert, err := encoded(client + ".crt")
	if err != nil {
		return err
	}
	key, err := encoded(client + ".key")
	if err != nil {
		return err
	}
	body := fmt.Sprintf(`apiVersion: v1
kind: Config
current-context: %[1]s
contexts:
- name: %[1]s
  context: {cluster: %[1]s, user: %[1]s}
clusters:
- name: %[1]s
  cluster:
    server: %[2]s
    certificate-authority-data: %[3]s
users:
- name: %[1]s
  user:
    client-certificate-data: %[4]s
    client-key-data: %[5]s
`, context, server, ca, cert, key)
	if err := os.WriteFile(file+".new", []byte(body), 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
