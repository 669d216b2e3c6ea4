package pki

import "longshore.dev/cluster/internal/layout"

// Components that speak to the API server, with the identity each has there.
// The groups and names are those Kubernetes binds its built-in roles to; the
// last two are ours and get their roles from the cluster's own manifests.
var identities = map[string]Request{
	"admin":              {CommonName: "admin", Organizations: []string{"system:masters"}},
	"controller-manager": {CommonName: "system:kube-controller-manager"},
	"scheduler":          {CommonName: "system:kube-scheduler"},
	"kubelet":            {CommonName: "system:node:" + layout.NodeName, Organizations: []string{"system:nodes"}, DNSNames: []string{layout.NodeName}, Addresses: []string{layout.NodeIP}},
	"proxy":              {CommonName: "system:kube-proxy"},
	"provisioner":        {CommonName: "longshore:local-provisioner"},
	"policy":             {CommonName: "longshore:network-policy"},
}

// Prepare makes every credential of the cluster that is not there yet, and the
// kubeconfigs of its components.
func Prepare(state layout.State) error {
	dir := state.Path("pki")
	authority, err := OpenAuthority(dir, "ca")
	if err != nil {
		return err
	}
	frontProxy, err := OpenAuthority(dir, "front-proxy-ca")
	if err != nil {
		return err
	}
	if err := ServiceAccountKey(dir, "service-account"); err != nil {
		return err
	}
	if err := frontProxy.Issue("front-proxy", Request{CommonName: "front-proxy"}); err != nil {
		return err
	}
	if err := authority.Issue("kubelet-client", Request{CommonName: "kube-apiserver", Organizations: []string{"system:masters"}}); err != nil {
		return err
	}
	if err := authority.Issue("apiserver", Request{
		CommonName: "kube-apiserver",
		DNSNames: []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc",
			"kubernetes.default.svc." + layout.Domain},
		Addresses: []string{"127.0.0.1", layout.NodeIP, layout.ServiceIP},
	}); err != nil {
		return err
	}
	for name, request := range identities {
		if err := authority.Issue(name, request); err != nil {
			return err
		}
		if err := WriteKubeconfig(state.ComponentKubeconfig(name), layout.ContextName, layout.APIServer, dir, "ca", name); err != nil {
			return err
		}
	}
	return nil
}
