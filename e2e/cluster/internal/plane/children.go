// Package plane owns the configuration of the cluster's components: their
// flags and files. It is pure but for Write, which puts the files down.
package plane

import (
	"longshore.dev/cluster/internal/layout"
	"longshore.dev/cluster/internal/supervise"
)

// Storage are the children that need nobody else.
func Storage(state layout.State) []supervise.Child {
	return []supervise.Child{
		child(state, "containerd", "/usr/bin/containerd", "--config", state.Conf("containerd.toml")),
		child(state, "etcd", state.Binary("etcd"),
			"--data-dir", state.Etcd(),
			"--listen-client-urls", layout.EtcdURL,
			"--advertise-client-urls", layout.EtcdURL,
			"--listen-peer-urls", "http://127.0.0.1:2380",
			"--log-level", "warn",
			// A power cut may cost this cluster its life; a test never waits
			// for a disk.
			"--unsafe-no-fsync",
		),
	}
}

// APIServer needs etcd.
func APIServer(state layout.State) supervise.Child {
	return child(state, "kube-apiserver", state.Binary("kube-apiserver"),
		"--etcd-servers", layout.EtcdURL,
		"--secure-port", layout.APIPort,
		"--advertise-address", layout.NodeIP,
		"--service-cluster-ip-range", layout.ServiceCIDR,
		"--cert-dir", "/run/kubernetes",
		"--tls-cert-file", state.PKI("apiserver.crt"),
		"--tls-private-key-file", state.PKI("apiserver.key"),
		"--client-ca-file", state.PKI("ca.crt"),
		"--requestheader-client-ca-file", state.PKI("front-proxy-ca.crt"),
		"--requestheader-allowed-names", "front-proxy",
		"--requestheader-username-headers", "X-Remote-User",
		"--requestheader-group-headers", "X-Remote-Group",
		"--requestheader-extra-headers-prefix", "X-Remote-Extra-",
		"--proxy-client-cert-file", state.PKI("front-proxy.crt"),
		"--proxy-client-key-file", state.PKI("front-proxy.key"),
		"--kubelet-certificate-authority", state.PKI("ca.crt"),
		"--kubelet-client-certificate", state.PKI("kubelet-client.crt"),
		"--kubelet-client-key", state.PKI("kubelet-client.key"),
		// The node's name resolves nowhere.
		"--kubelet-preferred-address-types", "InternalIP",
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", state.PKI("service-account.pub"),
		"--service-account-signing-key-file", state.PKI("service-account.key"),
		"--authorization-mode", "Node,RBAC",
		"--enable-admission-plugins", "NodeRestriction",
		"--allow-privileged",
		"--anonymous-auth=false",
		"--profiling=false",
		"--audit-policy-file", state.Conf("audit-policy.yaml"),
		"--audit-log-path", state.AuditLog(),
		// Tests count lines: the log must not be rotated away under them.
		"--audit-log-maxsize", "2000",
		// Written at once, so that a test sees a request as soon as its answer.
		"--audit-log-mode", "blocking",
	)
}

// Controllers need the API server.
func Controllers(state layout.State) []supervise.Child {
	return []supervise.Child{
		child(state, "kube-controller-manager", append([]string{state.Binary("kube-controller-manager"),
			"--use-service-account-credentials",
			"--service-account-private-key-file", state.PKI("service-account.key"),
			"--root-ca-file", state.PKI("ca.crt"),
			"--cluster-signing-cert-file", state.PKI("ca.crt"),
			"--cluster-signing-key-file", state.PKI("ca.key"),
			"--controllers", "*,-horizontal-pod-autoscaler-controller,-ttl-controller",
			"--leader-elect=false",
			"--profiling=false",
			"--kube-api-qps", "200", "--kube-api-burst", "400",
		}, delegating(state, "controller-manager")...)...),
		child(state, "kube-scheduler", append([]string{state.Binary("kube-scheduler"),
			"--leader-elect=false",
			"--profiling=false",
			"--kube-api-qps", "200", "--kube-api-burst", "400",
		}, delegating(state, "scheduler")...)...),
		child(state, "kubelet", state.Binary("kubelet"),
			"--config", state.Conf("kubelet.yaml"),
			"--kubeconfig", state.ComponentKubeconfig("kubelet"),
			"--hostname-override", layout.NodeName,
			"--node-ip", layout.NodeIP,
			"--root-dir", state.Path("kubelet"),
			"--cert-dir", state.Path("kubelet", "pki"),
		),
		child(state, "kube-proxy", state.Binary("kube-proxy"), "--config", state.Conf("proxy.yaml")),
		child(state, "policy", state.Program(), "policy", "--state", state.Dir),
		child(state, "provisioner", state.Program(), "provisioner", "--state", state.Dir),
	}
}

func delegating(state layout.State, name string) []string {
	config := state.ComponentKubeconfig(name)
	return []string{"--kubeconfig", config, "--authentication-kubeconfig", config, "--authorization-kubeconfig", config}
}

func child(state layout.State, name string, args ...string) supervise.Child {
	return supervise.Child{Name: name, Args: args, Log: state.Log(name)}
}
