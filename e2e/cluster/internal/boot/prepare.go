// Package boot owns the order in which a cluster comes up: what has to stand
// before what, how long each step may take, and when the whole is ready. A step
// that misses its deadline ends the supervisor, and the cluster with it.
package boot

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"longshore.dev/cluster/internal/isolation"
	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/pki"
	"longshore.dev/cluster/internal/plane"
	"longshore.dev/cluster/internal/policy"
)

// programs are the names under which the cluster's own program is called.
var programs = []string{
	"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler",
	"kubelet", "kube-proxy", "kubectl", "coredns", "helm",
}

// cniPlugins are taken from Debian's containernetworking-plugins.
var cniPlugins = []string{"ptp", "host-local", "loopback"}

const cniDir = "/usr/lib/cni"

// Prepare puts down everything on disk that a start needs, outside of the
// cluster's namespaces. It may run again on a state that was used before.
func Prepare(state layout.State, server string) error {
	// Sockets of an earlier life; nothing in here means anything now.
	if err := os.RemoveAll(state.Path("run")); err != nil {
		return err
	}
	for _, dir := range []string{"bin", "conf", "conf/cni", "log", "run", "volumes", "kubelet"} {
		if err := os.MkdirAll(state.Path(dir), 0o755); err != nil {
			return err
		}
	}
	if len(state.ContainerdSocket()) > 100 {
		return fmt.Errorf("the state directory %s is too long a path for a socket", state.Dir)
	}
	if err := installPrograms(state); err != nil {
		return err
	}
	if err := installPlugins(state); err != nil {
		return err
	}
	if err := pki.Prepare(state); err != nil {
		return fmt.Errorf("credentials: %w", err)
	}
	if err := plane.Write(state, !isolation.Unified()); err != nil {
		return err
	}
	if err := isolation.MakeCgroups(state.CgroupName()); err != nil {
		return err
	}
	return pki.WriteKubeconfig(state.Kubeconfig(), layout.ContextName, server, state.Path("pki"), "ca", "admin")
}

// installPrograms gives the cluster its own copy of this program: one that is
// built anew meanwhile must not change under running components.
func installPrograms(state layout.State) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if self != state.Program() {
		next := state.Program() + ".new"
		if err := os.RemoveAll(next); err != nil {
			return err
		}
		if err := linkOrCopy(self, next); err != nil {
			return err
		}
		if err := os.Rename(next, state.Program()); err != nil {
			return err
		}
	}
	for _, name := range programs {
		if err := link("cluster", state.Binary(name)); err != nil {
			return err
		}
	}
	return nil
}

func installPlugins(state layout.State) error {
	dir := state.Path("conf", "cni-bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, plugin := range cniPlugins {
		if _, err := os.Stat(filepath.Join(cniDir, plugin)); err != nil {
			return fmt.Errorf("a CNI plugin is missing, run install-deps.sh: %w", err)
		}
		if err := link(filepath.Join(cniDir, plugin), filepath.Join(dir, plugin)); err != nil {
			return err
		}
	}
	return os.WriteFile(filepath.Join(dir, policy.PluginName), policy.PluginScript(state.PolicySocket()), 0o755)
}

func link(target, name string) error {
	if has, err := os.Readlink(name); err == nil && has == target {
		return nil
	}
	if err := os.RemoveAll(name); err != nil {
		return err
	}
	return os.Symlink(target, name)
}

func linkOrCopy(from, to string) error {
	if os.Link(from, to) == nil {
		return nil
	}
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
