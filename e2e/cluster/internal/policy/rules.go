// Package policy owns the enforcement of NetworkPolicy: which packets a pod
// may send and receive. It filters with nftables in the cluster's own network
// namespace and knows nothing of services (their addresses are translated
// before a packet comes by) and nothing of IPv6 (pods have none).
//
// A pod whose address is not known here can neither send nor receive: the CNI
// plugin of this package holds a new pod back until its rules stand. If the
// engine is down, no pod starts and the rules of running ones stay.
package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// Pod is a pod with an address of its own.
type Pod struct {
	Namespace string
	Labels    map[string]string
	Address   netip.Addr
	Ports     []core.ContainerPort
}

// World is all that policies speak of.
type World struct {
	Pods       []Pod
	Namespaces map[string]map[string]string // name to labels
	Policies   []*networking.NetworkPolicy
}

// direction names the address a peer stands in, seen from an isolated pod.
type direction struct {
	kind networking.PolicyType
	peer string // the packet field that holds the peer's address
}

var (
	ingress = direction{networking.PolicyTypeIngress, "ip saddr"}
	egress  = direction{networking.PolicyTypeEgress, "ip daddr"}
)

// rule is what ingress and egress rules have in common.
type rule struct {
	peers []networking.NetworkPolicyPeer
	ports []networking.NetworkPolicyPort
}

// permissions gives one nftables match per kind of packet that pod may
// exchange in that direction; "" matches everything. isolated is false when no
// policy selects the pod, so that everything is allowed.
func (w World) permissions(pod Pod, d direction) (matches []string, isolated bool, err error) {
	for _, policy := range w.Policies {
		if policy.Namespace != pod.Namespace || !slices.Contains(types(policy), d.kind) {
			continue
		}
		selected, err := selects(&policy.Spec.PodSelector, pod.Labels)
		if err != nil {
			return nil, false, fmt.Errorf("policy %s/%s: %w", policy.Namespace, policy.Name, err)
		}
		if !selected {
			continue
		}
		isolated = true
		for _, rule := range rules(policy, d) {
			more, err := w.matches(policy.Namespace, pod, d, rule)
			if err != nil {
				return nil, false, fmt.Errorf("policy %s/%s: %w", policy.Namespace, policy.Name, err)
			}
			matches = append(matches, more...)
		}
	}
	slices.Sort(matches)
	return slices.Compact(matches), isolated, nil
}

// types follows the API's default for a policy that names none.
func types(policy *networking.NetworkPolicy) []networking.PolicyType {
	if len(policy.Spec.PolicyTypes) > 0 {
		return policy.Spec.PolicyTypes
	}
	if len(policy.Spec.Egress) > 0 {
		return []networking.PolicyType{networking.PolicyTypeIngress, networking.PolicyTypeEgress}
	}
	return []networking.PolicyType{networking.PolicyTypeIngress}
}

func rules(policy *networking.NetworkPolicy, d direction) []rule {
	var found []rule
	if d == ingress {
		for _, r := range policy.Spec.Ingress {
			found = append(found, rule{r.From, r.Ports})
		}
		return found
	}
	for _, r := range policy.Spec.Egress {
		found = append(found, rule{r.To, r.Ports})
	}
	return found
}

// matches is the product of the rule's peers and ports. A named port is looked
// up on the receiving pod: the isolated one for ingress, each peer for egress.
func (w World) matches(namespace string, pod Pod, d direction, r rule) ([]string, error) {
	var found []string
	if len(r.peers) == 0 {
		// No peer given means everyone. Named ports of an egress rule still
		// belong to some pod, so those are listed one by one.
		owner := &pod
		if d == egress {
			owner = nil
		}
		found = appendProduct(found, []string{""}, portMatches(r.ports, owner))
		if d == egress && hasNamedPort(r.ports) {
			found = append(found, podMatches(w.Pods, pod, d, onlyNamed(r.ports))...)
		}
		return found, nil
	}
	for _, peer := range r.peers {
		if peer.IPBlock != nil {
			block, err := blockMatch(peer.IPBlock, d)
			if err != nil {
				return nil, err
			}
			owner := &pod
			if d == egress {
				owner = nil
			}
			if block != "" {
				found = appendProduct(found, []string{block}, portMatches(r.ports, owner))
			}
			continue
		}
		pods, err := w.selected(namespace, peer)
		if err != nil {
			return nil, err
		}
		found = append(found, podMatches(pods, pod, d, r.ports)...)
	}
	return found, nil
}

// podMatches groups peers by the port matches that hold for them, which differ
// only where a named port does.
func podMatches(peers []Pod, pod Pod, d direction, ports []networking.NetworkPolicyPort) []string {
	addresses := map[string][]string{}
	for _, peer := range peers {
		owner := &pod
		if d == egress {
			owner = &peer
		}
		for _, port := range portMatches(ports, owner) {
			addresses[port] = append(addresses[port], peer.Address.String())
		}
	}
	var found []string
	for port, list := range addresses {
		slices.Sort(list)
		found = appendProduct(found, []string{d.peer + " { " + strings.Join(slices.Compact(list), ", ") + " }"}, []string{port})
	}
	return found
}

func (w World) selected(namespace string, peer networking.NetworkPolicyPeer) ([]Pod, error) {
	var found []Pod
	for _, pod := range w.Pods {
		inNamespace := pod.Namespace == namespace
		if peer.NamespaceSelector != nil {
			var err error
			if inNamespace, err = selects(peer.NamespaceSelector, w.Namespaces[pod.Namespace]); err != nil {
				return nil, err
			}
		}
		if !inNamespace {
			continue
		}
		if peer.PodSelector != nil {
			selected, err := selects(peer.PodSelector, pod.Labels)
			if err != nil {
				return nil, err
			}
			if !selected {
				continue
			}
		}
		found = append(found, pod)
	}
	return found, nil
}

// blockMatch is empty for an IPv6 block: no packet has such an address.
func blockMatch(block *networking.IPBlock, d direction) (string, error) {
	cidr, err := netip.ParsePrefix(block.CIDR)
	if err != nil {
		return "", err
	}
	if !cidr.Addr().Is4() {
		return "", nil
	}
	match := d.peer + " " + cidr.Masked().String()
	for _, except := range block.Except {
		hole, err := netip.ParsePrefix(except)
		if err != nil {
			return "", err
		}
		match += " " + d.peer + " != " + hole.Masked().String()
	}
	return match, nil
}

// portMatches gives one match per port; no ports given means every packet. A
// name that owner does not have matches nothing.
func portMatches(ports []networking.NetworkPolicyPort, owner *Pod) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var found []string
	for _, port := range ports {
		protocol := core.ProtocolTCP
		if port.Protocol != nil {
			protocol = *port.Protocol
		}
		name := strings.ToLower(string(protocol))
		switch {
		case port.Port == nil:
			found = append(found, "meta l4proto "+name)
		case port.Port.Type == intstr.String:
			for _, number := range owner.named(port.Port.StrVal, protocol) {
				found = append(found, fmt.Sprintf("%s dport %d", name, number))
			}
		case port.EndPort != nil:
			found = append(found, fmt.Sprintf("%s dport %d-%d", name, port.Port.IntVal, *port.EndPort))
		default:
			found = append(found, fmt.Sprintf("%s dport %d", name, port.Port.IntVal))
		}
	}
	return found
}

func (p *Pod) named(name string, protocol core.Protocol) []int32 {
	if p == nil {
		return nil
	}
	var numbers []int32
	for _, port := range p.Ports {
		has := port.Protocol
		if has == "" {
			has = core.ProtocolTCP
		}
		if port.Name == name && has == protocol {
			numbers = append(numbers, port.ContainerPort)
		}
	}
	return numbers
}

func onlyNamed(ports []networking.NetworkPolicyPort) []networking.NetworkPolicyPort {
	var named []networking.NetworkPolicyPort
	for _, port := range ports {
		if port.Port != nil && port.Port.Type == intstr.String {
			named = append(named, port)
		}
	}
	return named
}

func hasNamedPort(ports []networking.NetworkPolicyPort) bool { return len(onlyNamed(ports)) > 0 }

func appendProduct(to, addresses, ports []string) []string {
	for _, address := range addresses {
		for _, port := range ports {
			to = append(to, strings.TrimSpace(address+" "+port))
		}
	}
	return to
}

func selects(selector *meta.LabelSelector, set map[string]string) (bool, error) {
	parsed, err := meta.LabelSelectorAsSelector(selector)
	if err != nil {
		return false, err
	}
	return parsed.Matches(labels.Set(set)), nil
}
