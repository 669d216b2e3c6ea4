// Package layout owns every name, path and address of a cluster: what lies
// where under the state directory, and which addresses are used inside. It
// reads and writes nothing.
package layout

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
)

// Addresses inside the cluster's own network namespace. They are the same for
// every cluster: two clusters on a machine cannot see each other.
const (
	NodeName    = "node"
	NodeIP      = "10.201.0.1"
	PodCIDR     = "10.202.0.0/16"
	PodGateway  = "10.202.0.1"
	ServiceCIDR = "10.203.0.0/16"
	ServiceIP   = "10.203.0.1"
	DNSIP       = "10.203.0.10"
	Domain      = "cluster.local"
	APIPort     = "6443"
	APIServer   = "https://127.0.0.1:" + APIPort
	EtcdURL     = "http://127.0.0.1:2379"
	PauseImage  = "localhost/longshore/pause:1"
	ContextName = "longshore"
)

// State is the directory that holds everything a cluster leaves on disk.
type State struct{ Dir string }

// ID tells this cluster from others on the same machine.
func (s State) ID() string {
	sum := sha256.Sum256([]byte(s.Dir))
	return hex.EncodeToString(sum[:4])
}

// CgroupName is the parent of all pod cgroups, in every hierarchy.
func (s State) CgroupName() string { return "longshore-" + s.ID() }

// Path joins names below the state directory.
func (s State) Path(names ...string) string {
	return filepath.Join(append([]string{s.Dir}, names...)...)
}

func (s State) Kubeconfig() string { return s.Path("kubeconfig") }
func (s State) AuditLog() string   { return s.Path("audit.log") }
func (s State) Lock() string       { return s.Path("lock") }
func (s State) Port() string       { return s.Path("port") }
func (s State) InitPID() string    { return s.Path("run", "init.pid") }

// Ready exists while the cluster runs and has once been ready.
func (s State) Ready() string            { return s.Path("run", "ready") }
func (s State) Health() string           { return s.Path("run", "children.json") }
func (s State) ContainerdSocket() string { return s.Path("run", "containerd.sock") }
func (s State) PolicySocket() string     { return s.Path("run", "policy.sock") }
func (s State) Images() string           { return s.Path("containerd") }

// Outside holds the sockets of the ways out that somebody keeps open.
func (s State) Outside() string { return s.Path("outside") }
func (s State) Etcd() string    { return s.Path("etcd") }
func (s State) Volumes() string { return s.Path("volumes") }
func (s State) Program() string { return s.Path("bin", "cluster") }
func (s State) Binary(name string) string {
	return s.Path("bin", name)
}
func (s State) Log(name string) string  { return s.Path("log", name+".log") }
func (s State) Conf(name string) string { return s.Path("conf", name) }
func (s State) PKI(name string) string  { return s.Path("pki", name) }

// ComponentKubeconfig is the credential of one component, for use inside.
func (s State) ComponentKubeconfig(component string) string {
	return s.Conf(component + ".kubeconfig")
}
